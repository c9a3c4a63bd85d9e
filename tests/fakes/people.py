"""A network that sees a person in what is bright, and sources of bright rectangles on black."""

import numpy as np
import torch
from torch import nn

from poseact.inference.source import Frame, Source
from poseact.network.pose import drawn_maps
from poseact.skeleton import PA16
from poseact.structures import PoseOutput

PATTERN = torch.tensor([[x, y] for y in (-1, -0.4, 0.4, 1) for x in (-1, -0.4, 0.4, 1)])


class Bright(nn.Module):
    """Answers 16 joints spread over the bright part of a crop, its corners among them.

    Its maps are diffuse and no joint is visible where nothing is bright; the last ``unseen`` never are.
    """

    layout, action_labels, actions, frames, joints, dim, released = PA16, (), 0, 0, 16, 2, False
    metadata: dict[str, str] = {}  # noqa: RUF012
    blocks = (None,)

    def __init__(self, size=64, unseen=0):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.size, self.unseen = size, unseen

    def estimate(self, frames):
        light = ((frames.mean(1) + 1) / 2) ** 2  # black is 0
        total = light.sum((1, 2))
        p = light / total.clamp_min(1e-6)[:, None, None]
        at = (torch.arange(frames.shape[-1]) + 0.5) / frames.shape[-1]
        x, y = p.sum(1), p.sum(2)
        middle = torch.stack([(x * at).sum(1), (y * at).sum(1)], -1)
        spread = torch.stack([(x * at**2).sum(1), (y * at**2).sum(1)], -1) - middle**2
        half = (3 * spread.clamp_min(0)).sqrt()
        somebody = total > 4
        pose = torch.where(somebody[:, None, None], middle[:, None] + half[:, None] * PATTERN, 0.5)
        seen = somebody[:, None].float().repeat(1, 16)
        seen[:, 16 - self.unseen :] = 0
        maps = drawn_maps(pose, frames.shape[-1] // 8).clamp_min(1e-6).log() * somebody[:, None, None, None]
        return (PoseOutput(pose, seen, maps),), frames[..., ::8, ::8]


def picture(x, y, width=40, height=100, size=(320, 240)):
    """(240, 320, 3): a bright rectangle of pixels around (x, y) on black; all black where x is None."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    if x is not None:
        left, top = max(0, round(x - width / 2)), max(0, round(y - height / 2))
        image[top : max(0, round(y + height / 2)), left : max(0, round(x + width / 2))] = 230
    return image


def source(images, live=False, fps=10.0, lost=0):
    """A source of images that are in memory; None stands for one that cannot be read.

    ``lost``: frames that went by between those that are looked at.
    """
    images = list(images)
    shown = next(image for image in images if image is not None)

    def frames(first):
        for number, image in enumerate(images[first:], first):
            yield Frame(number, number * (1 + lost) / fps, image, "" if image is not None else "unreadable")

    return Source(
        name="memory",
        fps=fps,
        size=(shown.shape[1], shown.shape[0]),
        frames=frames,
        ahead=None if live else lambda n: images[min(n, len(images) - 1)],
        count=None if live else len(images),
    )
