"""Pages to look at and to listen to: one HTML file that needs no network, for any recordings.

- `content`: what a page shows: clips, their versions, figures
- `media`: sound and pictures as text within the page; `curves`: figures over steps
- `document`: the frame of every page; `listening.css` and `listening.js` are put into it
- `build`: the page of such content
- `evaluation`, `training`: the pages of `hifigan evaluate` and of a training run
- `describe`: what any file or folder is, for `hifigan info`
- `resynthesis`: what `hifigan resynth` read and wrote, side by side

    build_page(PageContent("noisy and clean", (ShownClip("a", (Version("noisy", audio), ...)),)))
"""

from hifigan_cli.reports.build import build_page
from hifigan_cli.reports.content import PageContent, Picture, ShownClip, Version

__all__ = ["PageContent", "Picture", "ShownClip", "Version", "build_page"]
