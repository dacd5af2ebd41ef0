"""The benchmark compares like with like, computes its ratios right, and says what it measured on what.

How fast anything is, is not tested: that is what the benchmark is for.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms.functional import to_pil_image

from hwkit import callbacks, data, models, parallel
from hwkit.bench import baselines as contestants
from hwkit.bench import training as bench
from hwkit.bench.baselines import CONTESTANTS, Job
from hwkit.cli import main
from hwkit.data import FLIP_PROBABILITY, GRAYSCALE_PROBABILITY
from hwkit.errors import BenchError
from hwkit.experiment import Experiment, named_experiment

CPU = torch.device("cpu")
TINY = {"data": "stand-in", "train_size": 150, "test_size": 50, "batch_size": 32, "epochs": 2}
EFFORT = bench.Effort(rounds=2, seconds=0.05, warm_up=0, starts=1)
NEEDS_LIGHTNING = pytest.mark.skipif(not importlib.util.find_spec("lightning"), reason="Lightning is not installed")


def tiny(dataset: str = "cifar10", **changes: object) -> Experiment:
    return named_experiment(dataset, "full", **{**TINY, **changes})


def batch_of(loader: DataLoader) -> tuple[torch.Tensor, torch.Tensor]:
    return next(iter(loader))


# --- The contestants ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=NEEDS_LIGHTNING if "light" in n else ()) for n in CONTESTANTS])
def test_every_contestant_trains_as_many_images_as_its_experiment_says(name: str, dataset: str, tmp_path: Path) -> None:
    experiment = tiny(dataset)
    steps: list[int] = []
    CONTESTANTS[name].train(Job(experiment, CPU, tmp_path), lambda images, model: steps.append(images))
    images = 32
    if name == "matrix":  # as many images as the operations of one product of two matrices make
        images = round(2 * contestants.MATRIX_SIZE**3 / contestants.operations_per_image(experiment))
    assert steps == [images] * (2 * (150 // 32))


def test_operations_of_a_step_are_those_of_its_layers_forward_and_backward() -> None:
    """Twice the multiply-adds forward; the first convolution has no gradient of its input, the others cost it again."""
    first, rest = 784 * 32 * 25, 196 * 64 * 32 * 25 + 3136 * 1024 + 1024 * 10
    assert contestants.operations_per_image(named_experiment("mnist")) == 2 * (2 * first + 3 * rest)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_textbook_network_is_the_same_function_of_the_same_parameters(dataset: str) -> None:
    experiment = tiny(dataset)
    ours, theirs = models.build(experiment).eval(), contestants.textbook_network(experiment).eval()
    images = torch.rand(4, *data.load(dataset, "stand-in", train_size=1).train_images.shape[1:])
    torch.testing.assert_close(theirs(images), ours(images))
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    dropouts = [layer.p for layer in theirs if isinstance(layer, nn.Dropout)]
    assert dropouts == [experiment.dropout] * (experiment.dropout > 0)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_plain_loop_feeds_the_same_images_as_hwkit(dataset: str) -> None:
    experiment = tiny(dataset, augment=False)
    images, labels = batch_of(contestants.plain_loader(experiment.replace(batch_size=150), workers=0))
    ours = data.load(dataset, "stand-in", train_size=150)
    expected = data.normalise(ours.train_images, ours)

    def sorted_rows(batch: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        rows = torch.cat([batch.flatten(1), of.unsqueeze(1)], dim=1)
        return rows[rows.sum(dim=1).argsort()]

    torch.testing.assert_close(sorted_rows(images, labels), sorted_rows(expected, ours.train_labels))


def test_the_plain_loop_reads_the_real_data_with_torchvision(real_data_root: Path) -> None:
    loader = contestants.plain_loader(tiny(data="real"), workers=0)
    assert type(loader.dataset.dataset).__module__.startswith("torchvision.datasets")
    images, labels = batch_of(loader)
    assert images.shape == (32, 3, 32, 32)
    assert labels.dtype == torch.int64


def test_the_plain_loop_augments_as_often_as_hwkit() -> None:
    transform = contestants.plain_loader(tiny(), workers=0).dataset.transform
    image = data.load("cifar10", "stand-in", train_size=1).train_images[0].clone()
    image[:, :, 0] = torch.tensor([250, 0, 0]).unsqueeze(1)  # a red edge on the left
    count = 2000
    images = torch.stack([transform(to_pil_image(image)) for _ in range(count)])
    gray = (images[:, 0] == images[:, 1]).flatten(1).all(dim=1)
    left, right = images[:, 0, :, 0].std(dim=1), images[:, 0, :, -1].std(dim=1)
    flipped = right < left
    # five standard deviations of a share
    for found, probability in ((flipped, FLIP_PROBABILITY), (gray, GRAYSCALE_PROBABILITY)):
        assert abs(found.float().mean() - probability) < 5 * (probability * (1 - probability) / count) ** 0.5


def test_the_plain_loop_learns(tmp_path: Path) -> None:
    job = Job(tiny("mnist", train_size=640, epochs=4), CPU, tmp_path)
    losses = contestants.train_plainly(job, lambda images, model: None, workers=0)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_limit_steps_through_the_whole_network(dataset: str, tmp_path: Path) -> None:
    one_step, model = contestants.fixed_step(Job(tiny(dataset), CPU, tmp_path), "fp32", torch.channels_last)
    one_step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_without_lightning_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert contestants.present(runs=2) == [name for name in CONTESTANTS if "lightning" not in name]
    assert "hwkit-several" not in contestants.present(runs=1)


def test_with_lightning_all_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: types.SimpleNamespace())
    assert contestants.present(runs=2) == list(CONTESTANTS)


# --- From numbers to a verdict ------------------------------------------------------------------------------------


def test_ratios_are_taken_within_a_round_and_their_median_counts() -> None:
    rates = {"hwkit": [100.0, 230.0, 60.0], "plain": [50.0, 100.0, 20.0], "limit": [110.0, 250.0, 80.0]}
    rows = {row["title"]: row for row in bench.compare(rates, "cpu")}
    assert set(rows) == {"hwkit / plain loop", "hwkit / compute limit"}
    plain = rows["hwkit / plain loop"]
    assert plain["all"] == pytest.approx([2.0, 2.3, 3.0])
    assert (plain["median"], plain["low"], plain["high"]) == pytest.approx((2.3, 2.0, 3.0))
    assert (plain["at_least"], plain["met"]) == (2.3, True)
    limit = rows["hwkit / compute limit"]
    assert limit["median"] == pytest.approx(100 / 110)
    assert limit["met"] is False


def test_bars_depend_on_the_kind_of_device() -> None:
    rates = {name: [1.0] for name in CONTESTANTS}
    bars = {kind: [row["at_least"] for row in bench.compare(rates, kind)] for kind in ("cpu", "cuda", "mps")}
    titles = [row["title"] for row in bench.compare(rates, "cpu")]
    assert dict(zip(titles, bars["cpu"], strict=True))["hwkit / product of matrices"] == 0.7
    assert [bar for bar in bars["cpu"] if bar] == [2.3, 2.7, 0.92, 0.7, 0.97]
    assert [bar for bar in bars["cuda"] if bar] == [20.0, 0.8]
    assert all(row["met"] is None for row in bench.compare(rates, "mps"))


def test_a_figure_can_have_an_upper_bar() -> None:
    assert bench.judged("cost", [0.2, 0.3, 0.25], at_most=0.25)["met"] is True
    assert bench.judged("cost", [0.3], at_most=0.25)["met"] is False
    assert bench.judged("cost", [0.3])["met"] is None


def test_a_full_window_holds_a_checkpoint() -> None:
    assert callbacks.CHECKPOINT_SECONDS <= bench.FULL.seconds < 2 * callbacks.CHECKPOINT_SECONDS


# --- Measuring ----------------------------------------------------------------------------------------------------


class Pipe:
    """The benchmark's end of a worker's connection, with its commands written down beforehand."""

    def __init__(self, *commands: tuple) -> None:
        self.commands = list(commands)
        self.sent: list[tuple] = []

    def send(self, message: tuple) -> None:
        self.sent.append(message)

    def recv(self) -> tuple:
        return self.commands.pop(0)

    def poll(self) -> bool:
        return self.commands[0][0] == "pause"


def test_a_window_counts_the_images_after_its_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))  # a second passes with every look at the clock
    monkeypatch.setattr(bench, "time", types.SimpleNamespace(perf_counter=clock.__next__, monotonic=lambda: 7.0))
    pipe = Pipe(("window", 0, 4), ("go",), ("pause",), ("stop",))
    steps = bench._windows(pipe, CPU)
    next(steps)
    warm_up = [10] * bench.WARM_UP_STEPS
    for images in (1, *warm_up, 100, 200):  # the first step, those to warm up, the first two of three on the clock
        steps.send((images, nn.Identity()))
    with pytest.raises(bench._Stop):
        steps.send((300, nn.Identity()))
    assert pipe.sent == [("first step", 7.0), ("warm", None), ("window", (600, 5))]


def test_several_runs_train_side_by_side_in_processes_of_one_thread(tmp_path: Path) -> None:
    lines: list[str] = []
    names = ["hwkit-several", "limit"]
    found = bench.measure_speed(tiny("mnist"), CPU, names, EFFORT, 2, tmp_path, lines.append)["contestants"]
    assert list(found) == names
    for one in found.values():
        assert len(one["images_per_second"]["all"]) == EFFORT.rounds
        assert one["images_per_second"]["low"] > 0
        assert one["configuration"].startswith(("bf16", "fp32"))
        assert one["seconds_to_first_step"] is None
    assert found["hwkit-several"]["threads"] == 1
    if sys.platform == "linux":
        assert found["hwkit-several"]["peak_memory_mib"] > 1.5 * found["limit"]["peak_memory_mib"] > 0
    assert any("round 2 of 2" in line for line in lines)


def test_a_contestant_that_fails_is_named(tmp_path: Path) -> None:
    nowhere = torch.device("meta")  # has no numbers that a loss could be made of
    with (
        bench.Worker("hwkit", tiny("mnist"), nowhere, tmp_path) as worker,
        pytest.raises(BenchError, match="hwkit fail"),
    ):
        worker.receive("first step")


def test_a_contestant_that_dies_is_named(tmp_path: Path) -> None:
    with bench.Worker("limit", tiny("mnist"), CPU, tmp_path) as worker:
        worker.receive("first step")
        worker.process.kill()
        with pytest.raises(BenchError, match="compute limit ended without a word, with exit code -9"):
            worker.receive("warm")


@pytest.mark.parametrize("name", ["hwkit", "plain"])
def test_accuracy_is_looked_at_four_times_an_epoch_until_it_is_reached(name: str, tmp_path: Path) -> None:
    job = Job(tiny(train_size=256), CPU, tmp_path)
    steps = bench._evaluations(job, goal=1.1)  # out of reach
    next(steps)
    CONTESTANTS[name].train(job, lambda images, model: steps.send((images, model)))
    evaluations = job.facts["evaluations"]
    assert [one["images"] for one in evaluations] == list(range(64, 513, 64))
    assert all(a["seconds"] < b["seconds"] for a, b in itertools.pairwise(evaluations))


def test_training_to_an_accuracy_ends_there(tmp_path: Path) -> None:
    job = Job(tiny(train_size=256), CPU, tmp_path)
    steps = bench._evaluations(job, goal=0.0)
    next(steps)
    with pytest.raises(bench._Stop):
        contestants.train_plainly(job, lambda images, model: steps.send((images, model)), workers=0)
    assert [one["images"] for one in job.facts["evaluations"]] == [64]


def test_seconds_to_an_accuracy_are_those_of_the_last_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {
        "hwkit": [
            {"images": 64, "seconds": 1.5, "test_accuracy": 0.5},
            {"images": 9, "seconds": 3, "test_accuracy": 0.8},
        ],
        "plain": [
            {"images": 64, "seconds": 9.0, "test_accuracy": 0.7},
            {"images": 9, "seconds": 20, "test_accuracy": 0.6},
        ],
    }

    class Finished(bench.Worker):
        def __init__(self, name: str, *arguments: object, **options: object) -> None:
            self.name = name

        def __exit__(self, *exception: object) -> None:
            pass

        def receive(self, kind: str) -> dict:
            return {"evaluations": facts[self.name]}

    monkeypatch.setattr(bench, "Worker", Finished)
    monkeypatch.setattr(bench, "GOALS", {"cifar10": [(0.79, {name: (name, {}) for name in facts})]})
    rows = bench.measure_to_accuracy(tiny(), CPU, 2, tmp_path, lambda line: None)
    assert [(row["title"], row["seconds"], row["best"]) for row in rows] == [
        ("hwkit", [3, 3], [0.8, 0.8]),
        ("plain", [None, None], [0.7, 0.7]),
    ]


def test_the_difference_in_accuracy_is_that_of_runs_with_the_same_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = {("auto", 0): 0.801, ("auto", 1): 0.805, ("fp32", 0): 0.800, ("fp32", 1): 0.802}

    def train_all(experiments: list[Experiment], **options: object) -> list[types.SimpleNamespace]:
        return [types.SimpleNamespace(test_accuracy=accuracies[one.precision, one.seed]) for one in experiments]

    monkeypatch.setattr(parallel, "train_all", train_all)
    check = bench.compare_accuracies(named_experiment("cifar10", "full"), 2, "cpu", lambda line: None)
    assert check["difference"] == pytest.approx(0.2)
    assert check["standard_error"] == pytest.approx(0.1)
    assert (check["allowed"], check["met"]) == (0.3, True)
    check = bench.compare_accuracies(named_experiment("mnist", "full"), 1, "cpu", lambda line: None)
    assert (check["allowed"], check["met"], check["standard_error"]) == (0.1, True, None)
    assert bench.compare_accuracies(named_experiment("mnist", "quick"), 1, "cpu", lambda line: None)["met"] is None


def test_an_empty_notebook_is_executed_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import papermill

    executed: list[str] = []
    original = papermill.execute_notebook

    def execute_notebook(source: str, output: str, parameters: dict | None = None, **options: object) -> None:
        executed.append("papermill" if parameters is None else "hwkit")
        content = json.loads(Path(source).read_text())
        content["cells"][0]["source"] = "import hwkit"  # torch takes seconds
        Path(source).write_text(json.dumps(content))
        original(source, output, parameters, **options)

    monkeypatch.setattr(papermill, "execute_notebook", execute_notebook)
    found = bench.measure_notebooks(1, tmp_path, lambda line: None)
    assert executed == ["papermill", "hwkit", "hwkit", "papermill"]
    (row,) = found["comparisons"]
    assert row["median"] == found["seconds"]["hwkit"]["median"] / found["seconds"]["papermill"]["median"]


# --- The command line ---------------------------------------------------------------------------------------------


def test_the_command_prints_tables_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "present", lambda *, runs: ["plain", "hwkit"])
    monkeypatch.setattr(bench, "QUICK", EFFORT)
    output = tmp_path / "new" / "bench.json"
    arguments = ["--quick", "--dataset", "mnist", "--data", "stand-in", "--device", "cpu", "--output", str(output)]
    assert main(["bench", *arguments]) == 0
    result = json.loads(output.read_text())
    assert {"date", "torch", "device_name", "threads", "cores", "precision", "load_at_start"} <= set(result["machine"])
    found = result["datasets"]["mnist"]
    assert found["source"] == "stand-in"
    assert found["experiment"]["batch_size"] == 128
    assert [row["title"] for row in found["speed"]["comparisons"]] == ["hwkit / plain loop"]
    for name in ("plain", "hwkit"):
        assert len(found["speed"]["contestants"][name]["images_per_second"]["all"]) == EFFORT.rounds
        assert len(found["speed"]["contestants"][name]["seconds_to_first_step"]["all"]) == EFFORT.starts
    printed = capsys.readouterr().out
    for text in ("MNIST stand-in, not the real data", "plain loop", "at least 2.3", str(output)):
        assert text in printed
    assert not list(output.parent.glob(".bench-*"))


def test_each_part_has_its_table() -> None:
    ways = [("hwkit", [12.34, 12.0, 13.0], [0.8, 0.79, 0.8]), ("plain loop", [None] * 3, [0.7, 0.6, 0.5])]
    result = {
        "datasets": {
            "cifar10": {
                "source": "real",
                "experiment": {"batch_size": 128},
                "to_accuracy": [
                    {"goal": 0.79, "title": title, "epochs": 2.0, "seconds": seconds, "best": best}
                    for title, seconds, best in ways
                ],
                "validity": {
                    "profile": "full",
                    "fast": [0.8],
                    "fp32": [0.804],
                    "difference": -0.4,
                    "standard_error": None,
                    "allowed": 0.3,
                    "met": False,
                },
            }
        },
        "notebooks": {
            "seconds": {"papermill": bench.summary([4.0]), "hwkit": bench.summary([1.0])},
            "comparisons": [bench.judged("empty notebook, hwkit / papermill", [0.25], at_most=0.25)],
        },
    }
    lines = [" ".join(line.split()) for line in bench.tables(result).splitlines()]
    assert "CIFAR-10: seconds of training to a test accuracy" in lines
    assert "hwkit 0.79 2 3 of 3 12.3 12.4 (11.2 to 13.7)" in lines
    assert "plain loop 0.79 2 0 of 3 – best 0.7000" in lines
    assert "full 1 -0.40 – 0.3 not met" in lines
    assert "empty notebook, hwkit / papermill 0.25 (0.25 to 0.25) at most 0.25 met" in lines


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dataset", "mnits"], "unknown data set 'mnits': did you mean 'mnist'?"),
        (["--device", "abacus"], "device 'abacus' is not here"),
        (["--data", "fake"], "unknown data source 'fake'"),
        (["--runs", "0"], "runs must be a whole number of at least 1, not 0"),
        (["--seeds", "-1"], "seeds must be a whole number of at least 1, not -1"),
        (["--rounds", "0"], "rounds must be a whole number of at least 1, not 0"),
        (["--check-accuracy", "fast"], "unknown profile 'fast'"),
    ],
)
def test_bad_input_is_an_error_before_anything_is_measured(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--quick", "--output", str(tmp_path / "bench.json"), *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_is_no_place_for_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--output", str(tmp_path)]) == 2
    assert "is a folder; name a file in it" in capsys.readouterr().err


def test_an_unknown_option_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--fast"])
    assert "--fast" in capsys.readouterr().err


def test_ctrl_c_says_that_nothing_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "bench", interrupted)
    assert main(["bench", "--output", str(tmp_path / "bench.json")]) == 130
    assert capsys.readouterr().err.strip() == "hwkit: interrupted; nothing was written"
