"""Data sets as uint8 tensors: loading them, making one's own, batches, and augmentation on whole batches.

A data set is four tensors. They are small enough to live on the device whole (CIFAR-10: 184 MB), so a batch is an
`index_select` and augmentation is a `torch.where`: no worker processes, no per-image Python.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwkit.datasets import arrays, is_own, known_facts, own, reading, resolve_source, standin
from hwkit.datasets.sources import Source, folder_of_data
from hwkit.engine import code, files, run_files
from hwkit.errors import DataError, ExperimentError
from hwkit.experiment import Experiment, batches_per_epoch
from hwkit.paths import store_root

FLIP_PROBABILITY = 0.5  # the reference report's augmentation of CIFAR-10
GRAYSCALE_PROBABILITY = 0.1


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as four tensors, all on one device.

    Attributes
    ----------
    name : one of `hwkit.datasets.DATASETS`, which a stand-in bears too; of the user's own the identity, which is a name
        and the beginning of a checksum, such as "digits@3fa9c1d2e0b4".
    source : 'real' or 'stand-in'.
    classes : the names of the classes, by label.
    train_images, test_images : uint8 (N, C, H, W).
    train_labels, test_labels : int64 (N,).

    The tensors may be shared with other experiments of the process: never change them in place.

    Examples
    --------
    >>> own = hwkit.Dataset.from_folder("photos")  # a folder for each class  # doctest: +SKIP
    >>> hwkit.train(hwkit.Experiment(dataset=own, epochs=3), model=Net)  # doctest: +SKIP
    """

    name: str
    source: Source
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @classmethod
    def from_arrays(
        cls,
        train_images: Any,
        train_labels: Any,
        test_images: Any,
        test_labels: Any,
        *,
        name: str = "own",
        classes: Sequence[str] | None = None,
    ) -> Dataset:
        """A data set of your own from arrays, which are copied; training keeps it in the run store.

        Parameters
        ----------
        train_images, test_images : NumPy arrays, tensors or lists, uint8 or float in [0, 1]; (N, H, W), (N, H, W, C) or
            (N, C, H, W), with 1 or 3 channels. Experiments take the first images where they take a part: mix them.
        train_labels, test_labels : whole numbers from 0, (N,).
        name : what runs and figures call it.
        classes : 2 to 1000 names, by label; None numbers them.

        Raises
        ------
        DataError : for anything else; the message says what was found and what is needed.

        Examples
        --------
        >>> images, labels = np.random.rand(60, 20, 20), np.arange(60) % 2
        >>> digits = Dataset.from_arrays(images[10:], labels[10:], images[:10], labels[:10], name="digits")
        >>> hwkit.train(Experiment(dataset=digits, epochs=3), model=Net)  # doctest: +SKIP
        """
        return _own(name, classes, arrays.from_arrays(train_images, train_labels, test_images, test_labels))

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        *,
        size: int | tuple[int, int] | None = None,
        test_fraction: float = 0.2,
        name: str | None = None,
    ) -> Dataset:
        """A data set of your own from image files, one folder per class; training keeps it in the run store.

        Parameters
        ----------
        path : holds the folders, or two folders `train` and `test` that do. Images are grey if all of them are.
        size : height and width, or one number for both, to which images are cut, around their centres, and scaled;
            None takes them as they are, all of one size.
        test_fraction : of each class, where there are no folders `train` and `test`; the same images each time.
        name : what runs and figures call it; None is the folder's name.

        Raises
        ------
        DataError : a file cannot be read, an image is of another size, a class is empty, ...; the message names it.

        Examples
        --------
        >>> pets = hwkit.Dataset.from_folder("pets", size=64)  # pets/cat/1.jpg, pets/dog/7.png, ... # doctest: +SKIP
        """
        folder = Path(path).expanduser()
        tensors, classes = arrays.from_folder(folder, size, test_fraction)
        return _own(arrays.name_of(folder) if name is None else name, classes, tensors)

    @property
    def identity(self) -> str:
        """What an experiment names a data set of the user's own by; ExperimentError for any other, or for a part."""
        facts = known_facts(self.name)
        if not is_own(self.name) or (len(self.train_labels), len(self.test_labels)) != facts.sizes:
            raise ExperimentError(
                f"{facts.title} must be given {'whole' if is_own(self.name) else f'by its name, {self.name!r}'}; data, "
                "train_size, test_size and holdout choose the stand-in or a part"
            )
        return self.name

    @property
    def title(self) -> str:
        """The name for tables and title pages; a stand-in says that it is one."""
        title = known_facts(self.name).title
        return title if self.source == "real" else f"{title} stand-in (drawn, not the real data)"

    @cached_property
    def checksum(self) -> str:
        """Hex sha256 over the bytes of the four tensors, in the order of the fields."""
        return _checksum(self.tensors)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Training images and labels, test images and labels."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels

    def to(self, device: str | torch.device) -> Dataset:
        """The same data set on `device`."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )


# --------------------------------------------------------------------------------------------------- loading


def load(
    name: str,
    source: str = "auto",
    root: str | Path | None = None,
    device: str | torch.device = "cpu",
    train_size: int | None = None,
    test_size: int | None = None,
    holdout: int = 0,
) -> Dataset:
    """Load a data set, whole or its first images.

    Parameters
    ----------
    name : one of `hwkit.datasets.DATASETS`, or the identity of a data set of the user's own.
    source : 'real'; 'stand-in'; or 'auto', the real set if it is there or can be downloaded, else the stand-in.
    root : the folder of the data sets; default `hwkit.paths.data_root()`.
    train_size, test_size : keep the first n images only; default all.
    holdout : take the last n training images out of the training set and put them in place of the test images,
        so that a schedule can be chosen without a look at the test set.

    Raises
    ------
    DataError : an unknown name or source; the real set is damaged, in part missing, or asked for and not to be had.
    ExperimentError : a size that the data set does not have.
    """
    source = resolve_source(name, source, root)
    facts = known_facts(name)
    available = facts.train_size - _checked_size("holdout", holdout, 0, facts.train_size - 1)
    train_size = _checked_size("train_size", available if train_size is None else train_size, 1, available)
    largest_test = holdout or facts.test_size
    test_size = _checked_size("test_size", largest_test if test_size is None else test_size, 1, largest_test)

    if is_own(name):
        dataset = _whole(name)
    elif source == "real":
        folder = folder_of_data(root).resolve()
        test = _read(name, folder, train=False)
        dataset = Dataset(name, "real", facts.classes, *_read(name, folder, train=True), *test)
    else:
        # Drawing only what is asked for keeps small experiments quick; held-out images are the last ones of all.
        dataset = _draw(name, facts.train_size if holdout else train_size, test_size)
    if holdout:
        dataset = replace(
            dataset, test_images=dataset.train_images[-holdout:], test_labels=dataset.train_labels[-holdout:]
        )
    dataset = replace(
        dataset,
        train_images=dataset.train_images[:train_size],
        train_labels=dataset.train_labels[:train_size],
        test_images=dataset.test_images[:test_size],
        test_labels=dataset.test_labels[:test_size],
    )
    return dataset.to(device)


def of(experiment: Experiment, device: str | torch.device = "cpu") -> Dataset:
    """The images and labels that an experiment trains and tests on; errors as of `load`."""
    dataset = load(
        experiment.dataset,
        experiment.data,
        device=device,
        train_size=experiment.train_size,
        test_size=experiment.test_size,
        holdout=experiment.holdout,
    )
    first = dataset.train_labels[0]
    if is_own(dataset.name) and bool((dataset.train_labels == first).all()):  # arrays may be sorted by class
        raise DataError(
            f"the {len(dataset.train_labels)} training images are all of the class {dataset.classes[first]}; mix the "
            "images before Dataset.from_arrays, or take more of them"
        )
    return dataset


def load_test(
    name: str, source: str = "auto", root: str | Path | None = None, test_size: int | None = None, holdout: int = 0
) -> tuple[Tensor, Tensor]:
    """The test images and labels that `load` gives, uint8 (N, C, H, W) and int64 (N,), on the CPU.

    Reads, and checks, only the files that hold them, which is a sixth of CIFAR-10. Parameters and errors as of `load`.
    """
    if holdout or is_own(name) or resolve_source(name, source, root) == "stand-in":
        dataset = load(name, source, root, train_size=1, test_size=test_size, holdout=holdout)
        return dataset.test_images, dataset.test_labels
    images, labels = _read(name, folder_of_data(root).resolve(), train=False)
    count = _checked_size("test_size", len(images) if test_size is None else test_size, 1, len(images))
    return images[:count], labels[:count]


@lru_cache(maxsize=4)
def _read(name: str, folder: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    """Images and labels of one half of the real set, uint8 (N, C, H, W) and int64 (N,), on the CPU."""
    images, labels = reading.read(name, folder, train=train)
    return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels).long()


@lru_cache(maxsize=2)
def _draw(name: str, train_size: int, test_size: int) -> Dataset:
    """The first images of the stand-in set, on the CPU."""
    return Dataset(name, "stand-in", standin.CLASSES[name], *standin.draw(name, train_size, test_size))


def _checked_size(option: str, value: int, smallest: int, largest: int) -> int:
    if not isinstance(value, int) or not smallest <= value <= largest:
        raise ExperimentError(f"{option}={value!r}: must be a whole number from {smallest} to {largest}")
    return value


# ------------------------------------------------------------------------------------------ data of the user's own

_held: dict[str, Dataset] = {}  # by identity: those that this process made or read


TENSORS = ("train_images", "train_labels", "test_images", "test_labels")  # of a data set in a store


def _own(name: str, classes: Sequence[str] | None, tensors: arrays.Tensors) -> Dataset:
    """The data set of these tensors, which experiments of this process know from now on."""
    facts = arrays.facts_of(name, classes, tensors)
    identity = own.register(facts, _checksum(tensors))
    return _held.setdefault(identity, Dataset(identity, "real", facts.classes, *tensors))


def _whole(name: str) -> Dataset:
    """A data set of the user's own, by its identity; DataError if no store has it, or it is damaged there."""
    return _held.get(name) or read_own(own.find(name))


def keep(name: str, store: Path | None = None) -> None:
    """Keep a data set in a store, once, if it is one of the user's own; there, every process finds it.

    Raises
    ------
    DataError : it is neither known to this process nor in another store.
    RunError : the store cannot be written.
    """
    if not is_own(name):
        return
    path = own.path_in(store or store_root(), name)
    with contextlib.suppress(DataError):
        own.read_facts(path)
        return
    dataset = _whole(name)
    about = own.description(known_facts(name), dataset.checksum)
    run_files.make_folder(path.parent)
    run_files.write_tensors(path, dict(zip(TENSORS, dataset.tensors, strict=True)), about)


def read_own(path: Path) -> Dataset:
    """The data set in a file that `keep` wrote; DataError unless it is the one that the file is named after."""
    facts = own.read_facts(path)
    wanted = {name: ((size, *facts.shape), torch.uint8) for name, size in zip(TENSORS[::2], facts.sizes, strict=True)}
    wanted |= {name: ((size,), torch.int64) for name, size in zip(TENSORS[1::2], facts.sizes, strict=True)}
    try:
        found = files.require_tensors(files.read_tensors(path)[0], wanted)
        one, two, three, four = (found[name] for name in TENSORS)
        dataset = _own(facts.title, facts.classes, (one, two, three, four))
        if dataset.name != own.identity_of(path):
            raise ValueError("it holds another data set than its name says")
    except (DataError, OSError, ValueError) as error:
        raise own.damaged(path, error) from None
    return dataset


def _checksum(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


# --------------------------------------------------------------------------------- from images to training batches


def normalise(images: Tensor, dataset: Dataset | str) -> Tensor:
    """What the networks are fed: pixels scaled to [0, 1], minus the mean, over the standard deviation.

    Gives the numbers of torchvision's ToTensor and Normalize.

    Parameters
    ----------
    images : uint8 (N, C, H, W).
    dataset : a data set, or its name.

    Returns
    -------
    float32 (N, C, H, W)
    """
    facts = known_facts(dataset if isinstance(dataset, str) else dataset.name)
    return images.to(torch.float32).div_(255).sub_(facts.mean).div_(facts.std)


def random_flip(images: Tensor, mask: Tensor) -> Tensor:
    """Mirror, left to right, the images chosen by `mask`: bool (N,). Images uint8 (N, C, H, W), in and out."""
    return torch.where(mask.view(-1, 1, 1, 1), images.flip(-1), images)


def random_grayscale(images: Tensor, mask: Tensor) -> Tensor:
    """Take the colour out of the images chosen by `mask`: bool (N,). Images uint8 (N, 3, H, W), in and out."""
    red, green, blue = images.unbind(1)  # the weights of luma in ITU-R BT.601, as torchvision rounds them
    luma = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).to(torch.uint8).unsqueeze(1)
    # Computing it for all images costs 0.3 ms a batch on a CPU; picking out the chosen ones would make a GPU wait.
    return torch.where(mask.view(-1, 1, 1, 1), luma, images)


def augment(images: Tensor, flip: Tensor, grayscale: Tensor) -> Tensor:
    """Mirror the images chosen by `flip` and gray those chosen by `grayscale`, both bool (N,).

    Parameters
    ----------
    images : uint8 (N, C, H, W); with one channel they keep their values.

    Returns
    -------
    uint8 (N, C, H, W)
    """
    images = random_flip(images, flip)
    return random_grayscale(images, grayscale) if images.shape[1] == 3 else images


def epoch_plan(count: int, *, seed: int, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
    """The order of `count` images in an epoch, and by place in it which of them are mirrored and which grayed.

    Drawn on the CPU, where the same seed gives the same numbers on every machine.

    Returns
    -------
    int64 (count,), bool (count,) and bool (count,)
    """
    generator = _generator(seed, epoch)
    order = torch.randperm(count, generator=generator)
    flip = torch.rand(count, generator=generator) < FLIP_PROBABILITY
    grayscale = torch.rand(count, generator=generator) < GRAYSCALE_PROBABILITY
    return order, flip, grayscale


def batches(
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    augment: bool = False,
    start: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch, in an order that depends on (seed, epoch) only.

    All batches are full: the images left over after the last one sit out this epoch, others the next. A set smaller
    than a batch is one batch. What happens to an image under augmentation also depends on (seed, epoch) only, so an
    interrupted epoch resumes with `start`, the number of batches already used, exactly as it would have.

    Parameters
    ----------
    images : uint8 (N, C, H, W), on any device.
    labels : int64 (N,), on the same device.
    augment : flip each image with probability 0.5 and gray it with probability 0.1.

    Yields
    ------
    uint8 (B, C, H, W) and int64 (B,), on the device of `images`
    """
    count = len(images)
    total = batches_per_epoch(count, batch_size)
    if not 0 <= start <= total:
        raise ExperimentError(f"start={start}: an epoch of {count} images has {total} batches of {batch_size}")
    order, flip, grayscale = (drawn.to(images.device) for drawn in epoch_plan(count, seed=seed, epoch=epoch))
    for batch in range(start, total):
        here = slice(batch * batch_size, (batch + 1) * batch_size)
        chosen = images.index_select(0, order[here])
        if augment:
            chosen = _augment(chosen, flip[here], grayscale[here])
        yield chosen, labels.index_select(0, order[here])


_augment = augment  # `batches` has an option of the same name


def epoch_batches(
    dataset: Dataset, experiment: Experiment, *, epoch: int, start: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch of an experiment, from its batch `start` on; see `batches`.

    An augmentation of the user's own is called with the images of a batch, uint8 (B, C, H, W), and a generator on the
    CPU that depends on (seed, epoch, batch) only, and gives images of the same shape and type.

    Raises
    ------
    ExperimentError
        If it gives anything else, or is one that this process has not been given.
    """
    options: dict[str, Any] = {"seed": experiment.seed, "epoch": epoch, "start": start}
    images, labels, size = dataset.train_images, dataset.train_labels, experiment.batch_size
    if isinstance(experiment.augment, bool):
        yield from batches(images, labels, size, augment=experiment.augment, **options)
        return
    name, known = experiment.augment.partition("@")[0], code.recall(experiment.augment)
    if known is None:
        raise ExperimentError(f"{experiment.name} has an augmentation of your own, {name}; pass it: augment={name}")
    for number, (chosen, wanted) in enumerate(batches(images, labels, size, **options), start=start):
        augmented = known.object(chosen, _generator(experiment.seed, epoch, number, 2))
        if not isinstance(augmented, Tensor) or (augmented.shape, augmented.dtype) != (chosen.shape, chosen.dtype):
            found = f"{augmented.dtype} {tuple(augmented.shape)}" if isinstance(augmented, Tensor) else repr(augmented)
            raise ExperimentError(
                f"{name} must give images as it gets them, {chosen.dtype} {tuple(chosen.shape)}, not {found}"
            )
        yield augmented, wanted


class Feed:
    """The batches of an epoch chosen on the device, so that a captured step can choose its own; see `batches`."""

    def __init__(self, dataset: Dataset, experiment: Experiment) -> None:
        self.dataset, self.experiment = dataset, experiment
        count, device = len(dataset.train_images), dataset.train_images.device
        self.offsets = torch.arange(min(experiment.batch_size, count), device=device)
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        self.order = torch.zeros(count, dtype=torch.int64, device=device)
        self.flip = torch.zeros(count, dtype=torch.bool, device=device)
        self.grayscale = torch.zeros(count, dtype=torch.bool, device=device)

    def start(self, epoch: int, start: int) -> None:
        """Begin an epoch at its batch `start`."""
        plan = epoch_plan(len(self.order), seed=self.experiment.seed, epoch=epoch)
        for held, drawn in zip((self.order, self.flip, self.grayscale), plan, strict=True):
            held.copy_(drawn)
        self.position.fill_(start * self.experiment.batch_size)

    def next(self) -> tuple[Tensor, Tensor]:
        """The next batch, uint8 (B, C, H, W) and int64 (B,)."""
        here = self.position + self.offsets
        chosen = self.order.index_select(0, here)
        images = self.dataset.train_images.index_select(0, chosen)
        if self.experiment.augment:
            images = augment(images, self.flip.index_select(0, here), self.grayscale.index_select(0, here))
        self.position += len(self.offsets)
        return images, self.dataset.train_labels.index_select(0, chosen)


def random_test_indices(count: int, size: int, *, seed: int, iteration: int) -> Tensor:
    """`size` different indices below `count` (all, if there are fewer), depending on (seed, iteration) only.

    Returns
    -------
    int64 (min(size, count),), on the CPU
    """
    return torch.randperm(count, generator=_generator(seed, iteration, 1))[:size]


def _generator(*key: int) -> torch.Generator:
    """A generator for `key`, whole numbers from 0; generators for different keys are independent of each other."""
    mixed = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]))
