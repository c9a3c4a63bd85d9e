"""Synthetic people written in the forms in which data sets lie on disk, one file a form.

- `clips`: videos in a folder for each action, a JSON of labels beside each.
- `mpii`, `human36m`, `penn_action`, `ntu`: the official forms of those sets.
- `staging`: what they share: what was ordered, how it is performed, filmed and described.
- `mat`: MATLAB files.

Each form has ``LABELS``, which of our actions has which of the set's labels (not in `clips` and
`mpii`, where an action has its own name), and ``tasks(order)``, the files to be made. They are
stand-ins, for trying a recipe from end to end where the set itself is not at hand: the files have
the set's form, and the people what `skeleton.FIGURE36` has; ``head`` is the top of the head in all.
"""
