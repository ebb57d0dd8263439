"""Train the restorer for some minutes, from a pack of the corpus.

    python -m tests.tools.gpu.restorer OUT --data PACKED --minutes 5 [--device cuda]
    python -m tests.tools.gpu.restorer OUT --data PACKED --minutes 5 --init restorer.safetensors \\
        --start-fraction 0.4

`--minutes` is the total time, including decoding. OUT gets `restorer.safetensors` (the EMA weights
in half precision), `discriminators.safetensors` for a second session, and `restorer.jsonl`. SIGTERM
ends the run early and saves its state.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """Train the restorer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `pack`")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--steps", type=int, help="maximum number of steps")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=14, help="processes that render pairs")
    parser.add_argument(
        "--max-uses-per-pair",
        type=float,
        default=150,
        help="average number of uses after which training waits for new pairs",
    )
    parser.add_argument(
        "--prerender-seconds", type=float, default=0, help="render at least so long before training"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--init", type=Path, help="continue from this restorer.safetensors")
    parser.add_argument("--start-fraction", type=float, default=0.0)
    parser.add_argument("--checkpoint-seconds", type=float, default=30)
    parser.add_argument(
        "--no-graph", dest="graph", action="store_false", help="disable CUDA graphs"
    )
    parser.add_argument("--unfiltered", action="store_true", help="for tests: no DeepFilterNet3")
    parser.add_argument("--tiny", action="store_true", help="small networks and pairs, for tests")
    options = parser.parse_args(arguments)
    # The processes that render pairs import this module, but do not need torch.
    from hifigan_cli.runtime.signals import catch_stop_signals
    from tests.tools.gpu.trainer import RestorerTrainer

    options.out.mkdir(parents=True, exist_ok=True)
    with catch_stop_signals() as stop:
        RestorerTrainer(options, stop)()


if __name__ == "__main__":
    main()
