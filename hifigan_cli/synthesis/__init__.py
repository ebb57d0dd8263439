"""Mel -> waveform, and recording -> waveform.

Read in this order:

- `chunks`: frames pushed as they come, samples equal to the whole's, in flat memory
- `streams`: the same for every model and engine, channel by channel
- `model_lookup`: what `--model` and `--enhancer` may be: a file, a training run, a name
- `vocoder`: `Vocoder`, a model ready to work: `vocode`, `resynthesize`, `stream`
- `mel_files`: mel files (.npy, .npz, .pt, .safetensors), axes and bands
- `mel_stream`: a mel that arrives over time through a pipe
- `input_mel`: what the values of a mel from outside are, and their conversion to the model's
- `jobs`: one file, many files or a folder -> where each result goes
- `batching`: mels of different lengths in one call, for GPUs
- `onnx_export`: a vocoder as an ONNX file, checked to give the same samples
- `overlap`: many files: reading, synthesis and writing at the same time
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazily

if TYPE_CHECKING:
    from hifigan_cli.synthesis.vocoder import Vocoder

__all__ = ["Vocoder"]

__getattr__ = lazily(__name__, {"Vocoder": "vocoder"})
