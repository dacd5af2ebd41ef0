"""MNIST and CIFAR-10 as uint8 tensors: finding, checking and reading them, batches, and augmentation on whole batches.

A data set is four tensors. They are small enough to live on the device whole (CIFAR-10: 184 MB), so a batch is an
`index_select` and augmentation is a `torch.where`: no worker processes, no per-image Python.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from hwkit import standin
from hwkit.errors import DataError, ExperimentError, did_you_mean
from hwkit.paths import data_root

Source = Literal["real", "stand-in"]

SOURCES = ("auto", "real", "stand-in")
FLIP_PROBABILITY = 0.5  # the seed report's augmentation of CIFAR-10
GRAYSCALE_PROBABILITY = 0.1
NETWORK_TIMEOUT = 10.0  # seconds without an answer before the network counts as absent


@dataclass(frozen=True)
class DataFile:
    """One file of a data set: where it lies below the data root, and what a whole one is like."""

    path: str
    size: int  # bytes
    header: bytes  # the first bytes, which tell an HTML error page from the real thing
    sha256: str


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before reading it.

    `mean` and `std` hold for every channel, on pixels scaled to [0, 1]. `loader` is the class in
    `torchvision.datasets`; `archives` are the compressed files it can unpack in place of downloading them.
    """

    title: str
    channels: int
    size: int  # pixels, both height and width
    classes: tuple[str, ...]
    train_size: int
    test_size: int
    mean: float
    std: float
    loader: str
    files: tuple[DataFile, ...]
    archives: tuple[str, ...]
    addresses: tuple[str, ...]  # asked before a download, to learn quickly that there is no network


def _idx_header(*shape: int) -> bytes:
    """The header of an IDX file of bytes: the magic number (type 8, number of axes), then each axis' length."""
    return struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)


_PICKLE = b"\x80\x02}"  # pickle protocol 2, an empty dict: how each batch of CIFAR-10 begins

# The sizes and checksums are those of the unpacked files, after their archives matched the checksums in torchvision.
# fmt: off
DATASETS: dict[str, Facts] = {
    "mnist": Facts(
        title="MNIST", channels=1, size=28, classes=tuple("0123456789"), train_size=60000, test_size=10000,
        mean=0.0, std=1.0,  # the seed's TensorFlow reader gave pixel / 255 and no more
        loader="MNIST",
        files=(
            DataFile("MNIST/raw/train-images-idx3-ubyte", 47040016, _idx_header(60000, 28, 28),
                     "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            DataFile("MNIST/raw/train-labels-idx1-ubyte", 60008, _idx_header(60000),
                     "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            DataFile("MNIST/raw/t10k-images-idx3-ubyte", 7840016, _idx_header(10000, 28, 28),
                     "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            DataFile("MNIST/raw/t10k-labels-idx1-ubyte", 10008, _idx_header(10000),
                     "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
        archives=("MNIST/raw/train-images-idx3-ubyte.gz", "MNIST/raw/train-labels-idx1-ubyte.gz",
                  "MNIST/raw/t10k-images-idx3-ubyte.gz", "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
        addresses=("https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
                   "http://yann.lecun.com/exdb/mnist/train-labels-idx1-ubyte.gz"),
    ),
    "cifar10": Facts(
        title="CIFAR-10", channels=3, size=32,
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        train_size=50000, test_size=10000,
        mean=0.5, std=0.5,
        loader="CIFAR10",
        files=(
            DataFile("cifar-10-batches-py/data_batch_1", 31035704, _PICKLE,
                     "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"),
            DataFile("cifar-10-batches-py/data_batch_2", 31035320, _PICKLE,
                     "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"),
            DataFile("cifar-10-batches-py/data_batch_3", 31035999, _PICKLE,
                     "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"),
            DataFile("cifar-10-batches-py/data_batch_4", 31035696, _PICKLE,
                     "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"),
            DataFile("cifar-10-batches-py/data_batch_5", 31035623, _PICKLE,
                     "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"),
            DataFile("cifar-10-batches-py/test_batch", 31035526, _PICKLE,
                     "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"),
            DataFile("cifar-10-batches-py/batches.meta", 158, _PICKLE,
                     "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb"),
        ),
        archives=("cifar-10-python.tar.gz",),
        addresses=("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
    ),
}
# fmt: on


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as four tensors, all on one device.

    Attributes
    ----------
    name : 'mnist' or 'cifar10'; the stand-in for a set bears the name of the set it stands in for.
    source : 'real' or 'stand-in'.
    classes : the names of the ten classes, by label.
    train_images, test_images : uint8 (N, C, H, W).
    train_labels, test_labels : int64 (N,).

    The tensors may be shared with other experiments of the process: never change them in place.
    """

    name: str
    source: Source
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def title(self) -> str:
        """The name for tables and title pages; a stand-in says that it is one."""
        title = DATASETS[self.name].title
        return title if self.source == "real" else f"{title} stand-in (drawn, not the real data)"

    @cached_property
    def checksum(self) -> str:
        """Hex sha256 over the bytes of the four tensors, in the order of the fields."""
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()

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
    name : 'mnist' or 'cifar10'.
    source : 'real'; 'stand-in'; or 'auto', the real set if it is there or can be downloaded, else the stand-in.
    root : the folder of the data sets; default `hwkit.paths.data_root()`.
    train_size, test_size : keep the first so many images only; default all.
    holdout : take the last so many training images out of the training set and put them in place of the test images,
        so that a schedule can be chosen without a look at the test set.

    Raises
    ------
    DataError : an unknown name or source; the real set is damaged, in part missing, or asked for and not to be had.
    ExperimentError : a size that the data set does not have.
    """
    source = resolve_source(name, source, root)
    facts = DATASETS[name]
    available = facts.train_size - _checked_size("holdout", holdout, 0, facts.train_size - 1)
    train_size = _checked_size("train_size", available if train_size is None else train_size, 1, available)
    largest_test = holdout or facts.test_size
    test_size = _checked_size("test_size", largest_test if test_size is None else test_size, 1, largest_test)

    if source == "real":
        dataset = _read(name, _folder(root).resolve())
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


def resolve_source(name: str, source: str = "auto", root: str | Path | None = None, download: bool = True) -> Source:
    """Which data `load` would give, 'real' or 'stand-in', downloading the real set if it is missing and wanted.

    Looks at the sizes and headers of the files only. With `download=False` the network is left alone.

    Raises
    ------
    DataError : an unknown name or source; the real set is damaged, in part missing, or asked for and not to be had.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}: {did_you_mean(name, DATASETS)}")
    if source not in SOURCES:
        raise DataError(f"unknown data source {source!r}: {did_you_mean(source, SOURCES)}")
    if source == "stand-in":
        return "stand-in"

    folder = _folder(root)
    files = check(name, folder, checksums=False)
    _raise_if_damaged(name, files)
    missing = [file.path for file in files if file.status == "missing"]
    if not missing:
        return "real"
    reason = _failed_downloads.get((name, folder.resolve())) if download else "downloading was not asked for"
    if reason is None:
        reason = _download(name, folder)
    if reason is None:
        return "real"
    archive_there = any((folder / archive).exists() for archive in DATASETS[name].archives)
    if source == "auto" and len(missing) == len(files) and not archive_there:
        return "stand-in"
    # A set of which a part is there was meant to be used: the stand-in would be a surprise even for 'auto'.
    title, archives = DATASETS[name].title, " and ".join(DATASETS[name].archives)
    found = "is not" if len(missing) == len(files) else f"is incomplete ({missing[0].name} is missing)"
    raise DataError(
        f"{title} {found} in {folder} and could not be downloaded: {reason}. Run again with a network; or set "
        f"HWKIT_DATA to a folder that holds {files[0].path.relative_to(folder)} and so on, as torchvision lays them "
        f"out; or put {archives} into {folder}; or take data='stand-in'"
    )


@lru_cache(maxsize=2)
def _read(name: str, folder: Path) -> Dataset:
    """The whole real set from `folder`, on the CPU. No file is opened by torchvision before its checksum matched."""
    import torchvision.datasets  # here, because it takes most of a second

    _raise_if_damaged(name, check(name, folder))
    facts = DATASETS[name]
    tensors = []
    for train in (True, False):
        part = getattr(torchvision.datasets, facts.loader)(folder, train=train)
        images = torch.as_tensor(part.data)
        # torchvision gives MNIST as (N, H, W) and CIFAR-10 as (N, H, W, C).
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
        tensors += [images.contiguous(), torch.as_tensor(part.targets, dtype=torch.int64)]
    return Dataset(name, "real", facts.classes, *tensors)


@lru_cache(maxsize=2)
def _draw(name: str, train_size: int, test_size: int) -> Dataset:
    """The first images of the stand-in set, on the CPU."""
    return Dataset(name, "stand-in", standin.CLASSES[name], *standin.draw(name, train_size, test_size))


def _folder(root: str | Path | None) -> Path:
    """The data root as a folder, which need not exist."""
    folder = data_root() if root is None else Path(root).expanduser()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"the data root {folder} is a file: set HWKIT_DATA to a folder, or unset it")
    return folder


def _checked_size(option: str, value: int, smallest: int, largest: int) -> int:
    if not isinstance(value, int) or not smallest <= value <= largest:
        raise ExperimentError(f"{option}={value!r}: must be a whole number from {smallest} to {largest}")
    return value


# ------------------------------------------------------------------------------------------------- integrity


@dataclass(frozen=True)
class FileCheck:
    """What was found in the place of one file of a data set; `detail` says what is wrong, '' if nothing."""

    path: Path
    status: Literal["ok", "missing", "damaged"]
    detail: str = ""


def check(name: str, root: str | Path | None = None, checksums: bool = True) -> list[FileCheck]:
    """Check each file of a data set: existence, header, size and, unless `checksums` is False, sha256.

    Raises
    ------
    DataError : an unknown name.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}: {did_you_mean(name, DATASETS)}")
    folder = _folder(root)
    checks = [_check_file(folder / file.path, file, checksums) for file in DATASETS[name].files]
    # Old versions of torchvision wrote these, and every version reads them in place of the files checked above.
    for legacy in (folder / "MNIST/processed/training.pt", folder / "MNIST/processed/test.pt"):
        if name == "mnist" and legacy.exists():
            checks.append(FileCheck(legacy, "damaged", "is a copy by an old torchvision, which cannot be checked"))
    return checks


def _check_file(path: Path, expected: DataFile, checksums: bool) -> FileCheck:
    if path.is_dir():
        return FileCheck(path, "damaged", "is a folder where a file should be")
    if not path.exists():
        return FileCheck(path, "missing", "is not there")
    try:
        with path.open("rb") as file:
            header = file.read(len(expected.header))
            size = path.stat().st_size
            if size == 0:
                return FileCheck(path, "damaged", "is empty")
            if header != expected.header[: len(header)]:
                return FileCheck(path, "damaged", f"is another kind of file: it begins with {header!r}")
            if size < expected.size:
                return FileCheck(path, "damaged", f"is cut off: it holds {size} of {expected.size} bytes")
            if size > expected.size:
                return FileCheck(path, "damaged", f"is too long: it holds {size} bytes in place of {expected.size}")
            file.seek(0)
            if checksums and hashlib.file_digest(file, "sha256").hexdigest() != expected.sha256:
                return FileCheck(path, "damaged", "has the right size but other contents: its sha256 does not match")
    except OSError as error:
        return FileCheck(path, "damaged", f"cannot be read: {error.strerror or error}")
    return FileCheck(path, "ok")


def _raise_if_damaged(name: str, files: list[FileCheck]) -> None:
    """Raise a DataError that names every damaged file and the remedy."""
    damaged = [file for file in files if file.status == "damaged"]
    if damaged:
        found = "; ".join(f"{file.path} {file.detail}" for file in damaged)
        raise DataError(
            f"{DATASETS[name].title} is damaged: {found}. Delete {'it' if len(damaged) == 1 else 'them'} and run "
            f"again to download a fresh copy, or copy the set anew; `hwkit data` checks all files. "
            f"data='stand-in' does without"
        )


def status_table(root: str | Path | None = None) -> list[dict[str, str]]:
    """One row per data set: what `load` would find there now, without downloading anything.

    Returns
    -------
    Rows with the keys 'data set', 'source' (what 'auto' takes), 'images', 'location', 'status' and 'detail'.
    """
    rows = []
    for name, facts in DATASETS.items():
        files = check(name, root)
        damaged = [file for file in files if file.status == "damaged"]
        missing = [file for file in files if file.status == "missing"]
        if damaged:
            source, status = "none until repaired", "damaged"
        elif len(missing) == len(files):
            source, status = "stand-in, if it cannot be downloaded", "missing"
        elif missing:
            source, status = "none until complete", "incomplete"
        else:
            source, status = "real", "ok"
        detail = "; ".join(f"{file.path.name} {file.detail}" for file in (damaged or missing))
        if status == "missing":
            detail = f"none of its {len(files)} files is there"
        rows.append(
            {
                "data set": facts.title,
                "source": source,
                "images": f"{facts.train_size} + {facts.test_size}",
                "location": str(_folder(root) / Path(facts.files[0].path).parent),
                "status": status,
                "detail": detail,
            }
        )
    return rows


# ----------------------------------------------------------------------------------------------- downloading

# What went wrong, by (name, folder): an offline machine waits for the network once per process, not once per load.
_failed_downloads: dict[tuple[str, Path], str] = {}


def _download(name: str, folder: Path) -> str | None:
    """Put the missing files of a data set into `folder`; None if that worked, else what went wrong.

    torchvision downloads and unpacks into a folder of its own below `folder`; files move to their places, each in one
    step, only after all checksums matched. A process that is killed leaves nothing that looks like data.
    """
    facts = DATASETS[name]
    staging = folder / f".download-{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".download.lock"):
            missing = [
                file.path
                for file, found in zip(facts.files, check(name, folder, checksums=False), strict=False)
                if found.status == "missing"
            ]
            if missing:  # else another process has just finished the same download
                shutil.rmtree(staging, ignore_errors=True)
                _fetch(facts, folder, staging)
                _raise_if_damaged(name, check(name, staging))
                for path in missing:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (staging / path).replace(folder / path)
                shutil.rmtree(staging, ignore_errors=True)
    except Exception as error:  # of whatever kind: network, proxy, disk, archive; the remedy is the same for all
        shutil.rmtree(staging, ignore_errors=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        _failed_downloads[name, folder.resolve()] = reason
        return reason
    return None


def _fetch(facts: Facts, folder: Path, staging: Path) -> None:
    """Let torchvision unpack a data set below `staging`, from archives in `folder` or from the network."""
    staging.mkdir()
    archives = [path for path in facts.archives if (folder / path).is_file()]
    for path in archives:
        (staging / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, staging / path)
    if len(archives) < len(facts.archives):
        _require_network(facts.addresses)

    import torchvision.datasets  # only now, for it takes seconds that an offline machine need not spend

    usual_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)  # torchvision gives none, and would wait for a dead connection for ever
    try:
        getattr(torchvision.datasets, facts.loader)(staging, train=False, download=True)
    finally:
        socket.setdefaulttimeout(usual_timeout)


def _require_network(addresses: tuple[str, ...]) -> None:
    """Return as soon as one of `addresses` answers.

    The limit is on the whole attempt: a socket's timeout counts for each of a host's addresses anew and not at all for
    its name, so where packets vanish it can add up to minutes.

    Raises
    ------
    OSError : none answered within NETWORK_TIMEOUT seconds.
    """
    failures: list[Exception] = []
    answered = threading.Event()
    done = threading.Event()

    def ask(address: str) -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT):
                answered.set()
        except Exception as error:
            failures.append(error)
        if answered.is_set() or len(failures) == len(addresses):
            done.set()

    for address in addresses:
        threading.Thread(target=ask, args=(address,), daemon=True).start()
    done.wait(NETWORK_TIMEOUT)
    if not answered.is_set():
        raise OSError(f"no answer from {addresses[0]}: {failures[0] if failures else f'waited {NETWORK_TIMEOUT:g} s'}")


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
    facts = DATASETS[dataset if isinstance(dataset, str) else dataset.name]
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
    images : uint8 (N, C, H, W); with one channel there is no colour to take out.

    Returns
    -------
    uint8 (N, C, H, W)
    """
    images = random_flip(images, flip)
    return random_grayscale(images, grayscale) if images.shape[1] == 3 else images


def batches_per_epoch(count: int, batch_size: int) -> int:
    """How many batches `batches` gives for `count` images: full ones only, but at least one."""
    if count < 1 or batch_size < 1:
        raise ExperimentError(f"{count} images in batches of {batch_size}: both must be 1 or more")
    return max(1, count // batch_size)


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
    interrupted epoch goes on with `start`, the number of batches already used, exactly as it would have.

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
    # Drawn on the CPU, where the same seed gives the same numbers on every machine.
    generator = _generator(seed, epoch)
    order = torch.randperm(count, generator=generator).to(images.device)
    flip = (torch.rand(count, generator=generator) < FLIP_PROBABILITY).to(images.device)
    grayscale = (torch.rand(count, generator=generator) < GRAYSCALE_PROBABILITY).to(images.device)
    for batch in range(start, total):
        here = slice(batch * batch_size, (batch + 1) * batch_size)
        chosen = images.index_select(0, order[here])
        if augment:
            chosen = _augment(chosen, flip[here], grayscale[here])
        yield chosen, labels.index_select(0, order[here])


_augment = augment  # `batches` has an option of the same name


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
