"""Coqui TTS: the official network with a mel that each model configures.

A checkpoint is `{'model': state}`; newer files prefix the names with `model_g.` and `model_d.`.
The configuration is a config.json next to it, or inside the checkpoint. The mel is
`gain * log(bands)`, mostly in decibels, scaled into a range. At inference it is padded with five
copies of its first and of its last frame.
"""

from __future__ import annotations

import math
from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers import settings
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.settings import build_config, get_section, map_fields, require_values
from hifigan_cli.importers.weights import (
    add_zero_biases,
    has_layer,
    input_normalization,
    rename_weights,
    select_tensors,
)

NAME = "Coqui TTS"
GENERATOR_FIELDS = settings.GENERATOR_FIELDS | {
    "resblock": "resblock_type",
    "upsample_rates": "upsample_factors",
}
_OTHER_SETTINGS = ("in_channels", "out_channels", "inference_padding", "conv_post_bias")
_LOGS = {"np.log10": "log10", "np.log": "ln"}
_FLOOR = 1e-8
_PADDING = 5


def recognizes(content: Content) -> bool:
    """Return whether `model` has the official names."""
    return has_layer(content.get("model"), "conv_pre.", "model_g.conv_pre.")


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read a vocoder and its configuration."""
    config = source.content.get("config")
    where: object = source.config or source.path
    if source.config or not isinstance(config, dict):
        config, where = source.read_config("config.json")
    require_values(config, where, generator_model="hifigan_generator", use_pqmf=False)
    params = get_section(config, "generator_model_params", where=where)
    network = map_fields(
        params, GENERATOR_FIELDS, f"{where}: generator_model_params", _OTHER_SETTINGS
    )
    require_values(params, where, out_channels=1)
    mel, convention, normalized = _mel(get_section(config, "audio", where=where), where)
    variant: dict[str, Any] = {"inference_padding": params.get("inference_padding", _PADDING)}
    notes: tuple[str, ...] = ()
    if normalized:
        stats, path = source.read_statistics("scale_stats.npy")
        stats = stats if isinstance(stats, dict) else {}
        variant |= input_normalization(stats.get("mel_mean"), stats.get("mel_std"), path)
        notes = ("pass the mel before normalization; the vocoder subtracts the mean itself",)
    state = source.content["model"]
    prefix = "model_g." if has_layer(state, "model_g.") else ""
    renamed = rename_weights(select_tensors(state, prefix))
    if not params.get("conv_post_bias", True):
        renamed = add_zero_biases(renamed)
    return ImportedGenerator(build_config(where, mel, network, convention, variant), renamed, notes)


def _mel(audio: dict[str, Any], where: object) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Return the sizes and the convention of the mel, and whether statistics normalize it."""
    label = f"{where}: audio"
    require_values(audio, label, do_amp_to_db_mel=True, stft_pad_mode="reflect")
    if audio.get("preemphasis"):
        raise ModelError(f"{label}: preemphasis is not supported")
    log = _LOGS.get(audio.get("log_func", "np.log10"))
    if log is None:
        raise ModelError(f"{label}: log_func {audio['log_func']} is not supported")
    mel = map_fields(audio, {"sample_rate": "sample_rate", "n_mels": "num_mels"}, label)
    mel |= {"fmin": audio.get("mel_fmin") or 0.0, "fmax": audio.get("mel_fmax")}
    try:
        mel |= _sizes(audio, mel["sample_rate"])
        normalized = bool(audio.get("signal_norm", True) and audio.get("stats_path"))
        gain = float(audio.get("spec_gain", 20))
        scaling = _range_scaling(audio, gain) if not normalized else {"gain": gain}
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{label} does not describe a mel: {error}") from error
    base = {"center": True, "magnitude_epsilon": 0.0, "log": log, "floor": _FLOOR}
    return mel, base | scaling, normalized


def _sizes(audio: dict[str, Any], sample_rate: int) -> dict[str, int]:
    """Return FFT size, window length and hop length, which the file may give in milliseconds."""
    n_fft = audio.get("fft_size") or 2 * (audio.get("num_freq", 513) - 1)
    win, hop = audio.get("win_length"), audio.get("hop_length")
    if hop is None:
        win_ms, hop_ms = audio["frame_length_ms"], audio["frame_shift_ms"]
        win = int(win_ms / 1000 * sample_rate)
        hop = int(win / (win_ms / hop_ms))
    return {"n_fft": n_fft, "win_length": win or n_fft, "hop_length": hop}


def _range_scaling(audio: dict[str, Any], gain: float) -> dict[str, Any]:
    """Return the scaling of decibels into a range: 0..max or -max..max."""
    if not audio.get("signal_norm", True):
        return {"gain": gain}
    min_db, reference_db = (
        float(audio.get("min_level_db", -100)),
        float(audio.get("ref_level_db", 20)),
    )
    high = float(audio.get("max_norm", 4.0))
    symmetric = audio.get("symmetric_norm", True)
    factor = high * (2 if symmetric else 1) / -min_db
    low = -high if symmetric else 0.0
    scaling = {"gain": gain * factor, "offset": (-reference_db - min_db) * factor + low}
    if not all(math.isfinite(value) for value in scaling.values()):
        raise ValueError("its range is not finite")
    return scaling | ({"clip": (low, high)} if audio.get("clip_norm", True) else {})
