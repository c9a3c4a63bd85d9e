"""Training.

- `recipe`: typed YAML recipes.  `loop`: the loop.  `losses`: what it minimises.
- `checkpoint`: the resume state of a run.
"""
