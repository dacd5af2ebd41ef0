"""What a page carries: arrays and a JSON description, deflated and as text, as page/tensors.js reads them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# Digits of text: what HTML, JSON and attributes hold as it is. Four bytes take five of them, where base64 takes 5.33.
DIGITS = "".join(chr(code) for code in range(35, 127) if chr(code) not in "$&'<>\\`")
LARGEST_HALF = 65504
BLOCK = 64  # columns rounded before what follows is corrected
FEW = 20_000  # numbers, at most, in a parameter that is kept as half-precision numbers whatever the others are


class Payload:
    """Arrays by name, and anything else that JSON can hold."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self._described: dict[str, dict[str, Any]] = {}
        self._chunks: list[bytes] = []
        self._length = 0

    def add(self, name: str, array: np.ndarray | Tensor, dtype: str | None = None, **description: Any) -> None:
        """Add an array: uint8, int8, uint16, float16 or float32."""
        array = np.ascontiguousarray(array if dtype is None else np.asarray(array).astype(dtype))
        about = {"dtype": str(array.dtype), "shape": list(array.shape), "offset": self._length}
        self._described[name] = about | description
        content = array.tobytes()
        content += b"\0" * (-len(content) % 4)
        self._chunks.append(content)
        self._length += len(content)

    def add_weights(self, name: str, tensor: Tensor, levels: int | None, moments: np.ndarray | None = None) -> Tensor:
        """Add a parameter; returns what the page will compute with.

        With `levels`, 127 or fewer, its numbers are whole ones between plus and minus that, with a factor for each row,
        the first axis; without, and if there are few of them, they have half precision. `moments` as in `quantised`.
        """
        values = tensor.detach().float().numpy()
        if np.abs(values).max(initial=0) > LARGEST_HALF:
            self.add(name, values)
            return tensor
        if levels is None or values.size <= FEW or values.ndim < 2:
            self.add(name, values, "float16")
            return torch.from_numpy(values.astype(np.float16).astype(np.float32))
        whole, factors = quantised(values, levels, moments)
        self.add(f"{name}.rows", factors)
        self.add(name, whole, scale=f"{name}.rows")
        return torch.from_numpy(whole * factors.reshape(-1, *[1] * (values.ndim - 1)))

    def encode(self) -> str:
        """Everything as text that HTML and JSON can hold as it is."""
        header = json.dumps({**self.about, "arrays": self._described}, separators=(",", ":"), allow_nan=False).encode()
        header += b" " * (-len(header) % 4)
        content = b"".join((struct.pack("<I", len(header)), header, *self._chunks))
        # Most of it is weights, in which nothing repeats: a search for repetitions takes long and makes it larger.
        deflate = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
        return as_text(deflate.compress(content) + deflate.flush())


def as_text(content: bytes) -> str:
    """Bytes as `DIGITS`, five for each four; the first digit is how many bytes were added at the end to make fours."""
    added = -len(content) % 4
    words = np.frombuffer(content + b"\0" * added, "<u4")
    digits = np.stack([words // 85**place % 85 for place in range(5)], axis=1)
    return DIGITS[added] + np.frombuffer(DIGITS.encode(), np.uint8)[digits].tobytes().decode()


def quantised(values: np.ndarray, levels: int, moments: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, float32 (rows, ...), as whole ones, int8, and a factor for each row, float32 (rows,).

    `moments`, float64 (k, k), is the mean product of every two inputs that a row is multiplied with. With it, numbers
    that are rounded later make up for the error of those before (GPTQ, Frantar et al. 2023, arXiv:2210.17323).
    """
    rows = values.reshape(len(values), -1)
    factors = np.maximum(np.abs(rows).max(axis=1), 1e-30).astype(np.float32) / np.float32(levels)
    scaled = rows / factors[:, None]
    whole = np.rint(scaled)
    if moments is not None:
        damped = moments + 0.01 * max(np.trace(moments) / len(moments), 1e-12) * np.eye(len(moments))
        shares = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
        for start in range(0, len(shares), BLOCK):
            end = min(start + BLOCK, len(shares))
            errors = np.empty((len(scaled), end - start), np.float32)
            for k in range(start, end):
                whole[:, k] = np.clip(np.rint(scaled[:, k]), -levels, levels)
                errors[:, k - start] = (scaled[:, k] - whole[:, k]) / shares[k, k]
                scaled[:, k + 1 : end] -= np.outer(errors[:, k - start], shares[k, k + 1 : end])
            scaled[:, end:] -= errors @ shares[start:end, end:]  # all at once, which is faster
    return whole.astype(np.int8).reshape(values.shape), factors


def sprite(images: np.ndarray, quality: int | None, step: int = 1) -> tuple[bytes, np.ndarray]:
    """Images side by side in one WebP file, and what a reader of it will see.

    Parameters
    ----------
    images : uint8 (N, C, H, W). Those of three channels are colours; the channels of others stand below each other.
    quality : of 100; None keeps every pixel as it is, but for
    step : to whose multiples the pixels are rounded.
    """
    if step > 1:
        images = np.minimum(np.rint(images / step) * step, 255).astype(np.uint8)
    n, channels, height, width = images.shape
    across = columns_of(n, width)
    down = -(-n // across)
    tiles = np.zeros((down * across, channels, height, width), np.uint8)
    tiles[:n] = images
    grid = tiles.reshape(down, across, channels, height, width)
    if channels == 3:
        sheet = Image.fromarray(grid.transpose(0, 3, 1, 4, 2).reshape(down * height, across * width, 3))
    else:
        sheet = Image.fromarray(grid.transpose(0, 2, 3, 1, 4).reshape(down * channels * height, across * width))
    file = io.BytesIO()
    options = {"lossless": True, "quality": 90} if quality is None else {"quality": quality}
    sheet.save(file, "WEBP", exact=True, **options)
    if quality is None:
        return file.getvalue(), images
    seen = np.asarray(Image.open(file).convert("RGB"))
    if channels == 3:
        tiles = seen.reshape(down, height, across, width, 3).transpose(0, 2, 4, 1, 3)
    else:
        tiles = seen[..., 0].reshape(down, channels, height, across, width).transpose(0, 3, 1, 2, 4)
    return file.getvalue(), tiles.reshape(-1, channels, height, width)[:n]


def columns_of(count: int, width: int) -> int:
    """How many of `count` images stand side by side: WebP files are at most 16383 pixels wide and high."""
    return max(1, min(100, count, 16383 // width))
