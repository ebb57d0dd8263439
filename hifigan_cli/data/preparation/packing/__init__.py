"""Clips -> shards and their journal, from which a killed run continues.

Each clip's numbers are appended to a shard, and only then its line to the journal. A run that was
killed at any moment leaves at worst some numbers that no line speaks of. The next run keeps the
lines, in the corpus's order, as long as each still says the truth: the file has not changed and the
stored numbers match their digest. The rest is cut off and done again, so the end result is the one
of a run that was never disturbed.

Where several processes share the work, each has a journal and shards of its own, told apart by
their names, and looks at nobody else's. Only when all journals have their last line does one of
them write the index (see `finish`).

Read in this order:

- `journal`: what a journal says, line by line
- `names`: what the files of a preparation are called, and whose they are
- `kept`: how much of an earlier run still holds
- `pack`: shards and journal, open for appending
"""

from hifigan_cli.data.preparation.packing.journal import Ending, Entry, read_journal
from hifigan_cli.data.preparation.packing.pack import Pack, open_pack

__all__ = ["Ending", "Entry", "Pack", "open_pack", "read_journal"]
