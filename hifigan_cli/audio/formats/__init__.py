"""The bytes of audio files: what libsndfile does not report, found before and around it.

- `containers`: which containers are read and written, by their first bytes and by extension
- `damage`: whether the samples that a file announces are all there
- `mpeg`: how many frames an MP3 really has
- `streams`: errors and signals, carried around libsndfile's C code
"""
