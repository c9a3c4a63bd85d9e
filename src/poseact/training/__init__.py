"""Training.

- `recipe`: typed YAML recipes, and chains of them.  `loop`: runs, stage after stage.
- `start`: the data sets and the network that a stage starts from.  `epoch`: one epoch, one step.
- `losses`: what is minimised.  `optimisation`: how weights change, also with many processes.
- `validation`: scores and log after each epoch.  `pictures`: what the network answers, drawn.
- `kept`: frozen poses answered once, and poses without pictures.  `found`: boxes of one's own videos.
- `knees`: which way they bend.  `checkpoint`: the resume state of a run.  `typed`: YAML to dataclasses.
"""
