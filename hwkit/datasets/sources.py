"""The data sets' files: what is known of them, and finding, checking and downloading them.

No tensor is made here and PyTorch is not imported, so that whatever only asks which data there are gets its answer at
once.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import struct
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hwkit.engine import files as storage
from hwkit.errors import DataError, did_you_mean
from hwkit.paths import data_root

Source = Literal["real", "stand-in"]

SOURCES = ("auto", "real", "stand-in")
NETWORK_TIMEOUT = 10.0  # seconds without an answer before the network counts as absent


_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}@[0-9a-f]{12}")


def is_own(name: str) -> bool:
    """Whether a name is the identity of a data set of the user's own, such as "digits@3fa9c1d2e0b4"."""
    return bool(_IDENTITY.fullmatch(name))


@dataclass(frozen=True)
class DataFile:
    """One file of a data set: where it lies below the data root, and what a whole one is like."""

    path: str
    size: int  # bytes
    header: bytes  # the first bytes, which tell an HTML error page from the real thing
    sha256: str

    @property
    def train(self) -> bool:
        """Whether it holds images or labels for training."""
        return Path(self.path).name.startswith(("train", "data_batch"))

    @property
    def test(self) -> bool:
        """Whether it holds images or labels for the test."""
        return Path(self.path).name.startswith(("t10k", "test"))


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before reading it.

    `mean` and `std` hold for every channel, on pixels scaled to [0, 1]. `drawn` says whether hwkit draws a stand-in for
    it. `loader` is the class in `torchvision.datasets`; `archives` are the compressed files it can unpack in place of
    downloading them.
    """

    title: str
    shape: tuple[int, int, int]  # of an image: channels, height, width
    classes: tuple[str, ...]
    train_size: int
    test_size: int
    mean: float
    std: float
    drawn: bool = False
    loader: str = ""
    files: tuple[DataFile, ...] = ()
    archives: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()  # asked before a download, to learn quickly that there is no network
    centred_digits: bool = False  # each fitted into 20x20 pixels, its centre of mass in the middle of the image

    @property
    def sizes(self) -> tuple[int, int]:
        """How many images there are for training and for the test."""
        return self.train_size, self.test_size

    @property
    def channels(self) -> int:
        """1 for gray images, 3 for colour."""
        return self.shape[0]

    @property
    def size(self) -> int:
        """Pixels of height."""
        return self.shape[1]


def idx_header(*shape: int) -> bytes:
    """The header of an IDX file of bytes: the magic number (type 8, number of axes), then each axis' length."""
    return struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)


_PICKLE = b"\x80\x02}"  # pickle protocol 2, an empty dict: how each file of CIFAR-10 and CIFAR-100 begins
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
_GZIP = b"\x1f\x8b\x08"
_MATLAB = b"MATLAB 5.0 MAT-file"
_IDX_ARCHIVES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
_IDX_ARCHIVES += ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def _archives(folder: str, *known: tuple[int, str]) -> dict[str, Any]:
    """Files and archives of a set that is read from what MNIST's successors are published as, with size and sha256."""
    paths = [f"{folder}/raw/{name}" for name in _IDX_ARCHIVES]
    files = tuple(DataFile(path, size, _GZIP, sha256) for path, (size, sha256) in zip(paths, known, strict=True))
    return {"files": files, "archives": tuple(paths)}


# The sizes and checksums of MNIST and CIFAR-10 are those of the unpacked files, after their archives matched the
# checksums in torchvision; those of the others are as torchvision's prototypes and several archives give them.
# fmt: off
DATASETS: dict[str, Facts] = {
    "mnist": Facts(
        title="MNIST", shape=(1, 28, 28), classes=tuple("0123456789"), train_size=60000, test_size=10000,
        mean=0.0, std=1.0,  # the seed's TensorFlow reader gave pixel / 255 and no more
        drawn=True, centred_digits=True,
        loader="MNIST",
        files=(
            DataFile("MNIST/raw/train-images-idx3-ubyte", 47040016, idx_header(60000, 28, 28),
                     "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            DataFile("MNIST/raw/train-labels-idx1-ubyte", 60008, idx_header(60000),
                     "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            DataFile("MNIST/raw/t10k-images-idx3-ubyte", 7840016, idx_header(10000, 28, 28),
                     "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            DataFile("MNIST/raw/t10k-labels-idx1-ubyte", 10008, idx_header(10000),
                     "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
        archives=("MNIST/raw/train-images-idx3-ubyte.gz", "MNIST/raw/train-labels-idx1-ubyte.gz",
                  "MNIST/raw/t10k-images-idx3-ubyte.gz", "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
        addresses=("https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
                   "http://yann.lecun.com/exdb/mnist/train-labels-idx1-ubyte.gz"),
    ),
    "cifar10": Facts(
        title="CIFAR-10", shape=(3, 32, 32),
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        train_size=50000, test_size=10000,
        mean=0.5, std=0.5,
        drawn=True,
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
    "fashion-mnist": Facts(
        title="Fashion-MNIST", shape=(1, 28, 28),
        classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                 "Ankle boot"),
        train_size=60000, test_size=10000, mean=0.5, std=0.5,
        loader="FashionMNIST",
        **_archives(
            "FashionMNIST",
            (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        addresses=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",),
    ),
    "kmnist": Facts(
        title="KMNIST", shape=(1, 28, 28), classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        train_size=60000, test_size=10000, mean=0.5, std=0.5,
        loader="KMNIST",
        **_archives(
            "KMNIST",
            (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
        addresses=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/train-labels-idx1-ubyte.gz",),
    ),
    "svhn": Facts(
        title="SVHN", shape=(3, 32, 32), classes=tuple("0123456789"), train_size=73257, test_size=26032,
        mean=0.5, std=0.5,
        loader="SVHN",
        files=(
            DataFile("train_32x32.mat", 182040794, _MATLAB,
                     "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
            DataFile("test_32x32.mat", 64275384, _MATLAB,
                     "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
        ),
        archives=("train_32x32.mat", "test_32x32.mat"),
        addresses=("http://ufldl.stanford.edu/housenumbers/test_32x32.mat",),
    ),
    "cifar100": Facts(
        title="CIFAR-100", shape=(3, 32, 32),
        classes=tuple(_CIFAR100.split()),
        train_size=50000, test_size=10000, mean=0.5, std=0.5,
        loader="CIFAR100",
        files=(
            DataFile("cifar-100-python/train", 155249918, _PICKLE,
                     "735e79b04f092ca3d2e6d07f368c0a7d70d48c48d28865950cc24454cf45129b"),
            DataFile("cifar-100-python/test", 31049707, _PICKLE,
                     "4b67687d9933c4db8f0831104447f15b93774f4f464bd0516f0f0f2ac83b7864"),
            DataFile("cifar-100-python/meta", 1473, _PICKLE,
                     "a5d4786345c961390f865e93b434dbd5c6904ce880667e0cb888c97d449f28b9"),
        ),
        archives=("cifar-100-python.tar.gz",),
        addresses=("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
    ),
}
# fmt: on


def resolve_source(name: str, source: str = "auto", root: str | Path | None = None, download: bool = True) -> Source:
    """Which data `data.load` would give, 'real' or 'stand-in', downloading the real set if it is missing and wanted.

    Looks at the sizes and headers of the files only. With `download=False` the network is left alone.

    Raises
    ------
    DataError : an unknown name or source; the real set is damaged, in part missing, or asked for and not to be had.
    """
    if source not in SOURCES:
        raise DataError(f"unknown data source {source!r}: {did_you_mean(source, SOURCES)}")
    if not is_own(name) and name not in DATASETS:
        raise DataError(f"unknown data set {name!r}: {did_you_mean(name, DATASETS)}")
    drawn = [known for known, facts in DATASETS.items() if facts.drawn]
    if source == "stand-in" and name not in drawn:
        raise DataError(f"hwkit draws no stand-in for {name.partition('@')[0]}, only for {' and '.join(drawn)}")
    if is_own(name):
        return "real"
    if source == "stand-in":
        return "stand-in"

    folder = folder_of_data(root)
    files = check(name, folder, checksums=False)
    raise_if_damaged(name, files)
    missing = [file.path for file in files if file.status == "missing"]
    if not missing:
        return "real"
    reason = _failed_downloads.get((name, folder.resolve())) if download else "downloading was not asked for"
    if reason is None:
        reason = _download(name, folder)
    if reason is None:
        return "real"
    archive_there = any((folder / archive).exists() for archive in DATASETS[name].archives)
    if source == "auto" and name in drawn and len(missing) == len(files) and not archive_there:
        return "stand-in"
    # A set of which a part is there was meant to be used: the stand-in would be a surprise even for 'auto'.
    title, archives = DATASETS[name].title, " and ".join(DATASETS[name].archives)
    found = "is not" if len(missing) == len(files) else f"is incomplete ({missing[0].name} is missing)"
    or_stand_in = "; or take data='stand-in'" if name in drawn else ""
    raise DataError(
        f"{title} {found} in {folder} and could not be downloaded: {reason}. Run again with a network; or set "
        f"HWKIT_DATA to a folder that holds {files[0].path.relative_to(folder)} and so on, as torchvision lays them "
        f"out; or put {archives} into {folder}{or_stand_in}"
    )


def folder_of_data(root: str | Path | None) -> Path:
    """The data root as a folder, which need not exist."""
    folder = data_root() if root is None else Path(root).expanduser()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"the data root {folder} is a file: set HWKIT_DATA to a folder, or unset it")
    return folder


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
    folder = folder_of_data(root)
    checks = [_check_file(folder / file.path, file, checksums) for file in DATASETS[name].files]
    # Old versions of torchvision wrote these, and every version reads them in place of the files checked above.
    for legacy in (folder / "MNIST/processed/training.pt", folder / "MNIST/processed/test.pt"):
        if name == "mnist" and legacy.exists():
            checks.append(FileCheck(legacy, "damaged", "is a copy by an old torchvision, which cannot be checked"))
    return checks


def _check_file(path: Path, expected: DataFile, checksums: bool) -> FileCheck:
    try:
        if path.is_dir():
            return FileCheck(path, "damaged", "is a folder where a file should be")
        if not path.exists():
            if path.parent.exists() and not path.parent.is_dir():
                return FileCheck(path.parent, "damaged", "is a file where a folder should be")
            return FileCheck(path, "missing", "is not there")
        with storage.open_plain(path) as file:
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


def raise_if_damaged(name: str, files: list[FileCheck]) -> None:
    """Raise a DataError that names every damaged file and the remedy."""
    damaged = [file for file in files if file.status == "damaged"]
    if damaged:
        found = "; ".join(f"{file.path} {file.detail}" for file in damaged)
        or_stand_in = ". data='stand-in' does without" if DATASETS[name].drawn else ""
        raise DataError(
            f"{DATASETS[name].title} is damaged: {found}. Delete {'it' if len(damaged) == 1 else 'them'} and run "
            f"again to download a fresh copy, or copy the set anew; `hwkit data` checks all files{or_stand_in}"
        )


def read_verified(name: str, folder: Path, expected: DataFile) -> bytes:
    """The contents of a data set's file in the data root `folder`; they match its checksum.

    Raises
    ------
    DataError : the file is missing or damaged.
    """
    path = folder / expected.path
    try:
        content = storage.read_bytes(path, expected.size)
    except (OSError, ValueError):
        content = b""
    if hashlib.sha256(content).hexdigest() != expected.sha256:
        found = _check_file(path, expected, checksums=True)
        raise_if_damaged(name, [FileCheck(path, "damaged", found.detail or "was written to while it was read")])
    return content


def status_table(root: str | Path | None = None) -> list[dict[str, str]]:
    """One row per data set: what `hwkit.data.load` would find there now, without downloading anything.

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
            source, status = f"{'stand-in' if facts.drawn else 'none'}, if it cannot be downloaded", "missing"
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
                "images": f"{facts.train_size} + {facts.test_size} images",
                "location": str(folder_of_data(root) / Path(facts.files[0].path).parent),
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
        from filelock import FileLock  # exporting does without

        with FileLock(folder / ".download.lock"):
            missing = [
                file.path
                for file, found in zip(facts.files, check(name, folder, checksums=False), strict=False)
                if found.status == "missing"
            ]
            if missing:  # else another process has just finished the same download
                shutil.rmtree(staging, ignore_errors=True)
                _fetch(facts, folder, staging)
                raise_if_damaged(name, check(name, staging))
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
        loader = getattr(torchvision.datasets, facts.loader)
        if facts.loader == "SVHN":  # the one that downloads each half on its own
            loader(staging, split="train", download=True)
            loader(staging, split="test", download=True)
        else:
            loader(staging, train=False, download=True)
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
