"""A signal during libsndfile's C code is not lost, and does not end the file early."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hifigan_cli.audio.formats import streams
from hifigan_cli.audio.formats.streams import GuardedStream, defer_signals
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.writing import write_audio
from tests.audio.sounds import encode, voice


class StoppedError(Exception):
    """Raised by the signal handler."""


def stop(_number: int, _frame: object) -> NoReturn:
    """Handle a signal like the command line."""
    raise StoppedError


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Install handlers that raise, and check that they are restored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    yield
    assert [signal.signal(*pair) for pair in zip(numbers, before, strict=True)] == [stop, stop]


def signal_during(monkeypatch: pytest.MonkeyPatch, method: str, call: int, number: int) -> None:
    """Send a signal during one call of a stream method by libsndfile."""
    original, calls = getattr(GuardedStream, method), 0

    def send_and_call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return original(*arguments)

    monkeypatch.setattr(streams.GuardedStream, method, send_and_call)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("call", [1, 6])
@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_signal_stops_reading(
    monkeypatch: pytest.MonkeyPatch, container: str, call: int, number: int
) -> None:
    """Ctrl-C works while a file is opened and decoded."""
    content = encode(voice(4.0), container)
    signal_during(monkeypatch, "read", call, number)
    with pytest.raises(StoppedError):
        read_audio(content)


@pytest.mark.parametrize("call", [1, 6])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_signal_stops_writing_and_removes_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str, call: int
) -> None:
    """Ctrl-C works while a file is encoded and closed."""
    signal_during(monkeypatch, "write", call, signal.SIGINT)
    with pytest.raises(StoppedError):
        write_audio(tmp_path / f"a.{suffix}", voice(8.0), 16_000)
    assert list(tmp_path.iterdir()) == []


def test_deferred_signal_arrives_at_the_end_of_the_block() -> None:
    """The complete block runs before the handler."""
    reached: list[bool] = []

    def block() -> None:
        with defer_signals():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)

    with pytest.raises(StoppedError):
        block()
    assert reached
