"""Predict to a file, score the file, draw the report. pseudo*: look at what a round mined; without torch, for the command line."""
