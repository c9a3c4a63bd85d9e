"""The network, pure torch: no files, no outside configuration.

- `multitask`: the whole forward pass; start here.
- `stem`, `pose`, `action`: its three parts.  `soft_argmax`, `layers`: what they are made of.
- `presets`: the published networks and smaller ones.
"""

from poseact.network.multitask import MultitaskNetwork, to_input
from poseact.network.presets import PRESETS, arguments, build

__all__ = ["PRESETS", "MultitaskNetwork", "arguments", "build", "to_input"]
