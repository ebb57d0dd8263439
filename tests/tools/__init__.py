"""Programs that make what the repository ships or shows: the demo's speech, README tables."""
