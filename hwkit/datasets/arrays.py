"""Images and labels that a user gives, arrays or a folder, as the tensors of a data set.

Whatever is wrong with them is one DataError that says what was found and what is needed; nothing is guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwkit.datasets.own import MOST_CLASSES
from hwkit.datasets.sources import DATASETS, Facts, is_own
from hwkit.engine import files
from hwkit.errors import DataError
from hwkit.formats import LONGEST_LABEL, is_label, size

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LISTED = 5  # names in an error message

Tensors = tuple[Tensor, Tensor, Tensor, Tensor]  # images and labels for training, images and labels for the test


# ------------------------------------------------------------------------------------------------------- arrays


def from_arrays(train_images: Any, train_labels: Any, test_images: Any, test_labels: Any) -> Tensors:
    """Arrays, tensors or lists as uint8 (N, C, H, W) and int64 (N,), copied; see `hwkit.Dataset.from_arrays`."""
    return (
        _images("train_images", train_images),
        _labels("train_labels", train_labels),
        _images("test_images", test_images),
        _labels("test_labels", test_labels),
    )


def _images(what: str, given: Any) -> Tensor:
    array = _array(what, given)
    if len(array) == 0 or 0 in array.shape:
        raise DataError(f"{what} holds no images: its shape is {array.shape}")
    pixels = torch.from_numpy(_bytes(what, array))
    if pixels.max() <= 1:
        brightest = "1" if array.dtype == np.uint8 else "1/255"
        raise DataError(f"{what} is black: no value is above {brightest}; {_RANGES}")
    if pixels.ndim == 3:
        return pixels.unsqueeze(1)
    if pixels.ndim != 4:
        raise DataError(f"{what} has the shape {array.shape}; {_SHAPES}")
    first, last = pixels.shape[1] in (1, 3), pixels.shape[3] in (1, 3)
    if first and last:
        raise DataError(f"{what} has channels as its second or last axis, with the shape {array.shape}; {_SHAPES}")
    if not first and not last:
        four = "4 channels" if 4 in (pixels.shape[1], pixels.shape[3]) else "neither 1 nor 3 channels"
        raise DataError(f"{what} has {four}, with the shape {array.shape}; {_SHAPES}")
    return pixels if first else pixels.permute(0, 3, 1, 2).contiguous()


_SHAPES = "it must be (N, H, W), (N, H, W, C) or (N, C, H, W), with 1 or 3 channels"
_RANGES = "images must be uint8 from 0 to 255, or floats from 0 to 1"


def _bytes(what: str, array: np.ndarray) -> np.ndarray:
    """Pixels as uint8 of their own memory."""
    if array.dtype == np.uint8:
        return array.copy()
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{what} holds {array.dtype}; {_RANGES}")
    finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if not finite.all():
        raise DataError(f"{what} holds NaN or infinity, first in image {int(finite.argmin())}; {_RANGES}")
    low, high = array.min(), array.max()
    if low < 0 or high > 1:
        raise DataError(f"{what} holds {array.dtype} from {low:.4g} to {high:.4g}; {_RANGES}")
    return (array * 255).round().astype(np.uint8)


def _labels(what: str, given: Any) -> Tensor:
    array = _array(what, given)
    if array.ndim == 2 and array.shape[1] == 1:  # as Keras gives them
        array = array[:, 0]
    if array.ndim != 1:
        hint = "; if it is one-hot, pass its argmax(axis=1)" if array.ndim == 2 else ""
        raise DataError(f"{what} has the shape {array.shape}; it must be (N,){hint}")
    if len(array) and not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"{what} holds {array.dtype}, such as {array[0]!r:.40}; labels must be of an integer type and count from "
            "0, and their names go into classes="
        )
    return torch.from_numpy(array.astype(np.int64))


def _array(what: str, given: Any) -> np.ndarray:
    """What was given as an array in the machine's byte order; a tensor may be on any device."""
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given
    elif isinstance(given, Sequence) and given and all(isinstance(one, Tensor) for one in given):
        given = [one.detach().cpu().numpy() for one in given]
    shapes = {np.shape(one) for one in given} if isinstance(given, (list, tuple)) else set()
    if len(shapes) > 1:
        raise DataError(
            f"{what} is of mixed sizes, such as {' and '.join(map(str, sorted(shapes)[:2]))}; make them one"
        )
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise DataError(f"{what} cannot be made an array: {error}") from None
    if isinstance(given, np.ndarray) and given.dtype == object and given.ndim == 1:  # of arrays, it may be
        return _array(what, list(given))
    if array.ndim == 0:
        raise DataError(f"{what} must be an array, not {given!r:.40}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


# ------------------------------------------------------------------------------------------------------- a folder


def from_folder(
    path: Path, image_size: int | tuple[int, int] | None, test_fraction: float
) -> tuple[Tensors, list[str]]:
    """Images in one folder per class, as tensors, and the names of the classes; see `hwkit.Dataset.from_folder`."""
    shape = _checked_size(image_size)
    if not isinstance(test_fraction, (int, float)) or not 0 < test_fraction < 1:
        raise DataError(f"test_fraction must be a number above 0 and below 1, not {test_fraction!r}")
    folders = _folders(path)
    if {"train", "test"} <= set(folders):
        parts = _divided(path, list(folders))
        classes = list(parts[0])
        chosen = [[(file, label) for label, name in enumerate(classes) for file in part[name]] for part in parts]
    else:
        found = {name: _files(folder) for name, folder in folders.items()}
        _check_classes(path, found)
        classes = list(found)
        chosen = _split(found, test_fraction)
    generator = torch.Generator().manual_seed(0)
    # Mixed, since an experiment may take the first images only, or hold out the last ones.
    mixed = [[part[index] for index in torch.randperm(len(part), generator=generator)] for part in chosen]
    pixels = _stacked([file for part in mixed for file, _ in part], shape)
    labels = torch.tensor([label for part in mixed for _, label in part])
    count = len(mixed[0])
    return (pixels[:count], labels[:count], pixels[count:], labels[count:]), classes


def _checked_size(given: Any) -> tuple[int, int] | None:
    shape = (given, given) if isinstance(given, int) else given
    if shape is None:
        return None
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(one) is int and one > 0 for one in shape):
        raise DataError(f"size must be a whole number of pixels above 0, or (height, width), not {given!r}")
    return shape


def _folders(path: Path) -> dict[str, Path]:
    """The folders in a folder by name, sorted; hidden ones do not count."""
    if not path.is_dir():
        raise DataError(f"{path} is {'no folder' if path.exists() else 'not there'}; it must hold one folder per class")
    return {one.name: one for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith((".", "__"))}


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.suffix.lower() in EXTENSIONS and not one.name.startswith("."))


def _divided(path: Path, names: list[str]) -> list[dict[str, list[Path]]]:
    """The files by class in `train/` and `test/`, which have to hold the same classes."""
    if len(names) > 2:
        others = ", ".join(name for name in names if name not in ("train", "test"))
        raise DataError(f"{path} holds {others} beside train and test; hwkit takes these two: move the others away")
    parts = [{name: _files(one) for name, one in _folders(path / part).items()} for part in ("train", "test")]
    for part, found in zip(("train", "test"), parts, strict=True):
        _check_classes(path / part, found)
    if parts[0].keys() != parts[1].keys():
        only = sorted(parts[0].keys() ^ parts[1].keys())
        raise DataError(f"{path} has {_listed(only)} in only one of train and test; both must hold the same classes")
    return parts


def _check_classes(path: Path, found: dict[str, list[Path]]) -> None:
    """Raise DataError unless there are classes, and images of each."""
    if len(found) < 2:
        what = f"only the class {next(iter(found))}" if found else "no folders"
        raise DataError(f"{path} holds {what}; it must hold one folder of images for each of at least 2 classes")
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise DataError(f"{_listed(empty)} in {path} holds no images ({', '.join(EXTENSIONS)}); add some, or remove it")


def _split(found: dict[str, list[Path]], test_fraction: float) -> list[list[tuple[Path, int]]]:
    """Files and labels for training and for the test; the fraction holds within each class."""
    train, test = [], []
    generator = torch.Generator().manual_seed(0)
    for label, (name, paths) in enumerate(found.items()):
        if len(paths) < 2:
            raise DataError(
                f"{name} has only the image {paths[0]}; a class needs one for training and one for the test"
            )
        count = min(max(1, round(test_fraction * len(paths))), len(paths) - 1)
        mixed = [(paths[index], label) for index in torch.randperm(len(paths), generator=generator)]
        test += mixed[:count]
        train += mixed[count:]
    return [train, test]


def _stacked(paths: Sequence[Path], shape: tuple[int, int] | None) -> Tensor:
    """The images in files, uint8 (N, C, H, W), with one channel if all of them are grey."""
    with ThreadPoolExecutor() as pool:  # Pillow decodes beside Python
        pictures = list(pool.map(lambda path: _picture(path, shape), paths))
    first = pictures[0].shape[:2]
    for path, picture in zip(paths, pictures, strict=True):
        if picture.shape[:2] != first:
            one, other = (f"{p} with {h} x {w}" for p, (h, w) in ((paths[0], first), (path, picture.shape[:2])))
            raise DataError(f"images of mixed sizes (height x width): {one}, {other}; pass size= to make them one size")
    if any(picture.ndim == 3 for picture in pictures):
        pictures = [picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1) for picture in pictures]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return torch.from_numpy(np.stack(pictures)).unsqueeze(1)


def _picture(path: Path, shape: tuple[int, int] | None) -> np.ndarray:
    """An image file as uint8, grey (H, W) or colour (H, W, 3), cut and scaled to a shape if there is one."""
    from PIL import Image, ImageOps

    try:
        with files.open_plain(path) as file, Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith(("I", "F")):
                raise DataError(f"{path} has more than 8 bits per pixel (mode {picture.mode}); convert it to 8")
            if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
                raise DataError(f"{path} has transparent pixels and thus 4 channels; put it on a background")
            picture = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
            return np.asarray(ImageOps.fit(picture, (shape[1], shape[0])) if shape else picture)
    except DataError:
        raise
    except Exception as error:  # of whatever kind: Pillow has many for damaged files
        raise DataError(f"{path} cannot be read as an image ({error}); replace it or move it away") from None


# --------------------------------------------------------------------------------------------------- what they make


def facts_of(name: str, classes: Sequence[Any] | None, tensors: Tensors) -> Facts:
    """What is known of a data set of the user's own; DataError if it cannot be one.

    Parameters
    ----------
    classes : their names by label; None numbers them.
    tensors : uint8 (N, C, H, W) and int64 (N,), for training and for the test.
    """
    if not isinstance(name, str) or not is_own(f"{name}@{'0' * 12}") or name in DATASETS:
        taken = ", ".join(DATASETS)
        raise DataError(f"name must be 1 to 60 letters, digits, - and _, and none of {taken}; it is {name!r:.80}")
    train_images, train_labels, test_images, test_labels = tensors
    for part, images, labels in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        if len(images) != len(labels):
            raise DataError(f"there are {len(images)} {part}_images and {len(labels)} {part}_labels; each needs one")
    if train_images.shape[1:] != test_images.shape[1:]:
        shapes = [" x ".join(map(str, images.shape[1:])) for images in (train_images, test_images)]
        raise DataError(f"train_images are of {shapes[0]} (channels x height x width) and test_images of {shapes[1]}")
    held = sum(images.numel() + 8 * len(images) for images in (train_images, test_images))
    if held >= files.LARGEST_TENSORS:
        most = size(files.LARGEST_TENSORS)
        raise DataError(f"{name} has {size(held)}; hwkit holds data sets in memory whole, up to {most}")
    names = _class_names(classes, train_labels)
    _check_labels(names, train_labels, test_labels)
    mean, std = _moments(train_images)
    channels, height, width = train_images.shape[1:]
    return Facts(name, (channels, height, width), names, len(train_labels), len(test_labels), mean, std)


def _class_names(classes: Sequence[Any] | None, labels: Tensor) -> tuple[str, ...]:
    if isinstance(classes, str) or not isinstance(classes, (Sequence, np.ndarray, type(None))):
        raise DataError(f"classes must be a list of names, by label, not {classes!r:.40}")
    names = None if classes is None else tuple(map(str, classes))
    count = int(labels.max()) + 1 if names is None else len(names)
    if not 2 <= count <= MOST_CLASSES:
        found = "there is only one class" if count == 1 else f"there are {count} classes"
        raise DataError(f"{found}; a data set needs 2 to {MOST_CLASSES}")
    if names is None:
        return tuple(map(str, range(count)))
    if len(set(names)) < count:
        raise DataError(f"classes has {next(n for n in names if names.count(n) > 1)!r} twice; each needs its own name")
    for name in names:
        if not name or not is_label(name):
            wanted = f"1 to {LONGEST_LABEL} printable characters without <, >, ` and \\"
            raise DataError(f"a class is called {name!r:.60}; its name must be {wanted}")
    return names


def _check_labels(names: tuple[str, ...], train_labels: Tensor, test_labels: Tensor) -> None:
    for what, labels in (("train_labels", train_labels), ("test_labels", test_labels)):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(names):
            wanted = f"with {len(names)} classes they must be from 0 to {len(names) - 1}"
            raise DataError(f"{what} go from {low} to {high}; {wanted}")
    counts = torch.bincount(train_labels, minlength=len(names)).tolist()
    empty = [name for name, count in zip(names, counts, strict=True) if not count]
    if empty:
        raise DataError(f"class {_listed(empty)} has no training images; labels must count from 0 without gaps")


def _moments(images: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of all pixels, scaled to [0, 1], from exact counts: the same on every machine."""
    counts = torch.zeros(256, dtype=torch.int64)
    for part in images.split(1000):
        counts += torch.bincount(part.flatten(), minlength=256)
    values = list(enumerate(counts.tolist()))
    count = sum(n for _, n in values)
    total, squares = sum(v * n for v, n in values), sum(v * v * n for v, n in values)
    variance = (squares * count - total * total) / count**2
    if not variance:
        raise DataError(f"all pixels of the training images are {images[0, 0, 0, 0]}; there is nothing to learn from")
    return total / count / 255, math.sqrt(variance) / 255


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def name_of(folder: Path) -> str:
    """A folder's name as the name of a data set."""
    return re.sub(r"[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-")[:60] or "own"
