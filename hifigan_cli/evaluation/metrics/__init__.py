"""Metrics: two clips, or one, -> numbers.

- `pair`: what is compared: two clips of one rate and length
- `packages`: what is installed, and what brings the rest
- `spectral`: mel errors, STFT log-magnitudes
- `levels`: the level in silence, the bias of the highs
- `cepstral`: mel-cepstral distortion
- `pitch`: voicing, periodicity, pitch
- `intelligibility`: PESQ and STOI
- `opinions`, `dnsmel`: DNSMOS and DistillMOS, which need no reference
"""
