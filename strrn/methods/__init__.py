"""The papers' algorithms as pure functions: losses, cycle check, selection, pseudo-label table."""
