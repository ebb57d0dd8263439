"""The families of checkpoints, one file each: what its files look like, and what they mean.

Every family ends where the others do: a mel convention, an architecture, and weights under the
official names. Read in this order:

- `official`: the official code, and all that kept its format; its discriminators
- `nvidia`: DeepLearningExamples
- `nemo`: .nemo archives
- `speechbrain`: reflecting convolutions, HyperPyYAML
- `parallel_wavegan`: ParallelWaveGAN, with statistics
- `espnet`: the vocoder within an ESPnet joint model
- `transformers`: SpeechT5HifiGan and FastSpeech2ConformerHifiGan
- `coqui`: Coqui TTS
- `bshall`: the vocoder of the soft-unit voice conversion
- `everyvoice`: Lightning checkpoints of EveryVoice
"""
