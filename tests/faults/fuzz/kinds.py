"""What is damaged, and who reads it: each kind tries case N of its own, a function of N alone."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from hifigan_cli.audio.reading import audio_length_s, read_audio
from hifigan_cli.config import MelConfig
from hifigan_cli.config.resolve import resolve, to_toml
from hifigan_cli.synthesis.input_mel import open_mel
from tests import forkserver
from tests.audio.sounds import encoded, streamed_flac, voice
from tests.faults.fuzz.mutations import Random, mutated

_SECONDS = 0.4
ODD_VALUES = (
    *("nan", "inf", "-1", "0", "1e308", "1e-308", "2.5", "true", "null", "[]", "{}", '""', '"8"'),
    *(str(2**31), str(2**63), str(2**64), "9" * 400, "1_000", "[[1]]", "[1, 2, 3]", "[-1]", "[0]"),
    *('"' + "x" * 5000 + '"', "[" * 300, "{a = 1}", "1979-05-27", "0x7fffffffffffffff", "NaN"),
)


def random_of(kind: str, number: int) -> Random:
    """Return the random generator of a case."""
    digest = hashlib.sha256(f"{kind} {number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


class Kind(ABC):
    """Files of one kind that are damaged and read."""

    name: str

    def __init__(self) -> None:
        self.whole = self.make()
        self.names = sorted(self.whole)

    @abstractmethod
    def make(self) -> dict[str, bytes]:
        """Return sound files by name."""

    @abstractmethod
    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Read a damaged file; return what else than "read" became of it.

        Raises:
            HifiganError: it is refused. Any other error is a fault.
        """

    def attempt(self, number: int, folder: Path) -> str | None:
        """Try a case."""
        rng = random_of(self.name, number)
        name = self.names[number % len(self.names)]
        content = mutated(self.whole[name], list(self.whole.values()), rng)
        return self.read(name, content, folder, rng)


def _sounds() -> dict[str, bytes]:
    """Return a recording in every container and several ways to store a sample."""
    ways = {
        "wav": ("WAV", "PCM_16"),
        "wav8": ("WAV", "PCM_U8"),
        "wav24": ("WAV", "PCM_24"),
        "float": ("WAV", "FLOAT"),
        "ima": ("WAV", "IMA_ADPCM"),
        "ms": ("WAV", "MS_ADPCM"),
        "alaw": ("WAV", "ALAW"),
        "wavex": ("WAVEX", "PCM_16"),
        "rf64": ("RF64", "PCM_16"),
        "w64": ("W64", "PCM_16"),
        "aiff": ("AIFF", "PCM_16"),
        "aiff-ima": ("AIFF", "IMA_ADPCM"),
        "au": ("AU", "PCM_16"),
        "caf": ("CAF", "PCM_16"),
        "flac": ("FLAC", "PCM_16"),
        "flac24": ("FLAC", "PCM_24"),
        "vorbis": ("OGG", "VORBIS"),
        "opus": ("OGG", "OPUS"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
    }
    sounds = {
        name: encoded(voice(_SECONDS, 1 + index % 2), container, subtype, 24_000)
        for index, (name, (container, subtype)) in enumerate(ways.items())
    }
    return {**sounds, "piped": streamed_flac(voice(_SECONDS))}


class AudioFiles(Kind):
    """Recordings: read, repaired, measured."""

    name = "audio"

    def make(self) -> dict[str, bytes]:
        """Return a recording in every way."""
        return _sounds()

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Read a file or a stream, with and without repair, or its length alone."""
        path = folder / f"a.{name}"
        path.write_bytes(content)
        choice = int(rng.integers(5))
        if choice == 0:
            audio_length_s(path)
            return None
        audio = read_audio(path if choice < 4 else content, repair=choice in (1, 4))
        assert audio.samples.dtype == np.float32
        assert audio.samples.size
        assert np.isfinite(audio.samples).all()
        assert np.abs(audio.samples).max() <= 1.001
        assert audio.samples.nbytes < 200e6, "an absurd length was believed"
        return "repaired" if audio.notes else None


class Mels(Kind):
    """Mels: of files and of streams."""

    name = "mel"

    def make(self) -> dict[str, bytes]:
        """Return a mel in each of its formats, and of both orders and several types."""
        import safetensors.numpy
        import torch

        mel = np.random.default_rng(0).uniform(-11, 1, (80, 40)).astype(np.float32)
        files: dict[str, bytes] = {}
        for name, array in {"32": mel, "64": mel.astype("f8"), "16": mel.astype("f2")}.items():
            files[f"{name}.npy"] = _saved(np.save, array)
        files["fortran.npy"] = _saved(np.save, np.asfortranarray(mel))
        files["frames.npy"] = _saved(np.save, np.ascontiguousarray(mel.T))
        files["plain.npz"] = _saved(np.savez, mel)
        files["packed.npz"] = _saved(np.savez_compressed, mel)
        memory = io.BytesIO()
        torch.save({"mel": torch.from_numpy(mel)}, memory)
        files["t.pt"] = memory.getvalue()
        memory = io.BytesIO()
        torch.save(torch.from_numpy(mel), memory, _use_new_zipfile_serialization=False)
        files["old.pt"] = memory.getvalue()
        files["s.safetensors"] = safetensors.numpy.save({"mel": mel})
        patch.object(subprocess, "run", forkserver.read_untrusted_in_a_fork).start()
        return files

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Take it as a file or as a stream's bytes, and convert all of it."""
        path = folder / name
        path.write_bytes(content)
        mel_as = (None, "auto", "log10")[int(rng.integers(3))]
        source: Path | bytes = content if rng.random() < 0.3 else path
        opened = open_mel(source, MelConfig(), mel_as=mel_as, check=rng.random() < 0.7)
        assert np.isfinite(opened.converted()).all()
        assert opened.array.nbytes < 200e6, "an absurd size was believed"
        return None


def _saved(save: Any, array: np.ndarray[Any, Any]) -> bytes:
    memory = io.BytesIO()
    save(memory, array)
    return memory.getvalue()


class Models(Kind):
    """Model files and checkpoints: what is read is what was written, or nothing is."""

    name = "model"

    def make(self) -> dict[str, bytes]:
        """Return a vocoder, an enhancer and a checkpoint, all small."""
        import tempfile

        import torch

        from hifigan_cli.training.checkpoint import write_checkpoint
        from hifigan_cli.training.state import VocoderState
        from tests.enhancement.small import write_tiny_enhancer
        from tests.models_for_tests import write_tiny_model
        from tests.training import small

        small.shrink()
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder, name) for name in ("vocoder", "enhancer", "checkpoint")}
            write_tiny_model(paths["vocoder"])
            write_tiny_enhancer(paths["enhancer"])
            state = VocoderState(small.config(), torch.device("cpu"))
            write_checkpoint(paths["checkpoint"], state, "digest")
            return {name: path.read_bytes() for name, path in paths.items()}

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Read it for what it is, or describe it."""
        from hifigan_cli.enhancement.model_file import read_enhancer
        from hifigan_cli.models.model_file import read_model
        from hifigan_cli.reports.describe import describe
        from hifigan_cli.training.checkpoint import read_checkpoint

        path = folder / f"{name}.safetensors"
        path.write_bytes(content)
        readers = {"vocoder": read_model, "enhancer": read_enhancer, "checkpoint": read_checkpoint}
        if rng.random() < 0.3:
            described = describe(path)
            assert described.kind != "mel" or content != self.whole[name]
            return described.kind
        found: Any = readers[name](path)
        if content == self.whole[name]:
            return "unchanged"
        # Bytes may change that mean nothing: the spaces after the header, say.
        digest = found.description["digest"] if name == "checkpoint" else found.digest
        assert digest in self.whole[name].decode("latin-1"), "damage went unnoticed"
        return "unharmed"


class Configurations(Kind):
    """Configurations: TOML of ours, JSON and YAML of others."""

    name = "config"

    def make(self) -> dict[str, bytes]:
        """Return a configuration of ours, and those of importers."""
        from tests.importers.test_official import CONFIG

        ours = to_toml(resolve("v2").config).encode()
        theirs = json.dumps({**CONFIG, "nested": {"a": [1, None, True, "x"]}}, indent=1).encode()
        yaml = b"".join(f"{key}: {json.dumps(value)}\n".encode() for key, value in CONFIG.items())
        return {"c.toml": ours, "c.json": theirs, "c.yaml": yaml}

    def attempt(self, number: int, folder: Path) -> str | None:
        """Damage bytes, or half of the time put odd values in the place of sound ones."""
        if number % 2:
            return super().attempt(number, folder)
        rng = random_of(self.name, number)
        name = self.names[number // 2 % len(self.names)]
        lines = self.whole[name].decode().splitlines()
        for _ in range(int(rng.integers(1, 3))):
            at = int(rng.integers(len(lines)))
            key, sign, _ = lines[at].partition(" = " if name == "c.toml" else ": ")
            if sign:
                odd = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
                lines[at] = f"{key}{sign}{odd}{',' if name == 'c.json' else ''}"
        return self.read(name, "\n".join(lines).encode(), folder, rng)

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Resolve it, or parse it and take it for an official one."""
        from hifigan_cli.importers.families import official
        from hifigan_cli.importers.foreign_files import read_document

        path = folder / name
        path.write_bytes(content)
        if name == "c.toml":
            environment = {"HIFIGAN_BATCH_SIZE": content[:20].decode("latin-1")}
            setting = content[-30:].decode("latin-1").strip()
            resolve(None, path, environment if rng.random() < 0.2 else {})
            resolve(None, None, {}, [setting])
        else:
            official.describe(read_document(path), path)
        return None


class Commands(Kind):
    """The same through the command line, in a process of each."""

    name = "cli"
    _CODES = (0, 2, 3, 5, 6)

    def make(self) -> dict[str, bytes]:
        """Return a few of each kind."""
        import tempfile

        from tests.models_for_tests import write_tiny_model

        with tempfile.TemporaryDirectory() as folder:
            model = write_tiny_model(Path(folder, "m")).read_bytes()
        mel = _saved(np.save, np.full((80, 8), -5, np.float32))
        config = to_toml(resolve("v1").config).encode()
        sounds = _sounds()
        chosen = {f"{name}.wav": sounds[name] for name in ("wav", "flac", "vorbis", "mp3", "caf")}
        self._model = model
        return {**chosen, "m.safetensors": model, "m.npy": mel, "c.toml": config}

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Run the command that would read such a file."""
        (folder / name).write_bytes(content)
        (folder / "model").write_bytes(self._model)
        model = str(folder / "model")
        path, out = str(folder / name), str(folder / "out.wav")
        words = {
            ".wav": ["resynth", path, "-o", out, "-m", model, "-f", "--no-enhance"],
            ".npy": ["vocode", path, "-o", out, "-m", model, "-f"],
            ".safetensors": ["resynth", str(folder / "whole.wav"), "-o", out, "-m", path, "-f"],
            ".toml": ["info", "--resolved", "--config", path],
        }[Path(name).suffix]
        (folder / "whole.wav").write_bytes(encoded(voice(0.1)))
        if rng.random() < 0.3 and Path(name).suffix != ".toml":
            words = ["info", path]
        code, said = _forked(words, folder)
        assert code in self._CODES, (code, said)
        assert "Traceback" not in said, said
        assert "a bug in hifigan" not in said, said
        left = [entry.name for entry in folder.iterdir() if entry.name.endswith(".tmp")]
        assert not left
        return f"exit {code}"


def _forked(words: list[str], folder: Path) -> tuple[int, str]:
    """Run a command in a fork; return its exit code and what it said on stderr."""
    import hifigan_cli.synthesis.resynthesis  # noqa: F401 - once, and not in each fork
    from hifigan_cli.cli.main import run

    said = folder / "stderr.txt"
    child = os.fork()
    if child == 0:
        try:
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 2)
            code = run(words)
            sys.stderr.flush()
            os._exit(code)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, said.read_text(errors="replace")


class Trap(Kind):
    """Goes wrong by itself, to see whether that is seen."""

    name = "trap"

    def make(self) -> dict[str, bytes]:
        """Return anything."""
        return {"a": b"abc", "b": b"abcdef"}

    def attempt(self, number: int, folder: Path) -> str | None:
        """Hang, crash, raise, or do nothing."""
        if number == 1:
            time.sleep(1000)
        if number == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if number == 4:
            number //= 0
        return None

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Never be called."""
        raise NotImplementedError


KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (AudioFiles, Mels, Models, Configurations, Commands, Trap)
}
