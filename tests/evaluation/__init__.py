"""Tests of metrics, thresholds and reports."""
