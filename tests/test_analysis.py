"""What a run got right and wrong, its hidden layers and weights, and the statistics of comparing runs."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hwkit import analysis, models, runs, statistics
from hwkit.errors import HwkitError, RunError
from hwkit.experiment import Experiment
from hwkit.runs import Run

# Six images of three classes: 0 -> 0, 0 -> 1 (twice), 1 -> 1, 2 -> 0, 2 -> 2; the fifth is the surest of all.
LABELS = torch.tensor([0, 0, 0, 1, 2, 2])
PREDICTED = torch.tensor([0, 1, 1, 1, 0, 2])
CONFIDENCE = torch.tensor([3.0, 1.0, 2.0, 3.0, 9.0, 4.0])


def made_up_run(labels: Tensor, predicted: Tensor, confidence: Tensor | float = 5.0, **fields: object) -> Run:
    """A run with given predictions that was never trained; `fields` are those of its experiment."""
    experiment = Experiment(**{"dataset": "mnist", "data": "real", "name": "made-up", **fields})
    run = Run(Path("nowhere"), experiment, {"test_accuracy": (labels == predicted).float().mean().item()})
    logits = F.one_hot(predicted, 10).float() * torch.as_tensor(confidence).reshape(-1, 1)
    vars(run).update(labels=labels, logits=logits, environment={})
    return run


@pytest.fixture
def small_run() -> Run:
    return made_up_run(LABELS, PREDICTED, CONFIDENCE)


# --- Predictions ------------------------------------------------------------------------------------------------


def test_the_test_set_is_the_one_that_the_run_was_tested_on(trained_run: Run) -> None:
    dataset = analysis.test_set(trained_run)
    assert torch.equal(dataset.test_labels, trained_run.labels)
    assert len(dataset.test_images) == trained_run.experiment.test_size
    assert len(dataset.train_images) == trained_run.experiment.train_size


def test_other_data_than_the_run_was_tested_on_is_an_error(trained_run: Run) -> None:
    other = Run(trained_run.folder, trained_run.experiment, trained_run.metrics)
    vars(other)["labels"] = trained_run.labels.flip(0)
    with pytest.raises(RunError, match="HWKIT_DATA"):
        analysis.test_set(other)


def test_probabilities_sum_to_one_and_agree_with_predictions(trained_run: Run) -> None:
    shares = analysis.probabilities(trained_run)
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(len(shares)))
    assert torch.equal(shares.argmax(dim=1), analysis.predicted(trained_run))


def test_predictions_give_the_accuracy_of_the_run(trained_run: Run) -> None:
    correct = analysis.predicted(trained_run) == trained_run.labels
    assert correct.float().mean().item() == pytest.approx(trained_run.test_accuracy)
    assert len(analysis.misclassified(trained_run)) == (~correct).sum()


def test_misclassified_images_come_most_confident_first(small_run: Run) -> None:
    table = analysis.misclassified(small_run)
    assert table["index"].tolist() == [4, 2, 1]
    assert table["label"].tolist() == [2, 0, 0]
    assert table["predicted_name"].tolist() == ["0", "1", "1"]
    shares = torch.tensor([9.0] + [0.0] * 9).softmax(dim=0)
    assert table["predicted_probability"][0] == pytest.approx(shares[0].item())
    assert table["label_probability"][0] == pytest.approx(shares[1].item())


def test_misclassified_images_of_equal_confidence_keep_the_order_of_the_test_set() -> None:
    run = made_up_run(torch.zeros(8, dtype=torch.int64), torch.ones(8, dtype=torch.int64))
    assert analysis.misclassified(run)["index"].tolist() == list(range(8))


def test_the_confusion_matrix_counts_true_classes_in_rows(small_run: Run) -> None:
    counts = analysis.confusion(small_run)
    assert counts.shape == (10, 10)
    assert counts.loc["0", "1"] == 2
    assert counts.loc["1", "0"] == 0
    assert counts.loc["2"].tolist()[:3] == [1, 0, 1]
    assert counts.to_numpy().sum() == len(LABELS)


def test_accuracy_per_class(small_run: Run) -> None:
    accuracy = analysis.per_class_accuracy(small_run)
    assert accuracy[["0", "1", "2"]].tolist() == pytest.approx([1 / 3, 1, 1 / 2])
    assert math.isnan(accuracy["3"])


def test_class_names_are_those_of_the_data(trained_run: Run, cifar_run: Run, small_run: Run) -> None:
    assert analysis.class_names(small_run) == tuple("0123456789")
    for run in (trained_run, cifar_run):
        assert analysis.class_names(run) == analysis.test_set(run).classes


# --- Examples and pairs -----------------------------------------------------------------------------------------


def test_an_example_is_the_image_with_what_the_network_makes_of_it(trained_run: Run) -> None:
    shown = analysis.example(trained_run, 7)
    dataset = analysis.test_set(trained_run)
    assert torch.equal(shown.image, dataset.test_images[7])
    assert shown.image.dtype == torch.uint8
    assert shown.label_name == dataset.classes[trained_run.labels[7]]
    assert shown.predicted == shown.probabilities.argmax()
    assert shown.confidence == shown.probabilities.max()
    assert shown.correct == (shown.label == shown.predicted)


@pytest.mark.parametrize("index", [-1, 1000, 1.0, True, "3"])
def test_an_index_outside_the_test_set_is_an_error_that_names_the_range(trained_run: Run, index: object) -> None:
    with pytest.raises(RunError, match="0 to 999"):
        analysis.example(trained_run, index)


def test_find_example_gives_the_most_confident_that_fits(trained_run: Run) -> None:
    found = analysis.find_example(trained_run, correct=False)
    assert found.index == analysis.misclassified(trained_run)["index"][0]
    following = analysis.find_example(trained_run, correct=False, skip=1)
    assert following.index == analysis.misclassified(trained_run)["index"][1]


def test_find_example_takes_classes_by_label_and_by_name(cifar_run: Run) -> None:
    label = cifar_run.labels[analysis.predicted(cifar_run) == cifar_run.labels][0].item()
    by_label = analysis.find_example(cifar_run, label=label, correct=True)
    by_name = analysis.find_example(cifar_run, label=analysis.class_names(cifar_run)[label], predicted=label)
    assert by_label.index == by_name.index
    assert by_label.correct
    assert by_label.label == label


def test_find_example_says_what_exists_where_nothing_fits(small_run: Run) -> None:
    with pytest.raises(RunError, match=r"no test image of class '0' predicted as '2'.*: 1 \(2\), 0 \(1\)"):
        analysis.find_example(small_run, label=0, predicted=2)
    with pytest.raises(RunError, match=r"there are 2 such images .*skip can be 0 to 1"):
        analysis.find_example(small_run, label=0, predicted=1, skip=2)
    with pytest.raises(RunError, match=r"unknown class 'horse'; .*known: 0, 1"):
        analysis.find_example(small_run, label="horse")


def test_pairs_are_a_misclassified_image_and_a_correct_one_of_the_predicted_class(trained_run: Run) -> None:
    found = analysis.pairs(trained_run, 4)
    assert len(found) == 4
    for one in found:
        assert not one.misclassified.correct
        assert one.counterpart.correct
        assert one.counterpart.label == one.misclassified.predicted
        assert 0 <= one.similarity <= 1 + 1e-6


def test_pairs_show_different_confusions(trained_run: Run) -> None:
    found = analysis.pairs(trained_run, 4)
    assert len({(one.misclassified.label, one.misclassified.predicted) for one in found}) == 4
    assert found[0].misclassified.index == analysis.misclassified(trained_run)["index"][0]


def test_pairs_are_the_same_every_time(trained_run: Run) -> None:
    first, again = (
        [(one.misclassified.index, one.counterpart.index) for one in analysis.pairs(trained_run, 3)] for _ in range(2)
    )
    assert first == again


def test_the_counterpart_is_the_nearest_in_hidden_features(trained_run: Run) -> None:
    one = analysis.pair(trained_run, int(analysis.misclassified(trained_run)["index"][0]))
    images = analysis.test_set(trained_run).test_images
    features = analysis.hidden_features(trained_run, images)
    similarities = F.cosine_similarity(features, features[one.misclassified.index].unsqueeze(0))
    candidates = (trained_run.labels == one.misclassified.predicted) & (
        analysis.predicted(trained_run) == trained_run.labels
    )
    assert similarities[candidates].max().item() == pytest.approx(one.similarity, abs=1e-5)
    assert similarities[one.counterpart.index].item() == pytest.approx(one.similarity, abs=1e-5)


def test_there_are_no_more_pairs_than_misclassified_images(trained_run: Run) -> None:
    perfect = made_up_run(LABELS, LABELS)
    assert analysis.pairs(perfect, 4) == []
    assert analysis.pairs(trained_run, 0) == []


def test_a_mistake_for_a_class_without_correct_images_has_no_pair() -> None:
    run = made_up_run(torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert analysis.pairs(run, 4) == []


def test_a_correct_image_has_no_pair(trained_run: Run) -> None:
    correct = analysis.find_example(trained_run, correct=True)
    with pytest.raises(RunError, match="is not misclassified"):
        analysis.pair(trained_run, correct.index)


# --- Hidden layers ----------------------------------------------------------------------------------------------


def test_activations_have_the_shapes_of_the_layers(trained_run: Run, cifar_run: Run) -> None:
    shapes = (
        (trained_run, {"conv1": (2, 32, 28, 28), "conv2": (2, 64, 14, 14)}),
        (cifar_run, {"conv1": (2, 64, 30, 30), "conv2": (2, 128, 13, 13), "conv3": (2, 256, 4, 4)}),
    )
    for run, expected in shapes:
        maps = analysis.activations(run, analysis.test_set(run).test_images[:2])
        assert {layer: tuple(tensor.shape) for layer, tensor in maps.items()} == expected
        assert all(tensor.dtype == torch.float32 and tensor.min() >= 0 for tensor in maps.values())


def test_activations_follow_the_activation_function_and_precede_pooling(trained_run: Run) -> None:
    images = analysis.test_set(trained_run).test_images[:3]
    maps, weights = analysis.activations(trained_run, images), trained_run.final_weights
    first = F.relu(F.conv2d(images / 255, weights["conv1.weight"], weights["conv1.bias"], padding=2))
    torch.testing.assert_close(maps["conv1"], first)
    second = F.relu(F.conv2d(F.max_pool2d(first, 2), weights["conv2.weight"], weights["conv2.bias"], padding=2))
    torch.testing.assert_close(maps["conv2"], second)
    torch.testing.assert_close(
        analysis.hidden_features(trained_run, images), F.max_pool2d(second, 2).flatten(1), rtol=1e-4, atol=1e-5
    )


def test_many_images_give_what_each_gives_alone(trained_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    images = analysis.test_set(trained_run).test_images[:5]
    whole = analysis.hidden_features(trained_run, images)
    monkeypatch.setattr(analysis, "LARGEST_BATCH", 2)
    torch.testing.assert_close(analysis.hidden_features(trained_run, images), whole)


@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 3, 32, 32), (0, 1, 28, 28)])
def test_images_of_another_shape_are_an_error_that_names_the_right_one(trained_run: Run, shape: tuple) -> None:
    with pytest.raises(RunError, match=r"uint8 \(N, 1, 28, 28\)"):
        analysis.activations(trained_run, torch.zeros(shape, dtype=torch.uint8))


# --- Weights ----------------------------------------------------------------------------------------------------


def test_weight_statistics_of_a_tensor_worked_out_by_hand() -> None:
    table = analysis.weight_statistics({"fc1.weight": torch.tensor([[-0.0005, 0.0], [3.0, -1.0]])})
    row = table.loc["fc1.weight"]
    assert row["count"] == 4
    assert row["mean"] == pytest.approx(1.9995 / 4)
    assert row["near_zero"] == 0.5
    assert row["negative"] == 0.5
    assert row["skew"] > 0


def test_statistics_list_every_tensor_in_the_order_of_the_network(trained_run: Run) -> None:
    names = [name for name, _ in models.build(trained_run.experiment).named_parameters()]
    assert analysis.weight_statistics(trained_run).index.tolist() == names


def test_l2_pulls_weights_towards_zero(trained_run: Run, trained_run_l2: Run) -> None:
    plain, regularised = (analysis.weight_statistics(run).loc["fc1.weight"] for run in (trained_run, trained_run_l2))
    assert regularised["near_zero"] > plain["near_zero"]
    assert regularised["std"] < plain["std"]


# --- Accuracies and their uncertainty ---------------------------------------------------------------------------


def test_a_comparison_counts_the_images_that_only_one_run_gets_right() -> None:
    labels = torch.zeros(100, dtype=torch.int64)
    a_wrong, b_wrong = labels.clone(), labels.clone()
    a_wrong[:3] = 1
    b_wrong[2:10] = 1
    found = analysis.compare_accuracies(made_up_run(labels, a_wrong, name="a"), made_up_run(labels, b_wrong, name="b"))
    assert (found.only_a, found.only_b) == (7, 2)
    assert (found.a_accuracy, found.b_accuracy) == pytest.approx((0.97, 0.92))
    assert found.difference == pytest.approx(0.05)
    pair = statistics.one_pair([1] * 7 + [-1] * 2 + [0] * 91)
    assert (found.low, found.high) == pytest.approx((pair.low, pair.high))
    assert found.p_value == pytest.approx(2 * (1 + 9 + 36) / 2**9)
    assert "+5.00 points" in str(found)


def test_a_run_does_not_differ_from_itself(trained_run: Run) -> None:
    found = analysis.compare_accuracies(trained_run, trained_run)
    assert found.difference == 0
    assert found.p_value == 1
    assert found.low <= 0 <= found.high


@pytest.mark.parametrize(
    "fields", [{"data": "stand-in"}, {"dataset": "cifar10"}, {"test_size": 6}, {"holdout": 6}], ids=str
)
def test_runs_tested_on_different_images_cannot_be_compared(small_run: Run, fields: dict) -> None:
    other = made_up_run(LABELS, PREDICTED, **fields)
    with pytest.raises(RunError, match=f"different images .*{next(iter(fields))}"):
        analysis.compare_accuracies(small_run, other)


def test_runs_tested_on_other_labels_cannot_be_compared(small_run: Run) -> None:
    with pytest.raises(RunError, match="different copies"):
        analysis.compare_accuracies(small_run, made_up_run(LABELS.flip(0), PREDICTED))


def test_the_training_images_that_a_network_knows_are_computed_once(
    trained_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = runs.load(shutil.copytree(trained_run.folder, tmp_path / trained_run.folder.name))
    correct = analysis.train_correct(copy)
    assert correct.dtype == torch.bool
    assert len(correct) == copy.experiment.train_count == copy.metrics["train_images"]
    assert correct.double().mean().item() == pytest.approx(copy.metrics["train_accuracy"], abs=0.002)
    monkeypatch.setattr(analysis, "predict", None)
    assert torch.equal(analysis.train_correct(copy), correct)


def test_images_that_one_run_alone_misclassifies(small_run: Run) -> None:
    other = made_up_run(LABELS, torch.tensor([0, 1, 0, 2, 2, 0]), torch.tensor([1.0, 1, 1, 2, 1, 3]))
    added, removed = analysis.misclassified_by_one(small_run, other)
    assert added["index"].tolist() == [5, 3]
    assert added["predicted"].tolist() == [0, 2]
    assert removed["index"].tolist() == [4, 2]
    assert removed["predicted"].tolist() == [0, 1]


def test_examples_and_comparisons_cannot_be_changed(trained_run: Run) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        analysis.example(trained_run, 0).label = 3
    assert issubclass(RunError, HwkitError)


# --- Ensembles, and the way through the layers ------------------------------------------------------------------


def test_an_ensemble_gives_the_mean_of_the_probabilities() -> None:
    labels, predicted = torch.tensor([0, 1]), torch.tensor([0, 0])
    sure, unsure = made_up_run(labels, predicted, 6.0), made_up_run(labels, 1 - predicted, 1.0)
    both = analysis.ensemble([sure, unsure])
    mean = (analysis.probabilities(sure) + analysis.probabilities(unsure)) / 2
    torch.testing.assert_close(analysis.probabilities(both), mean)
    assert analysis.log_loss(both) < (analysis.log_loss(sure) + analysis.log_loss(unsure)) / 2  # Jensen's inequality


def test_preferred_confusions_come_first_where_they_occur(trained_run: Run) -> None:
    table = analysis.misclassified(trained_run)
    last = table.drop_duplicates(["label", "predicted"]).iloc[-1]
    wanted = (int(last["label"]), int(last["predicted"]))
    found = [(one.misclassified.label, one.misclassified.predicted) for one in analysis.pairs(trained_run, 3, [wanted])]
    assert found[0] == wanted
    assert len(set(found)) == 3


def test_layers_place_an_image_between_the_means_of_two_classes(trained_run: Run) -> None:
    shown = analysis.pairs(trained_run, 1)[0].misclassified
    places = analysis.sides(trained_run, shown)
    assert list(places.index) == ["pixels", "conv1", "conv2", "fc1"]
    images = analysis.test_images(trained_run).double().flatten(1)
    right = analysis.correct(trained_run)
    own, other = (
        images[right & (trained_run.labels == label)][:100].mean(dim=0) for label in (shown.label, shown.predicted)
    )
    # the nearer of the two means is the one on whose side it is
    nearer = (images[shown.index] - other).norm() < (images[shown.index] - own).norm()
    assert (places["pixels"] > 0.5) == bool(nearer)


def test_a_network_with_the_trained_weights_gives_the_logits_of_the_run(trained_run: Run) -> None:
    assert analysis.difference_of_logits(models.MnistCNN(), trained_run) < 1e-4
    assert analysis.difference_of_logits(models.MnistCNN(pooling="average"), trained_run) > 1e-2
