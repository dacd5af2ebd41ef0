"""The same in TensorFlow's own graph mode, where TensorFlow is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from hwkit import data, models, plots
from hwkit.chapters import penalty_bug as penalty
from hwkit.chapters import penalty_sentences as prose
from hwkit.chapters import tensorflow_graph
from hwkit.chapters.penalty_bug import WEIGHTS, PenaltyRun, PenaltyTraining
from hwkit.experiment import named_experiment
from hwkit.findings import reference as results

pytestmark = pytest.mark.skipif(
    not tensorflow_graph.available(), reason="TensorFlow is not installed: pip install 'hwkit[tensorflow]'"
)

TINY = {"data": "stand-in", "train_size": 300, "test_size": 100, "batch_size": 16, "record_every": 4, "l2": 1e-2}


def tiny(**options: object) -> list[PenaltyTraining]:
    return penalty.versions("tensorflow", "smoke", **{**TINY, "iterations": 8, "plain_iterations": 12, **options})


@pytest.fixture(scope="module")
def three(store: Path) -> list[PenaltyRun]:
    """MNIST's network without a penalty, for longer, with the faulty one and with the repaired one."""
    return [tensorflow_graph.train(one, device="cpu", progress=False) for one in tiny()]


def test_tensorflow_finds_no_gradient_of_the_faulty_penalty(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = (run.penalties for run in three)
    assert none.empty
    assert tuple(faulty.index) == WEIGHTS
    assert faulty["gradient"].isna().all()
    assert (faulty["value"] != faulty["again"]).all()
    assert repaired["gradient"].tolist() == pytest.approx((1e-2 * repaired["norm"]).tolist(), rel=1e-4)
    assert repaired["value"].tolist() == pytest.approx((1e-2 / 2 * repaired["norm"] ** 2).tolist(), rel=1e-4)


def test_tensorflow_finds_no_gradient_of_a_penalty_over_the_collection() -> None:
    found, in_torch = tensorflow_graph.attempts(1e-3), penalty.attempts(1e-3)
    assert list(found) == list(in_torch)
    assert [gradient is None for _, gradient in found.values()] == [True, True, False]
    value, gradient = found["over the variables"]
    assert gradient == pytest.approx((2 * 1e-3 * value) ** 0.5, rel=1e-4)


def test_the_faulty_penalty_trains_nothing_and_the_repaired_one_shrinks(three: list[PenaltyRun]) -> None:
    found = penalty.judge(*three)
    assert found.outcome == "confirmed"
    assert found.iteration == 8
    assert found.faulty_change < 1e-5
    assert found.norms["repaired"] < 0.99 * found.norms["none"]


def test_the_graph_computes_what_the_pytorch_network_computes(own_store: Path) -> None:
    network = tensorflow_graph.GraphNetwork(tiny()[0], torch.device("cpu"))
    model = models.build(named_experiment("mnist")).eval()
    weights = {name: torch.from_numpy(network.session.run(weight)) for name, weight in network.weights.items()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not models.is_weight(parameter):
                parameter.fill_(0.1)
            elif name.startswith("conv"):
                parameter.copy_(weights[name].permute(3, 2, 0, 1))
            elif name == "fc1.weight":  # TensorFlow flattens height, width, channels; PyTorch channels first
                parameter.copy_(weights[name].reshape(7, 7, 64, 1024).permute(3, 2, 0, 1).flatten(1))
            else:
                parameter.copy_(weights[name].T)
        images = data.load("mnist", "stand-in", train_size=20, test_size=1).train_images
        expected = model(data.normalise(images, "mnist"))
    torch.testing.assert_close(network.logits(images), expected, rtol=1e-3, atol=1e-3)
    assert sum(weight.numel() for weight in weights.values()) == 3274634 - 32 - 64 - 1024 - 10
    assert all(0.08 < weight.std() < 0.095 and weight.abs().max() <= 0.2 for weight in weights.values())
    network.session.close()


def test_the_record_is_that_of_the_pytorch_half(three: list[PenaltyRun]) -> None:
    torch_run = penalty.train(
        penalty.versions("pytorch", "smoke", **TINY, iterations=8)[0], device="cpu", progress=False
    )
    assert list(three[0].record.columns) == list(torch_run.record.columns)
    assert three[0].record["iteration"].tolist() == [0, 4, 8, 12]
    assert list(results.result_row(three[0])) == list(results.result_row(torch_run))
    assert three[0].framework == "TensorFlow"
    assert three[0].environment["tensorflow"]


def test_a_finished_result_needs_no_tensorflow(three: list[PenaltyRun], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_graph, "available", lambda: False)
    again = tensorflow_graph.train(tiny()[1], device="cpu", progress=False)
    pd.testing.assert_frame_equal(again.record, three[1].record)


def test_the_report_shows_it(three: list[PenaltyRun]) -> None:
    assert "TensorFlow: the penalty was in the loss" in prose.penalty_verdict([three]).data
    assert "12 steps" in prose.tensorflow_summary(three[0]).data
    assert set(prose.penalty_result_table([three])["steps"]) == {"8"}
    assert len(plots.training_curves(three[0]).axes) == 2
    assert penalty.effects_figure([three]).axes[1].get_xlim() == (0, 8)


def test_nothing_global_changes_and_import_waits_for_use() -> None:
    code = (
        "import sys; from hwkit import penalty, tensorflow_graph, prose; tensorflow_graph.available();"
        "assert 'tensorflow' not in sys.modules;"
        "import torch; one = penalty.versions('tensorflow', 'smoke', data='stand-in')[1];"
        "tensorflow_graph.GraphNetwork(one, torch.device('cpu')).session.close();"
        "torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))]);"
        "import tensorflow as tf; assert tf.executing_eagerly();"
        "assert tf.compat.v1.get_default_graph().get_operations() == []"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
