"""Pages to look at and to listen to: one HTML file that needs no network, for any recordings.

- `content`: what a page shows: clips, their versions, figures
- `media`: sound and pictures as text within the page; `curves`: figures over steps
- `document`: the frame of every page; `listening.css` and `listening.js` are put into it
- `build`: the page of such content
- `resynthesis`: what `hifigan resynth` read and wrote, side by side

    build_page(PageContent("noisy and clean", (ShownClip("a", (Version("noisy", audio), ...)),)))
"""

from hifigan_cli.pages.build import build_page
from hifigan_cli.pages.content import PageContent, Picture, ShownClip, Version

__all__ = ["PageContent", "Picture", "ShownClip", "Version", "build_page"]
