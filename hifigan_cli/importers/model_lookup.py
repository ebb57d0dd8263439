"""What a model's name means: a file, the folder of a training run, or a pretrained name.

A pretrained name comes first: a folder or file of that name is `./universal-v1`.
"""

from __future__ import annotations

import os
from pathlib import Path

from hifigan_cli.errors import ModelError, closest
from hifigan_cli.importers.pretrained import DEFAULT, MODELS, convert, pretrained_model
from hifigan_cli.io.files import is_folder
from hifigan_cli.models.model_file import MODEL_FILE, ModelFile, model_in_run, read_model

CHOICES = f"a model file, a run's folder, or {' or '.join(MODELS)}"


def locate_source(name: str | Path | None = None) -> Path:
    """Return the file or the run's folder that a name or path means.

    None means the default, universal-v1; a pretrained name, its converted copy.

    Raises:
        ModelError: nothing of that name; lists the choices.
    """
    name = DEFAULT if name is None else name
    if str(name) in MODELS:
        return pretrained_model(str(name))
    path = Path(name)
    if not os.path.lexists(path):
        raise ModelError(f"no model {str(name)!r}", closest(str(name), MODELS) or CHOICES)
    return path


def locate_model(name: str | Path | None = None) -> Path:
    """Return the model file that a name or path means; of a run's folder, its newest model.

    Raises:
        ModelError: nothing of that name, or the folder has no model.
    """
    path = locate_source(name)
    return model_in_run(path, MODEL_FILE) if is_folder(path) else path


def open_model(name: str | Path | None = None) -> ModelFile:
    """Read the model that a name or path means; None means the default, universal-v1.

    A damaged copy of a pretrained model is converted again.

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
