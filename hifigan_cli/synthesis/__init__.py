"""Mel -> waveform, and recording -> waveform.

Read in this order:

- `chunks`: streaming synthesis in chunks, with constant memory
- `streams`: streaming for every model and engine, one stream per channel
- `vocoder`: `Vocoder`, a loaded model: `vocode`, `resynthesize`, `stream`
- `pipeline`: files, folders and pipes through one model; its subclasses are
  `resynthesis` (recordings) and `mel_synthesis` (mels); `inputs`: an opened input
- `file_pipeline`: the base class for files, folders and pipes, whatever the processing
- `jobs`: which output belongs to which input; `job_runner`: reading, synthesis and writing at the
  same time
- `events`: the events that a run reports
- `mel_files`: mel files (.npy, .npz, .pt, .safetensors), axes and bands
- `mel_stream`: a mel that arrives over time through a pipe
- `input_mel`: the scale of an input mel, and its conversion to the model's scale
- `batching`: mels of different lengths in one batch, for GPUs
- `mel_extraction`: recordings -> mel files
- `onnx_export`: a vocoder as an ONNX file, checked against the torch model
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazy_getattr

if TYPE_CHECKING:
    from hifigan_cli.synthesis.vocoder import Vocoder

__all__ = ["Vocoder"]

__getattr__ = lazy_getattr(__name__, {"Vocoder": "vocoder"})
