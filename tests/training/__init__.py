"""Tests of training: the step, exact resume, several processes, signals, the command."""
