"""Coqui TTS: the official network; a mel that each model chooses for itself.

`{'model': state}`, with `model_g.` and `model_d.` in front of the names in newer files;
config.json beside it, or the same within. The mel is `gain * log(bands)`, mostly in decibels, then
moved into a range. Five copies of the first and of the last frame are put around it at inference.
"""

from __future__ import annotations

import math
from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers import settings
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.settings import fixed, pick, section, vocoder
from hifigan_cli.importers.weights import has_layer, rename, scaling, tensors, with_biases

NAME = "Coqui TTS"
GENERATOR = settings.GENERATOR | {"resblock": "resblock_type", "upsample_rates": "upsample_factors"}
_OTHERS = ("in_channels", "out_channels", "inference_padding", "conv_post_bias")
_LOGS = {"np.log10": "log10", "np.log": "ln"}
_FLOOR = 1e-8
_PADDING = 5


def recognizes(content: Content) -> bool:
    """Tell a state under `model` with the official names."""
    return has_layer(content.get("model"), "conv_pre.", "model_g.conv_pre.")


def convert(source: ForeignCheckpoint) -> Imported:
    """Read a vocoder and its configuration."""
    own = source.content.get("config")
    where: object = source.config or source.path
    if source.config or not isinstance(own, dict):
        own, where = source.document("config.json")
    fixed(own, where, generator_model="hifigan_generator", use_pqmf=False)
    params = section(own, "generator_model_params", where=where)
    network = pick(params, GENERATOR, f"{where}: generator_model_params", _OTHERS)
    fixed(params, where, out_channels=1)
    mel, convention, normalised = _mel(section(own, "audio", where=where), where)
    variant: dict[str, Any] = {"inference_padding": params.get("inference_padding", _PADDING)}
    notes: tuple[str, ...] = ()
    if normalised:
        stats, path = source.statistics("scale_stats.npy")
        stats = stats if isinstance(stats, dict) else {}
        variant |= scaling(stats.get("mel_mean"), stats.get("mel_std"), path)
        notes = ("the mel is the one before its mean is removed, which the vocoder does",)
    state = source.content["model"]
    prefix = "model_g." if has_layer(state, "model_g.") else ""
    renamed = rename(tensors(state, prefix))
    if not params.get("conv_post_bias", True):
        renamed = with_biases(renamed)
    return Imported(vocoder(where, mel, network, convention, variant), renamed, notes)


def _mel(audio: dict[str, Any], where: object) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Return sizes and convention of the mel, and whether statistics normalise it."""
    label = f"{where}: audio"
    fixed(audio, label, do_amp_to_db_mel=True, stft_pad_mode="reflect")
    if audio.get("preemphasis"):
        raise ModelError(f"{label}: a preemphasis cannot be imported")
    log = _LOGS.get(audio.get("log_func", "np.log10"))
    if log is None:
        raise ModelError(f"{label}: a log_func {audio['log_func']} is not known")
    mel = pick(audio, {"sample_rate": "sample_rate", "n_mels": "num_mels"}, label)
    mel |= {"fmin": audio.get("mel_fmin") or 0.0, "fmax": audio.get("mel_fmax")}
    try:
        mel |= _sizes(audio, mel["sample_rate"])
        normalised = bool(audio.get("signal_norm", True) and audio.get("stats_path"))
        gain = float(audio.get("spec_gain", 20))
        steps = _ranged(audio, gain) if not normalised else {"gain": gain}
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{label} does not describe a mel: {error}") from error
    base = {"center": True, "magnitude_epsilon": 0.0, "log": log, "floor": _FLOOR}
    return mel, base | steps, normalised


def _sizes(audio: dict[str, Any], sample_rate: int) -> dict[str, int]:
    """Return the lengths of transform, window and hop, which may be in milliseconds."""
    n_fft = audio.get("fft_size") or 2 * (audio.get("num_freq", 513) - 1)
    win, hop = audio.get("win_length"), audio.get("hop_length")
    if hop is None:
        long_ms, short_ms = audio["frame_length_ms"], audio["frame_shift_ms"]
        win = int(long_ms / 1000 * sample_rate)
        hop = int(win / (long_ms / short_ms))
    return {"n_fft": n_fft, "win_length": win or n_fft, "hop_length": hop}


def _ranged(audio: dict[str, Any], gain: float) -> dict[str, Any]:
    """Return the step from decibels into a range: 0..max or -max..max."""
    if not audio.get("signal_norm", True):
        return {"gain": gain}
    lowest, reference = float(audio.get("min_level_db", -100)), float(audio.get("ref_level_db", 20))
    highest = float(audio.get("max_norm", 4.0))
    symmetric = audio.get("symmetric_norm", True)
    span = highest * (2 if symmetric else 1) / -lowest
    bottom = -highest if symmetric else 0.0
    step = {"gain": gain * span, "offset": (-reference - lowest) * span + bottom}
    if not all(math.isfinite(value) for value in step.values()):
        raise ValueError("its range is not finite")
    return step | ({"clip": (bottom, highest)} if audio.get("clip_norm", True) else {})
