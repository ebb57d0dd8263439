"""Imported models match the other projects' own generators, where their packages are installed.

The packages are optional: `test_families` tests the same without them.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.importers.importing import ImportResult, import_checkpoint
from hifigan_cli.synthesis import Vocoder
from tests.helpers import speech
from tests.importers.foreign import nvidia_nemo_coqui, other_families
from tests.importers.foreign.networks import (
    COQUI,
    ESPNET,
    SMALL,
    SPEECH_T5,
    StateDict,
    architecture,
    weight_normed_state,
)

pytestmark = [pytest.mark.usefixtures("in_process"), pytest.mark.filterwarnings("ignore")]

TOLERANCE = 1e-5
MEL = np.random.default_rng(0).normal(-3, 1, (80, 21)).astype(np.float32)
SPEECH = speech(0.7)


def import_or_skip(module: str) -> Any:
    """Import a module of another project, or skip with the reason."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - packages fail to import in many ways
        summary = str(error).strip().partition("\n")[0]
        pytest.skip(f"{module.partition('.')[0]} is not usable here: {summary}")


def randomize_weights(net: Any) -> Any:
    """Set random weights whose output is far from silence and from the limits of tanh."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith(("weight_g", "original0")):
                value.fill_(1.2)
            elif value.ndim == 1:
                value.normal_(0, 0.1)
            else:
                value.normal_(0, value[0].numel() ** -0.5)
    return net


def assert_same_samples(result: ImportResult, samples: Tensor, padding: int = 0) -> None:
    """Compare the imported model's samples with the expected ones, which may have padding."""
    actual = Vocoder(result.model, "cpu").vocode(MEL).samples[0]
    expected = samples.detach().reshape(-1).numpy()
    cut = padding * result.model.mel.hop_length
    expected = expected[cut : len(expected) - cut]
    assert actual.shape == expected.shape
    assert np.abs(expected).max() > 0.01
    difference = float(np.abs(actual - expected).max())
    print(f"parity {result.family}: {difference:.1e}")
    assert difference < TOLERANCE


def test_speechbrain(tmp_path: Path) -> None:
    """SpeechBrain: reflection padding, five frames of inference padding, and the mel."""
    module = import_or_skip("speechbrain.lobes.models.HifiGAN")
    values = {**architecture(SMALL, **COQUI), "resblock_type": "1"}
    net = randomize_weights(module.HifiganGenerator(in_channels=80, out_channels=1, **values))
    result = import_state(
        tmp_path, other_families.write_speechbrain, "generator.ckpt", net.state_dict()
    )
    assert_same_samples(result, net.inference(torch.from_numpy(MEL)[None]), padding=5)
    expected = module.mel_spectrogram(
        22050, 256, 1024, 1024, 80, 0.0, 8000, 1, False, "slaney", "slaney", True,
        torch.from_numpy(SPEECH),
    )  # fmt: skip
    assert_same_mel(result, expected.numpy())


def test_transformers(tmp_path: Path) -> None:
    """Transformers: mean and scale in the weights, and the mel of SpeechT5's feature extractor."""
    module = import_or_skip("transformers.models.speecht5.modeling_speecht5")
    extraction = import_or_skip("transformers.models.speecht5.feature_extraction_speecht5")
    config = module.SpeechT5HifiGanConfig(**architecture(SPEECH_T5, "resblock"))
    net = randomize_weights(module.SpeechT5HifiGan(config).eval())
    mean, scale = other_families.statistics()
    net.mean.copy_(torch.from_numpy(mean))
    net.scale.copy_(torch.from_numpy(scale))
    net.save_pretrained(tmp_path)
    result = import_checkpoint(tmp_path / "model.safetensors")
    assert_same_samples(result, net(torch.from_numpy(MEL.T)))
    samples = speech(0.7, 16_000)
    extractor = extraction.SpeechT5FeatureExtractor()
    expected = extractor(audio_target=samples, sampling_rate=16_000)["input_values"][0]
    assert_same_mel(result, np.asarray(expected).reshape(-1, 80).T, samples)
    extractor.save_pretrained(tmp_path)
    assert import_checkpoint(tmp_path / "model.safetensors").model.mel == result.model.mel


def test_coqui(tmp_path: Path) -> None:
    """Coqui TTS: five frames of inference padding."""
    module = import_or_skip("TTS.vocoder.models.hifigan_generator")
    values = {**architecture(SMALL, **COQUI), "resblock_type": "1"}
    net = randomize_weights(module.HifiganGenerator(in_channels=80, out_channels=1, **values))
    state = {f"model_g.{key}": value for key, value in net.state_dict().items()}
    result = import_state(
        tmp_path, nvidia_nemo_coqui.write_coqui, "model_file.pth", {"model": state}
    )
    assert_same_samples(result, net.inference(torch.from_numpy(MEL)[None]), padding=5)


def test_coqui_mel(tmp_path: Path) -> None:
    """Coqui's audio processor: decibels scaled into a range."""
    processor = import_or_skip("TTS.utils.audio.processor")
    shared = import_or_skip("TTS.config.shared_configs")
    config = shared.BaseAudioConfig(**omit_key(nvidia_nemo_coqui.COQUI_AUDIO, "log_func"))
    result = import_checkpoint(nvidia_nemo_coqui.write_coqui(tmp_path, weight_normed_state(SMALL)))
    assert_same_mel(result, processor.AudioProcessor(config).melspectrogram(SPEECH))


def test_espnet(tmp_path: Path) -> None:
    """ESPnet: the vocoder of a joint model, with normalized features."""
    module = import_or_skip("espnet2.gan_tts.hifigan.hifigan")
    net = randomize_weights(module.HiFiGANGenerator(**architecture(SMALL, "resblock", **ESPNET)))
    mean, scale = map(torch.from_numpy, other_families.statistics())
    state = {f"tts.generator.vocoder.{key}": value for key, value in net.state_dict().items()}
    state |= {"normalize.mean": mean, "normalize.std": scale}
    name = "train.total_count.ave_5best.pth"
    result = import_state(tmp_path, other_families.write_espnet, name, state)
    normalized = (torch.from_numpy(MEL.T) - mean) / scale
    assert_same_samples(result, net.inference(normalized))


def test_espnet_mel(tmp_path: Path) -> None:
    """ESPnet's filterbank on speech; in silence it differs, because it clamps the power."""
    module = import_or_skip("espnet2.tts.feats_extract.log_mel_fbank")
    extract = module.LogMelFbank(fs=22050, n_fft=1024, hop_length=256, fmin=80, fmax=7600)
    result = import_checkpoint(other_families.write_espnet(tmp_path, weight_normed_state(SMALL)))
    expected, _ = extract(torch.from_numpy(SPEECH)[None])
    assert_same_mel(result, expected[0].numpy().T, tolerance=5e-3)


@pytest.mark.parametrize("scales", [(8, 8, 2, 2), (5, 5, 4, 3)])
@pytest.mark.parametrize("additional", [True, False])
def test_parallel_wavegan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scales: tuple[int, ...], additional: bool
) -> None:
    """ParallelWaveGAN: even and odd rates, with and without additional convolutions."""
    import scipy.signal

    monkeypatch.setattr(scipy.signal, "kaiser", scipy.signal.windows.kaiser, raising=False)
    module = import_or_skip("parallel_wavegan.models.hifigan")
    values: dict[str, Any] = {
        "channels": 32,
        "upsample_scales": list(scales),
        "upsample_kernel_sizes": [2 * scale for scale in scales],
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilations": [[1, 3, 5], [1, 3, 5]] if additional else [[1, 2], [2, 6]],
        "use_additional_convs": additional,
    }
    net = randomize_weights(module.HiFiGANGenerator(**values))
    path = other_families.write_parallel_wavegan(tmp_path, {}, **values)
    text = (tmp_path / "config.yml").read_text()
    assert "upsample_kernal_sizes" in text
    (tmp_path / "config.yml").write_text(drop_misspelled_key(text))
    torch.save({"model": {"generator": net.state_dict()}, "steps": 1}, path)
    result = import_checkpoint(path)
    net.register_stats(str(tmp_path / "stats.npy"))
    assert_same_samples(result, net.inference(torch.from_numpy(MEL.T), normalize_before=True))


def test_nemo(tmp_path: Path) -> None:
    """NeMo: residual blocks with two indices, in an archive."""
    module = import_or_skip("nemo.collections.tts.modules.hifigan_modules")
    net = randomize_weights(module.Generator(**architecture(SMALL)))
    flat: StateDict = {}
    for key, value in net.state_dict().items():
        parts = key.split(".")
        if parts[0] == "resblocks":  # `write_nemo` nests them again
            parts[1:3] = [str(int(parts[1]) * 2 + int(parts[2]))]
        flat[".".join(parts)] = value
    result = import_checkpoint(nvidia_nemo_coqui.write_nemo(tmp_path, flat))
    assert_same_samples(result, net(x=torch.from_numpy(MEL)[None]))


@pytest.mark.parametrize(
    "options",
    [{}, {"log_zero_guard_type": "add", "log_zero_guard_value": 1.0, "mel_norm": None}],
    ids=["clamped", "added"],
)
def test_nemo_mel(tmp_path: Path, options: dict[str, Any]) -> None:
    """NeMo's filterbank features: symmetric window, zero padding at the ends.

    NeMo reports one frame less than it returns, and fills the last frame with `pad_value`.
    """
    module = import_or_skip("nemo.collections.asr.parts.preprocessing.features")
    settings = {**nvidia_nemo_coqui.NEMO_MEL, **options}
    extract = module.FilterbankFeatures(**omit_key(settings, "_target_")).eval()
    result = import_checkpoint(
        nvidia_nemo_coqui.write_nemo(tmp_path, weight_normed_state(SMALL), **options)
    )
    length = torch.tensor([len(SPEECH)])
    expected, frames = extract(torch.from_numpy(SPEECH)[None], length)
    assert frames == expected.shape[2] - 1
    assert_same_mel(result, expected[0].numpy(), padded_frames=1)


def test_everyvoice(tmp_path: Path) -> None:
    """EveryVoice: the generator in a Lightning checkpoint, with EveryVoice's dumped settings."""
    package = "everyvoice.model.vocoder.HiFiGAN_iSTFT_lightning.hfgl"
    config_module, module = import_or_skip(f"{package}.config"), import_or_skip(f"{package}.model")
    config = config_module.HiFiGANConfig(
        contact={"contact_name": "x", "contact_email": "x@example.org"},
        model={**architecture(SMALL), "resblock": "1"},
    )
    net = randomize_weights(module.Generator(config))
    content = {
        "state_dict": {f"generator.{key}": value for key, value in net.state_dict().items()},
        "hyper_parameters": {"config": config.model_checkpoint_dump()},
    }
    torch.save(content, tmp_path / "last.ckpt")
    result = import_checkpoint(tmp_path / "last.ckpt")
    assert_same_samples(result, net(torch.from_numpy(MEL)[None]))


@pytest.mark.parametrize("kind", ["mel-librosa", "mel"])
def test_everyvoice_mel(tmp_path: Path, kind: str) -> None:
    """EveryVoice's transforms: centered, without dropping the last frame."""
    module = import_or_skip("everyvoice.utils.heavy")
    transform = module.get_spectral_transform(
        kind, 1024, 1024, 256, sample_rate=22050, n_mels=80, f_min=0, f_max=8000
    )
    state = weight_normed_state(SMALL)
    result = import_checkpoint(other_families.write_everyvoice(tmp_path, state, spec_type=kind))
    expected = module.dynamic_range_compression_torch(transform(torch.from_numpy(SPEECH)))
    assert_same_mel(result, expected.numpy())


def import_state(folder: Path, write: Any, name: str, content: Any) -> ImportResult:
    """Write a family's configuration with the package's own state dict, and import it."""
    write(folder, weight_normed_state(SMALL))
    torch.save(content, folder / name)
    return import_checkpoint(folder / name)


def assert_same_mel(
    result: ImportResult,
    expected: npt.NDArray[Any],
    samples: npt.NDArray[np.float32] = SPEECH,
    tolerance: float = 2e-3,
    padded_frames: int = 0,
) -> None:
    """Compare our mel of a recording with the expected one, up to float32 rounding."""
    actual = log_mel(samples[None], result.model.mel)[0]
    assert actual.shape == expected.shape
    frames = expected.shape[1] - padded_frames
    difference = float(np.abs(actual - expected)[:, :frames].max())
    print(f"mel {result.family}: {difference:.1e}")
    assert difference < tolerance


def omit_key(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def drop_misspelled_key(text: str) -> str:
    """Remove the misspelled key of the kernel sizes, which the configuration has twice."""
    import yaml

    content = yaml.safe_load(text)
    content["generator_params"].pop("upsample_kernal_sizes")
    return json.dumps(content)
