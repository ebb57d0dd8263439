"""Export a vocoder to ONNX, to run in any ONNX runtime without this package.

The file's metadata contain the sample rate, hop length and mel convention, and the model's origin,
license and digest. The file is only written after it has been run and its samples match the torch
model's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.speech import bundled_mel
from hifigan_cli.engines.onnx import unavailable_reason
from hifigan_cli.engines.selection import EngineOptions
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.io.files import atomic_replace
from hifigan_cli.runtime.environment import package_version
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.models import ModelFile
    from hifigan_cli.types import AnyArray

# Another order of float32 sums changes single samples of V1 by up to 5e-5. Errors in the graph,
# such as a wrong slope or padding, change them by more than 1e-3.
TOLERANCE = 2e-4
_TEST_SHAPES = ((1, 37), (2, 200))  # (batch, frames)


@dataclass(frozen=True)
class Parity:
    """Difference between the samples of the exported file and of the torch model, for one batch."""

    batch: int
    frames: int
    max_difference: float
    snr_db: float


@dataclass(frozen=True)
class ExportedModel:
    """The size and opset of an exported file, and its comparison with the torch model."""

    size_bytes: int
    opset: int
    parity: list[Parity]


def export_onnx(model: ModelFile, target: Path) -> ExportedModel:
    """Write a model's generator as an ONNX file, checked against the torch model.

    Raises:
        UsageError: a package is missing.
        ModelError: the file's samples differ from the model's; nothing is written.
        OutputError: the file cannot be written.
    """
    if reason := unavailable_reason():
        message, _, hint = reason.partition(": ")
        raise UsageError(message, hint)
    import onnx

    from hifigan_cli.engines.onnx_graph import OPSET, GeneratorGraph

    onnx_model = GeneratorGraph(model, conditioning=True).with_weights(_metadata(model))
    onnx.checker.check_model(onnx_model)
    content = onnx_model.SerializeToString()
    with atomic_replace(target) as temporary:
        temporary.write_bytes(content)
        parity = _parity(model, temporary)
        difference = max(result.max_difference for result in parity)
        if not difference <= TOLERANCE:
            raise ModelError(
                f"the ONNX file's samples differ from the model's by {difference:.1e}; "
                f"{target} was not written",
                "please report this problem, with the model",
            )
    return ExportedModel(len(content), OPSET, parity)


def _metadata(model: ModelFile) -> dict[str, str]:
    """Return the file's metadata as text; nested values are JSON."""
    origin = model.provenance
    return {
        **{key: str(origin[key]) for key in ("name", "source", "license") if origin.get(key)},
        "sample_rate": str(model.mel.sample_rate),
        "hop_length": str(model.mel.hop_length),
        "n_mels": str(model.mel.n_mels),
        "mel": json.dumps(model.mel.model_dump(mode="json")),
        "generator": json.dumps(model.generator.model_dump(mode="json")),
        "provenance": json.dumps(origin),
        "digest": model.digest,
        "exported_by": f"hifigan-cli {package_version('hifigan-cli')}",
    }


def _parity(model: ModelFile, path: Path) -> list[Parity]:
    """Compare the file with the torch model, on speech, with two lengths and batch sizes."""
    import onnxruntime

    from hifigan_cli.engines.onnx_graph import INPUT

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    reference = Vocoder(model, EngineOptions("eager", device="cpu"))
    speech = bundled_mel(model.mel, max(frames for _, frames in _TEST_SHAPES) + 31)
    results = []
    for batch, frames in _TEST_SHAPES:
        # The mels of a batch start at different frames, so that swapped outputs are detected.
        indices = np.arange(frames) + 31 * np.arange(batch)[:, None]
        mel = speech[:, indices].swapaxes(0, 1).copy()
        expected = reference.vocode(mel).samples
        (samples,) = session.run(None, {INPUT: mel})
        if samples.shape != expected.shape:
            raise ModelError(
                f"the ONNX file returns samples of shape {samples.shape}, not {expected.shape}"
            )
        difference = float(np.abs(samples - expected).max())
        results.append(Parity(batch, frames, difference, snr_db(expected, samples)))
    return results


def snr_db(expected: AnyArray, actual: AnyArray) -> float:
    """Return the signal-to-noise ratio of samples, in dB.

    >>> round(snr_db(np.ones(4), np.full(4, 1.01)))
    40
    """
    signal = expected.astype(np.float64)
    power, noise = (max(np.square(x).sum(), 1e-30) for x in (signal, actual - signal))
    return float(10 * np.log10(power / noise))
