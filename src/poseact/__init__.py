"""2D and 3D pose, how sure it is of each joint, and the action, from one network.

The network of Luvizon, Picard, Tabia, *2D/3D Pose Estimation and Action Recognition using
Multitask Deep Learning*, CVPR 2018.

- `structures`, `skeleton`, `geometry`: samples and answers, named joints, coordinates.
- `network`: the network.  `weights`: its files, and the published ones.
- `data`: data sets.  `training`, `recipes`: training.  `evaluation`: metrics and protocols.
- `inference`: from images to answers.  `visual`: pictures.  `cli`: the command line.
"""

from poseact.inference.stream import Stream, predict
from poseact.weights import load_model

__all__ = ["Stream", "load_model", "predict"]
__version__ = "0.1.0"
