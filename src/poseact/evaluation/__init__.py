"""Scores. `metrics`: pure functions, named after their protocol.  `protocols`: network and data to scores."""
