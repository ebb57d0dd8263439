"""Tests of metrics, bars, reports and the listening page."""
