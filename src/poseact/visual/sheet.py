"""Many images on one page."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt


def contact_sheet(
    images: Sequence[npt.NDArray[np.uint8]], columns: int, cell: int = 192
) -> npt.NDArray[np.uint8]:
    """Images (H, W, 3) in rows of ``columns`` squares of ``cell`` px, each shrunk to fit."""
    rows = -(-len(images) // columns)
    sheet = np.full((rows * cell, columns * cell, 3), 32, np.uint8)
    for i, image in enumerate(images):
        scale = cell / max(image.shape[:2])
        width, height = (max(1, round(n * scale)) for n in (image.shape[1], image.shape[0]))
        top, left = i // columns * cell, i % columns * cell
        sheet[top : top + height, left : left + width] = cv2.resize(image, (width, height))
    return sheet
