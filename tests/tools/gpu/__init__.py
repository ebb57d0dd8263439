"""Test and measure this project on a GPU, with one command, within minutes.

    python -m tests.tools.gpu OUT --minutes 9 --data PACKED

- `__main__`: runs the parts in order, each in its own process with a time limit
- `parts`: the parts: correctness, synthesis, training steps, profiles, the restorer
- `profiling`: the kernels that take the time of a step or of a forward pass
- `pack`, `unpack`: speech, noises and RIRs as small files for another machine, and back to arrays
- `speech`, `rirs`, `pairs`, `rendering`: pairs of noisy and clean speech, rendered by several
  processes
- `network`, `pair_buffer`, `training`, `validation`, `trainer`, `restorer`: training of the
  restorer, which maps a noisy and a filtered log-mel to the clean one
- `vocoder`: fine-tuning of the vocoder on restored mels

`restorer.safetensors` and `discriminators.safetensors` are from the first session of that
training (measurements: `.github/SPEED.md`); `--init` continues it.
"""
