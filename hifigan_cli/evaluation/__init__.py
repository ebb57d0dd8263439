"""How near results come to their recordings: metrics, thresholds and a report.

    report = evaluate("recordings", "results")
    report.summary("mel_l1_full").mean

No metric is enough by itself. So there are many, and a threshold limits several of them at once.
Read in this order:

- `run`: `evaluate`: pair files, find the delay, compute the metrics in several processes
- `pairing`: which result belongs to which recording
- `clips`: two files -> aligned channels at one sample rate
- `metrics`: the list of metrics, with titles, units and packages
- `spectral`: mel and STFT distances, the level in silence, the bias of high frequencies
- `speech`: mel-cepstral distortion, pitch, PESQ, STOI
- `mos`: DNSMOS and DistillMOS, which need no recording
- `packages`: optional packages, and the command that installs them
- `report`: values of clips, means with intervals, CSV and JSON
- `thresholds`: limits that a class of models keeps
"""

from hifigan_cli.evaluation.report import Report, check_threshold
from hifigan_cli.evaluation.run import evaluate

__all__ = ["Report", "check_threshold", "evaluate"]
