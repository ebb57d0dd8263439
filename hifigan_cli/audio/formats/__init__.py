"""The bytes of audio files: checks that libsndfile does not do.

- `containers`: the supported containers, by their first bytes and by extension
- `damage`: whether a file has all the samples that its header states
- `mpeg`: the true number of frames of an MP3
- `streams`: carries errors and signals around libsndfile's C code
"""
