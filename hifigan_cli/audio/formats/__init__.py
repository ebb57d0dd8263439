"""The bytes of audio files: what decoders do not tell, told before they run.

- `containers`: which bytes are audio at all, told by their first few; what is written
- `lengths`: whether a file with one chunk of samples is whole
- `ogg`: whether the pages of an Ogg file are whole and one stream
- `mpeg`: how many frames an MP3 really has
- `streams`: errors and signals, carried around libsndfile's C code
"""
