"""Export to ONNX: a vocoder that runs in any ONNX runtime, without this package.

The file's metadata describe what it reads (rate, hop, the mel convention), the model's origin,
licence and digest. Nothing is written before the file itself has been run and gave the samples of
the plain torch forward.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.speech import shipped_mel
from hifigan_cli.engines.choose import EngineOptions
from hifigan_cli.engines.onnx import missing
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.io.files import replacing
from hifigan_cli.runtime.environment import package_version
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.models import ModelFile
    from hifigan_cli.types import AnyArray

# Float32 summed in two orders moves single samples of V1 by up to 5e-5. What a graph could have
# wrong, a slope or a padding, moves them by more than 1e-3.
TOLERANCE = 2e-4
_SHAPES = ((1, 37), (2, 200))  # (batch, frames)


@dataclass(frozen=True)
class Parity:
    """The exported file's samples compared with the plain forward's, for one mel."""

    batch: int
    frames: int
    max_difference: float
    snr_db: float


@dataclass(frozen=True)
class Exported:
    """What was written: size, format, and the comparison."""

    size_bytes: int
    opset: int
    parity: list[Parity]


def export_onnx(model: ModelFile, target: Path) -> Exported:
    """Write a model's generator as an ONNX file, checked against the plain forward.

    Raises:
        UsageError: a package is missing.
        ModelError: the file's samples are not the model's; nothing is written.
        OutputError: the file system refused.
    """
    if lack := missing():
        what, _, install = lack.partition(": ")
        raise UsageError(what, install)
    import onnx

    from hifigan_cli.engines.onnxgraph import OPSET, GeneratorGraph

    whole = GeneratorGraph(model, conditioning=True).whole(_metadata(model))
    onnx.checker.check_model(whole)
    content = whole.SerializeToString()
    with replacing(target) as temporary:
        temporary.write_bytes(content)
        parity = _parity(model, temporary)
        worst = max(each.max_difference for each in parity)
        if not worst <= TOLERANCE:
            raise ModelError(
                f"the ONNX file's samples differ from the model's by {worst:.1e}: not written",
                "please report it, with the model",
            )
    return Exported(len(content), OPSET, parity)


def _metadata(model: ModelFile) -> dict[str, str]:
    """Collect what a user of the file must know, as text; compound values are JSON."""
    origin = model.provenance
    return {
        **{key: str(origin[key]) for key in ("name", "source", "licence") if origin.get(key)},
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
    """Compare the file with the plain forward, on speech, at two lengths and batches."""
    import onnxruntime

    from hifigan_cli.engines.onnxgraph import INPUT

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    plain = Vocoder(model, EngineOptions("eager", device="cpu"))
    speech = shipped_mel(model.mel, max(frames for _, frames in _SHAPES) + 31)
    found = []
    for batch, frames in _SHAPES:
        # Each of a batch begins elsewhere, so that one mistaken for another would show.
        places = np.arange(frames) + 31 * np.arange(batch)[:, None]
        mel = speech[:, places].swapaxes(0, 1).copy()
        expected = plain.vocode(mel).samples
        (samples,) = session.run(None, {INPUT: mel})
        if samples.shape != expected.shape:
            raise ModelError(f"the ONNX file makes {samples.shape} samples, not {expected.shape}")
        worst = float(np.abs(samples - expected).max())
        found.append(Parity(batch, frames, worst, snr_db(expected, samples)))
    return found


def snr_db(expected: AnyArray, found: AnyArray) -> float:
    """Return the power of the expected samples over that of the error, in dB.

    >>> round(snr_db(np.ones(4), np.full(4, 1.01)))
    40
    """
    right = expected.astype(np.float64)
    power, error = (max(np.square(each).sum(), 1e-30) for each in (right, found - right))
    return float(10 * np.log10(power / error))
