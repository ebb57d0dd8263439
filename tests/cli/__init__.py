"""End-to-end tests of the commands, which run in subprocesses."""
