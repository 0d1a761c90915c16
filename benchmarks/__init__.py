"""Scripts that measure. Each prints a table; figures in the docs name the script that made them.

render: faces a second, and what every factor costs. landmarks: do rendered shapes follow the conventions of real labels?
sim2real: a network that saw rendered faces only, on labelled photographs.
"""
