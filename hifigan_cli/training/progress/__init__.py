"""How far a training has come, and what may be wrong with it: "am I done?".

- `reference`: the official training's errors, and where an error stands among them
- `trend`: a straight line through noisy figures, and how sure its slope is
- `forecast`: when the error reaches its bar, where that can be told
- `judges`: what each sub-discriminator says of unseen clips
- `watch`: the signs of trouble in a run's figures, each told once
"""
