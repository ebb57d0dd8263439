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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, tmp_path: Path) -> None:
    """Protects --show-completion, and --install-completion into a home."""
    script = hifigan("--show-completion", shell)
    assert script.returncode == 0, script.stderr
    assert "_HIFIGAN_COMPLETE" in script.stdout
    run = hifigan("--install-completion", shell, env={"HOME": str(tmp_path)})
    assert run.returncode == 0, run.stderr
    assert any("hifigan" in path.name for path in tmp_path.rglob("*") if path.is_file())
