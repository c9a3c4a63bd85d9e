"""Scores: from a network and a data set to numbers, files, tables and figures.

- `protocols`: the two evaluations that training and the commands call; start here.
- `rules`: what varies between them, by name (ours, paper, released).
- `metrics`: pure functions.  `scores`: what an evaluation answers.
- `poses`, `actions`: a whole set through the network.  `sharing`: by several processes.
- `calibration`: how large the regions of joints must be.
- `run`, `files`: the command, and its JSON files.  `examples`: sheets.  `submission`: MPII's file.
- `report`, `figures`, `paper`: tables and figures beside the paper's numbers.
"""
