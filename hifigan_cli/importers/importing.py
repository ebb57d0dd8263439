"""`hifigan import`: a checkpoint of any family -> a model, checked by running it.

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
from hifigan_cli.models.norms import folded
from hifigan_cli.models.shapes import check_fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hifigan_cli.importers.checkpoint import CheckpointFamily, Content, Imported

# In this order: the first that recognizes a checkpoint has it, and the official names are in many.
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
_PARITY = 1e-5
_TEST_FRAMES = 24


@dataclass(frozen=True)
class ImportResult:
    """An imported model.

    Attributes:
        model: ready to be written.
        family: the name of its family.
        folding_error: how far folding weight norm moved a forward pass.
        notes: what its user should know.
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
    average: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> ImportResult:
    """Read a generator of any family.

    `config` and `stats` default to the files of its family next to the checkpoint. `average`
    takes averaged weights (EMA).

    Raises:
        ModelError: unreadable, of no known family, or not of the architecture that it describes.
    """
    check_readable(checkpoint)
    archive = is_archive(checkpoint)
    content = nemo.read_archive(checkpoint) if archive else load_tensors_only(checkpoint)
    family = _family(checkpoint, content, config)
    if average and family not in (official, nvidia):
        raise ModelError(f"{checkpoint} ({family.NAME}) has no averaged weights")
    imported = _convert(family, ForeignCheckpoint(checkpoint, content, config, stats, average))
    error = _folding_error(imported, checkpoint)
    others = read_discriminators(discriminators) if discriminators else {}
    model = ModelFile(
        imported.config.mel,
        imported.config.generator,
        arrays_of(folded(imported.state)),
        arrays_of(others),
        dict(provenance or {}),
    )
    return ImportResult(model, family.NAME, error, imported.notes)


def _family(checkpoint: Path, content: Content, config: Path | None) -> CheckpointFamily:
    for family in _FAMILIES:
        if family is bshall and config:  # known by its sizes, which others may have too
            continue
        if family.recognizes(content):
            return family
    keys = ", ".join(sorted(map(str, content))[:5]) or "nothing"
    raise ModelError(
        f"{checkpoint} holds no HiFi-GAN generator of a known family (it has: {keys})",
        f"known are {', '.join(each.NAME for each in _FAMILIES)}",
    )


def _convert(family: CheckpointFamily, source: ForeignCheckpoint) -> Imported:
    """Convert a checkpoint; its configuration may have anything in the place of anything."""
    try:
        return family.convert(source)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise ModelError(f"{source.path} is not as {family.NAME} writes it: {reason}") from error


def _folding_error(imported: Imported, path: Path) -> float:
    """Run the generator with its weight norm and with folded weights; return their difference.

    Weights that come folded already have nothing to compare, and must only fit.

    Raises:
        ModelError: the weights do not fit the configuration, or the two disagree.
    """
    config, state = imported.config, imported.state
    plain = ModelFile(config.mel, config.generator, arrays_of(folded(state))).build()
    if not any(".parametrizations." in key for key in state):
        return 0.0
    normed = Generator(config.generator, config.mel.n_mels)
    check_fit(normed.state_dict(), state)
    normed.load_state_dict(dict(state))
    random = torch.Generator().manual_seed(0)
    mel = torch.randn(1, config.mel.n_mels, _TEST_FRAMES, generator=random) - 5
    with torch.no_grad():
        error = float((normed(mel) - plain(mel)).abs().max())
    if not error < _PARITY:
        raise ModelError(f"{path}: folding weight norm changed the output by {error:.1e}")
    return error
