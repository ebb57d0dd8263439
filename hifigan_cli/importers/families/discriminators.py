"""The discriminators of an official do_XXXXXXXX file, for a warm start of training."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hifigan_cli.importers.families.keys import tensors
from hifigan_cli.importers.loading.untrusted import load_tensors_only
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.shapes import check_fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

# Weight norm and spectral norm, before and after torch's parametrizations.
_RENAMED = (
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
_RENAMED_SPECTRAL = (
    (r"\.weight_orig$", ".parametrizations.weight.original"),
    (r"\.weight_u$", ".parametrizations.weight.0._u"),
    (r"\.weight_v$", ".parametrizations.weight.0._v"),
)


def read_discriminators(path: Path) -> dict[str, Tensor]:
    """Read `mpd` and `msd` of an official do_XXXXXXXX file, under our parameter names.

    Raises:
        ModelError: unreadable, or of other networks.
    """
    content = load_tensors_only(path)
    found: dict[str, Tensor] = {}
    for name, net in (("mpd", MultiPeriodDiscriminator()), ("msd", MultiScaleDiscriminator())):
        state = tensors(content.get(name))
        spectral = {key for key in state if (key.rpartition(".")[0] + ".weight_orig") in state}
        first = _rename({key: state[key] for key in spectral}, _RENAMED_SPECTRAL)
        rest = _rename({key: state[key] for key in state.keys() - spectral}, _RENAMED)
        check_fit(net.state_dict(), first | rest)
        found |= {f"{name}.{key}": value for key, value in (first | rest).items()}
    return found


def _rename(state: Mapping[str, Tensor], rules: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        name = key
        for old, new in rules:
            name = re.sub(old, new, name)
        renamed[name] = value
    return renamed
