"""Files that come with the tool.

- `ljspeech-validation-ids.txt`: the 150 clips that the official split keeps for validation (facts)
- `demo.flac`: speech by espeak-ng with a little noise, made by this project; its recipe is
  `tests/tools/make_demo.py`
"""
