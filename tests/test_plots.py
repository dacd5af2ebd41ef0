"""The figures: that they show the numbers of the run, in the theme, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from drawn import labelled, pictures, texts, titles
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_capacity import COSTS

from hwkit import analysis, data, plots, theme
from hwkit.chapters import capacity, comparison
from hwkit.chapters import negative_weights as ablation
from hwkit.errors import DataError, RunError
from hwkit.runs import Run


@pytest.fixture
def figures(trained_run: Run, trained_run_l2: Run, cifar_run: Run) -> dict[str, Callable[[], Figure]]:
    """Every figure of the report, by name."""
    pair = analysis.pairs(trained_run, 1)[0]
    cifar_pair = analysis.pairs(cifar_run, 1)[0]
    digits, colours = analysis.test_set(trained_run), analysis.test_set(cifar_run)
    ablated = ablation.ablate(trained_run, "fc2", parts=(0.0, 1.0), draws=2, images=50)
    margins = ablation.margins([cifar_run])
    return {
        "learning_curve": lambda: plots.learning_curve([trained_run, trained_run_l2]),
        "accuracy_curves": lambda: plots.accuracy_curves(trained_run),
        "accuracy_panels": lambda: comparison.accuracy_panels([trained_run, trained_run_l2, cifar_run]),
        "weight_distributions": lambda: plots.weight_distributions(trained_run, trained_run_l2),
        "example": lambda: plots.example(trained_run, pair.misclassified),
        "pair": lambda: plots.pair(trained_run, pair),
        "pair of colour images": lambda: plots.pair(cifar_run, cifar_pair),
        "confusion_matrix": lambda: plots.confusion_matrix(cifar_run),
        "misclassified": lambda: plots.misclassified(cifar_run),
        "misclassified_by_one": lambda: comparison.misclassified_by_one(trained_run, trained_run_l2, count=8),
        "samples": lambda: plots.samples(digits),
        "augmentations": lambda: plots.augmentations(colours),
        "activations_beside": lambda: plots.activations_beside(trained_run, trained_run_l2, 3, channels=8),
        "first_layer_filters": lambda: plots.first_layer_filters(trained_run),
        "first_layer_filters of colour": lambda: plots.first_layer_filters(cifar_run),
        "embedding": lambda: plots.embedding(cifar_run, images=5),
        "saliency": lambda: plots.saliency(cifar_run, cifar_pair.misclassified),
        "training_curves of two": lambda: plots.training_curves([trained_run, trained_run_l2]),
        "examples of colour images": lambda: plots.example(cifar_run, [cifar_pair.counterpart] * 2, channels=8),
        "classes": lambda: plots.classes(cifar_run, [cifar_run, [cifar_run] * 3]),
        "class_accuracies": lambda: plots.class_accuracies([trained_run, trained_run_l2]),
        "reliability": lambda: plots.reliability([trained_run, trained_run_l2]),
        "ablation_curves": lambda: ablation.curves([ablated]),
        "margins": lambda: ablation.margin_figure(margins),
        "capacity_costs": lambda: capacity.cost_figure(COSTS),
    }


# --- What all figures have in common ----------------------------------------------------------------------------


def test_figures_change_no_setting_and_leave_no_figure_open(figures: dict[str, Callable[[], Figure]]) -> None:
    plt.close("all")
    before = dict(matplotlib.rcParams)
    for name, draw in figures.items():
        png, size = draw()._repr_png_()
        assert png.startswith(b"\x89PNG"), name
        narrow = ("confusion_matrix", "class_accuracies", "reliability")
        assert size["width"] == round(theme.WIDTH / 2.54 * 96) or name in narrow
        assert dict(matplotlib.rcParams) == before, name
    assert plt.get_fignums() == []


def test_figures_look_the_same_whatever_the_user_has_set(trained_run: Run) -> None:
    plain, _ = plots.accuracy_curves(trained_run)._repr_png_()
    with plt.style.context("dark_background"):
        matplotlib.rcParams["xtick.major.size"] = 30
        matplotlib.rcParams["font.size"] = 20
        figure = plots.accuracy_curves(trained_run)
        assert figure._repr_png_()[0] == plain


def test_letters_are_eight_to_ten_points_in_print(figures: dict[str, Callable[[], Figure]]) -> None:
    for name in ("accuracy_curves", "weight_distributions", "confusion_matrix", "class_accuracies"):
        figure = figures[name]()
        figure.draw_without_rendering()
        for ax in figure.axes:
            sizes = [label.get_size() for label in (*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label)]
            assert all(8 <= size <= 10 for size in sizes), name


def test_nothing_is_cut_off(figures: dict[str, Callable[[], Figure]]) -> None:
    for name, draw in figures.items():
        figure = draw()
        figure.draw_without_rendering()
        box, page = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > -0.01, name
        assert box.y0 > -0.01, name
        assert box.x1 < page[0] + 0.01, name
        assert box.y1 < page[1] + 0.01, name


@pytest.mark.parametrize("function", [plots.accuracy_curves, plots.learning_curve, plots.confusion_matrix])
def test_a_figure_with_one_axis_can_be_drawn_into_given_axes(trained_run: Run, function: Callable) -> None:
    own = Figure()
    left, right = own.subplots(1, 2)
    assert function(trained_run, ax=right) is own
    assert right.has_data()
    assert not left.has_data()


# --- Training ---------------------------------------------------------------------------------------------------


def test_accuracy_is_red_for_test_and_blue_for_train(trained_run: Run) -> None:
    figure, record = plots.accuracy_curves(trained_run), trained_run.record
    for label, column, channel in (
        ("test: 200 random images", "test_accuracy", 0),
        ("train: current batch", "train_accuracy", 2),
    ):
        line = labelled(figure, label)
        assert line.get_xdata().tolist() == record["epoch"].tolist()
        np.testing.assert_allclose(line.get_ydata(), plots.smooth(record[column]))
        assert np.argmax(matplotlib.colors.to_rgb(line.get_color())) == channel
        (readings,) = [
            dots
            for dots in figure.axes[0].get_lines()
            if dots.get_marker() == "." and dots.get_color() == line.get_color()
        ]
        assert readings.get_ydata().tolist() == record[column].tolist()
        assert readings.get_alpha() < 1


def test_train_and_test_differ_in_more_than_colour(trained_run: Run) -> None:
    figure = plots.accuracy_curves(trained_run)
    train, test = labelled(figure, "train: current batch"), labelled(figure, "test: 200 random images")
    assert train.get_linestyle() != test.get_linestyle()


def test_the_final_accuracy_is_a_line_with_its_value(trained_run: Run) -> None:
    figure = plots.accuracy_curves(trained_run)
    assert set(labelled(figure, "test: all images, final").get_ydata()) == {trained_run.test_accuracy}
    assert f"{100 * trained_run.test_accuracy:.1f} %" in texts(figure)


def test_the_learning_curve_shows_cross_entropy_and_penalty_apart(trained_run: Run, trained_run_l2: Run) -> None:
    figure = plots.learning_curve([trained_run, trained_run_l2])
    for run in (trained_run, trained_run_l2):
        cross_entropy = run.record["loss"] - run.record["penalty"]
        line = labelled(figure, "L2, λ = 0.001" if run.experiment.l2 else "without L2")
        np.testing.assert_allclose(line.get_ydata(), plots.smooth(cross_entropy))
        assert line.get_xdata().tolist() == run.record["epoch"].tolist()
    penalty = labelled(figure, "L2 penalty")
    assert penalty.get_ydata().tolist() == trained_run_l2.record["penalty"].tolist()
    raw = [line.get_ydata() for line in figure.axes[0].get_lines() if line.get_alpha()]
    np.testing.assert_allclose(raw[1], trained_run_l2.record["loss"] - trained_run_l2.record["penalty"])


def test_a_record_with_validation_accuracies_has_a_curve_of_them(trained_run: Run) -> None:
    run = Run(trained_run.folder, trained_run.experiment, trained_run.metrics)
    vars(run)["record"] = trained_run.record.assign(validation_accuracy=0.5)
    assert set(labelled(plots.accuracy_curves(run), "validation: random images").get_ydata()) == {0.5}


def test_without_l2_there_is_no_penalty_to_show(trained_run: Run) -> None:
    labels = [text.get_text() for text in plots.learning_curve(trained_run).axes[0].get_legend().get_texts()]
    assert labels == ["cross-entropy"]


def test_runs_are_called_by_lambda_only_where_nothing_else_differs(trained_run: Run, trained_run_l2: Run) -> None:
    assert plots.labels_of([trained_run, trained_run_l2]) == ["without L2", "L2, λ = 0.001"]
    other = Run(trained_run_l2.folder, trained_run_l2.experiment.replace(epochs=1), trained_run_l2.metrics)
    assert plots.labels_of([trained_run, other]) == ["mnist", "mnist-l2"]
    assert plots.labels_of([trained_run_l2]) == ["mnist-l2"]


def test_accuracies_over_all_test_images_on_the_way_are_marked(trained_run: Run) -> None:
    run = Run(trained_run.folder, trained_run.experiment, trained_run.metrics)
    half = trained_run.labels.clone()
    half[: len(half) // 2] = (half[: len(half) // 2] + 1) % 10
    last = trained_run.metrics["iterations"]
    vars(run)["predicted_at"] = {last // 2: half, last: trained_run.labels}
    marks = labelled(plots.accuracy_curves(run), "test: all images")
    np.testing.assert_allclose(marks.get_ydata(), [0.5, 1])
    np.testing.assert_allclose(marks.get_xdata(), [0.5, 1] * np.array(run.experiment.epochs), rtol=0.02)


def test_no_runs_are_an_error() -> None:
    with pytest.raises(RunError, match="nothing to show"):
        plots.learning_curve([])


def test_smoothing_keeps_a_constant_and_the_mean_of_noise() -> None:
    assert plots.smooth(pd.Series([0.5] * 30)).tolist() == pytest.approx([0.5] * 30)
    noise = pd.Series(np.random.default_rng(0).normal(size=400))
    assert plots.smooth(noise).std() < noise.std() / 4
    assert len(plots.smooth(pd.Series([1.0]))) == 1


# --- Weights ----------------------------------------------------------------------------------------------------


def test_every_tensor_has_a_panel_with_its_share_near_zero(trained_run: Run, trained_run_l2: Run) -> None:
    figure = plots.weight_distributions(trained_run, trained_run_l2)
    names = list(analysis.weight_statistics(trained_run).index)
    assert [ax.get_title(loc="left") for ax in figure.axes] == names
    tables = [analysis.weight_statistics(run)["near_zero"] for run in (trained_run, trained_run_l2)]
    for ax, name in zip(figure.axes, names, strict=True):
        shares = [table[name] for table in tables]
        assert [text.get_text() for text in ax.texts] == [f"{100 * share:.1f} %" for share in shares]


def test_initial_values_are_a_distribution_of_their_own(trained_run: Run, trained_run_l2: Run) -> None:
    figure = plots.weight_distributions(trained_run, trained_run_l2, parameters=["fc1.weight"])
    before, *after = (stairs.get_data() for stairs in figure.axes[0].patches)
    counts, _ = np.histogram(trained_run.initial_weights["fc1.weight"].numpy(), bins=before.edges)
    np.testing.assert_allclose(before.values * np.diff(before.edges), counts / counts.sum(), rtol=1e-2)
    assert len(after) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "without L2",
        "L2, λ = 0.001",
        "initial values",
    ]


def test_histograms_hold_nearly_all_values_and_are_densities(cifar_run: Run) -> None:
    figure = plots.weight_distributions(cifar_run)
    assert len(figure.axes) == len(cifar_run.final_weights) == 12
    for ax in figure.axes:
        heights, edges, _ = ax.patches[1].get_data()
        assert 0.99 < (heights * np.diff(edges)).sum() <= 1 + 1e-9
        assert ax.get_yscale() == "log"


def test_a_tensor_of_equal_values_can_be_shown(trained_run: Run) -> None:
    run = Run(trained_run.folder, trained_run.experiment, trained_run.metrics)
    vars(run)["final_weights"] = {"fc1.bias": torch.full((1024,), 0.1), "fc1.weight": torch.zeros(8, 8)}
    plots.weight_distributions(run)._repr_png_()


# --- Examples ---------------------------------------------------------------------------------------------------


def test_an_example_shows_the_image_and_all_ten_probabilities(trained_run: Run) -> None:
    shown = analysis.find_example(trained_run, correct=False)
    figure = plots.example(trained_run, shown)
    picture, bars = figure.axes
    assert np.array_equal(picture.get_images()[0].get_array(), shown.image[0])
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == pytest.approx(shown.probabilities.tolist())
    assert [label.get_text() for label in bars.get_yticklabels()] == list(analysis.class_names(trained_run))
    assert to_hex(bars.patches[shown.predicted].get_facecolor()) == theme.WRONG.lower()
    assert to_hex(bars.patches[shown.label].get_facecolor()) == theme.CORRECT.lower()


@pytest.mark.parametrize(("run_name", "layers"), [("trained_run", 2), ("cifar_run", 3)])
def test_a_pair_shows_the_same_channels_of_every_layer_on_one_scale(
    request: pytest.FixtureRequest, run_name: str, layers: int
) -> None:
    run = request.getfixturevalue(run_name)
    pair = analysis.pairs(run, 1)[0]
    figure = plots.pair(run, pair, channels=8)
    maps = [ax for ax in figure.axes if len(ax.get_images()) == 8]
    assert len(maps) == 2 * layers
    expected = analysis.activations(run, torch.stack([pair.misclassified.image, pair.counterpart.image]))
    for layer, (left, right) in enumerate(zip(maps[::2], maps[1::2], strict=True)):
        numbers = [text.get_text() for text in left.texts]
        assert numbers == [text.get_text() for text in right.texts]
        assert len({picture.get_clim() for ax in (left, right) for picture in ax.get_images()}) == 1
        activations = expected[f"conv{layer + 1}"]
        for position, ax in enumerate((left, right)):
            for number, picture in zip(numbers, ax.get_images(), strict=True):
                assert np.array_equal(picture.get_array(), activations[position, int(number)])


def test_more_channels_than_a_layer_has_are_all_it_has(trained_run: Run) -> None:
    shown = analysis.find_example(trained_run, correct=True)
    figure = plots.example(trained_run, shown, channels=1000)
    assert [len(ax.get_images()) for ax in figure.axes if len(ax.get_images()) > 1] == [32, 64]
    with pytest.raises(RunError, match="channels must be 0 or more"):
        plots.example(trained_run, shown, channels=-1)


# --- Mismatches -------------------------------------------------------------------------------------------------


def test_the_confusion_matrix_writes_every_count(trained_run: Run) -> None:
    counts = analysis.confusion(trained_run).to_numpy()
    written = counts[(counts > 0) | np.eye(10, dtype=bool)]
    figure = plots.confusion_matrix(trained_run)
    assert sorted(int(text) for text in texts(figure) if text) == sorted(written.tolist())
    assert figure.axes[1].get_ylabel() == "misclassified images"  # the colour bar


def test_the_gallery_names_true_and_predicted_class(cifar_run: Run) -> None:
    rows = analysis.misclassified(cifar_run).head(5)
    expected = [f"{row.label_name}\n→ {row.predicted_name}" for row in rows.itertuples()]
    figure = plots.misclassified(cifar_run, 5)
    assert titles(figure) == expected
    images = analysis.test_set(cifar_run).test_images[rows["index"].tolist()].permute(0, 2, 3, 1)
    for picture, image in zip(pictures(figure), images, strict=True):
        assert np.array_equal(picture.get_array(), image)


def test_images_are_drawn_pixel_by_pixel(figures: dict[str, Callable[[], Figure]]) -> None:
    for name in ("pair", "misclassified", "samples"):
        assert {picture.get_interpolation() for picture in pictures(figures[name]())} == {"none"}


# --- Data -------------------------------------------------------------------------------------------------------


def test_samples_have_a_row_per_class(cifar_run: Run) -> None:
    dataset = analysis.test_set(cifar_run)
    figure = plots.samples(dataset, per_class=3)
    (picture,) = pictures(figure)
    first_of_third_class = dataset.train_images[dataset.train_labels == 2][0].permute(1, 2, 0)
    top = 2 * (32 + plots.GAP)
    assert np.array_equal(picture.get_array()[top : top + 32, :32], first_of_third_class)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(dataset.classes)
    with pytest.raises(DataError, match="per_class"):
        plots.samples(dataset, per_class=0)


def test_augmentations_show_original_mirrored_grey_and_trained_images(cifar_run: Run) -> None:
    dataset = analysis.test_set(cifar_run)
    (picture,) = pictures(plots.augmentations(dataset, count=20, seed=3))
    step = 32 + plots.GAP
    rows = [np.asarray(picture.get_array())[row * step : row * step + 32].astype(int) for row in range(4)]
    original, mirrored, grey, met = (
        np.stack([row[:, column * step : column * step + 32] for column in range(20)]) for row in rows
    )
    assert np.array_equal(mirrored, original[:, :, ::-1])
    assert (grey == grey[..., :1]).all()
    same = (met == original).all(axis=(1, 2, 3))
    turned = (met == mirrored).all(axis=(1, 2, 3))
    assert same.any()
    assert turned.any()
    batch, _ = next(data.batches(dataset.train_images, dataset.train_labels, 20, seed=3, epoch=0, augment=True))
    assert np.array_equal(met, batch.permute(0, 2, 3, 1))


def test_images_without_colour_have_none_to_lose(trained_run: Run) -> None:
    figure = plots.augmentations(analysis.test_set(trained_run), count=4)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["original", "mirrored", "as trained on"]
    with pytest.raises(DataError, match="count must be 1 to"):
        plots.augmentations(analysis.test_set(trained_run), count=0)


def test_activations_of_two_networks_stand_beside_each_other(trained_run: Run, trained_run_l2: Run) -> None:
    figure = plots.activations_beside(trained_run, trained_run_l2, 3, channels=4)
    names = [side.subfigs[0].subfigs[0].get_suptitle() for side in figure.subfigs]
    assert [name.partition("\n")[0] for name in names] == [trained_run.name, trained_run_l2.name]
    assert len(pictures(figure)) == 2 * (1 + 2 * 4)
    with pytest.raises(RunError, match="channels must be 1 or more"):
        plots.activations_beside(trained_run, trained_run_l2, 3, channels=0)


def test_chosen_weights_are_shown_with_their_share_of_negative_ones(trained_run: Run) -> None:
    figure = plots.weight_distributions(trained_run, parameters=["conv1.weight"], fraction="negative")
    negative = analysis.weight_statistics(trained_run).loc["conv1.weight", "negative"]
    assert texts(figure) == [f"{100 * negative:.1f} %"]
    with pytest.raises(RunError, match=r"unknown parameter 'conv9\.weight'"):
        plots.weight_distributions(trained_run, parameters=["conv9.weight"])
    with pytest.raises(RunError, match="unknown fraction 'positive'"):
        plots.weight_distributions(trained_run, fraction="positive")


# --- Seeing further ---------------------------------------------------------------------------------------------


def test_filters_are_drawn_around_grey(trained_run: Run, cifar_run: Run) -> None:
    kernels, drawn = trained_run.final_weights["conv1.weight"], plots.filter_pictures(trained_run)
    assert drawn.shape == (32, 5, 5)
    torch.testing.assert_close((drawn - 0.5).sign(), kernels.squeeze(1).sign())
    assert torch.all(torch.maximum(drawn.amax(dim=(1, 2)), 1 - drawn.amin(dim=(1, 2))) > 0.999)
    assert plots.filter_pictures(cifar_run).shape == (64, 3, 3, 3)
    assert len(pictures(plots.first_layer_filters(cifar_run))) == 64


def test_an_embedding_shows_every_image_once_and_rings_every_misclassified_one(trained_run: Run) -> None:
    figure = plots.embedding(trained_run, images=7)
    (dots,), (rings,) = figure.axes[0].collections, figure.axes[0].get_lines()
    assert len(dots.get_offsets()) == len(trained_run.labels)
    assert len(rings.get_xdata()) == len(analysis.misclassified(trained_run))
    colours = dict(zip(trained_run.labels.tolist(), map(to_hex, dots.get_facecolors()), strict=True))
    assert [colours[label].upper() for label in sorted(colours)] == list(theme.CLASS_COLOURS)
    assert len(pictures(figure)) == 7


def test_saliency_is_that_of_the_true_and_of_the_predicted_class(trained_run: Run) -> None:
    wrong = analysis.find_example(trained_run, correct=False)
    figure = plots.saliency(trained_run, wrong)
    assert [title.split()[-1] for title in titles(figure)[1:]] == [wrong.predicted_name, wrong.label_name]
    inputs = data.normalise(wrong.image[None], "mnist")
    expected = analysis.saliency(trained_run.model(), inputs, wrong.label)
    np.testing.assert_allclose(pictures(figure)[2].get_array(), expected)
    right = analysis.find_example(trained_run, correct=True)
    assert len(pictures(plots.saliency(trained_run, right))) == 2


# --- Classes and confidence -------------------------------------------------------------------------------------


def test_classes_have_a_mark_for_every_run(trained_run: Run, trained_run_l2: Run) -> None:
    runs = [trained_run, trained_run_l2]
    (ax,) = plots.class_accuracies(runs).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == list(analysis.class_names(trained_run))
    for run, line in zip(runs, ax.get_lines(), strict=True):
        np.testing.assert_allclose(line.get_xdata(), analysis.per_class_accuracy(run))


def test_the_reliability_diagram_sets_accuracy_against_confidence(trained_run: Run) -> None:
    (ax,) = plots.reliability(trained_run).axes
    rows = analysis.calibration(trained_run).query("count >= 10")
    (marks,) = ax.collections
    np.testing.assert_allclose(marks.get_offsets(), rows[["confidence", "accuracy"]])
    error = 100 * analysis.expected_calibration_error(trained_run)
    assert f"{trained_run.name}: {error:.1f} points" in [text.get_text() for text in ax.get_legend().get_texts()]
