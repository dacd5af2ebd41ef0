"""The explorer's Python side: its controls are used as a hand would, and what it shows is read back."""

from __future__ import annotations

import base64
import datetime
import io
import re
import shutil
import threading
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

import hwkit
from hwkit import analysis, runs
from hwkit.errors import DataError, RunError
from hwkit.explorer import attribution, bridge, drawing, index, pictures
from hwkit.explorer.bridge import VIEW_MIME, Clickable
from hwkit.explorer.explore_run import COUNTERPART, NOTHING, PANELS, Explorer
from hwkit.runs import Run

VERSION = int(ipywidgets.__version__.partition(".")[0])


@pytest.fixture
def explorer(trained_run: Run) -> Explorer:
    shown = hwkit.explore(trained_run)
    shown.prepare()
    return shown


@pytest.fixture
def deletable(trained_run: Run, own_store: Path) -> Run:
    """A copy of a run, in a store of its own, that may be deleted."""
    shutil.copytree(trained_run.folder, own_store / trained_run.folder.name)
    return runs.load(own_store / trained_run.folder.name)


def text(widget: ipywidgets.Widget) -> str:
    """What a person reads in a widget: its HTML without tags."""
    if isinstance(widget, ipywidgets.HTML):
        parts: list[str] = []
        parser = HTMLParser()
        parser.handle_data = parts.append
        parser.feed(widget.value)
        return " ".join(parts)
    return " ".join(text(child) for child in getattr(widget, "children", ()))


def tile_order(explorer: Explorer, pane: int = 0) -> list[int]:
    return [int(number) for number in re.findall(r'data-pick="(\d+)"', explorer.panes[pane].maps._page.value)]


def first_png(widget: ipywidgets.HTML) -> np.ndarray:
    """The first picture in some HTML, uint8 (H, W) or (H, W, 3)."""
    content = re.search(r"data:image/png;base64,([\w+/=]+)", widget.value)[1]
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return np.asarray(image.convert("RGB") if image.mode == "P" else image)


# --- Choosing an image ------------------------------------------------------------------------------------------


def test_it_opens_at_the_mistake_that_the_network_was_surest_of(explorer: Explorer, trained_run: Run) -> None:
    worst = analysis.misclassified(trained_run).iloc[0]
    assert explorer.number.value == worst["index"]
    shown = text(explorer.panes[0].picture)
    assert f"true: {worst['label_name']}" in re.sub(r"\s+", " ", shown)
    assert "mistake" in shown


def test_an_image_chosen_by_its_number_is_shown_with_its_probabilities(explorer: Explorer, trained_run: Run) -> None:
    explorer.number.value = 17
    expected = analysis.example(trained_run, 17)
    shown = text(explorer.panes[0].picture)
    assert "test image 17" in shown
    for probability in expected.probabilities.tolist():
        assert f"{probability:.3f}" in shown
    assert np.array_equal(first_png(explorer.panes[0].picture), 255 - expected.image[0].numpy())


def test_filters_leave_the_images_that_fit_in_the_order_asked_for(explorer: Explorer, trained_run: Run) -> None:
    table = analysis.predictions(trained_run)
    explorer.predicted.value, explorer.kind.value, explorer.order.value = 3, "mistakes", "least sure first"
    fitting = table[(table["predicted"] == 3) & (table["label"] != 3)].sort_values("predicted_probability")
    assert f"of {len(fitting)} that fit" in text(explorer.count)
    explorer.number.value = int(fitting["index"].iloc[0])
    seen = []
    for _ in range(3):
        seen.append(explorer.number.value)
        explorer.forward.click()
    probabilities = table.set_index("index").loc[seen, "predicted_probability"].tolist()
    assert probabilities == fitting["predicted_probability"].head(3).tolist()
    explorer.back.click()
    assert explorer.number.value == seen[-1]


def test_the_confidence_slider_bounds_the_probability_of_the_prediction(explorer: Explorer, trained_run: Run) -> None:
    explorer.confidence.value = (0.3, 0.5)
    share = analysis.probabilities(trained_run).amax(dim=1)[explorer.number.value]
    assert 0.3 <= share <= 0.5


def test_filters_that_nothing_fits_say_so_and_stay_usable(explorer: Explorer) -> None:
    before = explorer.number.value
    explorer.confidence.value = (0.0, 0.01)
    assert "0 that fit" in text(explorer.count)
    assert explorer.forward.disabled
    assert explorer.number.value == before
    explorer.confidence.value = (0.0, 1.0)
    assert not explorer.forward.disabled


def test_a_cell_of_the_confusion_matrix_leads_to_its_images(explorer: Explorer, trained_run: Run) -> None:
    explorer.panel.value = "Confusion matrix"
    counts = analysis.confusion(trained_run).to_numpy()
    label, predicted = divmod(int((counts * (1 - np.eye(10, dtype=int))).argmax()), 10)
    explorer.page.answer(f"{label} {predicted}")
    assert (explorer.label.value, explorer.predicted.value) == (label, predicted)
    assert f"of {counts[label, predicted]} that fit" in text(explorer.count)
    assert trained_run.labels[explorer.number.value] == label
    assert analysis.predicted(trained_run)[explorer.number.value] == predicted


def test_previous_and_next_mistake_walk_through_the_test_set(explorer: Explorer, trained_run: Run) -> None:
    wrong = sorted(analysis.misclassified(trained_run)["index"])
    explorer.number.value = int(wrong[3])
    explorer.mismatch_forward.click()
    assert explorer.number.value == wrong[4]
    explorer.mismatch_back.click()
    explorer.mismatch_back.click()
    assert explorer.number.value == wrong[2]
    explorer.number.value = int(wrong[-1])
    explorer.mismatch_forward.click()
    assert "no mistake after" in text(explorer.message)


# --- Layers and channels ----------------------------------------------------------------------------------------


def test_maps_are_those_of_the_network_strongest_first(explorer: Explorer, trained_run: Run) -> None:
    explorer.number.value = 5
    explorer.layer.value = "conv2"
    maps = analysis.activations(trained_run, analysis.example(trained_run, 5).image[None])["conv2"][0]
    assert tile_order(explorer) == maps.mean(dim=(1, 2)).argsort(descending=True, stable=True).tolist()
    torch.testing.assert_close(explorer._maps[0], maps, atol=1e-4, rtol=1e-4)
    explorer.sorting.value = "by number"
    assert tile_order(explorer) == list(range(64))


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc1"])
def test_every_layer_has_a_tile_for_every_channel(explorer: Explorer, layer: str) -> None:
    explorer.layer.value = layer
    assert sorted(tile_order(explorer)) == list(range({"conv1": 32, "conv2": 64, "fc1": 1024}[layer]))


def test_a_clicked_map_is_enlarged_with_the_images_its_channel_responds_to(
    explorer: Explorer, trained_run: Run
) -> None:
    explorer.panel.value = "Filters"
    explorer.panes[0].maps.answer("7")
    assert explorer.panel.value == "Channel"
    assert "conv1, channel 7" in text(explorer.page)
    offered = re.findall(r'data-pick="(\d+)"', explorer.page._page.value)
    assert list(map(int, offered)) == index.of(trained_run).strongest["conv1"][7].tolist()
    explorer.page.answer(offered[2])
    assert explorer.number.value == int(offered[2])


def test_a_filter_leads_to_its_map(explorer: Explorer) -> None:
    explorer.layer.value, explorer.panel.value = "fc1", "Filters"
    assert len(re.findall('data-pick="', explorer.page._page.value)) == 32
    explorer.page.answer("4")
    assert explorer.layer.value == "conv1"
    assert "filter 4" in text(explorer.hint)
    assert 'data-pick="4" tabindex="0"' in explorer.panes[0].maps._page.value


def test_the_channel_stays_within_a_layer_that_has_fewer(explorer: Explorer) -> None:
    explorer.layer.value = "fc1"
    explorer.panes[0].maps.answer("1000")
    explorer.layer.value = "conv1"
    assert "conv1, channel 0" in text(explorer.page)
    assert not text(explorer.message).strip()


# --- Beside it --------------------------------------------------------------------------------------------------


def test_beside_it_stands_an_example_of_the_predicted_class(explorer: Explorer, trained_run: Run) -> None:
    worst = int(analysis.misclassified(trained_run)["index"].iloc[0])
    explorer.number.value = worst
    explorer.beside.value = COUNTERPART
    assert f"test image {analysis.pair(trained_run, worst).counterpart.index}" in text(explorer.panes[1].picture)
    # The same channels, in the same order, for both.
    assert tile_order(explorer, 0) == tile_order(explorer, 1)


def test_beside_it_stands_the_same_image_in_another_run(trained_run: Run, trained_run_l2: Run) -> None:
    explorer = hwkit.explore(trained_run, trained_run_l2)
    explorer.number.value = 9
    shown = text(explorer.panes[1].picture)
    assert trained_run_l2.name in shown
    assert "test image 9" in shown
    assert f"{analysis.probabilities(trained_run_l2)[9].max():.3f}" in shown
    explorer.panes[1].maps.answer("3")
    assert f"{trained_run_l2.name}, conv1, channel 3" in text(explorer.page)
    explorer.beside.value = NOTHING
    assert len(explorer._pane_box.children) == 1


def test_runs_on_other_images_are_refused_and_not_offered(trained_run: Run, cifar_run: Run) -> None:
    with pytest.raises(RunError, match="different images"):
        hwkit.explore(trained_run, cifar_run)
    offered = [value for _, value in hwkit.explore(trained_run).beside.options]
    assert str(cifar_run.folder) not in offered


def test_another_run_can_be_chosen_also_one_on_other_data(explorer: Explorer, cifar_run: Run) -> None:
    explorer.number.value = 3
    explorer.layer.value = "conv2"
    explorer.run_choice.value = str(cifar_run.folder)
    assert explorer.layer.options == ("conv1", "conv2", "conv3", "fc1", "fc2")
    assert explorer.layer.value == "conv2"
    shown = text(explorer.panes[0].picture)
    assert cifar_run.name in shown
    assert analysis.class_names(cifar_run)[int(cifar_run.labels[3])] in shown


# --- Pictures from outside --------------------------------------------------------------------------------------


def drawn_digit(trained_run: Run, number: int) -> bytes:
    """A test image, enlarged and off centre, as a pad would hand it over."""
    digit = 255 - analysis.example(trained_run, number).image[0].numpy()
    sheet = Image.new("L", (280, 280), 255)
    sheet.paste(Image.fromarray(digit).resize((140, 140)), (15, 30))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_drawn_digit_is_classified_as_it_is_drawn(explorer: Explorer, trained_run: Run) -> None:
    explorer.panel.value = "Draw or upload"
    picture = drawn_digit(trained_run, 2)
    explorer.pad.answer(f"data:image/png;base64,{base64.b64encode(picture).decode()}")
    assert "your picture" in text(explorer.panes[0].picture)
    image = pictures.as_test_image(picture, "mnist")
    assert np.array_equal(first_png(explorer.panes[0].picture), 255 - image[0].numpy())
    explorer.beside.value = COUNTERPART
    assert "correct" in text(explorer.panes[1].picture)
    explorer.return_to_tests.click()
    assert "test image" in text(explorer.panes[0].picture)


def test_an_uploaded_picture_is_classified(explorer: Explorer, trained_run: Run) -> None:
    content = drawn_digit(trained_run, 4)
    when = datetime.datetime(2026, 1, 1)
    version_8 = (
        {
            "name": "four.png",
            "type": "image/png",
            "size": len(content),
            "last_modified": when,
            "content": memoryview(content),
        },
    )
    version_7 = {"four.png": {"metadata": {}, "content": content}}
    explorer.upload.set_trait("value", version_8 if VERSION >= 8 else version_7)
    assert "your picture" in text(explorer.panes[0].picture)


def test_what_is_no_picture_gets_a_message(explorer: Explorer) -> None:
    explorer.pad.answer(f"data:image/png;base64,{base64.b64encode(b'nonsense').decode()}")
    assert "no picture that can be read" in text(explorer.message)


def test_a_digit_is_prepared_as_mnist_was(trained_run: Run) -> None:
    image = pictures.as_test_image(drawn_digit(trained_run, 1), "mnist")
    assert image.shape == (1, 28, 28)
    assert image.dtype == torch.uint8
    rows, columns = (image[0] > 0).nonzero().T
    assert max(rows.max() - rows.min(), columns.max() - columns.min()) + 1 <= pictures.DIGIT_BOX
    mass = image[0].double()
    centre = (mass.sum(dim=1) @ torch.arange(28.0).double() / mass.sum()).item()
    assert centre == pytest.approx(13.5, abs=0.6)
    assert image.max() == 255


@pytest.mark.parametrize(("ground", "ink"), [(255, 0), (0, 255), (90, 220)])
def test_ink_may_be_darker_or_brighter_than_the_ground(ground: int, ink: int) -> None:
    sheet = np.full((60, 40), ground, np.uint8)
    sheet[10:50, 18:24] = ink
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    image = pictures.as_test_image(buffer.getvalue(), "mnist")
    assert image[0, 14, 14] == 255
    assert image[0, 0, 0] == 0


def test_a_colour_picture_is_cut_to_its_middle_square() -> None:
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 64:128] = (200, 100, 50)
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    image = pictures.as_test_image(buffer.getvalue(), "cifar10")
    assert image.shape == (3, 32, 32)
    assert torch.equal(image, torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1).expand(3, 32, 32))


def test_an_empty_sheet_is_an_error_that_says_what_to_do() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (280, 280)).save(buffer, "PNG")
    with pytest.raises(DataError, match="draw a digit"):
        pictures.as_test_image(buffer.getvalue(), "mnist")


# --- Saliency, occlusion, and the map of the test set -----------------------------------------------------------


def test_saliency_and_occlusion_explain_the_class_asked_for(explorer: Explorer) -> None:
    pytest.importorskip("captum")
    explorer.panel.value = "Saliency and occlusion"
    before = explorer.page._page.value
    explorer.target.value = (explorer.opened.subject(explorer.number.value).predicted + 1) % 10
    assert explorer.page._page.value != before
    assert f"what speaks for {explorer.opened.names[explorer.target.value]}" in re.sub(r"\s+", " ", text(explorer.page))
    assert not text(explorer.message).strip()


def test_without_captum_the_panel_says_how_to_get_it(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "available", lambda: False)
    explorer.panel.value = "Saliency and occlusion"
    assert "pip install captum" in text(explorer._panel_box)


def test_the_map_shows_the_image_under_the_pointer_and_goes_to_the_clicked_one(explorer: Explorer) -> None:
    explorer.panel.value = "Map of the test set"
    x, y = explorer._on_plane(explorer.opened.index.positions[42])
    explorer.page.answer(f"over {x} {y}")
    assert "test image 42" in text(explorer.hint)
    assert explorer.number.value != 42
    explorer.page.answer(f"on {x} {y}")
    assert explorer.number.value == 42


def test_before_the_index_is_there_the_panels_say_what_is_going_on(deletable: Run) -> None:
    (deletable.folder / "index.safetensors").unlink(missing_ok=True)
    explorer = hwkit.explore(deletable)
    assert "Looking through all test images" in text(explorer.page)
    explorer.panel.value = "Map of the test set"
    assert "Laying out all test images" in text(explorer.page)
    explorer.beside.value = COUNTERPART
    assert "correct" in text(explorer.panes[1].picture)
    explorer.prepare()
    assert "Every dot is a test image" in text(explorer.page)


def test_while_the_index_is_computed_a_line_says_so(deletable: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (deletable.folder / "index.safetensors").unlink(missing_ok=True)
    explorer = hwkit.explore(deletable)
    said = []
    prepare = explorer.opened.prepare
    monkeypatch.setattr(explorer.opened, "prepare", lambda: (said.append(text(explorer.progress)), prepare()))
    explorer.prepare_in_background()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(60)
    assert "Looking through all test images" in said[0]
    assert not text(explorer.progress)
    assert "The test images it responds to most" in text(explorer.page)


# --- Runs that go away, errors, memory --------------------------------------------------------------------------


def test_a_run_that_is_deleted_meanwhile_is_told_and_still_shown(deletable: Run) -> None:
    explorer = hwkit.explore(deletable)
    shutil.rmtree(deletable.folder)
    explorer.number.value = 11
    assert "was deleted" in text(explorer.message)
    assert "test image 11" in text(explorer.panes[0].picture)
    explorer.layer.value = "conv2"
    assert len(tile_order(explorer)) == 64


def test_a_deleted_run_cannot_be_opened(deletable: Run) -> None:
    shutil.rmtree(deletable.folder)
    with pytest.raises(RunError, match=r"cannot be read"):
        hwkit.explore(runs.Run(deletable.folder, deletable.experiment, deletable.metrics))


def test_choosing_a_deleted_run_leaves_the_one_at_hand_and_says_so(
    deletable: Run, trained_run: Run, own_store: Path
) -> None:
    second = own_store / "second"
    shutil.copytree(trained_run.folder, second)
    explorer = hwkit.explore(deletable)
    shutil.rmtree(second)
    explorer.run_choice.value = str(second)
    assert "was deleted; choose another run" in text(explorer.message)
    assert explorer.run_choice.value == str(deletable.folder)
    explorer.beside.value = str(second)
    assert "was deleted; choose another run" in text(explorer.message)
    explorer.forward.click()
    assert "test image" in text(explorer.panes[0].picture)


def test_an_unforeseen_error_is_a_message_and_no_dead_widget(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patch:
        patch.setattr(explorer.opened, "subject", broken)
        explorer.number.value = 1
    assert "ZeroDivisionError: oh" in text(explorer.message)
    explorer.number.value = 2
    assert "test image 2" in text(explorer.panes[0].picture)


def test_clicking_for_an_hour_leaves_nothing_behind(explorer: Explorer) -> None:
    def click_around(times: int) -> None:
        for step in range(times):
            explorer.layer.value = explorer.layer.options[step % 3]
            explorer.beside.value = (NOTHING, COUNTERPART)[step % 2]
            explorer.panel.value = PANELS[(0, 1, 2, 4, 5)[step % 5]]
            explorer.forward.click()
            explorer.panes[0].maps.answer(str(step % 32))

    click_around(10)
    tracemalloc.start()
    click_around(5)
    widgets, before = len(living_widgets()), tracemalloc.get_traced_memory()[0]
    click_around(25)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(living_widgets()) == widgets
    assert grown < 500_000  # bytes; one page of the explorer has as many


def living_widgets() -> dict[str, ipywidgets.Widget]:
    """Every widget that ipywidgets keeps alive, by its id; where it keeps them changed in version 8."""
    if VERSION >= 8:
        from ipywidgets.widgets.widget import _instances

        return _instances
    return ipywidgets.Widget.widgets


# --- Without a front end, and what a page needs -----------------------------------------------------------------


Output = tuple[dict[str, Any], dict[str, Any] | None]


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Output]:
    """What is displayed: data and metadata."""
    found: list[Output] = []
    monkeypatch.setattr(bridge, "display", lambda data, metadata=None, raw=False: found.append((data, metadata)))
    return found


def test_where_nobody_can_click_a_figure_stands_in(
    explorer: Explorer, trained_run: Run, displayed: list[Output]
) -> None:
    explorer._ipython_display_()
    (widget, _), (data, metadata) = displayed
    assert widget[VIEW_MIME]["model_id"] == explorer.widget.model_id
    assert not widget["text/plain"]  # else a report would print it
    assert living_widgets()[data[VIEW_MIME]["model_id"]].layout.display == "none"
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.width > 1000
        assert picture.width / metadata["image/png"]["width"] > 1.5
    assert trained_run.name in data["text/plain"]


def test_the_widget_does_not_wait_for_the_figure(
    explorer: Explorer, displayed: list[Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, before = explorer.figure, []
    monkeypatch.setattr(explorer, "figure", lambda: (before.extend(displayed), draw())[1])
    explorer._ipython_display_()
    assert [data[VIEW_MIME]["model_id"] for data, _ in before] == [explorer.widget.model_id]


def test_pictures_have_texts_and_every_group_one_stop_for_the_tab_key(explorer: Explorer) -> None:
    for panel in PANELS:
        explorer.panel.value = panel
        pages = [explorer.page._page.value, explorer.panes[0].maps._page.value, explorer.panes[0].picture.value]
        for page in pages:
            for image in re.findall(r"<img[^>]*>", page):
                assert re.search(r'alt="[^"]+"', image)
            if "<button" in page:
                assert len(re.findall(r'<button[^>]*tabindex="0"', page)) == 1


def test_class_names_cannot_put_markup_on_the_page() -> None:
    names = ["<b>bold</b>"] * 10
    page = drawing.bars(names, [0.1] * 10, 1, 2) + drawing.matrix(names, np.ones((10, 10), int))
    assert "<b>bold" not in page


def test_a_second_click_on_one_thing_is_a_second_answer() -> None:
    answers: list[str] = []
    clickable = Clickable(answers.append)
    clickable.answer("5")
    clickable.answer("5")
    assert answers == ["5", "5"]


def test_a_chart_leaves_out_what_a_logarithm_cannot_show() -> None:
    values = np.array([0.0, 1.0, np.nan, 100.0])
    page = drawing.chart([drawing.Line("loss", "#000", np.arange(4.0), values)], "x", "loss", logarithmic=True)
    assert len(re.search(r'points="([^"]+)"', page)[1].split()) == 2


# --- The dashboard ----------------------------------------------------------------------------------------------


@pytest.fixture
def dashboard(trained_run: Run, trained_run_l2: Run, cifar_run: Run) -> hwkit.explorer.Dashboard:
    return hwkit.dashboard([trained_run, trained_run_l2, cifar_run])


def table_order(dashboard: hwkit.explorer.Dashboard) -> list[int]:
    return [int(number) for number in re.findall(r'data-pick="show (\d+)"', dashboard.table._page.value)]


def test_the_table_sorts_by_any_column_both_ways(dashboard: hwkit.explorer.Dashboard) -> None:
    accuracies = [run.test_accuracy for run in dashboard.runs]
    falling = sorted(range(3), key=lambda number: -accuracies[number])
    assert table_order(dashboard) == falling
    dashboard.table.answer("sort test accuracy")
    assert table_order(dashboard) == falling[::-1]
    dashboard.table.answer("sort λ")
    assert table_order(dashboard)[-1] == 1


def test_a_run_can_be_hidden_and_shown_again(dashboard: hwkit.explorer.Dashboard) -> None:
    name = dashboard.runs[1].name
    assert f"2: {name}" in text(dashboard.chart)
    dashboard.table.answer("show 1")
    assert f"2: {name}" not in text(dashboard.chart)
    dashboard.table.answer("show 1")
    assert f"2: {name}" in text(dashboard.chart)
    for number in range(3):
        dashboard.table.answer(f"show {number}")
    assert not text(dashboard.message).strip()


@pytest.mark.parametrize("quantity", ["test accuracy", "train accuracy", "loss", "L2 penalty", "learning rate"])
def test_every_quantity_can_be_drawn_over_every_axis(dashboard: hwkit.explorer.Dashboard, quantity: str) -> None:
    dashboard.quantity.value = quantity
    for axis in dashboard.axis.options:
        dashboard.axis.value = axis
        assert axis in text(dashboard.chart)
    assert not text(dashboard.message).strip()


def test_smoothing_adds_the_average_and_leaves_the_readings_faint(dashboard: hwkit.explorer.Dashboard) -> None:
    dashboard.smoothing.value = 0
    plain = dashboard.chart.value
    dashboard.smoothing.value = 30
    assert plain.count("<polyline") * 2 == dashboard.chart.value.count("<polyline")
    assert dashboard.chart.value.count('opacity="0.3"') == 3


def test_weights_are_shown_from_any_moment_that_was_kept(dashboard: hwkit.explorer.Dashboard) -> None:
    assert [value for _, value in dashboard.moment.options] == [0, dashboard.runs[0].experiment.iterations]
    after = dashboard.weights.value
    dashboard.moment.value = 0
    assert dashboard.weights.value != after
    assert "conv2.weight" in text(dashboard.weights)
    dashboard.weights_of.value = 2
    assert "fc3.bias" in text(dashboard.weights)
    assert dashboard.moment.value == dashboard.runs[2].experiment.iterations


def test_a_dashboard_of_a_deleted_run_keeps_its_curves_and_says_what_is_gone(deletable: Run) -> None:
    dashboard = hwkit.dashboard(deletable)
    other = hwkit.dashboard([runs.load(deletable.folder)])
    shutil.rmtree(deletable.folder)
    dashboard.smoothing.value = 20
    assert deletable.name in text(dashboard.chart)
    vars(other.runs[0]).pop("initial_weights")
    other.moment.value = 0
    assert "cannot be read" in text(other.message)


def test_a_dashboard_of_nothing_is_an_error() -> None:
    with pytest.raises(RunError, match="no run to show"):
        hwkit.dashboard([])


def test_a_dashboard_leaves_a_figure_of_all_its_runs(
    dashboard: hwkit.explorer.Dashboard, displayed: list[Output]
) -> None:
    dashboard._ipython_display_()
    assert "image/png" in displayed[1][0]
    figure = dashboard.figure()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        f"{run.name}: {part}"
        for run in dashboard.runs
        for part in ("cross-entropy", "L2 penalty")
        if part == "cross-entropy" or run.experiment.l2
    ]
