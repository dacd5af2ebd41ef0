"""An object store holds results whole or not at all; a worker without a shared folder trains and then uploads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwkit import runs
from hwkit.batch.file import Limits, read_batch
from hwkit.batch.planning import plan
from hwkit.batch.results import gather
from hwkit.batch.state import State, StateFile, only_driver, read_state
from hwkit.batch.storage import Store
from hwkit.batch.tasks import tasks_of
from hwkit.batch.working import Order, carry_out, stop
from hwkit.engine import run_files
from hwkit.errors import BatchError

TINY = "experiments: mnist\nprofile: smoke\nset: {data: stand-in, train_size: 300, test_size: 100, epochs: 0.5}\n"


def test_a_run_reaches_an_object_store_whole(
    bucket: str, tmp_path: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"{TINY}store: {bucket}\n")
    batch = read_batch(path)
    (task,) = tasks_of(batch)
    store = Store(batch.store, batch.name)
    assert store.done([task]) == set()
    order = Order(store, Limits(), 1, None, "session")
    ending = carry_out(task, order)
    assert (ending.state, ending.message[:13]) == ("done", "test accuracy")
    assert store.done([task]) == {task.key}
    here = {file.name for file in (own_store / task.key).iterdir() if not file.name.startswith(".")}
    assert store.names(store.path(task.key)) == here
    assert run_files.CHECKPOINT not in here

    # Another machine, which has nothing but the address.
    monkeypatch.setenv("HWKIT_HOME", str(tmp_path / "elsewhere"))
    assert carry_out(task, order).message == "was there"
    assert not (tmp_path / "elsewhere").exists()
    store.download_run(task.key, tmp_path / "elsewhere")
    assert runs.load(tmp_path / "elsewhere" / task.key).logits.shape == (100, 10)
    monkeypatch.chdir(tmp_path)
    found = gather(plan(batch))
    assert found.frame["test_accuracy"].tolist() == [runs.load(own_store / task.key).test_accuracy]

    # What lacks its marker is not done.
    store.delete(store.path(task.key, "metrics.json"))
    assert store.done([task]) == set()


def test_a_checkpoint_travels_through_an_object_store(bucket: str, tmp_path: Path) -> None:
    store = Store(bucket, "study")
    folder = tmp_path / "one" / "mnist-0123"
    folder.mkdir(parents=True)
    (folder / run_files.CHECKPOINT).write_bytes(b"half way")
    store.upload_checkpoint(folder)
    store.download_run("mnist-0123", tmp_path / "two")
    assert (tmp_path / "two" / "mnist-0123" / run_files.CHECKPOINT).read_bytes() == b"half way"
    (tmp_path / "two" / "mnist-0123" / run_files.CHECKPOINT).write_bytes(b"further")
    store.download_run("mnist-0123", tmp_path / "two")
    assert (tmp_path / "two" / "mnist-0123" / run_files.CHECKPOINT).read_bytes() == b"further"


def test_state_is_kept_in_an_object_store(bucket: str) -> None:
    store = Store(bucket, "study")
    assert read_state(store) == State()
    state = State(seconds={"mnist": (2, 3.5)})
    StateFile(store, state).save(now=True)
    assert read_state(store).seconds == {"mnist": (2, 3.5)}
    assert read_state(store).alive


def test_an_address_that_nothing_knows_is_an_error() -> None:
    with pytest.raises(BatchError, match=r"nothing://here/a.*Protocol not known"):
        Store("nothing://here", "study").write("nothing://here/a", b"")


def test_a_damaged_state_is_an_empty_one(tmp_path: Path) -> None:
    store = Store(str(tmp_path), "study")
    for content in (b"{", b"[]", json.dumps({"failed": {"a": {"what": 1}}}).encode(), b'{"unknown": 1}'):
        store.write(store.own("state.json"), content)
        assert read_state(store) == State()


def test_a_batch_has_one_driver(tmp_path: Path) -> None:
    store = Store(str(tmp_path), "study")
    with only_driver(store), pytest.raises(BatchError, match="study is running already"), only_driver(store):
        pass


def test_a_stopped_session_begins_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"{TINY}store: store\n")
    batch = read_batch(path)
    (task,) = tasks_of(batch)
    stop("stopped")
    assert carry_out(task, Order(Store(batch.store, "study"), Limits(), 1, None, "stopped")).state == "stopped"
    assert not (tmp_path / "store").exists()
