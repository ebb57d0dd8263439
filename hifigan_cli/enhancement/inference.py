"""The enhancer network at inference: numpy on a CPU, torch on a GPU.

The numpy form computes what `network.Enhancer` does, with constants folded: the affine parts of
norms into the layers that follow, the scale of each block into its last layer. Time comes before
channels, so that every layer is one matrix product. A test compares the two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from hifigan_cli.enhancement.config import (
    CENTER,
    FLOOR_QUANTILE,
    GATES_OPEN,
    OUT_CENTER,
    SPREAD,
    STEM_KERNEL,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.enhancement.model_file import EnhancerFile
    from hifigan_cli.types import FloatArray

    # Maps a noisy log-mel `(channels, n_mels, frames)` and its floor, of as many frames or of one,
    # to the clean log-mel.
    Inference = Callable[[FloatArray, FloatArray], FloatArray]

_NORM_EPSILON = np.float32(1e-5)
_PATCH_FRAMES = 128  # at once: their windows take 5 MB
_BANDS, _FRAMES = STEM_KERNEL


def load_inference(model: EnhancerFile, device: str) -> Inference:
    """Return the network on a device, ready to run.

    Raises:
        ModelError: the weights do not fit the architecture.
    """
    if device == "cpu":
        return NumpyEnhancer(model)
    import torch

    network = model.build(device)

    def infer(noisy: FloatArray, floor: FloatArray) -> FloatArray:
        inputs = (torch.from_numpy(np.ascontiguousarray(each)) for each in (noisy, floor))
        with torch.no_grad():
            clean = network(*(each.to(device) for each in inputs))
        result: FloatArray = clean.cpu().numpy()
        return result

    return infer


def noise_floor(mel: FloatArray) -> FloatArray:
    """Return each band's 10th percentile: `(..., n_mels, frames)` -> `(..., n_mels, 1)`."""
    floor: FloatArray = np.quantile(mel, FLOOR_QUANTILE, axis=-1, keepdims=True).astype(np.float32)
    return floor


class NumpyEnhancer:
    """The network in numpy, on the CPU."""

    def __init__(self, model: EnhancerFile) -> None:
        weights = model.weights_for_synthesis()
        config, bands = model.enhancer, model.mel.n_mels
        self._stem = _patch_layer(weights, "stem")
        self._halve = _patch_layer(weights, "halve")
        # Columns in the order of `features` and `patches` here: frames, then bands, then channels.
        enter = weights["enter.weight"]
        split = (len(enter), -1, bands), (len(enter), config.stem_channels, -1)
        self._enter = [
            np.ascontiguousarray(part.reshape(shape).transpose(2, 1, 0).reshape(-1, len(enter)))
            for part, shape in zip(np.split(enter, [2 * bands], axis=1), split, strict=True)
        ]
        self._enter_bias = weights["enter.bias"]
        self._enter_norm = weights["enter_norm.weight"], weights["enter_norm.bias"]
        self._blocks = [
            _Block(weights, f"blocks.{number}", dilation)
            for number, dilation in enumerate(config.dilations)
        ]
        self._leave = _normed_linear(weights, "leave_norm", "leave")

    def __call__(self, noisy: FloatArray, floor: FloatArray) -> FloatArray:
        """Return the clean log-mel of `(channels, n_mels, frames)`."""
        return np.stack([self._channel(*pair) for pair in zip(noisy, floor, strict=True)])

    def _channel(self, noisy: FloatArray, floor: FloatArray) -> FloatArray:
        features = np.stack([(noisy - CENTER) / SPREAD, (noisy - floor) / SPREAD], axis=-1)
        features = features.swapaxes(0, 1)  # (frames, n_mels, 2)
        h = features.reshape(len(features), -1) @ self._enter[0]
        h += self._patches(features) @ self._enter[1]
        h += self._enter_bias
        h = _normed(h) * self._enter_norm[0] + self._enter_norm[1]
        for block in self._blocks:
            h = block(h)
        weight, bias = self._leave
        generated, gate = np.split((_normed(h) @ weight + bias).T, 2)
        keep = 1 / (1 + np.exp(-(gate + GATES_OPEN)))
        clean: FloatArray = keep * noisy + (1 - keep) * (generated * SPREAD + OUT_CENTER)
        return clean

    def _patches(self, features: FloatArray) -> FloatArray:
        """Run the two 2-D convolutions over `(frames, n_mels, 2)`; return `(frames, columns)`.

        They run on pieces of the frames, each with one more frame at either end.
        """
        pieces = []
        for start in range(0, len(features), _PATCH_FRAMES):
            stop = min(start + _PATCH_FRAMES, len(features))
            first, last = max(0, start - 1), min(len(features), stop + 1)
            # The stem needs one frame more; beyond the ends of the mel lie zeros.
            around = features[max(0, first - 1) : last + 1]
            stem = _patch(around, *self._stem)[first - max(0, first - 1) :][: last - first]
            halved = _patch(stem, *self._halve, stride=2)[start - first :][: stop - start]
            pieces.append(halved.reshape(stop - start, -1))
        return np.concatenate(pieces)


class _Block:
    """A depthwise convolution over time, then a small network within each frame, added on."""

    def __init__(self, weights: dict[str, FloatArray], name: str, dilation: int) -> None:
        self._taps = weights[f"{name}.depthwise.weight"]
        self._bias = weights[f"{name}.depthwise.bias"]
        self._dilation = dilation
        self._widen, self._widen_bias = _normed_linear(weights, f"{name}.norm", f"{name}.widen")
        scale = weights[f"{name}.scale"]
        self._narrow = np.ascontiguousarray(weights[f"{name}.narrow.weight"].T * scale)
        self._narrow_bias = weights[f"{name}.narrow.bias"] * scale

    def __call__(self, x: FloatArray) -> FloatArray:
        frames, reach = len(x), self._dilation * (len(self._taps) // 2)
        padded = np.pad(x, ((reach, reach), (0, 0)))
        h = np.broadcast_to(self._bias, x.shape).copy()
        product = np.empty_like(h)
        for index, tap in enumerate(self._taps):
            start = index * self._dilation
            h += np.multiply(padded[start : start + frames], tap, out=product)
        wide = _normed(h) @ self._widen
        wide += self._widen_bias
        result: FloatArray = gelu(wide) @ self._narrow
        result += self._narrow_bias
        result += x
        return result


def gelu(x: FloatArray) -> FloatArray:
    """Return x times the normal distribution's share below it: x / 2 (1 + erf(x / sqrt 2)).

    erf by formula 7.1.26 of Abramowitz and Stegun, whose error is below 2e-7: as exact as float32.
    """
    a = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    size = np.abs(x)
    size *= np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * size)
    tail = np.full_like(t, np.float32(a[4]))
    for factor in reversed(a[:4]):
        tail *= t
        tail += np.float32(factor)
    tail *= t
    np.square(size, out=size)
    np.negative(size, out=size)
    tail *= np.exp(size, out=size)  # erf(|x|) = 1 - tail
    # For x < 0 the share below is tail / 2, for x > 0 it is 1 - tail / 2.
    tail *= np.float32(0.5)
    result: FloatArray = np.where(x < 0, tail, 1 - tail) * x
    return result


def _normed(x: FloatArray) -> FloatArray:
    """Normalize each row of `(rows, channels)` to mean 0 and variance 1."""
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[1])
    result: FloatArray = x / np.sqrt(variance + _NORM_EPSILON)
    return result


def _normed_linear(
    weights: dict[str, FloatArray], norm: str, linear: str
) -> tuple[FloatArray, FloatArray]:
    """Fold a norm's affine part into the layer that reads it; return `(in, out)` and a bias."""
    weight = weights[f"{linear}.weight"]
    bias = weights[f"{linear}.bias"] + weight @ weights[f"{norm}.bias"]
    return np.ascontiguousarray((weight * weights[f"{norm}.weight"]).T), bias


def _patch_layer(weights: dict[str, FloatArray], name: str) -> tuple[FloatArray, FloatArray]:
    """Turn `(out, in, bands, frames)` into a matrix for windows of (frames, bands, in)."""
    weight = weights[f"{name}.weight"]
    matrix = weight.transpose(3, 2, 1, 0).reshape(-1, len(weight))
    return np.ascontiguousarray(matrix), weights[f"{name}.bias"]


def _patch(x: FloatArray, matrix: FloatArray, bias: FloatArray, stride: int = 1) -> FloatArray:
    """Convolve `(frames, bands, channels)` and apply GELU; `stride` is along the bands."""
    frames, bands, channels = x.shape
    padded = np.pad(x, ((_FRAMES // 2,) * 2, (_BANDS // 2,) * 2, (0, 0)))
    step_f, step_b, step_c = padded.strides
    # A window's bands and channels lie next to each other in memory.
    windows = as_strided(
        padded,
        (frames, -(-bands // stride), _FRAMES, _BANDS * channels),
        (step_f, stride * step_b, step_f, step_c),
        writeable=False,
    )
    return gelu(windows.reshape(*windows.shape[:2], -1) @ matrix + bias)
