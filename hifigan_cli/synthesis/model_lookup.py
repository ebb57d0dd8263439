"""What `--model` may be: a file, the folder of a training run, or a name."""

from __future__ import annotations

import os
from pathlib import Path

from hifigan_cli.errors import ModelError, closest
from hifigan_cli.importers.pretrained import DEFAULT, MODELS, convert, pretrained_model
from hifigan_cli.io.files import is_folder
from hifigan_cli.models.model_file import MODEL_FILE, ModelFile, model_in_run, read_model


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
        return model_in_run(path, MODEL_FILE)
    if not os.path.lexists(path):
        hint = closest(str(name), MODELS) or f"a file, a run's folder, or {' or '.join(MODELS)}"
        raise ModelError(f"no model {str(name)!r}", hint)
    return path


def open_model(name: str | Path | None = None) -> ModelFile:
    """Read the model that a name or path means; None means the default, universal-v1.

    A converted copy that is damaged is converted again.

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
