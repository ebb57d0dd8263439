"""HTML pages to look at and to listen to: one file each, which needs no network.

    build_page("noisy and clean", [ShownClip("a", [Version("noisy", audio), ...])], [], [], [])

- `page`: what a page shows (clips, versions, a table), and its HTML with `listening.css` and
  `listening.js`
- `media`: sound and pictures as `data:` addresses; `curves`: values over steps as drawings
- `evaluation`: the page of `hifigan evaluate`
- `resynthesis`: the page of `hifigan resynth`, recordings and results
- `training`: the page of a training run
- `describe`: what any file or folder is, for `hifigan info`
"""

from hifigan_cli.reports.page import Picture, ShownClip, Version, build_page

__all__ = ["Picture", "ShownClip", "Version", "build_page"]
