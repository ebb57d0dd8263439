"""What `--model` may be: a file, the folder of a training run, or a name."""

from __future__ import annotations

import os
from pathlib import Path

from hifigan_cli.errors import ModelError, closest
from hifigan_cli.importers.pretrained import DEFAULT, MODELS, convert, pretrained_model
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.models.model_file import ModelFile, read_model

RUN_MODEL = "model.safetensors"


def locate_model(name: str | Path | None = None) -> Path:
    """Return the model file that a name or path means; None means the default, universal-v1.

    Raises:
        ModelError: nothing of that name; says what there is.
    """
    name = DEFAULT if name is None else name
    if str(name) in MODELS:
        return pretrained_model(str(name))
    path = Path(name)
    if is_folder(path):
        return _in_run(path)
    if not os.path.lexists(path):
        hint = closest(str(name), MODELS) or f"a file, a run's folder, or {' or '.join(MODELS)}"
        raise ModelError(f"no model {str(name)!r}", hint)
    return path


def open_model(name: str | Path | None = None) -> ModelFile:
    """Read the model that a name or path means; None means the default, universal-v1.

    A converted copy that is damaged is made anew.

    Raises:
        ModelError: nothing of that name, or damaged.
    """
    path = locate_model(name)
    try:
        return read_model(path)
    except ModelError:
        chosen = DEFAULT if name is None else str(name)
        if chosen not in MODELS:
            raise
        return read_model(convert(chosen))


def _in_run(folder: Path) -> Path:
    """Return the model in the folder of a training run.

    Raises:
        ModelError: there is none.
    """
    if not is_file(folder / RUN_MODEL):
        raise ModelError(
            f"the folder {folder} has no {RUN_MODEL}", "a training run writes it at each checkpoint"
        )
    return folder / RUN_MODEL
