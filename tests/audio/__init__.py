"""Tests of audio files, resampling and the mel spectrogram."""
