"""A page to listen to: one HTML file that needs no network, for any set of titled recordings.

- `content`: what a page shows: clips, their versions, figures
- `media`: sound and pictures as text within the page
- `build`: the page of such content; `listening.css` and `listening.js` are put into it
- `choice`: which clips of a report are shown, and the page of a report

    build_page(PageContent("noisy and clean", (ShownClip("a", (Version("noisy", audio), ...)),)))
"""

from hifigan_cli.evaluation.page.build import build_page
from hifigan_cli.evaluation.page.choice import page_of_report
from hifigan_cli.evaluation.page.content import PageContent, ShownClip, Version

__all__ = ["PageContent", "ShownClip", "Version", "build_page", "page_of_report"]
