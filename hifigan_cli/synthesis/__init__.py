"""Mel -> waveform, and recording -> waveform.

Read in this order:

- `chunks`: frames pushed as they come, samples equal to the whole's, in flat memory
- `streams`: the same for every model and engine, channel by channel
- `vocoder`: `Vocoder`, a model ready to work: `vocode`, `resynthesize`, `stream`
- `pipeline`: files, folders and pipes through one model; its kinds are
  `resynthesis` (recordings) and `mel_synthesis` (mels); `inputs`: what was opened
- `file_pipeline`: files, folders and pipes, whatever is done to each
- `jobs`: which result goes where; `overlap`: reading, synthesis and writing at the same time
- `events`: what a run reports
- `mel_files`: mel files (.npy, .npz, .pt, .safetensors), axes and bands
- `mel_stream`: a mel that arrives over time through a pipe
- `input_mel`: what the values of a mel from outside are, and their conversion to the model's
- `batching`: mels of different lengths in one call, for GPUs
- `mel_extraction`: recordings -> mel files
- `onnx_export`: a vocoder as an ONNX file, checked to give the same samples
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazily

if TYPE_CHECKING:
    from hifigan_cli.synthesis.vocoder import Vocoder

__all__ = ["Vocoder"]

__getattr__ = lazily(__name__, {"Vocoder": "vocoder"})
