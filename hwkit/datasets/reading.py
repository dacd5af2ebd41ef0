"""What the files of the data sets hold, as arrays.

torchvision could read them too, but takes longer to import than all this, and would not parse the bytes whose checksum
matched.
"""

from __future__ import annotations

import gzip
import io
import pickle
from pathlib import Path

import numpy as np

from hwkit.datasets.sources import DATASETS, read_verified


def read(name: str, folder: Path, *, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, C, H, W), and labels, uint8 (N,), of one half of a data set below `folder`.

    What is parsed, and for CIFAR unpickled, are the very bytes whose checksum matched; DataError where it did not.
    """
    facts = DATASETS[name]
    images, labels = [], []
    for file in facts.files:
        if file.train if train else file.test:
            found = _parse(file.path, read_verified(name, folder, file))
            images += found[:1] if "labels" not in file.path else []
            labels += found[-1:] if "images" not in file.path else []
    return np.concatenate(images).reshape(-1, *facts.shape), np.concatenate(labels)


def _parse(path: str, content: bytes) -> list[np.ndarray]:
    """Images, labels, or both, as a file holds them."""
    if path.endswith(".mat"):
        from scipy.io import loadmat

        found = loadmat(io.BytesIO(content))
        return [found["X"].transpose(3, 2, 0, 1), found["y"].ravel() % 10]  # SVHN labels the digit 0 as 10
    if path.startswith("cifar"):
        batch = pickle.loads(content, encoding="latin1")  # of Python 2
        return [batch["data"], np.array(batch.get("labels") or batch["fine_labels"], np.uint8)]
    content = gzip.decompress(content) if path.endswith(".gz") else content
    axes = content[3]  # of IDX: two zeros, the type, the number of axes, then the length of each
    return [np.frombuffer(content, np.uint8, offset=4 + 4 * axes)]
