"""Shell completion: commands and options are offered, and the scripts can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import hifigan


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("hifigan res", {"resynth"}),
        ("hifigan config ", {"new", "presets"}),
        ("hifigan vocode --mel", {"--mel-as"}),
        ("hifigan resynth --rep", {"--repair", "--report", "--report-players"}),
        ("hifigan vocode --mel-as log", {"log10", "log2", "log10-power"}),
        ("hifigan train --preset v1-", {"v1-16k", "v1-48k"}),
    ],
)
def test_words_are_completed(words: str, offered: set[str]) -> None:
    """Protects what the shell asks for at each Tab."""
    place = str(len(words.split(" ")) - 1)
    asked = {"_HIFIGAN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": place}
    assert offered <= set(hifigan(env=asked).stdout.split())


# typer would look for the shell among the parents of this process, which need not have one.
NAMED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "COMPREPLY"), ("zsh", "#compdef"), ("fish", "complete --command")]
)
def test_each_shell_has_a_script(shell: str, words: str, tmp_path: Path) -> None:
    """Protects --show-completion, and --install-completion into a home."""
    script = hifigan("--show-completion", shell, env=NAMED)
    assert script.returncode == 0, script.stderr
    assert "_HIFIGAN_COMPLETE" in script.stdout
    assert words in script.stdout
    run = hifigan("--install-completion", shell, env={**NAMED, "HOME": str(tmp_path)})
    assert run.returncode == 0, run.stderr
    assert any("hifigan" in path.name for path in tmp_path.rglob("*") if path.is_file())
