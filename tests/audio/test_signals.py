"""A signal that comes while libsndfile works is neither lost nor taken for the end of a file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hifigan_cli.audio.formats import streams
from hifigan_cli.audio.formats.streams import GuardedStream, signals_held
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.writing import write_audio
from tests.audio.sounds import encoded, voice


class StoppedError(Exception):
    """What a handler raises."""


def stop(_number: int, _frame: object) -> NoReturn:
    """Handle a signal as the command line does."""
    raise StoppedError


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Let both signals raise, and see that their handlers are in place again."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    yield
    assert [signal.signal(*pair) for pair in zip(numbers, before, strict=True)] == [stop, stop]


def signal_in(monkeypatch: pytest.MonkeyPatch, method: str, call: int, number: int) -> None:
    """Let the signal come within one call that libsndfile makes of a stream."""
    original, calls = getattr(GuardedStream, method), 0

    def signalled(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return original(*arguments)

    monkeypatch.setattr(streams.GuardedStream, method, signalled)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("call", [1, 6])
@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_reading_stops(
    monkeypatch: pytest.MonkeyPatch, container: str, call: int, number: int
) -> None:
    """Guard Ctrl-C while a file is opened and decoded."""
    content = encoded(voice(4.0), container)
    signal_in(monkeypatch, "read", call, number)
    with pytest.raises(StoppedError):
        read_audio(content)


@pytest.mark.parametrize("call", [1, 6])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_writing_stops_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str, call: int
) -> None:
    """Guard Ctrl-C while a file is encoded, and while it is closed."""
    signal_in(monkeypatch, "write", call, signal.SIGINT)
    with pytest.raises(StoppedError):
        write_audio(tmp_path / f"a.{suffix}", voice(8.0), 16_000)
    assert list(tmp_path.iterdir()) == []


def test_what_is_held_comes_at_the_end_of_the_block() -> None:
    """Guard the order: all of the block, then the handler."""
    reached: list[bool] = []

    def block() -> None:
        with signals_held():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)

    with pytest.raises(StoppedError):
        block()
    assert reached
