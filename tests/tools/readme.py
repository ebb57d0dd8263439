"""Write the command-line help into README.md, between its two markers.

    python -m tests.tools.readme

A test fails when the README says something else than the tool.
"""

from __future__ import annotations

import re

from tests.helpers import ROOT, hifigan

README = ROOT / "README.md"
COMMANDS = (
    "demo",
    "resynth",
    "vocode",
    "mel",
    "export",
    "preprocess",
    "train",
    "train-enhancer",
    "config",
    "config new",
    "config presets",
    "bench",
    "bench train",
    "evaluate",
    "import",
    "info",
    "doctor",
)


def help_section() -> str:
    """Return the help of every command as Markdown, each folded away under its name."""
    parts = []
    for command in COMMANDS:
        run = hifigan(*command.split(), "--help", env={"COLUMNS": "100", "TERM": "dumb"})
        if run.returncode:
            raise RuntimeError(f"hifigan {command} --help: {run.stderr}")
        text = "\n".join(line.rstrip() for line in run.stdout.strip().splitlines())
        summary = f"<summary><code>hifigan {command}</code></summary>"
        parts.append(f"<details>{summary}\n\n```text\n {text}\n```\n\n</details>")
    return "\n".join(parts)


def with_help(readme: str) -> str:
    """Return the README with its help section made anew."""
    return between(readme, "help", help_section())


def between(page: str, name: str, text: str) -> str:
    """Return a page with the text between the two markers of a name made anew.

    Raises:
        ValueError: the page has no place for it.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page needs the lines {begin} and {end}")
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(with_help(README.read_text("utf-8")), "utf-8")
