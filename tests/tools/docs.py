"""Write the generated parts of the documents, between their two markers.

    python -m tests.tools.docs

`.github/COMMANDS.md` gets the help of every command. `README.md` gets the key rows of the tables in
`.github/SPEED.md` and `.github/QUALITY.md`. A test fails when a document is out of date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import ROOT, hifigan

README = ROOT / "README.md"
COMMANDS_PAGE = ROOT / ".github" / "COMMANDS.md"
SPEED_PAGE = ROOT / ".github" / "SPEED.md"
QUALITY_PAGE = ROOT / ".github" / "QUALITY.md"
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
    """Return the help of every command as Markdown, each in a collapsed block."""
    parts = []
    for command in COMMANDS:
        run = hifigan(*command.split(), "--help", env={"COLUMNS": "100", "TERM": "dumb"})
        if run.returncode:
            raise RuntimeError(f"hifigan {command} --help: {run.stderr}")
        text = "\n".join(line.rstrip() for line in run.stdout.strip().splitlines())
        summary = f"<summary><code>hifigan {command}</code></summary>"
        parts.append(f"<details>{summary}\n\n```text\n {text}\n```\n\n</details>")
    return "\n".join(parts)


def results_section() -> str:
    """Return the key rows of the tables of speed and quality as one table."""
    rows = [*_speed_rows(), *_enhancement_rows(), *_copy_synthesis_rows()]
    lines = ["| | hifigan | compared with |", "|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _speed_rows() -> Iterator[tuple[str, str, str]]:
    page = SPEED_PAGE.read_text("utf-8")
    for title, model in (("V1", "ljspeech-v1"), ("V2", "v2")):
        table = next(each for each in _tables(page) if (model, "native") in each)
        length = list(table[model, "native"])[-3]  # the longest; SNR and memory follow
        speed, ratio = table[model, "native"][length].rstrip(")").split(" (")
        eager = table[model, "eager"][length].partition(" ")[0]
        yield (
            f"{title}, {length} of speech on 2 CPU threads",
            f"{speed} times real time",
            f"eager PyTorch: {eager} (ratio {ratio})",
        )
    (table,) = (each for each in _tables(page) if ("reference, TF32",) in each)
    optimized, reference = table["optimized bf16, CUDA graph",], table["reference, TF32",]
    yield (
        "V1, training step in bf16, batch 16, NVIDIA H100",
        f"{optimized['steps/s']} steps/s",
        f"loop of the official code in TF32: {reference['steps/s']} (ratio {optimized['ratio']})",
    )


def _enhancement_rows() -> Iterator[tuple[str, str, str]]:
    table = _tables(between(QUALITY_PAGE.read_text("utf-8"), "enhancement"))[0]
    ours, noisy = table["**`hifigan resynth`**",], table["input",]
    other = table["DeepFilterNet3, no vocoder",]
    for name, title in (("OVRL", "DNSMOS OVRL"), ("DistillMOS", "DistillMOS"), ("STOI", "STOI")):
        yield (
            f"48 noisy recordings, {title}",
            ours[name],
            f"input: {noisy[name]}, DeepFilterNet3: {other[name]}",
        )


def _copy_synthesis_rows() -> Iterator[tuple[str, str, str]]:
    page = QUALITY_PAGE.read_text("utf-8")
    (table,) = (each for each in _tables(page) if ("Griffin-Lim", "lj38") in each)
    ours, floor = table["`universal-v1`", "lj38"], table["Griffin-Lim", "lj38"]
    for name, title in (("mel_l1_full", "mel L1 up to Nyquist"), ("DistillMOS", "DistillMOS")):
        yield (
            f"`universal-v1`, copies of 38 LJSpeech clips, {title}",
            ours[name],
            f"Griffin-Lim: {floor[name]}",
        )


Table = dict[tuple[str, ...], dict[str, str]]


def _tables(page: str) -> list[Table]:
    """Return the tables of a page; rows by their first cell, and by their first two cells."""
    tables = []
    for text in re.findall(r"(?:^\|.*\|\n)+", page + "\n", re.MULTILINE):
        header, _, *rows = [[c.strip() for c in x.strip("|").split("|")] for x in text.splitlines()]
        table: Table = {}
        for row in rows:
            values = dict(zip(header, row, strict=True))
            table |= {(row[0],): values, tuple(row[:2]): values}
        tables.append(table)
    return tables


def between(page: str, name: str) -> str:
    """Return the text between the two markers of a name.

    Raises:
        ValueError: the page lacks the markers.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page needs the lines {begin.strip()} and {end}")
    return page.partition(begin)[2].partition(end)[0]


def replace_between(page: str, name: str, text: str) -> str:
    """Return a page with another text between the two markers of a name.

    Raises:
        ValueError: the page lacks the markers.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    return page.replace(begin + between(page, name) + end, f"{begin}{text}\n{end}")


def write_between(path: Path, name: str, text: str) -> None:
    """Replace the text between the two markers of a name in a file."""
    path.write_text(replace_between(path.read_text("utf-8"), name, text), "utf-8")


def main() -> None:
    """Write both documents."""
    for path, name, text in (
        (COMMANDS_PAGE, "help", help_section()),
        (README, "results", results_section()),
    ):
        write_between(path, name, text)


if __name__ == "__main__":
    main()
