"""Proves and measures this project on a GPU, with one command and within minutes.

    python -m tests.tools.gpu OUT --minutes 9 --data PACKED

- `__main__`: runs the parts in order, each in a process of its own with a time limit
- `parts`: what is run: correctness, synthesis, training steps, profiles, the restorer
- `profiling`: which kernels a step or a forward pass spends its time in
- `pack`: speech, noises and room responses, small enough to travel (`--pack DIR`)
- `pairs`, `restorer`: training of the restorer (noisy and filtered mel -> clean mel)
- `vocoder`: fine-tuning of a vocoder on enhanced mels

The machine needs torch with CUDA, and the packages that this project requires; the folder may be
anywhere, also where nothing can be installed from a network: `--pack` can add wheels.
"""
