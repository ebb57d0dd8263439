"""What a run leaves on disk, and what a later run takes from it.

- `folder`: the run's folder: its places, its lock, which checkpoint to go on from
- `checkpoint`: a whole training state in one sealed file; `optimizers`: their moments by name
- `saver`: checkpoint and model file, written together, the last few kept
- `warmstart`: networks from another training (`--init`)
- `metrics`: metrics.jsonl; `heard`: the last clips as sound;
  `tensorboard`, `wandb`: the same figures for eyes and ears
"""
