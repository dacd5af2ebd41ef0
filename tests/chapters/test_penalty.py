"""The penalty without a gradient: the mistake does nothing, its repair is L2, and verdicts follow the numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from hwkit import models, runs
from hwkit.chapters import penalty_bug as penalty
from hwkit.chapters import penalty_sentences as prose
from hwkit.chapters import tensorflow_graph
from hwkit.chapters.penalty_bug import WEIGHTS, PenaltyRun, PenaltyTraining
from hwkit.errors import ExperimentError, ParameterError, RunError, TrainingError
from hwkit.findings import reference as results
from hwkit.findings.verdicts import Claim
from hwkit.runs import Run

TINY = {"data": "stand-in", "train_size": 300, "test_size": 100, "iterations": 8, "record_every": 4}


def tiny(framework: str = "pytorch", **options: object) -> list[PenaltyTraining]:
    return penalty.versions(framework, "smoke", **{**TINY, "batch_size": 16, **options})


@pytest.fixture(scope="module")
def three(store: Path) -> list[PenaltyRun]:
    """MNIST's network without a penalty, with the faulty one and with the repaired one."""
    return [penalty.train(one, device="cpu", progress=False) for one in tiny(l2=1e-2)]


def initial() -> torch.Tensor:
    return torch.randn(3, 4)


def altered(run: PenaltyRun, **changes: object) -> PenaltyRun:
    return dataclasses.replace(run, **changes)


def with_seed(runs: list[PenaltyRun], seed: int) -> list[PenaltyRun]:
    """The same runs as if another seed had given them."""
    return [
        altered(run, training=dataclasses.replace(run.training, experiment=run.experiment.replace(seed=seed)))
        for run in runs
    ]


# --- The mistake and its repair ---------------------------------------------------------------------------------


def test_the_faulty_penalty_has_a_value_and_no_gradient() -> None:
    weight, node = penalty.faulty_weight(initial, 0.1)
    value = node()
    assert value > 0
    assert not value.requires_grad
    assert penalty.gradient_norm(value, weight) is None
    (weight.sum() + value).backward()
    torch.testing.assert_close(weight.grad, torch.ones(3, 4))  # of the sum alone


def test_the_faulty_penalty_is_drawn_anew_whenever_it_is_computed() -> None:
    _, faulty = penalty.faulty_weight(initial, 0.1)
    _, repaired = penalty.repaired_weight(initial, 0.1)
    assert faulty() != faulty()
    assert repaired() == repaired()


def test_the_gradient_of_the_repaired_penalty_is_lambda_times_the_weight() -> None:
    weight, node = penalty.repaired_weight(initial, 0.37)
    assert penalty.gradient_norm(node(), weight) == pytest.approx(0.37 * weight.norm().item(), rel=1e-6)
    node().backward()
    torch.testing.assert_close(weight.grad, 0.37 * weight.detach())


def test_the_repaired_penalty_is_that_of_the_report(three: list[PenaltyRun]) -> None:
    network = penalty.TorchNetwork(three[2].training, torch.device("cpu"))
    assert sum(network.penalties().values()) == pytest.approx(models.l2_penalty(network.model, 1e-2).item(), rel=1e-5)


# --- Training ---------------------------------------------------------------------------------------------------


def test_a_network_with_the_faulty_penalty_trains_exactly_like_one_without(three: list[PenaltyRun]) -> None:
    none, faulty, _ = three
    pd.testing.assert_frame_equal(none.norms, faulty.norms, check_exact=True)
    assert none.record["cross_entropy"].tolist() == faulty.record["cross_entropy"].tolist()
    assert (faulty.record["penalty"] > 100 * none.record["penalty"]).all()


def test_only_the_repaired_penalty_shrinks_the_weights(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = (run.norms["fc1.weight"] for run in three)
    assert none.iloc[0] == faulty.iloc[0] == repaired.iloc[0]
    assert repaired.iloc[-1] < 0.99 * repaired.iloc[0]
    assert faulty.iloc[-1] > 0.999 * faulty.iloc[0]


def test_penalties_before_training_are_recorded_with_their_gradients(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = (run.penalties for run in three)
    assert none.empty
    assert tuple(faulty.index) == tuple(repaired.index) == WEIGHTS
    assert faulty["gradient"].isna().all()
    assert (faulty["value"] != faulty["again"]).all()
    assert repaired["gradient"].tolist() == pytest.approx((1e-2 * repaired["norm"]).tolist(), rel=1e-3)
    assert repaired["value"].tolist() == pytest.approx((1e-2 / 2 * repaired["norm"] ** 2).tolist(), rel=1e-3)


def test_the_record_begins_before_the_first_step_and_ends_after_the_last(three: list[PenaltyRun]) -> None:
    for run in three:
        assert run.record["iteration"].tolist() == [0, 4, 8]
        assert (run.record["loss"] - run.record["penalty"] - run.record["cross_entropy"]).abs().max() < 1e-6
        for column in ("train_accuracy", "test_accuracy", "validation_accuracy"):
            assert run.record[column].between(0, 1).all()


def test_a_finished_result_is_loaded_and_not_trained_again(
    three: list[PenaltyRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalty, "fit", None)
    for run, wanted in zip(three, tiny(l2=1e-2), strict=True):
        again = penalty.train(wanted, device="cpu", progress=False)
        assert again.metrics == run.metrics
        pd.testing.assert_frame_equal(again.record, run.record)
        pd.testing.assert_frame_equal(again.penalties, run.penalties)


def test_the_same_seed_trains_the_same_network(three: list[PenaltyRun], own_store: Path) -> None:
    before = torch.random.get_rng_state()
    again = penalty.train(three[2].training, device="cpu", progress=False)
    assert torch.equal(before, torch.random.get_rng_state())
    pd.testing.assert_frame_equal(
        again.record.drop(columns="seconds"), three[2].record.drop(columns="seconds"), check_exact=True
    )


@pytest.mark.parametrize("name", ["record.csv", "result.json"])
def test_a_damaged_result_is_an_error_that_says_what_to_do(name: str, own_store: Path) -> None:
    wanted = tiny()[0]
    folder = penalty.train(wanted, device="cpu", progress=False).training.folder
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("0.", "1.", 1))
    with pytest.raises(RunError, match=f"{name} .*damaged.*Delete"):
        penalty.train(wanted, device="cpu", progress=False)


def test_results_lie_beside_runs_without_being_taken_for_one(three: list[PenaltyRun], store: Path) -> None:
    found, problems = runs.read_store()
    assert problems == []
    assert not any(run.folder.name.startswith("penalty") for run in found)


def test_what_decides_the_result_decides_the_folder() -> None:
    folders = [one.folder for options in ({}, {"l2": 1e-2}, {"seed": 1}, {"iterations": 9}) for one in tiny(**options)]
    assert len(set(folders)) == 3 + 2 + 3 + 3  # without a penalty, lambda is of no consequence
    assert tiny()[0].folder == dataclasses.replace(tiny()[0], experiment=tiny()[0].experiment.replace(name="x")).folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"framework": "jax"}, "unknown framework 'jax'; .*known: pytorch, tensorflow"),
        ({"version": "broken"}, "unknown version of the penalty 'broken'"),
        ({"profile": "fast"}, "unknown profile 'fast'"),
        ({"l2": 0.0}, "l2 must be above 0 for the faulty penalty, not 0"),
        ({"l2": -1.0}, "l2 must be a number at least 0"),
        ({"iterations": 0}, "iterations must be a whole number at least 1, not 0"),
        ({"iterations": 1.5}, "iterations must be a whole number at least 1, not 1.5"),
        ({"kernel_size": 3}, "kernel_size must be 5"),
        ({"train_size": 60000}, "validation_size must be a whole number from 1 to 0"),
        ({"batch": 3}, "unknown option 'batch'; did you mean 'batch_size'"),
    ],
)
def test_bad_values_are_clear_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        penalty.penalty_training(**{"framework": "pytorch", "version": "faulty", "profile": "smoke", **options})


def test_schedules_of_the_seed_profile_are_those_of_the_seed_report() -> None:
    experiment = penalty.penalty_training("tensorflow", "none", "seed").experiment
    assert (experiment.iterations, experiment.batch_size, experiment.learning_rate) == (8000, 500, 1e-4)
    assert (experiment.dropout, experiment.initialisation, experiment.kernel_size) == (0.5, "truncated-normal", 5)


@pytest.mark.parametrize("framework", penalty.FRAMEWORKS)
@pytest.mark.parametrize("profile", ["smoke", "quick", "full", "seed"])
def test_every_schedule_has_the_iterations_that_it_states(framework: str, profile: str) -> None:
    none, faulty, repaired = penalty.versions(framework, profile)
    schedule = penalty.SCHEDULES[framework][profile]
    assert faulty.experiment.iterations == repaired.experiment.iterations == schedule["penalty_iterations"]
    assert none.experiment.iterations == schedule.get("iterations", schedule["penalty_iterations"])


# --- The reference report's attempts ----------------------------------------------------------------------------


def test_a_penalty_over_the_collection_has_no_gradient_either() -> None:
    found = penalty.attempts(1e-3)
    on_initial, over_collection, over_variables = (found[name] for name in penalty.ATTEMPTS)
    assert on_initial[0] > 0
    assert over_collection[0] > 0
    assert on_initial[1] is over_collection[1] is None
    assert over_variables[1] == pytest.approx((2 * 1e-3 * over_variables[0]) ** 0.5, rel=1e-5)
    table = prose.attempts_table(1e-3, "off")
    assert table["PyTorch", "gradient"].tolist()[:2] == ["none", "none"]
    assert list(table.columns.get_level_values(0).unique()) == ["PyTorch"]


def test_versions_are_shown_after_the_same_number_of_steps(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = three
    longer = altered(none, record=pd.concat([none.record, none.record.iloc[[-1]].assign(iteration=40)]))
    table = prose.penalty_result_table([[longer, faulty, repaired]])
    assert table["steps"].tolist() == ["8"] * 3
    assert table["‖w‖"].iloc[0] == table["‖w‖"].iloc[1]


# --- Verdict and display ----------------------------------------------------------------------------------------


def test_the_mistake_is_confirmed(three: list[PenaltyRun]) -> None:
    found = penalty.judge(*three)
    assert found.outcome == "confirmed"
    assert found.gradient is None
    assert found.faulty_change == 0
    assert found.repaired_gradient == pytest.approx(found.expected_gradient, rel=1e-3)
    assert "the library was not at fault" in prose.penalty_verdict([three]).data
    assert "digit for digit" in prose.penalty_verdict([three]).data


def test_the_chapter_is_concluded_from_all_seeds(three: list[PenaltyRun]) -> None:
    claim = Claim("the penalty was on the initial value", primary=True)
    of_seeds = [with_seed(three, seed) for seed in range(3)]
    found = prose.penalty_conclusion(claim, of_seeds)
    assert found.verdict == "supported"
    assert [part.verdict for part in found.parts] == ["the same", "supported"]
    assert found.deciding.estimate.value < -0.01
    assert prose.penalty_conclusion(claim, [three]).verdict == "one pair"
    none, faulty, repaired = three
    idle = [none, faulty, altered(repaired, record=none.record)]
    assert prose.penalty_conclusion(claim, [with_seed(idle, seed) for seed in range(3)]).verdict == "open"


def test_a_gradient_of_the_faulty_penalty_contradicts(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = three
    wrong = altered(faulty, penalties=faulty.penalties.assign(gradient=0.01))
    assert penalty.judge(none, wrong, repaired).outcome == "contradicted"
    assert "does not explain that" in prose.penalty_verdict([[none, wrong, repaired]]).data


def test_other_weights_with_the_faulty_penalty_contradict(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = three
    wrong = altered(
        faulty, record=faulty.record.assign(**{"norm_conv1.weight": faulty.record["norm_conv1.weight"] * 1.1})
    )
    assert penalty.judge(none, wrong, repaired).outcome == "contradicted"
    assert "another by up to 10.0 %" in prose.penalty_verdict([[none, wrong, repaired]]).data


def test_a_repaired_penalty_that_does_not_shrink_shows_nothing(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = three
    idle = altered(repaired, record=none.record)
    assert penalty.judge(none, faulty, idle).outcome == "not shown"
    assert "cannot tell" in prose.penalty_verdict([[none, faulty, idle]]).data


def test_trainings_that_differ_in_more_than_the_penalty_are_not_compared(three: list[PenaltyRun]) -> None:
    none, faulty, repaired = three
    other = altered(repaired, training=tiny(l2=1e-2, seed=1)[2])
    with pytest.raises(ExperimentError, match="differ in more than their penalty"):
        penalty.judge(none, faulty, other)
    with pytest.raises(ExperimentError, match="none, faulty, repaired, in this order"):
        penalty.judge(faulty, none, repaired)


def test_the_figure_shows_penalty_and_norms_of_all_versions(three: list[PenaltyRun]) -> None:
    figure = penalty.effects_figure([three, three])
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 2 * (1 + len(WEIGHTS))
    shown = [line.get_ydata().tolist() for line in figure.axes[3].get_lines()]
    assert shown == [run.norms["fc1.weight"].tolist() for run in three]
    with pytest.raises(ExperimentError, match="no run to show"):
        penalty.effects_figure([])


def test_tables_show_the_numbers_of_the_trainings(three: list[PenaltyRun]) -> None:
    table = prose.penalty_table([three])
    assert (table["faulty", "gradient"] == "none").all()
    assert table["repaired", "gradient"].iloc[0] == f"{three[2].penalties['gradient'].iloc[0]:.5f}"
    ended = prose.penalty_result_table([three])
    assert ended["penalty"].tolist() == list(penalty.VERSIONS)
    assert ended["steps"].tolist() == ["8"] * 3
    assert "8 iterations" in prose.penalty_setup([three]).data


def test_rows_have_the_same_columns_whatever_trained_them(three: list[PenaltyRun], trained_run: Run) -> None:
    row, other = results.result_row(three[0]), results.result_row(trained_run)
    assert list(row) == list(other)
    assert row["name"].startswith("mnist-pytorch[")
    assert row["fingerprint"] == three[0].training.fingerprint
    assert len(results.compare_with_seed(three[0], trained_run).frame) == 2


def test_only_the_unaltered_training_on_real_data_is_compared_with_the_seed(three: list[PenaltyRun]) -> None:
    real = penalty.penalty_training("tensorflow", "none", "smoke", data="real")
    assert results.result_row(altered(three[0], training=real))["seed_accuracy"] == 0.9896
    shorter = penalty.penalty_training("tensorflow", "none", "smoke", data="real", iterations=5)
    drawn = penalty.penalty_training("tensorflow", "none", "smoke", data="stand-in")
    for other in (shorter, drawn):
        assert results.result_row(altered(three[0], training=other))["seed_accuracy"] is None


# --- Without TensorFlow -----------------------------------------------------------------------------------------


def test_without_tensorflow_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_graph, "available", lambda: False)
    assert not tensorflow_graph.wanted("auto")
    assert prose.tensorflow_note("auto").data == prose.tensorflow_note("off").data
    assert "in PyTorch alone" in prose.tensorflow_note("auto").data
    assert "\n" not in prose.tensorflow_note("auto").data


def test_without_tensorflow_training_in_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, own_store: Path
) -> None:
    monkeypatch.setattr(tensorflow_graph, "available", lambda: False)
    with pytest.raises(TrainingError, match=r"pip install 'hwkit\[tensorflow\]'"):
        tensorflow_graph.train(tiny("tensorflow")[0], device="cpu", progress=False)


def test_each_framework_trains_its_own() -> None:
    with pytest.raises(ExperimentError, match=r"tensorflow_graph\.train"):
        penalty.train(tiny("tensorflow")[0])
    with pytest.raises(ExperimentError, match=r"penalty_bug\.train"):
        tensorflow_graph.train(tiny("pytorch")[0])


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"tensorflow='yes' is neither.*known: auto, off"):
        tensorflow_graph.wanted("yes")
