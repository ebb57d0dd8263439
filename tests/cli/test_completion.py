"""Shell completion of commands, options and values, and its installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import hifigan


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("hifigan res", {"resynth"}),
        ("hifigan config ", {"new", "presets"}),
        ("hifigan vocode --mel", {"--mel-as"}),
        ("hifigan resynth --rep", {"--repair", "--report", "--report-players"}),
        ("hifigan vocode --mel-as log", {"log10", "log2", "log10-power"}),
        ("hifigan train --preset v1-", {"v1-16k", "v1-48k"}),
    ],
)
def test_completions(line: str, completions: set[str]) -> None:
    """The command completes commands, options and values for the shell."""
    position = str(len(line.split(" ")) - 1)
    env = {"_HIFIGAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": position}
    assert completions <= set(hifigan(env=env).stdout.split())


# Otherwise typer looks for a shell among the parent processes, which may not have one.
NO_SHELL_DETECTION = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


@pytest.mark.parametrize(
    ("shell", "text"), [("bash", "COMPREPLY"), ("zsh", "#compdef"), ("fish", "complete --command")]
)
def test_completion_scripts(shell: str, text: str, tmp_path: Path) -> None:
    """--show-completion prints the script, and --install-completion writes it to the home."""
    script = hifigan("--show-completion", shell, env=NO_SHELL_DETECTION)
    assert script.returncode == 0, script.stderr
    assert "_HIFIGAN_COMPLETE" in script.stdout
    assert text in script.stdout
    env = {**NO_SHELL_DETECTION, "HOME": str(tmp_path)}
    run = hifigan("--install-completion", shell, env=env)
    assert run.returncode == 0, run.stderr
    assert any("hifigan" in path.name for path in tmp_path.rglob("*") if path.is_file())
