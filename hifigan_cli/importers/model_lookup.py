"""Resolve a model name: a file, the folder of a training run, or a pretrained name.

Pretrained names come first; `./universal-v1` means a file or folder of that name.
"""

from __future__ import annotations

import os
from pathlib import Path

from hifigan_cli.errors import ModelError, did_you_mean
from hifigan_cli.importers.pretrained import (
    DEFAULT_MODEL,
    PRETRAINED_MODELS,
    convert_pretrained,
    pretrained_path,
)
from hifigan_cli.io.files import is_folder
from hifigan_cli.models.model_file import MODEL_FILE, ModelFile, model_in_run, read_model

MODEL_CHOICES = f"a model file, a training run folder, {' or '.join(PRETRAINED_MODELS)}"


def locate_source(name: str | Path | None = None) -> Path:
    """Return the file or run folder of a name or path; for a pretrained name, its converted copy.

    None means the default, universal-v1.

    Raises:
        ModelError: if there is no model of that name; the hint lists the choices.
    """
    name = DEFAULT_MODEL if name is None else name
    if str(name) in PRETRAINED_MODELS:
        return pretrained_path(str(name))
    path = Path(name)
    if not os.path.lexists(path):
        raise ModelError(
            f"there is no model {str(name)!r}",
            did_you_mean(str(name), PRETRAINED_MODELS) or f"use {MODEL_CHOICES}",
        )
    return path


def locate_model(name: str | Path | None = None) -> Path:
    """Return the model file of a name or path; for a run folder, the newest model in it.

    Raises:
        ModelError: if there is no model of that name, or the folder has no model.
    """
    path = locate_source(name)
    return model_in_run(path, MODEL_FILE) if is_folder(path) else path


def open_model(name: str | Path | None = None) -> ModelFile:
    """Read the model of a name or path; None means the default, universal-v1.

    A damaged copy of a pretrained model is converted again.

    Raises:
        ModelError: if there is no model of that name, or the file is damaged.
    """
    path = locate_model(name)
    try:
        return read_model(path)
    except ModelError:
        pretrained_name = DEFAULT_MODEL if name is None else str(name)
        if pretrained_name not in PRETRAINED_MODELS:
            raise
        return read_model(convert_pretrained(pretrained_name))
