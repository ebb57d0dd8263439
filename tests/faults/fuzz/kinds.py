"""Kinds of mutated files, and their readers; case N of a kind only depends on N."""

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
from hifigan_cli.config.files import to_toml
from hifigan_cli.config.resolve import resolve
from hifigan_cli.synthesis.input_mel import open_mel
from tests import forkserver
from tests.audio.sounds import encode, streamed_flac, voice
from tests.faults.fuzz.mutations import Random, mutate

_SECONDS = 0.4
ODD_VALUES = (
    *("nan", "inf", "-1", "0", "1e308", "1e-308", "2.5", "true", "null", "[]", "{}", '""', '"8"'),
    *(str(2**31), str(2**63), str(2**64), "9" * 400, "1_000", "[[1]]", "[1, 2, 3]", "[-1]", "[0]"),
    *('"' + "x" * 5000 + '"', "[" * 300, "{a = 1}", "1979-05-27", "0x7fffffffffffffff", "NaN"),
)


def case_generator(kind: str, number: int) -> Random:
    """Return the random generator of a case."""
    digest = hashlib.sha256(f"{kind} {number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


class Kind(ABC):
    """Files of one kind that are mutated and read."""

    name: str

    def __init__(self) -> None:
        self.originals = self.create_originals()
        self.names = sorted(self.originals)

    @abstractmethod
    def create_originals(self) -> dict[str, bytes]:
        """Return intact files by name."""

    @abstractmethod
    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Read a mutated file; return its outcome, or None for "read".

        Raises:
            HifiganError: the file is rejected. Any other error is a fault.
        """

    def run_case(self, number: int, folder: Path) -> str | None:
        """Run a case."""
        rng = case_generator(self.name, number)
        name = self.names[number % len(self.names)]
        content = mutate(self.originals[name], list(self.originals.values()), rng)
        return self.read(name, content, folder, rng)


def _sounds() -> dict[str, bytes]:
    """Return a recording in every container and several sample formats."""
    formats = {
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
        name: encode(voice(_SECONDS, 1 + index % 2), container, subtype, 24_000)
        for index, (name, (container, subtype)) in enumerate(formats.items())
    }
    return {**sounds, "piped": streamed_flac(voice(_SECONDS))}


class AudioFiles(Kind):
    """Recordings: read, repaired, measured."""

    name = "audio"

    def create_originals(self) -> dict[str, bytes]:
        """Return a recording in all formats."""
        return _sounds()

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Read a file or its bytes, with or without repair, or only its length."""
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
        assert audio.samples.nbytes < 200e6, "an absurd length was accepted"
        return "repaired" if audio.notes else None


class Mels(Kind):
    """Mels, from files and from bytes."""

    name = "mel"

    def create_originals(self) -> dict[str, bytes]:
        """Return a mel in all file formats, both memory orders and several types."""
        import safetensors.numpy
        import torch

        mel = np.random.default_rng(0).uniform(-11, 1, (80, 40)).astype(np.float32)
        files: dict[str, bytes] = {}
        for name, array in {"32": mel, "64": mel.astype("f8"), "16": mel.astype("f2")}.items():
            files[f"{name}.npy"] = _save(np.save, array)
        files["fortran.npy"] = _save(np.save, np.asfortranarray(mel))
        files["frames.npy"] = _save(np.save, np.ascontiguousarray(mel.T))
        files["plain.npz"] = _save(np.savez, mel)
        files["packed.npz"] = _save(np.savez_compressed, mel)
        memory = io.BytesIO()
        torch.save({"mel": torch.from_numpy(mel)}, memory)
        files["t.pt"] = memory.getvalue()
        memory = io.BytesIO()
        torch.save(torch.from_numpy(mel), memory, _use_new_zipfile_serialization=False)
        files["old.pt"] = memory.getvalue()
        files["s.safetensors"] = safetensors.numpy.save({"mel": mel})
        patch.object(subprocess, "run", forkserver.read_untrusted_in_fork).start()
        return files

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Open a mel from a file or from bytes, and convert it."""
        path = folder / name
        path.write_bytes(content)
        mel_as = (None, "auto", "log10")[int(rng.integers(3))]
        source: Path | bytes = content if rng.random() < 0.3 else path
        opened = open_mel(source, MelConfig(), mel_as=mel_as, check=rng.random() < 0.7)
        assert np.isfinite(opened.convert_all()).all()
        assert opened.array.nbytes < 200e6, "an absurd size was accepted"
        return None


def _save(save: Any, array: np.ndarray[Any, Any]) -> bytes:
    memory = io.BytesIO()
    save(memory, array)
    return memory.getvalue()


class Models(Kind):
    """Model files and checkpoints: the reader returns the written content or rejects the file."""

    name = "model"

    def create_originals(self) -> dict[str, bytes]:
        """Return a small vocoder, enhancer and checkpoint."""
        import tempfile

        import torch

        from hifigan_cli.training.checkpoint import write_checkpoint
        from hifigan_cli.training.state import VocoderState
        from tests.enhancement.helpers import write_tiny_enhancer
        from tests.models_for_tests import write_tiny_model
        from tests.training import small

        small.use_small_discriminators()
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder, name) for name in ("vocoder", "enhancer", "checkpoint")}
            write_tiny_model(paths["vocoder"])
            write_tiny_enhancer(paths["enhancer"])
            state = VocoderState(small.config(), torch.device("cpu"))
            write_checkpoint(paths["checkpoint"], state, "digest")
            return {name: path.read_bytes() for name, path in paths.items()}

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Read a file, or describe it."""
        from hifigan_cli.enhancement.model_file import read_enhancer
        from hifigan_cli.models.model_file import read_model
        from hifigan_cli.reports.describe import describe
        from hifigan_cli.training.checkpoint import read_checkpoint

        path = folder / f"{name}.safetensors"
        path.write_bytes(content)
        readers = {"vocoder": read_model, "enhancer": read_enhancer, "checkpoint": read_checkpoint}
        if rng.random() < 0.3:
            described = describe(path)
            assert described.kind != "mel" or content != self.originals[name]
            return described.kind
        loaded: Any = readers[name](path)
        if content == self.originals[name]:
            return "unchanged"
        # Some bytes have no meaning, such as the spaces after the header.
        digest = loaded.description["digest"] if name == "checkpoint" else loaded.digest
        assert digest in self.originals[name].decode("latin-1"), "the damage was not detected"
        return "same content"


class Configurations(Kind):
    """Configurations: TOML of this package, JSON and YAML of other tools."""

    name = "config"

    def create_originals(self) -> dict[str, bytes]:
        """Return a TOML configuration, and an official one as JSON and YAML."""
        from tests.config.official import OFFICIAL_CONFIG

        toml = to_toml(resolve("v2").config).encode()
        official = json.dumps(
            {**OFFICIAL_CONFIG, "nested": {"a": [1, None, True, "x"]}}, indent=1
        ).encode()
        yaml = b"".join(
            f"{key}: {json.dumps(value)}\n".encode() for key, value in OFFICIAL_CONFIG.items()
        )
        return {"c.toml": toml, "c.json": official, "c.yaml": yaml}

    def run_case(self, number: int, folder: Path) -> str | None:
        """Mutate bytes, or half of the time replace values by unusual ones."""
        if number % 2:
            return super().run_case(number, folder)
        rng = case_generator(self.name, number)
        name = self.names[number // 2 % len(self.names)]
        lines = self.originals[name].decode().splitlines()
        for _ in range(int(rng.integers(1, 3))):
            at = int(rng.integers(len(lines)))
            key, sign, _ = lines[at].partition(" = " if name == "c.toml" else ": ")
            if sign:
                odd = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
                lines[at] = f"{key}{sign}{odd}{',' if name == 'c.json' else ''}"
        return self.read(name, "\n".join(lines).encode(), folder, rng)

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Resolve a TOML configuration, or import an official one."""
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
            official.parse_config(read_document(path), path)
        return None


class Commands(Kind):
    """Some files of each kind, each through the command line in a new process."""

    name = "cli"
    _EXIT_CODES = (0, 2, 3, 5, 6)

    def create_originals(self) -> dict[str, bytes]:
        """Return some files of each kind."""
        import tempfile

        from tests.models_for_tests import write_tiny_model

        with tempfile.TemporaryDirectory() as folder:
            model = write_tiny_model(Path(folder, "m")).read_bytes()
        mel = _save(np.save, np.full((80, 8), -5, np.float32))
        config = to_toml(resolve("v1").config).encode()
        sounds = _sounds()
        audio = {f"{name}.wav": sounds[name] for name in ("wav", "flac", "vorbis", "mp3", "caf")}
        self._model = model
        return {**audio, "m.safetensors": model, "m.npy": mel, "c.toml": config}

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Run a command that reads the file."""
        (folder / name).write_bytes(content)
        (folder / "model").write_bytes(self._model)
        model = str(folder / "model")
        path, out = str(folder / name), str(folder / "out.wav")
        args = {
            ".wav": ["resynth", path, "-o", out, "-m", model, "-f", "--no-enhance"],
            ".npy": ["vocode", path, "-o", out, "-m", model, "-f"],
            ".safetensors": ["resynth", str(folder / "intact.wav"), "-o", out, "-m", path, "-f"],
            ".toml": ["info", "--resolved", "--config", path],
        }[Path(name).suffix]
        (folder / "intact.wav").write_bytes(encode(voice(0.1)))
        if rng.random() < 0.3 and Path(name).suffix != ".toml":
            args = ["info", path]
        exit_code, stderr = _run_in_fork(args, folder)
        assert exit_code in self._EXIT_CODES, (exit_code, stderr)
        assert "Traceback" not in stderr, stderr
        assert "a bug in hifigan" not in stderr, stderr
        temporaries = [entry.name for entry in folder.iterdir() if entry.name.endswith(".tmp")]
        assert not temporaries
        return f"exit {exit_code}"


def _run_in_fork(args: list[str], folder: Path) -> tuple[int, str]:
    """Run a command in a fork; return its exit code and stderr."""
    import hifigan_cli.synthesis.resynthesis  # noqa: F401 - once, before the forks
    from hifigan_cli.cli.main import run

    stderr = folder / "stderr.txt"
    child = os.fork()
    if child == 0:
        try:
            descriptor = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 2)
            exit_code = run(args)
            sys.stderr.flush()
            os._exit(exit_code)
        finally:
            os._exit(1)
    exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return exit_code, stderr.read_text(errors="replace")


class FaultyKind(Kind):
    """A reader with faults, to test the supervisor."""

    name = "faulty"

    def create_originals(self) -> dict[str, bytes]:
        """Return any files."""
        return {"a": b"abc", "b": b"abcdef"}

    def run_case(self, number: int, folder: Path) -> str | None:
        """Hang, crash, raise, or succeed."""
        if number == 1:
            time.sleep(1000)
        if number == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if number == 4:
            number //= 0
        return None

    def read(self, name: str, content: bytes, folder: Path, rng: Random) -> str | None:
        """Raise: `run_case` does not call this."""
        raise NotImplementedError


KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (AudioFiles, Mels, Models, Configurations, Commands, FaultyKind)
}
