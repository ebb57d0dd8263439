"""The families of checkpoints, one file each: the format of its files and their meaning.

Every family returns a mel convention, an architecture, and weights under the official names. Read
in this order:

- `official`: the official code and all tools with its format; its discriminators
- `nvidia`: DeepLearningExamples
- `nemo`: .nemo archives
- `speechbrain`: convolutions with reflection padding, HyperPyYAML
- `parallel_wavegan`: ParallelWaveGAN, with mel statistics
- `espnet`: the vocoder within an ESPnet joint model
- `transformers`: SpeechT5HifiGan and FastSpeech2ConformerHifiGan
- `coqui`: Coqui TTS
- `bshall`: the vocoder of the soft-unit voice conversion
- `everyvoice`: Lightning checkpoints of EveryVoice
"""
