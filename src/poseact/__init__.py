"""2D and 3D pose, how sure it is of each joint, and the action, from one network.

The network of Luvizon, Picard, Tabia, *2D/3D Pose Estimation and Action Recognition using
Multitask Deep Learning*, CVPR 2018.

- `structures`, `skeleton`, `geometry`: samples and answers, named joints, coordinates.
- `network`: the network.  `weights`: its files, and the published ones.
- `data`: data sets.  `training`, `recipes`: training.  `evaluation`: metrics and protocols.
- `inference`: from images to answers.  `visual`: pictures.  `cli`: the command line.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poseact.inference.stream import Stream, predict
    from poseact.weights import load_model

__all__ = ["DEFAULT_WEIGHTS", "Stream", "load_model", "predict"]
__version__ = "0.1.0"
DEFAULT_WEIGHTS = "poseact-small"
"""The weights that the package carries: taken where none are named."""


def __getattr__(name: str) -> Any:
    """Import the public functions when they are asked for: without torch, ``--help`` answers at once."""
    if name in ("Stream", "predict"):
        from poseact.inference import stream

        return getattr(stream, name)
    if name == "load_model":
        from poseact.weights import load_model

        return load_model
    raise AttributeError(f"module 'poseact' has no attribute {name!r}")
