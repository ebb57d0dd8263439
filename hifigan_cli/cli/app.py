"""The list of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from hifigan_cli.cli import (
    bench,
    config,
    demo,
    doctor,
    evaluate,
    export,
    import_,
    info,
    mel,
    preprocess,
    resynth,
    train,
    train_enhancer,
    vocode,
)

app = typer.Typer(
    name="hifigan",
    help="HiFi-GAN: clean noisy recordings, turn mels into speech, and train the models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # wraps the paragraphs of docstrings
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command("demo")(demo.demo)
app.command("preprocess")(preprocess.preprocess)
app.command("train")(train.train)
app.command("train-enhancer")(train_enhancer.train_enhancer)
app.command("vocode")(vocode.vocode)
app.command("resynth")(resynth.resynth)
app.command("resynthesize", hidden=True)(resynth.resynth)
app.command("mel")(mel.mel)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")
app.command("import")(import_.import_model)
app.command("export")(export.export)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)


def _print_version(requested: bool) -> None:
    if requested:
        from hifigan_cli.runtime.environment import package_version

        typer.echo(f"hifigan {package_version('hifigan-cli')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass
