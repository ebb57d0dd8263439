"""Clean speech -> the same speech as a bad recording has it, for training the enhancer.

Read `speech` (a stretch of a clip at another rate: another voice; its background gated), then
`sounds` (folders of noises and rooms, some held out), `noises`, `rirs` and `channel` (what a
recording adds; `filters` has their tools), `pairs` (one pair of waveforms, a function of seed and
number), `pool` (all pairs of a run as mels, rendered once by several processes).
"""
