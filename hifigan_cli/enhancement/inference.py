"""Run the enhancer network: with numpy on a CPU, with torch on a GPU.

The numpy form computes the same as `network.Enhancer`, with constants folded: the affine part of a
norm into the next layer, the scale of a block into its last layer. Time comes before channels, so
every layer is one matrix product. A test compares the two forms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from hifigan_cli.enhancement.config import (
    FLOOR_QUANTILE,
    GATE_BIAS,
    MEL_MEAN,
    MEL_STD,
    OUTPUT_MEAN,
    STEM_KERNEL,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.enhancement.model_file import EnhancerFile
    from hifigan_cli.types import FloatArray

    # Maps a noisy log-mel `(channels, n_mels, frames)` and its noise floor, with as many frames or
    # with one, to the clean log-mel.
    Inference = Callable[[FloatArray, FloatArray], FloatArray]

_NORM_EPSILON = np.float32(1e-5)
_PATCH_FRAMES = 128  # per piece: their windows take 5 MB
_BANDS, _FRAMES = STEM_KERNEL


def load_inference(model: EnhancerFile, device: str) -> Inference:
    """Load the network on a device and return a function that runs it.

    Raises:
        ModelError: the weights do not fit the architecture.
    """
    if device == "cpu":
        return NumpyEnhancer(model)
    import torch

    network = model.build(device)

    def infer(noisy: FloatArray, floor: FloatArray) -> FloatArray:
        inputs = (torch.from_numpy(np.ascontiguousarray(array)) for array in (noisy, floor))
        with torch.no_grad():
            clean = network(*(tensor.to(device) for tensor in inputs))
        result: FloatArray = clean.cpu().numpy()
        return result

    return infer


def noise_floor(mel: FloatArray) -> FloatArray:
    """Return each band's 10th percentile: `(..., n_mels, frames)` -> `(..., n_mels, 1)`."""
    floor: FloatArray = np.quantile(mel, FLOOR_QUANTILE, axis=-1, keepdims=True).astype(np.float32)
    return floor


class NumpyEnhancer:
    """The enhancer network in numpy, on the CPU."""

    def __init__(self, model: EnhancerFile) -> None:
        weights = model.weights_for_synthesis()
        config, bands = model.enhancer, model.mel.n_mels
        self._stem = _conv2d_matrix(weights, "stem")
        self._halve = _conv2d_matrix(weights, "halve")
        # Reorder the columns to match `features` and `patches` here: frames, bands, channels.
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
        self._leave = _fold_norm(weights, "leave_norm", "leave")

    def __call__(self, noisy: FloatArray, floor: FloatArray) -> FloatArray:
        """Map a noisy log-mel `(channels, n_mels, frames)` to the clean one."""
        return np.stack([self._run_channel(*pair) for pair in zip(noisy, floor, strict=True)])

    def _run_channel(self, noisy: FloatArray, floor: FloatArray) -> FloatArray:
        features = np.stack([(noisy - MEL_MEAN) / MEL_STD, (noisy - floor) / MEL_STD], axis=-1)
        features = features.swapaxes(0, 1)  # (frames, n_mels, 2)
        h = features.reshape(len(features), -1) @ self._enter[0]
        h += self._patches(features) @ self._enter[1]
        h += self._enter_bias
        h = _normalize(h) * self._enter_norm[0] + self._enter_norm[1]
        for block in self._blocks:
            h = block(h)
        weight, bias = self._leave
        generated, logits = np.split((_normalize(h) @ weight + bias).T, 2)
        gate = 1 / (1 + np.exp(-(logits + GATE_BIAS)))
        clean: FloatArray = gate * noisy + (1 - gate) * (generated * MEL_STD + OUTPUT_MEAN)
        return clean

    def _patches(self, features: FloatArray) -> FloatArray:
        """Run the two 2-D convolutions: `(frames, n_mels, 2)` -> `(frames, columns)`.

        The frames are processed in pieces, each with one more frame on both sides.
        """
        pieces = []
        for start in range(0, len(features), _PATCH_FRAMES):
            stop = min(start + _PATCH_FRAMES, len(features))
            first, last = max(0, start - 1), min(len(features), stop + 1)
            # The stem needs one more frame; the ends of the mel are padded with zeros.
            context = features[max(0, first - 1) : last + 1]
            stem = _conv2d_gelu(context, *self._stem)[first - max(0, first - 1) :][: last - first]
            halved = _conv2d_gelu(stem, *self._halve, stride=2)[start - first :][: stop - start]
            pieces.append(halved.reshape(stop - start, -1))
        return np.concatenate(pieces)


class _Block:
    """A residual block: a depthwise convolution over time, then a small network on each frame."""

    def __init__(self, weights: dict[str, FloatArray], name: str, dilation: int) -> None:
        self._taps = weights[f"{name}.depthwise.weight"]
        self._bias = weights[f"{name}.depthwise.bias"]
        self._dilation = dilation
        self._widen, self._widen_bias = _fold_norm(weights, f"{name}.norm", f"{name}.widen")
        scale = weights[f"{name}.scale"]
        self._narrow = np.ascontiguousarray(weights[f"{name}.narrow.weight"].T * scale)
        self._narrow_bias = weights[f"{name}.narrow.bias"] * scale

    def __call__(self, x: FloatArray) -> FloatArray:
        frames, padding = len(x), self._dilation * (len(self._taps) // 2)
        padded = np.pad(x, ((padding, padding), (0, 0)))
        h = np.broadcast_to(self._bias, x.shape).copy()
        product = np.empty_like(h)
        for index, tap in enumerate(self._taps):
            start = index * self._dilation
            h += np.multiply(padded[start : start + frames], tap, out=product)
        wide = _normalize(h) @ self._widen
        wide += self._widen_bias
        result: FloatArray = gelu(wide) @ self._narrow
        result += self._narrow_bias
        result += x
        return result


def gelu(x: FloatArray) -> FloatArray:
    """Return x times the normal distribution function of x: x / 2 (1 + erf(x / sqrt 2)).

    erf uses formula 7.1.26 of Abramowitz and Stegun, whose error below 2e-7 is that of float32.
    """
    a = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    z = np.abs(x)
    z *= np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = np.full_like(t, np.float32(a[4]))
    for factor in reversed(a[:4]):
        tail *= t
        tail += np.float32(factor)
    tail *= t
    np.square(z, out=z)
    np.negative(z, out=z)
    tail *= np.exp(z, out=z)  # erf(z) = 1 - tail
    # The distribution function is tail / 2 for x < 0, and 1 - tail / 2 for x > 0.
    tail *= np.float32(0.5)
    result: FloatArray = np.where(x < 0, tail, 1 - tail) * x
    return result


def _normalize(x: FloatArray) -> FloatArray:
    """Normalize each row of `(rows, channels)` to mean 0 and variance 1."""
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[1])
    result: FloatArray = x / np.sqrt(variance + _NORM_EPSILON)
    return result


def _fold_norm(
    weights: dict[str, FloatArray], norm: str, linear: str
) -> tuple[FloatArray, FloatArray]:
    """Fold the affine part of a norm into the next layer; return weight `(in, out)` and bias."""
    weight = weights[f"{linear}.weight"]
    bias = weights[f"{linear}.bias"] + weight @ weights[f"{norm}.bias"]
    return np.ascontiguousarray((weight * weights[f"{norm}.weight"]).T), bias


def _conv2d_matrix(weights: dict[str, FloatArray], name: str) -> tuple[FloatArray, FloatArray]:
    """Reshape `(out, in, bands, frames)` to a matrix for windows of (frames, bands, in)."""
    weight = weights[f"{name}.weight"]
    matrix = weight.transpose(3, 2, 1, 0).reshape(-1, len(weight))
    return np.ascontiguousarray(matrix), weights[f"{name}.bias"]


def _conv2d_gelu(
    x: FloatArray, matrix: FloatArray, bias: FloatArray, stride: int = 1
) -> FloatArray:
    """Convolve `(frames, bands, channels)` and apply GELU; `stride` is along the bands."""
    frames, bands, channels = x.shape
    padded = np.pad(x, ((_FRAMES // 2,) * 2, (_BANDS // 2,) * 2, (0, 0)))
    step_f, step_b, step_c = padded.strides
    # The bands and channels of a window are contiguous in memory.
    windows = as_strided(
        padded,
        (frames, -(-bands // stride), _FRAMES, _BANDS * channels),
        (step_f, stride * step_b, step_f, step_c),
        writeable=False,
    )
    return gelu(windows.reshape(*windows.shape[:2], -1) @ matrix + bias)
