"""Synthetic labelled faces from the CC0 MakeHuman mesh."""
