"""HTML pages with players and pictures: one file each, without network access.

    build_page("noisy and clean", [PageClip("a", [Version("noisy", audio), ...])], [], [], [])

- `page`: the parts of a page (clips, versions, a table), and its HTML with `listening.css` and
  `listening.js`
- `media`: audio and pictures as `data:` URLs; `curves`: values over steps as SVG
- `evaluation`: the page of `hifigan evaluate`
- `resynthesis`: the page of `hifigan resynth`
- `training`: the page of a training run
- `describe`: the kind of any file or folder and its facts, for `hifigan info`
"""

from hifigan_cli.reports.page import PageClip, Picture, Version, build_page

__all__ = ["PageClip", "Picture", "Version", "build_page"]
