"""Tests of benchmarks/, on toy data: that they run, and that their numbers are what they say."""
