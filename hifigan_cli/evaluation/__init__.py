"""Compare results with their reference recordings: metrics, thresholds and a report.

    report = evaluate("recordings", "results")
    report.summary("mel_l1_full").mean

No metric is sufficient by itself, so there are many, and a threshold limits several at once.
Read in this order:

- `run`: `evaluate` pairs files, finds the delay, and computes the metrics in several processes
- `pairing`: pairs results with recordings
- `clips`: reads two files as aligned channels at one sample rate
- `metrics`: the list of metrics, with titles, units and packages
- `spectral`: mel and STFT distances, the level in silence, the bias of high frequencies
- `speech`: mel-cepstral distortion, pitch, PESQ, STOI
- `mos`: DNSMOS and DistillMOS, which need no recording
- `packages`: optional packages, and the command that installs them
- `report`: values of clips, means with confidence intervals, CSV and JSON
- `thresholds`: limits for each class of models
"""

from hifigan_cli.evaluation.report import Report, check_threshold
from hifigan_cli.evaluation.run import evaluate

__all__ = ["Report", "check_threshold", "evaluate"]
