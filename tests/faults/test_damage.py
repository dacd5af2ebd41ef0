"""Damaged files: named with a remedy, or as good as whole; never a wrong number, never an error from the depths."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness import Outcome, outcome_of, small

from hwkit import callbacks, data, doctor, runs, training
from hwkit.datasets import sources
from hwkit.datasets.sources import DATASETS, DataFile
from hwkit.engine import checkpoints
from hwkit.errors import DataError, RunError
from hwkit.experiment import Experiment

Damage = Callable[[Path, random.Random], None]


def cut_off(path: Path, dice: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: dice.randrange(path.stat().st_size)])


def flip_bits(path: Path, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 1, 1, 8])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def zeros(path: Path, dice: random.Random) -> None:
    """As after a power cut on some file systems: the size is right, a block is not."""
    content = bytearray(path.read_bytes())
    place = dice.randrange(len(content))
    content[place : place + 4096] = bytes(len(content[place : place + 4096]))
    path.write_bytes(content)


def text(path: Path, dice: random.Random) -> None:
    path.write_text(dice.choice(["<!DOCTYPE html><title>404</title>", "{}", "[]", "null", "1,2\n3,4\n", "\x00"]))


def empty(path: Path, dice: random.Random) -> None:
    path.write_bytes(b"")


def folder(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path, dice: random.Random) -> None:
    path.unlink()


def endless(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def pipe(path: Path, dice: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: list[Damage] = [
    cut_off,
    cut_off,
    flip_bits,
    flip_bits,
    flip_bits,
    zeros,
    text,
    empty,
    folder,
    gone,
    endless,
    pipe,
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a finished run, and an interrupted one."""
    store = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HWKIT_HOME", str(store))
        training.train(small(), device="cpu", progress=False, snapshots=1)
        patched.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
        patched.setattr(runs, "finish", lambda *_, **__: (_ for _ in ()).throw(RunError("interrupted")))
        with pytest.raises(RunError):
            training.train(small(seed=1), device="cpu", progress=False, snapshots=1)
    return store


def train(experiment: Experiment) -> Outcome:
    return outcome_of(training.train(experiment, device="cpu", progress=False))


def test_every_damaged_file_of_a_store_is_named_or_as_good_as_whole(
    times: Callable[[int, int], int],
    dice: random.Random,
    whole: Path,
    undisturbed: Callable[[Experiment], Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished, interrupted = small(), small(seed=1)
    named = 0
    count = times(20, 400)
    for number in range(count):
        store = tmp_path / str(number)
        shutil.copytree(whole, store)
        monkeypatch.setenv("HWKIT_HOME", str(store))
        experiment = dice.choice([finished, finished, interrupted])
        path = dice.choice(sorted(runs.folder_of(experiment).iterdir()))
        damage = dice.choice(DAMAGES)
        if path.stat().st_size == 0:
            damage = dice.choice([text, folder, gone, endless, pipe])
        before = path.read_bytes()
        damage(path, dice)
        what = f"{damage.__name__} of {path.name} (number {number})"
        unchanged = path.is_file() and path.read_bytes() == before

        try:
            assert train(experiment) == undisturbed(experiment), what
        except RunError as error:
            assert not unchanged, what
            assert str(path.parent) in str(error), what
            assert path.name in str(error), what
            assert "elete" in str(error), what
            named += 1
        runs.read_store(store)
        for finding in list(doctor.examine_store(store)):
            assert finding.repair is not None, f"{what}: {finding}"
            finding.repair()
        assert list(doctor.examine_store(store)) == [], what
        assert train(experiment) == undisturbed(experiment), f"{what}, repaired"
        shutil.rmtree(store)
    assert named > count // 4
    print(f"{count} damaged files of runs, {named} of them an error, the others without effect")


@pytest.fixture
def miniature(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Whole MNIST and CIFAR-10 of a few images, which `hwkit.data` takes for the real ones."""
    import pickle

    root = tmp_path / "data"
    generator = torch.Generator().manual_seed(0)

    def keep(name: str, contents: list[tuple[str, bytes]], train: int, test: int) -> None:
        files = []
        for path, content in contents:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            header = content[: len(next(file.header for file in DATASETS[name].files if file.path == path))]
            files.append(DataFile(path, len(content), header, hashlib.sha256(content).hexdigest()))
        small = replace(DATASETS[name], train_size=train, test_size=test, files=tuple(files))
        monkeypatch.setitem(DATASETS, name, small)

    def pixels(count: int) -> bytes:
        return torch.randint(0, 256, (count,), dtype=torch.uint8, generator=generator).numpy().tobytes()

    mnist = []
    for file in DATASETS["mnist"].files:
        count = 30 if "train" in file.path else 20
        if "images" in file.path:
            mnist.append((file.path, sources.idx_header(count, 28, 28) + pixels(count * 784)))
        else:
            mnist.append((file.path, sources.idx_header(count) + bytes(label % 10 for label in range(count))))
    keep("mnist", mnist, 30, 20)
    cifar = []
    for file in DATASETS["cifar10"].files:
        images = torch.frombuffer(bytearray(pixels(4 * 3072)), dtype=torch.uint8).view(4, 3072).numpy()
        content = {"data": images, "labels": [1, 2, 3, 4]}
        cifar.append((file.path, pickle.dumps(content, protocol=2)))
    keep("cifar10", cifar, 20, 4)
    monkeypatch.setattr(sources, "_require_network", lambda _: (_ for _ in ()).throw(OSError("no network here")))
    return root


def test_every_damaged_file_of_a_data_set_is_named(
    times: Callable[[int, int], int], dice: random.Random, miniature: Path, tmp_path: Path
) -> None:
    whole = {name: data.load(name, root=miniature).checksum for name in ("mnist", "cifar10")}
    count = times(40, 100)
    for number in range(count):
        root = tmp_path / f"copy-{number}"
        shutil.copytree(miniature, root)
        name = dice.choice(sorted(whole))
        file = dice.choice(DATASETS[name].files)
        path = root / file.path
        damage, before = dice.choice(DAMAGES), path.read_bytes()
        damage(path, dice)
        what = f"{damage.__name__} of {path.name} (number {number})"
        unchanged = path.is_file() and path.read_bytes() == before
        try:
            assert data.load(name, root=root).checksum == whole[name]
            assert unchanged or not (file.train or file.test), what  # CIFAR-10's list of its classes is not read
        except DataError as error:
            assert path.name in str(error), what
            assert str(root) in str(error), what
            assert "run again" in str(error).lower(), what
        sources._failed_downloads.clear()
        for finding in list(doctor.examine_data(root)):
            if finding.repair:
                finding.repair()
        assert {file.status for file in sources.check(name, root)} <= {"ok", "missing"}, what
    print(f"{count} damaged files of data sets, each an error or without effect")


def test_a_checkpoint_is_what_the_damaged_one_was_before(whole: Path) -> None:
    """The suite attacks what it means to: the interrupted run does have a checkpoint that is used."""
    experiment = small(seed=1)
    assert (
        checkpoints.load(runs.folder_of(experiment, whole), experiment.fingerprint).iteration == experiment.iterations
    )
