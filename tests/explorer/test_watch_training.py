"""Watching a training: curves while it runs, weights kept on the way, and nothing of it in the result."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hwkit import callbacks, data, runs, training
from hwkit.errors import ExperimentError, RunError
from hwkit.experiment import Experiment, named_experiment
from hwkit.explorer import watch_training
from hwkit.explorer.watch_training import LiveCurves
from hwkit.runs import RECORD_COLUMNS


def tiny(**changes: object) -> Experiment:
    options = {"data": "stand-in", "train_size": 640, "test_size": 200, "batch_size": 32, "record_every": 5}
    return named_experiment("cifar10", "smoke", **{**options, **changes})


class Shown:
    """What a notebook does with a display that is updated."""

    def __init__(self) -> None:
        self.final: dict[str, object] = {}

    def display(self, data: dict[str, object], **_: object) -> Shown:
        self.final = data
        return self

    def update(self, data: dict[str, object], **_: object) -> None:
        self.final = data


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    place = Shown()
    monkeypatch.setattr(watch_training, "display", place.display)
    return place


def test_watched_training_gives_the_same_run_and_leaves_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: Shown
) -> None:
    found = []
    for live in (False, True):
        monkeypatch.setenv("HWKIT_HOME", str(tmp_path / str(live)))
        found.append(training.train(tiny(), device="cpu", progress=False, live=live, snapshots=2 * live))
    plain, watched = found
    assert all(torch.equal(plain.final_weights[name], watched.final_weights[name]) for name in plain.final_weights)
    assert plain.fingerprint == watched.fingerprint
    assert set(shown.final) == {"text/html", "image/png", "text/plain"}


class OnRecord(callbacks.Callback):
    """Hands each row of the record to a function."""

    def __init__(self, function: Callable[[dict[str, float]], None]) -> None:
        self.function = function

    def on_record(self, training: callbacks.Training, row: dict[str, float]) -> None:
        self.function(row)


def begun(folder: Path) -> LiveCurves:
    curves = LiveCurves()
    cpu = torch.device("cpu")
    curves.training = training.start(folder, tiny(), data.of(tiny()), cpu)
    curves.on_start(curves.training)
    return curves


def test_curves_are_drawn_at_most_twice_a_second_and_seldom_where_drawing_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: Shown
) -> None:
    curves = begun(tmp_path)
    row = dict(zip(RECORD_COLUMNS, (5, 0.2, 2.0, 0.0, 0.1, 0.2, 1e-3, 0.5), strict=True))
    ticks = itertools.count(100.0, 0.05)
    monkeypatch.setattr(watch_training.time, "monotonic", lambda: next(ticks))
    for _ in range(90):  # drawing takes one tick, which is 50 ms, so the next is due after 5 s, which are 100 ticks
        curves.on_record(curves.training, row)
    assert curves.drawings == 1
    monkeypatch.setattr(watch_training, "SHARE", 1.0)
    curves._next = 0.0
    for _ in range(100):
        curves.on_record(curves.training, row)
    assert curves.drawings == pytest.approx(1 + 100 * 0.05 / watch_training.SECONDS, abs=2)


def test_curves_tell_the_last_row(tmp_path: Path, shown: Shown) -> None:
    curves = begun(tmp_path)
    curves.rows = [(5 * step, 0.1, 2.0, 0.0, 0.1, 0.2, 1e-3, 0.5 * step) for step in range(1, 2001)]
    curves.draw()
    assert "iteration 10000 of" in curves.html
    assert "1000 s" in curves.html


def test_rows_are_handed_on_and_those_before_an_interruption_are_drawn_too(
    own_store: Path, monkeypatch: pytest.MonkeyPatch, shown: Shown
) -> None:
    def stop(row: dict[str, float]) -> None:
        if row["iteration"] == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        training.train(tiny(), device="cpu", progress=False, callbacks=[OnRecord(stop)])
    seen: list[dict[str, float]] = []
    run = training.train(tiny(), device="cpu", progress=False, live=True, callbacks=[OnRecord(seen.append)])
    assert [row["iteration"] for row in seen] == [20, 25, 30, 35, 40]
    page = str(shown.final["text/html"])
    assert "iteration 40 of 40" in page
    assert all(len(points.split()) == len(run.record) for points in re.findall('points="([^"]+)"', page))


def test_snapshots_are_kept_evenly_and_vouched_for(own_store: Path) -> None:
    run = training.train(tiny(), device="cpu", progress=False, snapshots=3)
    assert run.experiment.iterations == 40
    assert run.weight_moments == [0, 10, 20, 30, 40]
    assert not torch.equal(run.weights_at(10)["fc1.weight"], run.weights_at(20)["fc1.weight"])
    assert torch.equal(run.weights_at(40)["fc1.weight"], run.final_weights["fc1.weight"])
    assert torch.equal(run.weights_at(0)["fc1.weight"], run.initial_weights["fc1.weight"])
    with pytest.raises(RunError, match="it has those of: 0, 10, 20, 30, 40"):
        run.weights_at(15)
    path = run.folder / "weights-00000010.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="is damaged"):
        runs.load(run.folder).weights_at(10)


def test_a_snapshot_that_is_damaged_before_training_ends_is_no_part_of_the_run(
    own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(row: dict[str, float]) -> None:
        if row["iteration"] > 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        training.train(tiny(), device="cpu", progress=False, snapshots=3, callbacks=[OnRecord(stop)])
    path = runs.folder_of(tiny()) / "weights-00000010.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    run = training.train(tiny(), device="cpu", progress=False, snapshots=3)
    assert run.weight_moments == [0, 20, 30, 40]
    runs.read_everything(run)


def test_the_axis_is_as_long_as_the_training(tmp_path: Path, shown: Shown) -> None:
    curves = begun(tmp_path)
    curves.rows = [(step, 0.1, 2.0, 0.0, 0.1, 0.2, 1e-3, 0.5) for step in (1, 10)]
    curves.draw()
    ends = [float(points.split()[-1].split(",")[0]) for points in re.findall('points="([^"]+)"', curves.html)]
    assert all(end < 0.35 * 860 for end in ends)  # 10 of 40 iterations


def test_examples_are_shown_with_what_the_network_predicts_of_them_now(tmp_path: Path, shown: Shown) -> None:
    curves = begun(tmp_path)
    classes = curves.training.dataset.classes
    curves.rows = [(1, 0.1, 2.0, 0.0, 0.1, 0.2, 1e-3, 0.5)]
    for label in (3, 7):
        head = list(curves.training.model.parameters())[-1]
        with torch.no_grad():
            head.fill_(0.0)
            head[label] = 100.0
        curves.draw()
        captions = re.findall(r"<figcaption>[✓✗] (.*?)<br>", curves.html)
        assert captions == [classes[label]] * watch_training.EXAMPLES
    assert curves.training.model.training


def test_there_is_a_button_to_stop_while_there_is_something_to_stop(own_store: Path, shown: Shown) -> None:
    def stop(row: dict[str, float]) -> None:
        if row["iteration"] == 20:
            pages.append(str(shown.final["text/html"]))
            raise KeyboardInterrupt

    pages: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        training.train(tiny(), device="cpu", progress=False, live=True, callbacks=[OnRecord(stop)])
    assert "notebook:interrupt-kernel" in pages[0]
    for says in ("Stopped. The same call resumes", "iteration 40 of 40"):
        assert says in str(shown.final["text/html"])
        assert "notebook:interrupt-kernel" not in str(shown.final["text/html"])
        training.train(tiny(), device="cpu", progress=False, live=True)


@pytest.mark.parametrize("snapshots", [-1, 1.5, True, "3"])
def test_a_number_of_snapshots_that_is_none_is_an_error(snapshots: object) -> None:
    with pytest.raises(ExperimentError, match="snapshots must be a whole number"):
        training.train(tiny(), snapshots=snapshots)
