"""Proves and measures this project on a GPU, with one command and within minutes.

    python -m tests.tools.gpu OUT --minutes 9 --data PACKED

- `__main__`: runs the parts in order, each in a process of its own with a time limit
- `parts`: what is run: correctness, synthesis, training steps, profiles, the restorer
- `profiling`: which kernels a step or a forward pass spends its time in
- `pack`, `unpack`: speech, noises and RIRs, small enough to travel, and back
- `speech`, `rirs`, `pairs`, `rendering`: pairs of damaged and clean speech, rendered by several
  processes
- `network`, `pool`, `training`, `validation`, `trainer`, `restorer`: the restorer, from noisy and
  filtered log-mel to the clean one
- `vocoder`: fine-tuning of a vocoder on restored mels

`restorer.safetensors` and `discriminators.safetensors` are of the first leg of that training
(`.github/SPEED.md` has its figures); a second one starts with `--init`.
"""
