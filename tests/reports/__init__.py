"""Tests of the HTML pages that the tool writes."""
