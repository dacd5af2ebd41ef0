"""Writes that fail and stores that cannot be written: one clear error, and the next attempt goes on."""

from __future__ import annotations

import errno
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import FailingDisk, Outcome, outcome_of, small

from hwkit import callbacks, doctor, runs, training
from hwkit.batch.storage import Store
from hwkit.errors import BatchError, RunError
from hwkit.experiment import Experiment
from hwkit.export.files import ReportError, replace_file


def train(experiment: Experiment) -> Outcome:
    return outcome_of(training.train(experiment, device="cpu", progress=False, snapshots=2))


def test_a_failed_write_is_one_error_and_the_next_attempt_goes_on(
    times: Callable[[int, int], int],
    dice: random.Random,
    undisturbed: Callable[[Experiment], Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    failed = 0
    for number in range(times(10, 200)):
        store, experiment = tmp_path / str(number), small(seed=number % 3)
        monkeypatch.setenv("HWKIT_HOME", str(store))
        code = dice.choice([errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
        stage, share = dice.choice(FailingDisk.STAGES), dice.random()
        with monkeypatch.context() as patched:
            disk = FailingDisk(dice.randrange(23), stage, code, share, for_good=dice.random() < 0.5).install(patched)
            what = f"write {disk.failing} fails with {errno.errorcode[code]} at {stage} (number {number})"
            try:
                assert train(experiment) == undisturbed(experiment), what
                assert not disk.failed, what
            except RunError as error:
                assert str(store) in str(error), what
                assert "run again" in str(error), what
        failed += disk.failed > 0
        folder = runs.folder_of(experiment)
        assert list(doctor.examine_store(store)) == [], what
        assert not list(folder.glob(".*.????????")), what
        assert train(experiment) == undisturbed(experiment), what
    assert failed > number // 2
    print(f"{failed} failed writes in {number + 1} trainings")


def _write_result(path: Path, content: bytes) -> None:
    store = Store(str(path.parents[2]), path.parent.name)
    store.write(store.own(path.name), content)


@pytest.mark.parametrize(("write", "error"), [(replace_file, ReportError), (_write_result, BatchError)])
def test_a_file_of_a_report_or_batch_that_cannot_be_written_leaves_the_old_one_and_no_litter(
    write: Callable[[Path, bytes], None],
    error: type[Exception],
    dice: random.Random,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "batches" / "study" / "report.pdf"
    path.parent.mkdir(parents=True)
    write(path, b"old")
    for stage in FailingDisk.STAGES:
        with monkeypatch.context() as patched:
            FailingDisk(0, stage, errno.ENOSPC, dice.random()).install(patched)
            with pytest.raises(error, match=r"report\.pdf.*: No space left"):
                write(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk in memory with the given options; skips the test where that is not allowed."""
    places = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk-{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting needs root")
        places.append(place)
        return place

    try:
        yield mount
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    finally:
        for place in places:
            subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_is_full_for_real_keeps_what_was_reached(
    times: Callable[[int, int], int],
    dice: random.Random,
    undisturbed: Callable[[Experiment], Outcome],
    mounted: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    experiment = small()
    full = 0
    for number in range(times(3, 20)):
        store = mounted(f"size={dice.randrange(300, 2200)}k")
        monkeypatch.setenv("HWKIT_HOME", str(store))
        try:
            assert train(experiment) == undisturbed(experiment)
        except RunError as error:
            full += 1
            assert "No space left on device" in str(error)
            assert "MiB free" in str(error)
        for finding in doctor.examine_store(store):
            assert "cannot be written" in finding.problem, (number, finding)
        subprocess.run(["mount", "-o", "remount,size=20m", store], check=True)
        assert train(experiment) == undisturbed(experiment)
    assert full


def test_a_read_only_store_gives_what_it_has_and_says_that_it_takes_nothing(
    undisturbed: Callable[[Experiment], Outcome], mounted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = mounted("size=20m")
    monkeypatch.setenv("HWKIT_HOME", str(store))
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    train(small())
    with monkeypatch.context() as patched:
        patched.setattr(runs, "finish", lambda *_, **__: (_ for _ in ()).throw(RunError("interrupted")))
        with pytest.raises(RunError, match="interrupted"):
            train(small(seed=1))
    subprocess.run(["mount", "-o", "remount,ro", store], check=True)

    assert train(small()) == undisturbed(small())
    run = runs.load(runs.folder_of(small()))
    assert len(run.logits) == len(run.labels)
    assert len(runs()) == 1
    for experiment in (small(seed=1), small(seed=2)):
        with pytest.raises(RunError, match=r"cannot write .*HWKIT_HOME"):
            train(experiment)
    (finding,) = doctor.examine_store(store)
    assert "cannot be written" in finding.problem

    subprocess.run(["mount", "-o", "remount,rw", store], check=True)
    assert train(small(seed=1)) == undisturbed(small(seed=1))
