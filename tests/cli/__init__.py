"""End-to-end tests: the commands, each in a subprocess."""
