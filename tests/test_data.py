from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torchvision import transforms
from torchvision.transforms.v2 import functional

from hwkit import data, models, paths
from hwkit.datasets import sources
from hwkit.datasets.sources import DATASETS, DataFile
from hwkit.errors import DataError, ExperimentError
from hwkit.experiment import Experiment, named_experiment

TRAIN, TEST = 30, 20  # images in the miniature MNIST
IMAGES = "MNIST/raw/train-images-idx3-ubyte"
LABELS = "MNIST/raw/train-labels-idx1-ubyte"


@pytest.fixture
def no_network(monkeypatch):
    """Every download fails at once; gives the list of the addresses asked for."""
    asked: list[str] = []

    def refuse(addresses):
        asked.extend(addresses)
        raise OSError("no network in this test")

    monkeypatch.setattr(sources, "_require_network", refuse)
    return asked


@pytest.fixture
def miniature(monkeypatch, tmp_path) -> Path:
    """A whole MNIST of 30 + 20 images in a folder, which `hwkit.data` takes for the real one."""
    root = tmp_path / "miniature"
    (root / "MNIST/raw").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    files = []
    for file in DATASETS["mnist"].files:
        count = TRAIN if "train" in file.path else TEST
        if "images" in file.path:
            header = sources.idx_header(count, 28, 28)
            pixels = torch.randint(0, 256, (count * 28 * 28,), dtype=torch.uint8, generator=generator)
            content = header + pixels.numpy().tobytes()
        else:
            header = sources.idx_header(count)
            content = header + bytes(label % 10 for label in range(count))
        (root / file.path).write_bytes(content)
        files.append(DataFile(file.path, len(content), header, hashlib.sha256(content).hexdigest()))
    small = replace(DATASETS["mnist"], train_size=TRAIN, test_size=TEST, files=tuple(files))
    monkeypatch.setitem(DATASETS, "mnist", small)
    return root


@pytest.fixture
def mirror(monkeypatch, tmp_path, miniature) -> Iterator[Path]:
    """The folder behind a server on this machine from which torchvision downloads the miniature MNIST."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    resources = []
    for file in DATASETS["mnist"].files:
        packed = gzip.compress((miniature / file.path).read_bytes())
        name = Path(file.path).name + ".gz"
        (folder / name).write_bytes(packed)
        resources.append((name, hashlib.md5(packed, usedforsecurity=False).hexdigest()))
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [address])
        monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], addresses=(address,)))
        yield folder
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _replace_by_text(path: Path) -> None:
    path.write_text("<!DOCTYPE html><title>404 Not Found</title>")


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [
    (_empty, "is empty"),
    (_cut_off, "is cut off: it holds [0-9]+ of [0-9]+ bytes"),
    (_lengthen, "is too long"),
    (_flip_a_bit, "sha256 does not match"),
    (_replace_by_text, "another kind of file: it begins with b'<!D"),
    (_replace_by_folder, "is a folder"),
]


# ---------------------------------------------------------------------------------------------------- loading


def test_load_gives_the_images_of_the_files_with_shapes_and_types_as_promised(miniature):
    dataset = data.load("mnist", root=miniature)

    assert (dataset.source, dataset.title) == ("real", "MNIST")
    assert dataset.train_images.shape == (TRAIN, 1, 28, 28)
    assert dataset.test_images.shape == (TEST, 1, 28, 28)
    assert dataset.train_images.dtype == torch.uint8
    assert dataset.train_labels.dtype == torch.int64
    assert dataset.train_labels.tolist() == [label % 10 for label in range(TRAIN)]
    written = (miniature / IMAGES).read_bytes()[16:]
    assert dataset.train_images.numpy().tobytes() == written


def test_sizes_keep_the_first_images(miniature):
    whole = data.load("mnist", root=miniature)
    part = data.load("mnist", root=miniature, train_size=7, test_size=5)

    assert torch.equal(part.train_images, whole.train_images[:7])
    assert torch.equal(part.test_labels, whole.test_labels[:5])


@pytest.mark.parametrize("options", [{}, {"test_size": 5}, {"holdout": 10}, {"holdout": 10, "test_size": 5}])
@pytest.mark.parametrize("source", ["real", "stand-in"])
def test_the_test_images_alone_are_those_of_the_whole_set(miniature, source, options):
    whole = data.load("mnist", source, miniature, **options)
    images, labels = data.load_test("mnist", source, miniature, **options)

    assert torch.equal(images, whole.test_images)
    assert torch.equal(labels, whole.test_labels)


def test_the_test_images_need_no_training_file_and_vouch_for_their_own(miniature, no_network):
    _flip_a_bit(miniature / IMAGES)
    assert len(data.load_test("mnist", "real", miniature)[0]) == TEST
    data._read.cache_clear()
    _flip_a_bit(miniature / "MNIST/raw/t10k-images-idx3-ubyte")
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte has the right size but other contents"):
        data.load_test("mnist", "real", miniature)


def test_holdout_moves_the_last_training_images_to_the_place_of_the_test_images(miniature):
    whole = data.load("mnist", root=miniature)
    part = data.load("mnist", root=miniature, holdout=10)

    assert torch.equal(part.train_images, whole.train_images[:-10])
    assert torch.equal(part.test_images, whole.train_images[-10:])
    assert torch.equal(part.test_labels, whole.train_labels[-10:])


@pytest.mark.parametrize(
    "options",
    [
        {"train_size": 0},
        {"train_size": TRAIN + 1},
        {"train_size": 2.5},
        {"test_size": -1},
        {"test_size": TEST + 1},
        {"holdout": TRAIN},
        {"holdout": -1},
        {"holdout": 10, "train_size": TRAIN - 9},
        {"holdout": 10, "test_size": 11},
    ],
)
def test_a_size_that_the_set_does_not_have_is_an_error_that_gives_the_range(miniature, options):
    with pytest.raises(ExperimentError, match=r"must be a whole number from \d+ to \d+"):
        data.load("mnist", root=miniature, **options)


def test_the_checksum_tells_data_sets_apart_and_nothing_else(miniature):
    whole = data.load("mnist", root=miniature)

    assert whole.checksum == data.load("mnist", root=miniature, train_size=TRAIN).to("cpu").checksum
    assert whole.checksum != data.load("mnist", root=miniature, train_size=TRAIN - 1).checksum
    assert whole.checksum != data.load("mnist", "stand-in", train_size=TRAIN, test_size=TEST).checksum


def test_a_second_load_does_not_read_the_files_again(miniature):
    first = data.load("mnist", root=miniature)
    second = data.load("mnist", root=miniature)

    assert first.train_images.data_ptr() == second.train_images.data_ptr()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(("minst",), "did you mean 'mnist'"), (("mnist", "reel"), "did you mean 'real'"), (("imagenet",), "cifar10")],
)
def test_an_unknown_name_or_source_is_an_error_that_lists_the_known_ones(arguments, hint):
    with pytest.raises(DataError, match=hint):
        data.load(*arguments)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_the_real_sets_are_read_as_torchvision_reads_them(real_data_root, name):
    facts = DATASETS[name]
    dataset = data.load(name, "real", real_data_root)

    assert dataset.train_images.shape == (facts.train_size, facts.channels, facts.size, facts.size)
    assert dataset.test_images.shape == (facts.test_size, facts.channels, facts.size, facts.size)
    reference = getattr(torchvision.datasets, facts.loader)(real_data_root, train=False)
    for index in (0, 17, 9999):
        image, label = reference[index]
        assert torch.equal(functional.pil_to_tensor(image), dataset.test_images[index])
        assert label == dataset.test_labels[index]
        assert dataset.classes[label] in reference.classes[label]
    assert {file.status for file in sources.check(name, real_data_root)} == {"ok"}


# -------------------------------------------------------------------- sets that are read as torchvision lays them out


def _miniature_files(name: str) -> dict[str, bytes]:
    """The files of a small data set in the format in which its makers publish it, by path."""
    dice = np.random.default_rng(0)
    facts, files = DATASETS[name], {}
    for file in facts.files:
        count = TRAIN if file.train else TEST
        pixels = dice.integers(0, 256, (count, *facts.shape), dtype=np.uint8)
        labels = np.arange(count) % len(facts.classes)
        if file.path.endswith(".gz"):
            shape, values = ((count, 28, 28), pixels) if "images" in file.path else ((count,), labels.astype(np.uint8))
            files[file.path] = gzip.compress(sources.idx_header(*shape) + values.tobytes())
        elif file.path.endswith(".mat"):
            written = io.BytesIO()
            digits = np.where(labels == 0, 10, labels)[:, None]
            scipy.io.savemat(written, {"X": pixels.transpose(2, 3, 1, 0), "y": digits.astype(np.uint8)})
            files[file.path] = written.getvalue()
        elif file.path.endswith("meta"):
            files[file.path] = pickle.dumps({"fine_label_names": list(facts.classes)}, protocol=2)
        else:
            batch = {"data": pixels.reshape(count, -1), "fine_labels": labels.tolist(), "coarse_labels": [0] * count}
            files[file.path] = pickle.dumps(batch, protocol=2)
    return files


@pytest.fixture(params=[name for name, facts in DATASETS.items() if not facts.drawn])
def small_set(request, monkeypatch, tmp_path) -> tuple[str, Path]:
    """The name of a data set, and a folder that holds a small one which both hwkit and torchvision take for it."""
    name, root = request.param, tmp_path / "small"
    files = _miniature_files(name)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    facts = DATASETS[name]
    known = [
        replace(file, size=len(files[file.path]), sha256=hashlib.sha256(files[file.path]).hexdigest())
        for file in facts.files
    ]
    small = replace(facts, train_size=TRAIN, test_size=TEST, files=tuple(known))
    monkeypatch.setitem(DATASETS, name, small)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)
    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda path, md5: True)
    return name, root


def test_other_sets_are_read_as_torchvision_reads_them(small_set):
    name, root = small_set
    facts, dataset = DATASETS[name], data.load(name, root=root)

    assert (dataset.source, dataset.title, len(dataset.train_labels)) == ("real", facts.title, TRAIN)
    for train, images, labels in (
        (True, dataset.train_images, dataset.train_labels),
        (False, dataset.test_images, dataset.test_labels),
    ):
        for file in facts.files:  # torchvision does this when it has downloaded them
            if file.path.endswith(".gz"):
                (root / file.path.removesuffix(".gz")).write_bytes(gzip.decompress((root / file.path).read_bytes()))
        half = {"split": "train" if train else "test"} if name == "svhn" else {"train": train}
        reference = getattr(torchvision.datasets, facts.loader)(root, **half)
        assert len(reference) == len(images)
        assert tuple(getattr(reference, "classes", facts.classes)) == facts.classes
        for index, (image, label) in enumerate(reference):
            assert torch.equal(functional.pil_to_tensor(image), images[index])
            assert label == labels[index]


@pytest.mark.parametrize("source", ["auto", "real"])
def test_a_set_without_a_stand_in_that_is_not_there_is_an_error(tmp_path, no_network, source):
    for name, facts in DATASETS.items():
        if not facts.drawn:
            with pytest.raises(
                DataError, match=f"{facts.title} is not in .* could not be downloaded: .*no network"
            ) as e:
                data.load(name, source, tmp_path)
            assert "stand-in" not in str(e.value)
            with pytest.raises(DataError, match=f"draws no stand-in for {name}, only for mnist and cifar10"):
                data.load(name, "stand-in")


@pytest.mark.parametrize(("damage", "detail"), DAMAGES)
def test_a_damaged_file_of_any_set_is_named_and_never_parsed(small_set, no_network, damage, detail, monkeypatch):
    name, root = small_set
    monkeypatch.setattr("pickle.loads", lambda *_, **__: pytest.fail("a file was unpickled"))
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("a file was parsed"))
    path = root / next(file.path for file in DATASETS[name].files if file.test)
    damage(path)

    with pytest.raises(DataError, match=f"{path.name} .*{detail}.*Delete it and run again"):
        data.load_test(name, root=root)


def test_the_reports_networks_take_other_sets_by_the_shape_of_their_images():
    for name, facts in DATASETS.items():
        model = models.build(Experiment(dataset=name))
        assert model(torch.zeros(2, *facts.shape)).shape == (2, len(facts.classes))
    assert named_experiment("mnist", "smoke", dataset="kmnist").train_size == 2000
    assert named_experiment("cifar10", dataset="kmnist").kernel_size == 5
    assert not named_experiment("cifar10", dataset="kmnist").augment


def test_the_checksums_of_torchvisions_archives_are_of_the_files_that_it_downloads():
    """What torchvision checks while it downloads are the very archives, or files, that the facts name."""
    for name in ("fashion-mnist", "kmnist"):
        loader = getattr(torchvision.datasets, DATASETS[name].loader)
        assert [Path(file.path).name for file in DATASETS[name].files] == [name for name, _ in loader.resources]
    svhn = torchvision.datasets.SVHN.split_list
    assert [file.path for file in DATASETS["svhn"].files] == [svhn[part][1] for part in ("train", "test")]
    cifar100 = torchvision.datasets.CIFAR100
    listed = [entry[0] for entry in [*cifar100.train_list, *cifar100.test_list]] + [cifar100.meta["filename"]]
    assert [file.path for file in DATASETS["cifar100"].files] == [f"{cifar100.base_folder}/{one}" for one in listed]


# -------------------------------------------------------------------------------------- missing and damaged files


def test_without_files_and_network_auto_takes_the_stand_in_and_its_title_says_so(tmp_path, no_network):
    dataset = data.load("mnist", root=tmp_path, train_size=10, test_size=10)

    assert dataset.source == "stand-in"
    assert "stand-in" in dataset.title
    assert dataset.classes != DATASETS["mnist"].classes


def test_without_files_and_network_real_is_an_error_that_says_how_to_get_them(tmp_path, no_network):
    with pytest.raises(DataError) as caught:
        data.load("cifar10", "real", tmp_path)

    for clue in (str(tmp_path), "HWKIT_DATA", "cifar-10-python.tar.gz", "no network in this test", "stand-in"):
        assert clue in str(caught.value)


def test_the_network_is_asked_once_per_process_and_never_against_ones_will(tmp_path, no_network):
    assert sources.resolve_source("mnist", root=tmp_path, download=False) == "stand-in"
    assert no_network == []
    for _ in range(3):
        assert sources.resolve_source("mnist", root=tmp_path) == "stand-in"
    assert no_network == list(DATASETS["mnist"].addresses)


def test_a_set_of_which_a_part_is_missing_is_not_passed_over_in_silence(miniature, no_network):
    (miniature / LABELS).unlink()

    with pytest.raises(DataError, match=r"incomplete.*train-labels-idx1-ubyte"):
        data.load("mnist", "auto", miniature)


@pytest.mark.parametrize("source", ["auto", "real"])
@pytest.mark.parametrize(("damage", "detail"), DAMAGES)
def test_a_damaged_file_is_an_error_that_names_it_and_the_remedy(miniature, no_network, damage, detail, source):
    damage(miniature / IMAGES)

    with pytest.raises(DataError, match=f"train-images-idx3-ubyte .*{detail}.*Delete it and run again"):
        data.load("mnist", source, miniature)
    assert no_network == [], "a damaged file was downloaded over"
    assert [file.status for file in sources.check("mnist", miniature)] == ["damaged", "ok", "ok", "ok"]


@pytest.mark.parametrize(("damage", "detail"), DAMAGES)
def test_no_file_of_cifar10_is_unpickled_before_its_checksum_matched(tmp_path, monkeypatch, no_network, damage, detail):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    content = b"\x80\x02}q\x01." + bytes(500)
    files = [replace(f, size=506, sha256=hashlib.sha256(content).hexdigest()) for f in DATASETS["cifar10"].files]
    for file in files:
        (tmp_path / file.path).write_bytes(content)
    monkeypatch.setitem(DATASETS, "cifar10", replace(DATASETS["cifar10"], files=tuple(files)))
    monkeypatch.setattr("pickle.loads", lambda *_, **__: pytest.fail("a file was unpickled"))
    damage(folder / "test_batch")

    for load in (data.load, data.load_test):
        with pytest.raises(DataError, match=f"test_batch .*{detail}"):
            load("cifar10", root=tmp_path)


def test_a_file_that_changes_while_it_is_read_is_not_believed(miniature, monkeypatch):
    monkeypatch.setattr(sources.storage, "read_bytes", lambda path, largest: b"half of it")

    with pytest.raises(DataError, match="was written to while it was read"):
        data.load_test("mnist", root=miniature)


@pytest.mark.real_data
def test_one_flipped_bit_in_the_real_mnist_is_found(real_data_root, tmp_path):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for file in DATASETS["mnist"].files:
        (tmp_path / file.path).symlink_to(Path(real_data_root).resolve() / file.path)
    assert sources.resolve_source("mnist", "real", tmp_path) == "real"
    labels = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.unlink()
    labels.write_bytes(content)
    _flip_a_bit(labels)

    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte has the right size but other contents"):
        data.load("mnist", root=tmp_path)


def test_files_of_an_old_torchvision_are_not_read_in_place_of_the_checked_ones(miniature, no_network):
    (miniature / "MNIST/processed").mkdir()
    for split in ("training", "test"):
        torch.save((torch.zeros(1, 28, 28), torch.zeros(1)), miniature / f"MNIST/processed/{split}.pt")

    with pytest.raises(DataError, match=r"processed/training\.pt"):
        data.load("mnist", root=miniature)


def test_a_data_root_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "data").write_text("")

    with pytest.raises(DataError, match="HWKIT_DATA"):
        data.load("mnist", root=tmp_path / "data")


def test_the_status_table_says_what_is_there_and_what_is_wrong(miniature):
    _cut_off(miniature / IMAGES)
    mnist, cifar10, fashion = sources.status_table(miniature)[:3]

    assert (mnist["status"], cifar10["status"]) == ("damaged", "missing")
    assert "cut off" in mnist["detail"]
    assert mnist["location"] == str(miniature / "MNIST/raw")
    assert "stand-in" in cifar10["source"]
    assert "stand-in" not in fashion["source"]


# --------------------------------------------------------------------------------------------------- downloading


def test_a_missing_set_is_downloaded_and_leaves_nothing_else_behind(miniature, mirror, tmp_path):
    root = tmp_path / "new"

    assert data.load("mnist", root=root).checksum == data.load("mnist", root=miniature).checksum
    assert sorted(path.name for path in root.iterdir()) == [".download.lock", "MNIST"]
    assert sorted(path.name for path in (root / "MNIST/raw").iterdir()) == sorted(
        Path(file.path).name for file in DATASETS["mnist"].files
    )


def test_archives_fetched_by_hand_are_unpacked_without_a_network(miniature, mirror, tmp_path, no_network):
    raw = tmp_path / "new/MNIST/raw"
    raw.mkdir(parents=True)
    for archive in mirror.iterdir():
        (raw / archive.name).write_bytes(archive.read_bytes())

    assert data.load("mnist", root=tmp_path / "new").checksum == data.load("mnist", root=miniature).checksum
    assert no_network == []


def test_only_the_missing_file_is_replaced(miniature, mirror):
    before = (miniature / IMAGES).stat().st_ino
    (miniature / LABELS).unlink()

    assert sources.resolve_source("mnist", "real", miniature) == "real"
    assert {file.status for file in sources.check("mnist", miniature)} == {"ok"}
    assert (miniature / IMAGES).stat().st_ino == before


def test_an_interrupted_download_is_never_taken_for_data_and_the_next_one_succeeds(mirror, tmp_path, monkeypatch):
    root = tmp_path / "new"
    fetch = sources._fetch

    def interrupted(facts, folder, staging):
        fetch(facts, folder, staging)
        _cut_off(staging / IMAGES)
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "_fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sources.resolve_source("mnist", root=root)
    assert sources.resolve_source("mnist", root=root, download=False) == "stand-in"

    monkeypatch.setattr(sources, "_fetch", fetch)
    assert data.load("mnist", root=root).source == "real"


def test_a_download_with_the_wrong_contents_is_refused(mirror, tmp_path, monkeypatch):
    files = tuple(replace(file, sha256="0" * 64) for file in DATASETS["mnist"].files)
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], files=files))

    with pytest.raises(DataError, match=r"could not be downloaded.*sha256"):
        data.load("mnist", "real", tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".download.lock"]


def test_two_processes_that_want_the_same_set_download_it_once(mirror, tmp_path, monkeypatch):
    fetch, calls = sources._fetch, []
    monkeypatch.setattr(sources, "_fetch", lambda *arguments: (calls.append(1), fetch(*arguments)))
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(sources.resolve_source("mnist", root=tmp_path / "new")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == ["real", "real"]
    assert len(calls) == 1


def test_a_network_that_swallows_everything_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "NETWORK_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], addresses=(address,)))
        with pytest.raises(DataError, match="no answer from"):
            data.load("mnist", "real", tmp_path)


def test_downloading_leaves_the_timeout_of_sockets_as_it_was(mirror, tmp_path):
    sources.resolve_source("mnist", root=tmp_path / "new")

    assert socket.getdefaulttimeout() is None


# ------------------------------------------------------------------------------- from images to training batches


def _colour_images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("name", list(DATASETS))
def test_normalise_gives_the_numbers_of_torchvision(name):
    facts = DATASETS[name]
    images = _colour_images(8)[:, : facts.channels]
    reference = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([facts.mean] * facts.channels, [facts.std] * facts.channels)]
    )

    expected = torch.stack([reference(image.permute(1, 2, 0).numpy()) for image in images])
    torch.testing.assert_close(data.normalise(images, name), expected, rtol=0, atol=0)


def test_each_chosen_image_is_mirrored_as_torchvision_does_and_no_other():
    images, mask = _colour_images(40), torch.arange(40) % 3 == 0
    for before, after, chosen in zip(images, data.random_flip(images, mask), mask, strict=True):
        assert torch.equal(after, functional.horizontal_flip(before) if chosen else before)


def test_each_chosen_image_is_grayed_as_torchvision_does_and_no_other():
    images, mask = _colour_images(40), torch.arange(40) % 3 == 0
    for before, after, chosen in zip(images, data.random_grayscale(images, mask), mask, strict=True):
        assert torch.equal(after, functional.rgb_to_grayscale(before, num_output_channels=3) if chosen else before)


def test_augment_mirrors_and_grays_and_leaves_its_input_alone():
    images, flip, grayscale = _colour_images(40), torch.arange(40) % 2 == 0, torch.arange(40) % 3 == 0
    before = images.clone()
    augmented = data.augment(images, flip, grayscale)

    assert torch.equal(augmented, data.random_grayscale(data.random_flip(images, flip), grayscale))
    assert torch.equal(images, before)


def _epoch(count: int, batch_size: int, **options) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of images whose label is their index and whose pixels tell the index as well."""
    labels = torch.arange(count)
    images = (labels.view(-1, 1, 1, 1) * torch.ones(1, 3, 2, 2, dtype=torch.int64)).to(torch.uint8)
    images[:, :, :, 0] += 100  # left differs from right
    images[:, 0] += 50  # red differs from the rest
    return list(data.batches(images, labels, batch_size, **options))


@given(count=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 2**40), epoch=st.integers(0, 999))
def test_an_epoch_gives_full_batches_of_different_images(count, batch_size, seed, epoch):
    given_batches = _epoch(count, batch_size, seed=seed, epoch=epoch)

    assert len(given_batches) == data.batches_per_epoch(count, batch_size) >= 1
    assert {len(labels) for _, labels in given_batches} == {min(batch_size, count)}
    seen = torch.cat([labels for _, labels in given_batches])
    assert len(seen.unique()) == len(seen) > count - batch_size
    for images, labels in given_batches:
        assert torch.equal(images[:, 2, 0, 1].long(), labels), "an image came with the label of another"


@given(data_=st.data(), count=st.integers(1, 60), batch_size=st.integers(1, 20), seed=st.integers(0, 99))
def test_an_epoch_resumed_anywhere_goes_on_as_if_it_had_not_stopped(data_, count, batch_size, seed):
    start = data_.draw(st.integers(0, data.batches_per_epoch(count, batch_size)))
    whole = _epoch(count, batch_size, seed=seed, epoch=3, augment=True)
    rest = _epoch(count, batch_size, seed=seed, epoch=3, augment=True, start=start)

    assert len(rest) == len(whole) - start
    for (images, labels), (expected_images, expected_labels) in zip(rest, whole[start:], strict=True):
        assert torch.equal(images, expected_images)
        assert torch.equal(labels, expected_labels)


def test_order_and_augmentation_of_an_image_do_not_depend_on_the_batch_size():
    small = _epoch(60, 5, seed=1, epoch=2, augment=True)
    large = _epoch(60, 30, seed=1, epoch=2, augment=True)

    for part in range(2):
        assert torch.equal(torch.cat([b[part] for b in small]), torch.cat([b[part] for b in large]))


def test_seeds_and_epochs_have_orders_of_their_own():
    keys = [(seed, epoch) for seed in range(4) for epoch in range(4)]
    orders = {tuple(_epoch(60, 60, seed=seed, epoch=epoch)[0][1].tolist()) for seed, epoch in keys}

    assert len(orders) == len(keys)


def test_augmentation_is_decided_per_image_with_the_probabilities_of_the_seed_report():
    count = 20000
    images = torch.zeros(count, 3, 1, 2, dtype=torch.uint8)
    images[:, 0, :, 0] = 200
    ((augmented, _),) = data.batches(images, torch.arange(count), count, seed=0, epoch=0, augment=True)

    flipped = (augmented[:, 0, 0, 0] == 0).float().mean()
    gray = (augmented[:, 1].sum((1, 2)) > 0).float().mean()
    assert flipped == pytest.approx(0.5, abs=0.015)
    assert gray == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 5, "start": 3}, {"batch_size": 5, "start": -1}])
def test_batches_that_cannot_be_are_an_error(options):
    with pytest.raises(ExperimentError):
        _epoch(10, seed=0, epoch=0, **options)


def test_random_test_indices_differ_from_each_other_and_depend_on_seed_and_iteration_only():
    chosen = data.random_test_indices(1000, 200, seed=1, iteration=7)

    assert len(chosen.unique()) == 200
    assert chosen.max() < 1000
    assert torch.equal(chosen, data.random_test_indices(1000, 200, seed=1, iteration=7))
    assert not torch.equal(chosen, data.random_test_indices(1000, 200, seed=1, iteration=8))
    assert not torch.equal(chosen, data.random_test_indices(1000, 200, seed=2, iteration=7))
    assert len(data.random_test_indices(50, 200, seed=1, iteration=7)) == 50


# --------------------------------------------------------------------------------------------------------- paths


def test_a_notebook_and_make_find_the_same_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("HWKIT_DATA", raising=False)
    monkeypatch.delenv("HWKIT_HOME", raising=False)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "hwkit"\n')
    for folder in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(folder)
        assert paths.data_root() == tmp_path / "data"
        assert paths.store_root() == tmp_path / "runs"


@pytest.mark.parametrize("pyproject", ['[project]\nname = "other"\n', "not = [toml", None])
def test_outside_a_project_the_current_folder_counts(tmp_path, monkeypatch, pyproject):
    (tmp_path / "notebooks").mkdir()
    if pyproject is not None:
        (tmp_path / "pyproject.toml").write_text(pyproject)
    monkeypatch.chdir(tmp_path / "notebooks")

    assert paths.project_root() == tmp_path / "notebooks"


def test_the_environment_moves_data_and_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HWKIT_DATA", str(tmp_path / "pictures"))
    monkeypatch.setenv("HWKIT_HOME", "~/drive/runs")

    assert paths.data_root() == tmp_path / "pictures"
    assert paths.store_root() == Path.home() / "drive/runs"


def test_importing_the_module_leaves_torchvision_alone():
    code = "import sys, hwkit.data; sys.exit('torchvision' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
