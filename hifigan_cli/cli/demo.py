"""`hifigan demo`: resynthesize a bundled recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("hifigan-demo"),
    model: options.Model = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Resynthesize a short bundled recording.

    Writes input.wav, output.wav and spectrograms.png.
    """
    import time

    from hifigan_cli.api import load_model
    from hifigan_cli.audio.pictures import save_mel_figure
    from hifigan_cli.audio.speech import bundled_speech
    from hifigan_cli.io.files import check_output
    from hifigan_cli.runtime.devices import describe_device

    console = Console(json=json, quiet=quiet)
    paths = [out / name for name in ("input.wav", "output.wav", "spectrograms.png")]
    for path in paths:
        check_output(path, force)
    device = options.device_name(device, gpu)
    vocoder = load_model(model, device, engine=engine, threads=threads)
    recording = bundled_speech()
    started = time.perf_counter()
    speech = vocoder.resynthesize(recording)
    elapsed_s = time.perf_counter() - started
    recording.save(paths[0])
    speech.save(paths[1])
    mels = [("recording", vocoder.mel(recording)[0]), ("generated", vocoder.mel(speech)[0])]
    save_mel_figure(paths[2], mels, vocoder.model.mel)
    factor = speech.length_s / elapsed_s
    console.result(
        "demo",
        f"generated {speech.length_s:.1f} s of speech in {elapsed_s:.1f} s "
        f"({factor:.1f} times real time, including start-up) on {describe_device(vocoder.device)} "
        f"({vocoder.engine.name} engine)\n"
        f"listen to {paths[0]} and {paths[1]}; look at {paths[2]}",
        files=[str(path) for path in paths],
        length_s=speech.length_s,
        elapsed_s=elapsed_s,
        times_real_time=factor,
        device=vocoder.device,
        engine=vocoder.engine.name,
    )
