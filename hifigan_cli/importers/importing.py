"""`hifigan import`: convert a checkpoint of any family, and check the result by running it.

The content of a checkpoint shows its family. Weight norm is folded, and a forward pass must agree
before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import ForeignCheckpoint
from hifigan_cli.importers.families import (
    bshall,
    coqui,
    espnet,
    everyvoice,
    nemo,
    nvidia,
    official,
    parallel_wavegan,
    speechbrain,
    transformers,
)
from hifigan_cli.importers.families.official import read_discriminators
from hifigan_cli.importers.foreign_files import is_archive, load_tensors_only
from hifigan_cli.io.tensor_file import arrays_of, check_readable
from hifigan_cli.models import Generator, ModelFile
from hifigan_cli.models.norms import fold_weight_norm
from hifigan_cli.models.shapes import check_same_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hifigan_cli.importers.checkpoint import CheckpointFamily, Content, ImportedGenerator

# The first family that recognizes a checkpoint converts it. `official` is last, because several
# families use its names.
_FAMILIES: tuple[CheckpointFamily, ...] = (
    nemo,
    everyvoice,
    espnet,
    parallel_wavegan,
    speechbrain,
    transformers,
    coqui,
    bshall,
    nvidia,
    official,
)
_MAX_FOLDING_ERROR = 1e-5
_TEST_FRAMES = 24


@dataclass(frozen=True)
class ImportResult:
    """An imported model.

    Attributes:
        model: the model, ready to write.
        family: the name of the checkpoint's family.
        folding_error: the largest change of a forward pass by folding weight norm.
        notes: notes for the user.
    """

    model: ModelFile
    family: str
    folding_error: float
    notes: tuple[str, ...]


def import_checkpoint(
    checkpoint: Path,
    config: Path | None = None,
    *,
    stats: Path | None = None,
    discriminators: Path | None = None,
    ema: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> ImportResult:
    """Read a generator of any family.

    `config` and `stats` default to the files of its family next to the checkpoint. `ema` selects
    the averaged weights.

    Raises:
        ModelError: if it is unreadable, of an unknown family, or its weights do not fit its
            configuration.
    """
    check_readable(checkpoint)
    archive = is_archive(checkpoint)
    content = nemo.read_archive(checkpoint) if archive else load_tensors_only(checkpoint)
    family = _find_family(checkpoint, content, config)
    if ema and family not in (official, nvidia):
        raise ModelError(f"{checkpoint} ({family.NAME}) has no averaged weights")
    imported = _convert(family, ForeignCheckpoint(checkpoint, content, config, stats, ema))
    error = _folding_error(imported, checkpoint)
    discriminator_weights = read_discriminators(discriminators) if discriminators else {}
    model = ModelFile(
        imported.config.mel,
        imported.config.generator,
        arrays_of(fold_weight_norm(imported.state)),
        arrays_of(discriminator_weights),
        dict(provenance or {}),
    )
    return ImportResult(model, family.NAME, error, imported.notes)


def _find_family(checkpoint: Path, content: Content, config: Path | None) -> CheckpointFamily:
    for family in _FAMILIES:
        if family is bshall and config:  # recognized by sizes, which other families may share
            continue
        if family.recognizes(content):
            return family
    keys = ", ".join(sorted(map(str, content))[:5]) or "nothing"
    raise ModelError(
        f"{checkpoint} contains no HiFi-GAN generator of a known family, only: {keys}",
        f"known families: {', '.join(family.NAME for family in _FAMILIES)}",
    )


def _convert(family: CheckpointFamily, source: ForeignCheckpoint) -> ImportedGenerator:
    """Convert a checkpoint; any value in its configuration may have the wrong type."""
    try:
        return family.convert(source)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise ModelError(f"{source.path} is not a valid {family.NAME} file: {reason}") from error


def _folding_error(imported: ImportedGenerator, path: Path) -> float:
    """Run the generator with weight norm and with folded weights; return the largest difference.

    Weights without weight norm are only checked for their shapes.

    Raises:
        ModelError: if the weights do not fit the configuration, or the outputs differ.
    """
    config, state = imported.config, imported.state
    folded = ModelFile(config.mel, config.generator, arrays_of(fold_weight_norm(state))).build()
    if not any(".parametrizations." in key for key in state):
        return 0.0
    weight_normed = Generator(config.generator, config.mel.n_mels)
    check_same_shapes(weight_normed.state_dict(), state)
    weight_normed.load_state_dict(dict(state))
    random = torch.Generator().manual_seed(0)
    mel = torch.randn(1, config.mel.n_mels, _TEST_FRAMES, generator=random) - 5
    with torch.no_grad():
        error = float((weight_normed(mel) - folded(mel)).abs().max())
    if not error < _MAX_FOLDING_ERROR:
        raise ModelError(f"{path}: folding weight norm changed the output by {error:.1e}")
    return error
