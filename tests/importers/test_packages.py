"""The other projects' own generators, where their packages are installed: the same samples.

Nothing of these packages is needed otherwise; `foreign` and `reference` say the same without them.
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
from tests.importers.foreign import others, recipes
from tests.importers.foreign.networks import COQUI, ESPNET, SMALL, SPEECH_T5, State, lists, normed

pytestmark = [pytest.mark.usefixtures("in_process"), pytest.mark.filterwarnings("ignore")]

PARITY = 1e-5
MEL = np.random.default_rng(0).normal(-3, 1, (80, 21)).astype(np.float32)
SPEECH = speech(0.7)


def their(module: str) -> Any:
    """Import a module of another project, or skip with the reason."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - packages fail to import in many ways
        summary = str(error).strip().partition("\n")[0]
        pytest.skip(f"{module.partition('.')[0]} is not usable here: {summary}")


def louder(net: Any) -> Any:
    """Give a network weights whose output is far from silence, and from the ends of tanh."""
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


def compare(found: ImportResult, samples: Tensor, padding: int = 0) -> None:
    """Hold the imported model's samples against theirs, which may have copies of the ends."""
    ours = Vocoder(found.model, "cpu").vocode(MEL).samples[0]
    theirs = samples.detach().reshape(-1).numpy()
    cut = padding * found.model.mel.hop_length
    theirs = theirs[cut : len(theirs) - cut]
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 0.01
    difference = float(np.abs(ours - theirs).max())
    print(f"parity {found.family}: {difference:.1e}")
    assert difference < PARITY


def test_speechbrain(tmp_path: Path) -> None:
    """SpeechBrain: reflecting convolutions, five copied frames; and its mel."""
    module = their("speechbrain.lobes.models.HifiGAN")
    values = {**lists(SMALL, **COQUI), "resblock_type": "1"}
    net = louder(module.HifiganGenerator(in_channels=80, out_channels=1, **values))
    found = _imported(tmp_path, others.write_speechbrain, "generator.ckpt", net.state_dict())
    compare(found, net.inference(torch.from_numpy(MEL)[None]), padding=5)
    theirs = module.mel_spectrogram(
        22050, 256, 1024, 1024, 80, 0.0, 8000, 1, False, "slaney", "slaney", True,
        torch.from_numpy(SPEECH),
    )  # fmt: skip
    _compare_mel(found, theirs.numpy())


def test_transformers(tmp_path: Path) -> None:
    """Transformers: mean and scale within; and the mel of SpeechT5's feature extractor."""
    module = their("transformers.models.speecht5.modeling_speecht5")
    extraction = their("transformers.models.speecht5.feature_extraction_speecht5")
    config = module.SpeechT5HifiGanConfig(**lists(SPEECH_T5, "resblock"))
    net = louder(module.SpeechT5HifiGan(config).eval())
    mean, scale = others.statistics()
    net.mean.copy_(torch.from_numpy(mean))
    net.scale.copy_(torch.from_numpy(scale))
    net.save_pretrained(tmp_path)
    found = import_checkpoint(tmp_path / "model.safetensors")
    compare(found, net(torch.from_numpy(MEL.T)))
    samples = speech(0.7, 16_000)
    extractor = extraction.SpeechT5FeatureExtractor()
    theirs = extractor(audio_target=samples, sampling_rate=16_000)["input_values"][0]
    _compare_mel(found, np.asarray(theirs).reshape(-1, 80).T, samples)
    extractor.save_pretrained(tmp_path)
    assert import_checkpoint(tmp_path / "model.safetensors").model.mel == found.model.mel


def test_coqui(tmp_path: Path) -> None:
    """Coqui TTS: five copied frames."""
    module = their("TTS.vocoder.models.hifigan_generator")
    values = {**lists(SMALL, **COQUI), "resblock_type": "1"}
    net = louder(module.HifiganGenerator(in_channels=80, out_channels=1, **values))
    state = {f"model_g.{key}": value for key, value in net.state_dict().items()}
    found = _imported(tmp_path, recipes.write_coqui, "model_file.pth", {"model": state})
    compare(found, net.inference(torch.from_numpy(MEL)[None]), padding=5)


def test_coquis_mel(tmp_path: Path) -> None:
    """Coqui's audio processor: decibels within a range."""
    processor = their("TTS.utils.audio.processor")
    shared = their("TTS.config.shared_configs")
    config = shared.BaseAudioConfig(**_without(recipes.COQUI_AUDIO, "log_func"))
    found = import_checkpoint(recipes.write_coqui(tmp_path, normed(SMALL)))
    _compare_mel(found, processor.AudioProcessor(config).melspectrogram(SPEECH))


def test_espnet(tmp_path: Path) -> None:
    """ESPnet: the vocoder of a joint model, with normalised features."""
    module = their("espnet2.gan_tts.hifigan.hifigan")
    net = louder(module.HiFiGANGenerator(**lists(SMALL, "resblock", **ESPNET)))
    mean, scale = map(torch.from_numpy, others.statistics())
    state = {f"tts.generator.vocoder.{key}": value for key, value in net.state_dict().items()}
    state |= {"normalize.mean": mean, "normalize.std": scale}
    name = "train.total_count.ave_5best.pth"
    found = _imported(tmp_path, others.write_espnet, name, state)
    given = (torch.from_numpy(MEL.T) - mean) / scale
    compare(found, net.inference(given))


def test_espnets_mel(tmp_path: Path) -> None:
    """ESPnet's own filterbank, on speech; in silence it holds the power, not the sum, above 0."""
    module = their("espnet2.tts.feats_extract.log_mel_fbank")
    extract = module.LogMelFbank(fs=22050, n_fft=1024, hop_length=256, fmin=80, fmax=7600)
    found = import_checkpoint(others.write_espnet(tmp_path, normed(SMALL)))
    theirs, _ = extract(torch.from_numpy(SPEECH)[None])
    _compare_mel(found, theirs[0].numpy().T, within=5e-3)


@pytest.mark.parametrize("scales", [(8, 8, 2, 2), (5, 5, 4, 3)])
@pytest.mark.parametrize("additional", [True, False])
def test_parallel_wavegan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scales: tuple[int, ...], additional: bool
) -> None:
    """ParallelWaveGAN: even and odd rates, with and without additional convolutions."""
    import scipy.signal

    monkeypatch.setattr(scipy.signal, "kaiser", scipy.signal.windows.kaiser, raising=False)
    module = their("parallel_wavegan.models.hifigan")
    values: dict[str, Any] = {
        "channels": 32,
        "upsample_scales": list(scales),
        "upsample_kernel_sizes": [2 * scale for scale in scales],
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilations": [[1, 3, 5], [1, 3, 5]] if additional else [[1, 2], [2, 6]],
        "use_additional_convs": additional,
    }
    net = louder(module.HiFiGANGenerator(**values))
    path = others.write_parallel_wavegan(tmp_path, {}, **values)
    text = (tmp_path / "config.yml").read_text()
    assert "upsample_kernal_sizes" in text
    (tmp_path / "config.yml").write_text(_without_misspelt(text))
    torch.save({"model": {"generator": net.state_dict()}, "steps": 1}, path)
    found = import_checkpoint(path)
    net.register_stats(str(tmp_path / "stats.npy"))
    compare(found, net.inference(torch.from_numpy(MEL.T), normalize_before=True))


def test_nemo(tmp_path: Path) -> None:
    """NeMo: blocks of two numbers in an archive."""
    module = their("nemo.collections.tts.modules.hifigan_modules")
    net = louder(module.Generator(**lists(SMALL)))
    flat: State = {}
    for key, value in net.state_dict().items():
        parts = key.split(".")
        if parts[0] == "resblocks":  # the writer nests them again
            parts[1:3] = [str(int(parts[1]) * 2 + int(parts[2]))]
        flat[".".join(parts)] = value
    found = import_checkpoint(recipes.write_nemo(tmp_path, flat))
    compare(found, net(x=torch.from_numpy(MEL)[None]))


@pytest.mark.parametrize(
    "options",
    [{}, {"log_zero_guard_type": "add", "log_zero_guard_value": 1.0, "mel_norm": None}],
    ids=["clamped", "added"],
)
def test_nemos_mel(tmp_path: Path, options: dict[str, Any]) -> None:
    """NeMo's filterbank features: symmetric window, silence at the ends.

    Its count of frames is one less than there are, and it fills the last by `pad_value`.
    """
    module = their("nemo.collections.asr.parts.preprocessing.features")
    settings = {**recipes.NEMO_MEL, **options}
    extract = module.FilterbankFeatures(**_without(settings, "_target_")).eval()
    found = import_checkpoint(recipes.write_nemo(tmp_path, normed(SMALL), **options))
    length = torch.tensor([len(SPEECH)])
    theirs, frames = extract(torch.from_numpy(SPEECH)[None], length)
    assert frames == theirs.shape[2] - 1
    _compare_mel(found, theirs[0].numpy(), filled=1)


def test_everyvoice(tmp_path: Path) -> None:
    """EveryVoice: the generator within a Lightning checkpoint, as its own dump describes it."""
    package = "everyvoice.model.vocoder.HiFiGAN_iSTFT_lightning.hfgl"
    config_module, module = their(f"{package}.config"), their(f"{package}.model")
    config = config_module.HiFiGANConfig(
        contact={"contact_name": "x", "contact_email": "x@example.org"},
        model={**lists(SMALL), "resblock": "1"},
    )
    net = louder(module.Generator(config))
    content = {
        "state_dict": {f"generator.{key}": value for key, value in net.state_dict().items()},
        "hyper_parameters": {"config": config.model_checkpoint_dump()},
    }
    torch.save(content, tmp_path / "last.ckpt")
    found = import_checkpoint(tmp_path / "last.ckpt")
    compare(found, net(torch.from_numpy(MEL)[None]))


@pytest.mark.parametrize("kind", ["mel-librosa", "mel"])
def test_everyvoices_mel(tmp_path: Path, kind: str) -> None:
    """EveryVoice's transforms: centred; the last frame, which it drops, is ours as well."""
    module = their("everyvoice.utils.heavy")
    transform = module.get_spectral_transform(
        kind, 1024, 1024, 256, sample_rate=22050, n_mels=80, f_min=0, f_max=8000
    )
    state = normed(SMALL)
    found = import_checkpoint(others.write_everyvoice(tmp_path, state, spec_type=kind))
    theirs = module.dynamic_range_compression_torch(transform(torch.from_numpy(SPEECH)))
    _compare_mel(found, theirs.numpy())


def _imported(folder: Path, write: Any, name: str, content: Any) -> ImportResult:
    """Write a family's configuration, then the package's own state in place of ours."""
    write(folder, normed(SMALL))
    torch.save(content, folder / name)
    return import_checkpoint(folder / name)


def _compare_mel(
    found: ImportResult,
    theirs: npt.NDArray[Any],
    samples: npt.NDArray[np.float32] = SPEECH,
    within: float = 2e-3,
    filled: int = 0,
) -> None:
    """Hold our mel of a recording against theirs, but for the rounding of float32."""
    ours = log_mel(samples[None], found.model.mel)[0]
    assert ours.shape == theirs.shape
    computed = theirs.shape[1] - filled
    difference = float(np.abs(ours - theirs)[:, :computed].max())
    print(f"mel {found.family}: {difference:.1e}")
    assert difference < within


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _without_misspelt(text: str) -> str:
    """Keep one of the two names that a configuration here has for the kernels."""
    import yaml

    content = yaml.safe_load(text)
    content["generator_params"].pop("upsample_kernal_sizes")
    return json.dumps(content)
