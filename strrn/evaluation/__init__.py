"""Predict to a file, score the file, draw the report."""
