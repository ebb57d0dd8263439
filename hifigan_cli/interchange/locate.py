"""What `--model` may be: a model file, the folder of a training run, or a pretrained name."""

from __future__ import annotations

import os
from pathlib import Path

from hifigan_cli.audio.files import is_file, is_folder
from hifigan_cli.errors import ModelError, closest
from hifigan_cli.interchange.pretrained import DEFAULT, INSTALL, MODELS, pretrained_model

RUN_MODEL = "model.safetensors"


def locate_model(name: str | Path | None = None) -> Path:
    """Return the model file that a name or path means; None means the default, universal-v1.

    Raises:
        ModelError: nothing of that name; says which command installs the default.
    """
    if name is None:
        return _default()
    if str(name) in MODELS:
        return pretrained_model(str(name))
    path = Path(name)
    if is_folder(path):
        if is_file(path / RUN_MODEL):
            return path / RUN_MODEL
        raise ModelError(
            f"the folder {path} has no {RUN_MODEL}", "a training run writes it at each checkpoint"
        )
    if not os.path.lexists(path):
        hint = closest(str(name), MODELS) or f"a file, a run's folder, or {' or '.join(MODELS)}"
        raise ModelError(f"no model {str(name)!r}", hint)
    return path


def _default() -> Path:
    try:
        return pretrained_model(DEFAULT)
    except ModelError as error:
        if error.hint and "install it" in error.hint and "reinstall" not in error.hint:
            raise ModelError(
                f"no model was named, and the default, {DEFAULT}, is not installed",
                f"install it: {INSTALL}, or name a model file with --model",
            ) from error
        raise
