"""The entry flow (Fig. 11): from the crop to features at an eighth of its side."""

from __future__ import annotations

from torch import Tensor, nn

from poseact.network.layers import ConvBN, SeparableResidual, joined, max_pool

PUBLISHED_WIDTH = 576


def scaled(channels: int, width: int) -> int:
    """Channels of a stem layer in a network of another width: a multiple of 8, at least 8."""
    return max(8, round(channels * width / PUBLISHED_WIDTH / 8) * 8)


class Stem(nn.Module):
    """Crop (N, 3, S, S) in [-1, 1] to features (N, width, S/8, S/8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        c32, c64, c96, c192 = (scaled(c, width) for c in (32, 64, 96, 192))
        both = c64 + c96
        self.entry = nn.Sequential(
            ConvBN(3, c32, 3, 2, after=True),
            ConvBN(c32, c32, 3, after=True),
            ConvBN(c32, c64, 3, after=True),
        )
        self.down1 = ConvBN(c64, c96, 3, 2, after=True)
        self.short = nn.Sequential(ConvBN(both, c64, 1, after=True), ConvBN(c64, c96, 3))
        self.long = nn.Sequential(
            ConvBN(both, c64, 1, after=True),
            ConvBN(c64, c64, (5, 1), after=True),
            ConvBN(c64, c64, (1, 5), after=True),
            ConvBN(c64, c96, 3),
        )
        self.down2 = ConvBN(2 * c96, c192, 3, 2, before=True)
        self.residual = SeparableResidual(c192 + 2 * c96, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        x = joined(self.down1(x), max_pool(x, 3))
        x = joined(self.short(x), self.long(x))
        x = joined(self.down2(x), max_pool(x))
        return self.residual(x)  # type: ignore[no-any-return]
