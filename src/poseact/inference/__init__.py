"""From images to answers.

- `predictor`: the only full chain, from image and box to joints; the command line and evaluation call it.
- `source`: pictures, a video, a stream, a camera as frames.  `boxes`: the person's box, found or given.
- `stream`: people followed from frame to frame, and what they do.
- `uncertainty`: where a joint may be.  `space`: metres.  `smoothing`: joints that tremble less.
- `run`: a video to its result folder.  `files`: pictures to theirs.
  `many`: many videos, in parallel.
- `fold`: a network made faster.  `device`: which device runs.
"""
