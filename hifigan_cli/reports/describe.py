"""Describe a file or folder: model, checkpoint, run, prepared data, audio or mel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.audio import conventions
from hifigan_cli.audio.conventions.detection import likely_origins
from hifigan_cli.audio.formats.containers import HEADER_BYTES, identify_container
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.config.architecture import context_frames
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.data.records import MANIFEST_FILE
from hifigan_cli.enhancement.model_file import KIND as ENHANCER
from hifigan_cli.enhancement.model_file import MODEL_FILE as ENHANCER_MODEL_FILE
from hifigan_cli.errors import InputError, ModelError
from hifigan_cli.io.files import is_file, is_folder, open_regular
from hifigan_cli.io.tensor_file import read_arrays, read_description
from hifigan_cli.models.model_file import GENERATOR_PREFIX, KIND, MODEL_FILE, read_architecture
from hifigan_cli.synthesis.mel_files import MEL_SUFFIXES, open_array
from hifigan_cli.training.loggers import read_entries
from hifigan_cli.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.types import AnyArray

_COMMON_N_MELS = (80, 100, 128)


@dataclass(frozen=True)
class Description:
    """The kind of a file or folder, and facts about it that can be written as JSON."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)


def describe(path: Path) -> Description:
    """Describe a file or folder.

    Raises:
        InputError: the kind is not supported.
        ModelError: a model file or checkpoint is damaged.
    """
    if is_folder(path):
        return _folder(path)
    with open_regular(path) as stream:
        head = stream.read(HEADER_BYTES)
    if identify_container(head):
        return _audio(path)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _safetensors(path)
    if suffix in MEL_SUFFIXES:
        return _mel(path)
    raise InputError(
        f"{path} is not a kind of file that hifigan reads",
        "use an audio file, a mel, a model, a checkpoint, a training run or a prepared folder",
    )


def _folder(path: Path) -> Description:
    if is_file(path / MANIFEST_FILE):
        data = open_prepared(path)
        return Description(
            "prepared data", {"sample_rate": data.sample_rate, **data.manifest.totals}
        )
    run = RunFolder(path)
    if not is_folder(run.checkpoints):
        raise InputError(
            f"{path} is neither prepared data nor a training run",
            f"prepared data contains {MANIFEST_FILE}, a run contains {run.checkpoints.name}/",
        )
    entries = list(read_entries(run.metrics)) if is_file(run.metrics) else []
    steps = [entry["step"] for entry in entries if "step" in entry]
    facts: dict[str, Any] = {"step": steps[-1]} if steps else {}
    validations = [v for v in entries if v.get("event") == "validation" and "mel_l1_full" in v]
    if validations:
        last, best = validations[-1], min(validations, key=lambda v: v["mel_l1_full"])
        facts["mel_l1_full"] = last["mel_l1_full"]
        facts["best"] = {key: best[key] for key in ("step", "mel_l1_full")}
        # The comparison of the last error with the official training, if there is one.
        facts |= {key: value for key, value in last.items() if key.startswith("official_")}
    facts["checkpoints"] = len(run.list_checkpoints())
    facts["model"] = any(is_file(path / name) for name in (MODEL_FILE, ENHANCER_MODEL_FILE))
    return Description("training run", facts)


def _safetensors(path: Path) -> Description:
    """Describe a model, a checkpoint, or a mel in a file of the same format."""
    try:
        read_description(path)
    except ModelError as error:
        try:
            return _mel(path)
        except InputError:
            raise error from None
    arrays, content = read_arrays(path)  # reads everything, so that the digest is checked
    if content["kind"] == ENHANCER:
        facts = {key: content.get(key) for key in ("mel", "enhancer", "provenance", "digest")}
        parameters = sum(value.size for value in arrays.values())
        return Description("enhancer", {"parameters": parameters, **facts})
    if content["kind"] != KIND:
        return Description(str(content["kind"]), {k: content.get(k) for k in ("step", "digest")})
    mel, generator = read_architecture(path, content)
    return Description(
        "vocoder model",
        {
            "parameters": sum(
                v.size for key, v in arrays.items() if key.startswith(GENERATOR_PREFIX)
            ),
            "context_frames": context_frames(generator),
            "discriminators": any(not key.startswith(GENERATOR_PREFIX) for key in arrays),
            "mel": mel.model_dump(mode="json"),
            "generator": generator.model_dump(mode="json"),
            "provenance": content["provenance"],
            "digest": content["digest"],
        },
    )


def _audio(path: Path) -> Description:
    recording = open_recording(path, repair=True)
    peak, at_full_scale = 0.0, 0
    for block in recording.blocks():
        magnitudes = np.abs(block)
        peak = max(peak, float(magnitudes.max()))
        at_full_scale += int(np.count_nonzero(magnitudes >= 1 - 1 / 32_768))
    return Description(
        "audio",
        {
            "sample_rate": recording.sample_rate,
            "channels": recording.channels,
            "samples": recording.length,
            "length_s": recording.length / recording.sample_rate,
            "stored_as": recording.subtype,
            "peak_dbfs": round(20 * float(np.log10(max(peak, 1e-10))), 2),
            "samples_at_full_scale": at_full_scale,
            "notes": list(recording.notes),
        },
    )


def _mel(path: Path) -> Description:
    array = open_array(path)
    facts: dict[str, Any] = {"shape": list(array.shape), "type": str(array.dtype)}
    if array.dtype.kind == "f" and array.size:
        facts["nonfinite_values"] = int(array.size - np.isfinite(array).sum())
        mel = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
        if mel.ndim == 2:
            facts |= _describe_values(mel)
    return Description("mel", facts)


def _describe_values(mel: AnyArray) -> dict[str, Any]:
    """Return the order of the axes, the range of the values, and the likely convention."""
    transposed = mel.shape[1] in _COMMON_N_MELS and mel.shape[0] not in _COMMON_N_MELS
    mel = mel.T if transposed else mel
    facts: dict[str, Any] = {"axes": "(frames, n_mels)" if transposed else "(n_mels, frames)"}
    statistics = conventions.measure_mel(mel)
    if not np.isfinite(statistics.low):
        return facts
    facts |= {"lowest": statistics.low, "highest": statistics.high}
    if statistics.first_nonfinite:
        return facts
    scale = conventions.detect_scale(statistics)
    facts |= {"looks_like": scale.title, "reason": scale.reason, "certain": scale.certain}
    if scale.kind in conventions.SCALES:
        facts["mel_as"] = scale.kind
    if origins := likely_origins(mel.shape[0], scale, statistics):
        facts["likely_tools"] = "; ".join(
            f"{origin.tools}: {origin.sample_rate} Hz, hop {origin.hop_length}"
            for origin in origins
        )
    return facts
