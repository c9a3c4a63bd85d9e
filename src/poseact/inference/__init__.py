"""From images to answers.

- `predictor`: the only full chain; the command line and evaluation call it.
- `files`: image files and folders in, overlays and JSON out.  `writers`: the file formats.
- `fold`: batch norm folded away.  `device`: which device runs.
"""
