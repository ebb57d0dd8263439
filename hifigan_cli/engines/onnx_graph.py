"""The generator as an ONNX graph, built node by node, without torch.

It follows `models.generator` layer by layer, with the same names, so that you can compare the two.
Convolutions are two-dimensional with height 1: onnxruntime has its fast kernels (channels in
blocks) only for those. V1 runs 1.25 times as fast as with one-dimensional ones, V2 and V3 1.3
times. Transposed convolutions are not rewritten: as plain ones with interleaved outputs they were
no faster.

Weight norm is already folded in. The weights are part of the file, or are passed to the runtime
separately, which saves two copies of them and most of the start-up time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hifigan_cli.config.architecture import EDGE_KERNEL, FINAL_LRELU_SLOPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import ModelProto, NodeProto

    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import AnyArray, FloatArray

INPUT, OUTPUT = "mel", "waveform"
# From 2022: onnxruntime 1.12 and later run it. Nothing newer is needed.
OPSET, IR_VERSION = 17, 8


class GeneratorGraph:
    """The nodes of a generator, and the arrays that they refer to by name.

    Input: `mel`, float32 `(batch, n_mels, frames)`. Output: `waveform`, float32
    `(batch, frames * hop_length)`. Batch and frames are dynamic.

    Attributes:
        weights: by official name; those of convolutions have height 1.
    """

    def __init__(self, model: ModelFile, *, conditioning: bool = False) -> None:
        """Build the nodes; with `conditioning`, include the variant's mel scaling and padding."""
        self.weights: dict[str, FloatArray] = {}
        self._config, self._n_mels = model.generator, model.mel.n_mels
        self._source = model.weights_for_synthesis()
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._build(conditioning)

    def with_weights(self, metadata: Mapping[str, str]) -> ModelProto:
        """Return a model that contains its weights and `metadata`."""
        model = self._model([numpy_helper.from_array(v, k) for k, v in self.weights.items()])
        helper.set_model_props(model, dict(metadata))
        return model

    def without_weights(self) -> ModelProto:
        """Return a model of a few kilobytes, whose session takes its weights from memory."""
        return self._model([_placeholder(name, value) for name, value in self.weights.items()])

    def _model(self, weights: Sequence[TensorProto]) -> ModelProto:
        mel_shape: list[str | int | None] = ["batch", self._n_mels, "frames"]
        graph = helper.make_graph(
            self._nodes,
            "hifigan",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, mel_shape)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", "samples"])],
            [*self._constants, *weights],
        )
        return helper.make_model(
            graph,
            producer_name="hifigan",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )

    def _build(self, conditioning: bool) -> None:
        c = self._config
        mean = self._constant("mean", np.array(1 / len(c.resblock_kernel_sizes), np.float32))
        x = self._conditioned(INPUT) if conditioning else INPUT
        x = self._node("Unsqueeze", "mel.4d", x, self._constant("height", np.array([2])))
        x = self._conv("conv_pre", x, EDGE_KERNEL)
        for stage, (rate, kernel) in enumerate(
            zip(c.upsample_rates, c.upsample_kernel_sizes, strict=True)
        ):
            x = self._upsample(f"ups.{stage}", self._leaky(x), rate, kernel)
            x = self._node("Mul", f"stage.{stage}", self._fuse(stage, x), mean)
        x = self._conv("conv_post", self._leaky(x, FINAL_LRELU_SLOPE), EDGE_KERNEL)
        trim = c.variant.inference_padding * c.hop_length if conditioning else 0
        if trim:
            ends = [self._constant(f"trim.{n}", np.array([n])) for n in (trim, -trim, 3)]
            x = self._node("Slice", "trimmed", x, *ends)
        x = self._node("Tanh", "tanh", x)
        self._node("Squeeze", OUTPUT, x, self._constant("channel_and_height", np.array([1, 2])))

    def _conditioned(self, x: str) -> str:
        """Normalize the mel and repeat its edge frames, as models of some other tools expect."""
        variant = self._config.variant
        if variant.input_mean:
            for operation, values in (("Sub", variant.input_mean), ("Div", variant.input_scale)):
                name = f"mel.{operation.lower()}"
                column = self._constant(f"{name}.by", np.array(values, np.float32)[:, None])
                x = self._node(operation, name, x, column)
        if copies := variant.inference_padding:
            pads = self._constant("mel.copies", np.array([0, 0, copies, 0, 0, copies]))
            x = self._node("Pad", "mel.padded", x, pads, mode="edge")
        return x

    def _fuse(self, stage: int, x: str) -> str:
        """Sum a stage's residual blocks, which all read the same input (MRF)."""
        c = self._config
        first = stage * len(c.resblock_kernel_sizes)
        active = self._leaky(x)  # every block starts with it
        total = ""
        for number, (kernel, dilations) in enumerate(
            zip(c.resblock_kernel_sizes, c.resblock_dilation_sizes, strict=True), first
        ):
            block = self._residual_block(f"resblocks.{number}", x, active, kernel, dilations)
            total = self._node("Add", f"fused.{number}", total, block) if total else block
        return total

    def _residual_block(
        self, name: str, x: str, active: str, kernel: int, dilations: Sequence[int]
    ) -> str:
        """Add the block's convolutions to `x`; `active` is `x` after leaky ReLU."""
        for layer, dilation in enumerate(dilations):
            y = self._leaky(x) if layer else active
            if self._config.resblock == 1:
                y = self._leaky(self._conv(f"{name}.convs1.{layer}", y, kernel, dilation))
                y = self._conv(f"{name}.convs2.{layer}", y, kernel)
            else:
                y = self._conv(f"{name}.convs.{layer}", y, kernel, dilation)
            x = self._node("Add", f"{name}.add.{layer}", x, y)
        return x

    def _conv(self, name: str, x: str, kernel: int, dilation: int = 1) -> str:
        pad = dilation * (kernel - 1) // 2
        if pad and self._config.variant.conv_padding == "reflect":
            pads = self._constant(f"{name}.pads", np.array([0, 0, 0, pad, 0, 0, 0, pad]))
            x, pad = self._node("Pad", f"{name}.padded", x, pads, mode="reflect"), 0
        sizes = {"kernel_shape": [1, kernel], "dilations": [1, dilation]}
        return self._node("Conv", name, x, *self._layer(name), **sizes, pads=[0, pad, 0, pad])

    def _upsample(self, name: str, x: str, rate: int, kernel: int) -> str:
        pad = (kernel - rate) // 2
        sizes = {"kernel_shape": [1, kernel], "strides": [1, rate], "pads": [0, pad, 0, pad]}
        return self._node("ConvTranspose", name, x, *self._layer(name), **sizes)

    def _leaky(self, x: str, slope: float | None = None) -> str:
        slope = self._config.variant.slope if slope is None else slope
        return self._node("LeakyRelu", f"{x}.leaky", x, alpha=slope)

    def _layer(self, name: str) -> tuple[str, str]:
        """Register a layer's weight, with height 1, and its bias; return their names."""
        names = f"{name}.weight", f"{name}.bias"
        weight, bias = (self._source[key] for key in names)
        self.weights[names[0]] = np.ascontiguousarray(weight[:, :, None])
        self.weights[names[1]] = bias
        return names

    def _constant(self, name: str, value: AnyArray) -> str:
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, operation: str, name: str, *inputs: str, **attributes: Any) -> str:
        title = f"{name}:{operation}"
        self._nodes.append(helper.make_node(operation, inputs, [name], name=title, **attributes))
        return name


def _placeholder(name: str, value: FloatArray) -> TensorProto:
    """Describe a weight that the session takes from memory: ONNX's external data."""
    tensor = TensorProto(name=name, dims=value.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    for key, content in (("location", "memory"), ("offset", 0), ("length", value.nbytes)):
        tensor.external_data.add(key=key, value=str(content))
    return tensor
