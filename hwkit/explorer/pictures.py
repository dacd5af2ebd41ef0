"""Pictures from outside, drawn or uploaded, as test images of a data set would be."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from hwkit.datasets import known_facts
from hwkit.errors import DataError

MOST_PIXELS = 80_000_000  # 320 MB in memory
DIGIT_BOX = 20  # pixels, into which MNIST's makers fitted every digit before centring it (yann.lecun.com/exdb/mnist)


def as_test_image(content: bytes, dataset: str) -> Tensor:
    """A picture file as an image of a data set, uint8 (C, H, W).

    The middle of it in the proportions of the data set's images, scaled to their size; transparent parts are white.
    Where these are centred digits, as MNIST's makers made them: bright ink on black, the digit fitted into 20x20 pixels
    with its proportions kept, and its centre of mass in the middle of the image.

    Raises
    ------
    DataError
        If it is no picture that can be read, or an empty one.
    """
    try:
        with Image.open(io.BytesIO(content)) as file:
            if math.prod(file.size) > MOST_PIXELS:  # a small file may claim as many as it likes
                raise ValueError(f"it has {file.size[0]} x {file.size[1]} pixels; make it smaller")
            turned = ImageOps.exif_transpose(file).convert("RGBA")
    except Exception as error:  # Pillow raises many kinds on damaged files; all mean the same here
        raise DataError(f"this is no picture that can be read ({error}); take a PNG or JPEG file") from None
    image = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned).convert("RGB")
    facts = known_facts(dataset)
    if facts.centred_digits:
        return _centred_digit(np.asarray(image.convert("L")), facts.size)
    channels, height, width = facts.shape
    middle = ImageOps.fit(image.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.array(middle)).view(height, width, channels).permute(2, 0, 1).contiguous()


def _centred_digit(grey: np.ndarray, size: int) -> Tensor:
    """A digit on any even ground, uint8 (H, W), as MNIST has it: uint8 (1, size, size)."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = np.abs(grey.astype(np.float32) - np.median(border))
    marked = ink > 0.2 * 255
    if not marked.any():
        raise DataError("there is nothing on this picture; draw a digit, dark on bright or bright on dark")
    rows, columns = marked.any(axis=1).nonzero()[0], marked.any(axis=0).nonzero()[0]
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    digit = Image.fromarray((255 * digit / digit.max()).astype(np.uint8))
    scale = DIGIT_BOX / max(digit.size)
    shape = [max(1, round(scale * side)) for side in digit.size]
    small = np.asarray(digit.resize(shape, Image.Resampling.BOX), np.float32)
    small *= 255 / small.max()
    mass = small.sum()
    centre_y = (small.sum(axis=1) @ np.arange(small.shape[0])) / mass
    centre_x = (small.sum(axis=0) @ np.arange(small.shape[1])) / mass
    top = int(np.clip(round((size - 1) / 2 - centre_y), 0, size - small.shape[0]))
    left = int(np.clip(round((size - 1) / 2 - centre_x), 0, size - small.shape[1]))
    canvas = np.zeros((1, size, size), np.uint8)
    canvas[0, top : top + small.shape[0], left : left + small.shape[1]] = small.round().astype(np.uint8)
    return torch.from_numpy(canvas)
