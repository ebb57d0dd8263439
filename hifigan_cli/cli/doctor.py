"""`hifigan doctor`: check the installation."""

from __future__ import annotations

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console, new_table


def doctor(json: options.Json = False) -> None:
    """Check versions, torch with torchaudio, devices, engines and optional packages.

    The exit code is 1 if a required component does not work.
    """
    from dataclasses import asdict

    from rich.text import Text

    from hifigan_cli.engines.selection import engine_checks
    from hifigan_cli.enhancement.noise_filter import noise_filter_check
    from hifigan_cli.runtime.environment import diagnose

    checks = [*diagnose(), *engine_checks(), noise_filter_check()]
    table = new_table(("", "", ""), header=False)
    marks = {True: Text("ok", "green"), False: Text("fault", "red"), None: Text("-", "dim")}
    for check in checks:
        fix = f"  -> {check.fix}" if check.fix else ""
        table.add_row(marks[check.ok], check.name, Text(f"{check.detail}{fix}"))
    Console(json=json).data("doctor", table, checks=[asdict(check) for check in checks])
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)
