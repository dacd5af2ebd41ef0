"""The explorer in a real browser: JupyterLab, every control used as a hand would, and the page read back.

Run with `make test-browser`. Needs playwright and a chromium; skipped where either is missing. With
HWKIT_SCREENSHOTS=FOLDER, pictures of what was on the screen are left there; HWKIT_BROWSER_WIDTH is the width of the
page in pixels.
"""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import numpy as np
import pytest
from hwkit.explorer.explore_run import PANELS, Explorer
from PIL import Image

from hwkit import analysis, runs
from hwkit.explorer import index
from hwkit.runs import Run

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
# Pixels; the page beside Lab's margins is about as wide as Colab's.
WIDTH, HEIGHT = int(os.environ.get("HWKIT_BROWSER_WIDTH", "1000")), 1600


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as started:
        if found is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("there is no chromium; install the system's, or run `playwright install chromium`")
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        chromium = started.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[tuple[str, str, Path]]:
    """JupyterLab on this machine alone: its address, its token, and the folder of its notebooks."""
    root = tmp_path_factory.mktemp("lab")
    settings = root / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    folders = {
        "JUPYTER_CONFIG_DIR": root / "config",
        "JUPYTER_RUNTIME_DIR": root / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": root / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": root / "workspaces",
        "IPYTHONDIR": root / "ipython",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    notebooks = root / "notebooks"
    notebooks.mkdir()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--notebook-dir={notebooks}"]
    command.append("--LabApp.expose_app_in_browser=True")  # to switch themes
    if os.geteuid() == 0:
        command.append("--allow-root")
    log = (root / "lab.log").open("w")
    environment = {**os.environ, **{name: str(folder) for name, folder in folders.items()}}
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{address}/api/status?token={token}"), "JupyterLab to start", seconds=60)
        yield address, token, notebooks
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # with its kernels
        process.wait(20)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait until something holds; most of what a page does it does a moment after the click."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.1)


class Notebook:
    """A notebook open in the browser, all of its cells run."""

    def __init__(self, page: Page, lab: tuple[str, str, Path], name: str, cells: list[str]) -> None:
        address, token, folder = lab
        self.page, self.name = page, name
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(notebook, folder / f"{name}.ipynb")
        page.goto(f"{address}/lab/tree/{name}.ipynb?token={token}&reset")
        page.wait_for_selector(".jp-Notebook", timeout=90_000)
        page.wait_for_selector("text=/Python 3.*[|] Idle/", timeout=90_000)  # else Lab asks which kernel to take
        page.keyboard.press("Control+b")  # the file browser takes a third of the width
        self.menu("Run", "Run All Cells")

    def menu(self, title: str, entry: str) -> None:
        self.page.click(f'.lm-MenuBar-itemLabel:text-is("{title}")')
        self.page.click(f'.lm-Menu-itemLabel:text-is("{entry}")')

    def output(self, cell: int) -> Locator:
        return self.page.locator(".jp-Cell").nth(cell).locator(".jp-Cell-outputArea")


def screenshot(page: Page, name: str) -> None:
    """Leave a picture of the page where HWKIT_SCREENSHOTS says, if it does."""
    if os.environ.get("HWKIT_SCREENSHOTS"):
        folder = Path(os.environ["HWKIT_SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")


def read(place: Locator) -> str:
    """What is there to be read; of a drawing, which has no layout of lines, all of its texts."""
    return place.text_content() if place.evaluate("e => e instanceof SVGElement") else place.inner_text()


class Shown:
    """One explorer on the page."""

    def __init__(self, output: Locator) -> None:
        self.output = output
        self.page = output.page

    def pane(self, place: int = 0) -> Locator:
        return self.output.locator(".hwkit:has(.hwkit-bars)").nth(place)

    def waits_for(self, text: str, where: str = "", seconds: float = 30) -> None:
        """Wait until a text is there to be read, in the whole explorer or where a selector says."""
        place = self.output.locator(where).first if where else self.output
        wait_for(lambda: text in re.sub(r"\s+", " ", read(place)), f"{text!r} in {where or 'the output'}", seconds)

    def choose(self, label: str, option: str) -> None:
        self.control(label).locator("select").select_option(label=option)

    def control(self, label: str) -> Locator:
        return self.output.locator(f'.jupyter-widgets:has(> .widget-label:text-is("{label}"))').first

    def press(self, button: str) -> None:
        self.output.locator(f'button.jupyter-button:text-is("{button}")').click()

    @property
    def number(self) -> int:
        return int(self.control("Test image").locator("input").input_value())


@pytest.fixture
def open_notebook(
    browser: object, lab: tuple[str, str, Path], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield lambda name, cells: Notebook(page, lab, name, cells)
    screenshot(page, request.node.name)
    page.close()
    assert not problems


def loading(*runs: Run) -> str:
    folders = ", ".join(repr(str(run.folder)) for run in runs)
    return f"from pathlib import Path\nimport hwkit\nloaded = [hwkit.runs.load(Path(f)) for f in ({folders},)]"


def test_every_control_that_chooses_an_image(open_notebook: Callable[..., Notebook], trained_run: Run) -> None:
    index.of(trained_run)
    notebook = open_notebook("choose", [loading(trained_run), "hwkit.explore(loaded[0])"])
    shown = Shown(notebook.output(1))
    worst = analysis.misclassified(trained_run).iloc[0]
    shown.waits_for(f"test image {worst['index']}", seconds=120)
    assert f"true: {worst['label_name']}, predicted: {worst['predicted_name']}" in shown.pane().inner_text()
    screenshot(notebook.page, "explorer")

    box = shown.control("Test image").locator("input")
    box.fill("17")
    box.press("Enter")
    shown.waits_for("test image 17")
    probabilities = analysis.example(trained_run, 17).probabilities.tolist()
    assert all(f"{probability:.3f}" in shown.pane().inner_text() for probability in probabilities)
    shown.press("▶")
    shown.waits_for("test image 18")
    shown.press("◀")
    shown.waits_for("test image 17")
    wrong = sorted(analysis.misclassified(trained_run)["index"])
    following = next(number for number in wrong if number > 17)
    shown.press("mistake ▶")
    shown.waits_for(f"test image {following}")
    shown.press("◀ mistake")
    shown.waits_for(f"test image {[number for number in wrong if number < following][-1]}")

    table = analysis.predictions(trained_run)
    names = analysis.class_names(trained_run)
    shown.choose("True", names[2])
    shown.waits_for(f"of {(table['label'] == 2).sum()} that fit")
    shown.choose("Show", "mistakes")
    shown.waits_for(f"of {((table['label'] == 2) & (table['predicted'] != 2)).sum()} that fit")
    shown.choose("True", "any")
    shown.choose("Predicted", names[3])
    fitting = table[(table["predicted"] == 3) & (table["label"] != 3)]
    shown.waits_for(f"of {len(fitting)} that fit")
    shown.choose("Order", "surest first")
    shown.waits_for("of")
    shown.choose("Predicted", "any")
    shown.choose("Show", "all")
    selected = "select => select.selectedOptions[0].label"
    assert shown.control("Predicted").locator("select").evaluate(selected) == "any"
    shown.waits_for(f"of {len(table)} that fit")
    handle = shown.control("Confidence").locator(".noUi-handle").first
    handle.focus()
    for _ in range(9):
        handle.press("PageUp")
    wait_for(lambda: f"of {len(table)} that fit" not in shown.output.inner_text(), "fewer images to fit")
    low = float(shown.control("Confidence").locator(".widget-readout").inner_text().split(" ")[0])
    shown.waits_for(f"{(table['predicted_probability'] >= low).sum()} that fit")


def test_every_layer_map_and_panel(
    open_notebook: Callable[..., Notebook], trained_run: Run, trained_run_l2: Run, tmp_path: Path
) -> None:
    index.of(trained_run)
    notebook = open_notebook("layers", [loading(trained_run), "hwkit.explore(loaded[0])"])
    shown = Shown(notebook.output(1))
    shown.waits_for("conv1: 32 channels", seconds=120)
    for layer, size in (("conv2", "64 channels, 14×14"), ("fc1", "1024 channels"), ("conv1", "32 channels, 28×28")):
        shown.press(layer)
        shown.waits_for(f"{layer}: {size}")
    tiles = shown.output.locator(".hwkit-tiles").first.locator("button")
    shown.press("by number")
    wait_for(lambda: tiles.nth(5).inner_text().strip() == "5", "the maps by number")
    tiles.nth(5).click()
    shown.waits_for("conv1, channel 5")
    assert tiles.nth(5).get_attribute("aria-pressed") == "true"
    strongest = index.of(trained_run).strongest["conv1"][5].tolist()
    shown.output.locator(f'.hwkit-tiles button[data-pick="{strongest[1]}"] img').click()
    shown.waits_for(f"test image {strongest[1]}")

    shown.press("Confusion matrix")
    counts = analysis.confusion(trained_run).to_numpy()
    label, predicted = divmod(int((counts * (1 - np.eye(10, dtype=int))).argmax()), 10)
    shown.output.locator(f'button[data-pick="{label} {predicted}"]').click()
    shown.waits_for(f"of {counts[label, predicted]} that fit")
    screenshot(notebook.page, "confusion")

    shown.press("Draw or upload")
    pad = shown.output.locator("canvas")
    pad.scroll_into_view_if_needed()
    place = pad.bounding_box()
    shown.page.mouse.move(place["x"] + 140, place["y"] + 50)
    shown.page.mouse.down()
    shown.page.mouse.move(place["x"] + 140, place["y"] + 230, steps=20)
    shown.page.mouse.up()
    shown.waits_for("your picture")
    screenshot(notebook.page, "drawn")
    shown.press("Back to the test images")
    shown.waits_for("test image")
    shown.press("Clear the pad")
    wait_for(lambda: pad.get_attribute("data-sheet") == "2", "a fresh sheet")
    file = tmp_path / "digit.png"
    Image.fromarray(255 - analysis.example(trained_run, 3).image[0].numpy()).resize((112, 112)).save(file)
    with shown.page.expect_file_chooser() as chooser:
        shown.output.locator('button:has-text("Upload a picture")').click()
    chooser.value.set_files(file)
    shown.waits_for("your picture")
    shown.press("Back to the test images")

    if pytest.importorskip("captum"):
        shown.press("Saliency and occlusion")
        names = analysis.class_names(trained_run)
        shown.waits_for("what speaks for")
        shown.choose("Explain class", names[7])
        shown.waits_for(f"what speaks for {names[7]}")
        screenshot(notebook.page, "saliency")

    shown.press("Filters")
    shown.waits_for("The kernels of conv1")
    shown.output.locator(".hwkit-tiles").last.locator('button[data-pick="9"]').click()
    shown.waits_for("filter 9 on this image")
    screenshot(notebook.page, "filters")

    shown.press("Map of the test set")
    plane = shown.output.locator(".hwkit-plane")
    plane.scroll_into_view_if_needed()
    place = plane.bounding_box()
    shown.page.mouse.move(place["x"] + 300, place["y"] + 200)
    shown.page.mouse.move(place["x"] + 310, place["y"] + 205, steps=5)
    hint = shown.output.locator('.hwkit:has(img[alt^="test image"])').last
    wait_for(lambda: "→" in hint.inner_text(), "the image under the pointer")
    screenshot(notebook.page, "map")
    shown.page.mouse.click(place["x"] + 200, place["y"] + 100)
    before = hint.inner_text()
    wait_for(lambda: plane.locator(".here").is_visible(), "the mark of the image")
    assert before

    shown.choose("Beside it", "an example of the predicted class")
    wait_for(lambda: shown.output.locator(".hwkit-bars").count() == 2, "a second picture")
    screenshot(notebook.page, "beside")
    other = shown.control("Beside it").locator("option", has_text=trained_run_l2.name).first.inner_text()
    shown.choose("Beside it", other)
    shown.waits_for(f"{trained_run_l2.name}, test image")
    shown.choose("Beside it", "nothing")
    wait_for(lambda: shown.output.locator(".hwkit-bars").count() == 1, "one picture again")


def test_maps_can_be_walked_with_the_keyboard(open_notebook: Callable[..., Notebook], trained_run: Run) -> None:
    index.of(trained_run)
    notebook = open_notebook("keyboard", [loading(trained_run), "hwkit.explore(loaded[0])"])
    shown = Shown(notebook.output(1))
    shown.waits_for("conv1: 32 channels", seconds=120)
    keyboard = shown.page.keyboard
    shown.output.locator('button.jupyter-button:text-is("by number")').click()
    tiles = shown.output.locator(".hwkit-tiles").first.locator("button")
    wait_for(lambda: tiles.nth(3).inner_text().strip() == "3", "the maps by number")

    def focused() -> str:
        return shown.page.evaluate("document.activeElement.dataset.pick || ''")

    keyboard.press("Tab")
    wait_for(lambda: focused() == "0", "Tab to stop at the picked map")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    assert focused() == "2"
    per_row = tiles.evaluate_all("a => a.filter(b => b.offsetTop === a[0].offsetTop).length")
    keyboard.press("ArrowDown")
    assert focused() == str(2 + per_row)
    keyboard.press("ArrowUp")
    keyboard.press("Enter")
    shown.waits_for("conv1, channel 2")
    assert focused() == "2"  # and the next arrow goes on from here
    keyboard.press("Tab")
    assert focused() == ""  # one stop for all maps


def test_the_map_of_the_test_set_can_be_walked_with_the_keyboard(
    open_notebook: Callable[..., Notebook], trained_run: Run
) -> None:
    index.of(trained_run)
    notebook = open_notebook("walk", [loading(trained_run), "hwkit.explore(loaded[0])"])
    shown = Shown(notebook.output(1))
    shown.waits_for("conv1: 32 channels", seconds=120)
    keyboard = shown.page.keyboard
    shown.control("Test image").locator("input").focus()

    def tab_to(what: str) -> None:
        for _ in range(60):
            if shown.page.evaluate(f"(a => {what})(document.activeElement)"):
                return
            keyboard.press("Tab")
        raise AssertionError(f"60 times Tab did not lead to {what}")

    tab_to("a.innerText.trim() === 'Map of the test set'")
    keyboard.press("Enter")
    shown.waits_for("Every dot is a test image")
    tab_to("!!a.dataset.plane")
    cross = shown.output.locator(".cross")
    same_run = Explorer(trained_run)  # to tell what is where
    same_run.prepare()

    def there() -> tuple[float, float]:
        return tuple(cross.evaluate("e => [parseFloat(e.style.left) / 100, parseFloat(e.style.top) / 100]"))

    for axis, keys in enumerate((("ArrowRight", "ArrowLeft"), ("ArrowDown", "ArrowUp"))):
        before = there()
        key = keys[before[axis] > 0.5]  # there is more room on that side
        for _ in range(30):
            keyboard.press(key)
        assert abs(there()[axis] - before[axis]) > 0.25
        found = same_run._nearest(*there())
        assert found != shown.number
        shown.waits_for(f"test image {found} ")  # beside the map, as for the pointer
        screenshot(notebook.page, f"walk-{key}")
        keyboard.press("Enter")
        wait_for(functools.partial(lambda number: shown.number == number, found), f"test image {found} to be chosen")
        wait_for(lambda: shown.page.evaluate("!!document.activeElement.dataset.plane"), "the focus to come back")


def test_another_run_can_be_chosen(
    open_notebook: Callable[..., Notebook], trained_run: Run, trained_run_l2: Run, cifar_run: Run
) -> None:
    notebook = open_notebook("run", [loading(trained_run), "hwkit.explore(loaded[0])"])
    shown = Shown(notebook.output(1))
    shown.waits_for("conv1: 32 channels", seconds=120)
    box = shown.control("Test image").locator("input")
    box.fill("12")
    box.press("Enter")
    for run, layer in ((cifar_run, "conv1: 64 channels"), (trained_run_l2, "conv1: 32 channels")):
        option = shown.control("Run").locator("option", has_text=f"{run.name} (").first.inner_text()
        shown.choose("Run", option)
        shown.waits_for(layer)
        assert f"{run.name}, test image 12" in re.sub(r"\s+", " ", shown.pane().inner_text())
        label = analysis.class_names(run)[int(run.labels[12])]
        assert f"true: {label}" in shown.pane().inner_text()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_text_can_be_read_in_either_theme(
    open_notebook: Callable[..., Notebook], trained_run: Run, trained_run_l2: Run, theme: str
) -> None:
    index.of(trained_run)
    cells = [loading(trained_run, trained_run_l2), "hwkit.explore(loaded[0])", "hwkit.dashboard(loaded)"]
    notebook = open_notebook(theme.replace(" ", ""), cells)
    page = notebook.page
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    shown = Shown(notebook.output(1))
    shown.waits_for("conv1: 32 channels", seconds=120)
    shade = f"body[data-jp-theme-light={'true' if 'Light' in theme else 'false'}]"
    page.wait_for_selector(shade, state="attached")
    for panel in PANELS:
        shown.press(panel)
        page.locator("button.mod-active", has_text=panel).wait_for()
        assert not unreadable(shown.output)
        screenshot(page, f"{theme.split()[1].lower()}-{panel.split()[0].lower()}")
    notebook.output(2).scroll_into_view_if_needed()
    assert not unreadable(notebook.output(2))
    screenshot(page, f"{theme.split()[1].lower()}-dashboard")


def unreadable(place: Locator) -> dict[str, float]:
    """Texts whose contrast to their ground is below the 4.5 that WCAG 2.1 asks for (criterion 1.4.3), with theirs."""
    return place.evaluate(
        """root => {
        const parse = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
        const over = (top, below) => below.map((value, i) => value + (top[3] ?? 1) * (top[i] - value));
        const ground = element => {
            const own = parse(getComputedStyle(element).backgroundColor);
            if (own.length === 3) return own;
            return over(own, element.parentElement ? ground(element.parentElement) : [255, 255, 255]);
        };
        const luminance = colour => colour.map(value => value / 255)
            .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
            .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
        const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), found = {};
        while (texts.nextNode()) {
            const text = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
            if (!text || !element.getClientRects().length || element.disabled) continue;
            const style = getComputedStyle(element), below = ground(element);
            const ink = over(parse(element.closest("svg") ? style.fill : style.color), below);
            const [dark, bright] = [luminance(ink), luminance(below)].sort((a, b) => a - b);
            const ratio = (bright + 0.05) / (dark + 0.05);
            if (ratio < 4.5) found[text.slice(0, 40)] = ratio;
        }
        return found;
        }"""
    )


def test_two_explorers_survive_a_restart_and_do_not_touch_each_other(
    open_notebook: Callable[..., Notebook], trained_run: Run, cifar_run: Run
) -> None:
    cells = [loading(trained_run, cifar_run), "hwkit.explore(loaded[0])", "hwkit.explore(loaded[1])"]
    notebook = open_notebook("two", cells)
    for _ in range(2):
        first, second = Shown(notebook.output(1)), Shown(notebook.output(2))
        first.waits_for("conv1: 32 channels", seconds=120)
        second.waits_for("conv1: 64 channels", seconds=120)
        box = first.control("Test image").locator("input")
        box.fill("5")
        box.press("Enter")
        first.waits_for("test image 5")
        before = second.number
        second.press("conv3")
        second.waits_for("conv3: 256 channels")
        assert second.number == before
        assert "conv1: 32 channels" in first.output.inner_text()
        # For a map of the test set the index is needed, which a run nobody explored before gets in the background.
        second.press("Map of the test set")
        second.waits_for("Every dot is a test image", seconds=60)
        notebook.menu("Kernel", "Restart Kernel and Run All Cells…")
        notebook.page.click(".jp-Dialog .jp-mod-accept")
        # What an old kernel left on the page goes when its cell runs again.
        wait_for(lambda: "test image 5" not in notebook.output(1).inner_text(), "the cells to run again", 60)


def test_a_deleted_run_is_a_message(open_notebook: Callable[..., Notebook], trained_run: Run, store: Path) -> None:
    doomed = store / "doomed"
    shutil.copytree(trained_run.folder, doomed)
    try:
        notebook = open_notebook("deleted", [loading(runs.load(doomed)), "hwkit.explore(loaded[0])"])
        shown = Shown(notebook.output(1))
        shown.waits_for("conv1: 32 channels", seconds=120)
    finally:
        shutil.rmtree(doomed)
    shown.press("▶")
    shown.waits_for("was deleted; what you see is from memory")
    screenshot(notebook.page, "deleted")
    shown.press("conv2")
    shown.waits_for("conv2: 64 channels")


def test_every_control_of_the_dashboard(
    open_notebook: Callable[..., Notebook], trained_run: Run, trained_run_l2: Run, cifar_run: Run
) -> None:
    cells = [loading(trained_run, trained_run_l2, cifar_run), "hwkit.dashboard(loaded)"]
    notebook = open_notebook("dashboard", cells)
    shown = Shown(notebook.output(1))
    shown.waits_for("test accuracy ▼", seconds=120)
    screenshot(notebook.page, "dashboard")
    shown.output.locator('button[data-pick="sort run"]').click()
    shown.waits_for("run ▲")
    first = shown.output.locator("table tr").nth(1)
    assert first.inner_text().split()[:2] == ["cifar10", "cifar10"]
    assert shown.output.locator("svg").first.locator("polyline").count() == 6
    shown.output.locator('button[data-pick="show 2"]').click()
    wait_for(lambda: shown.output.locator("svg").first.locator("polyline").count() == 4, "a line less")
    shown.press("loss")
    wait_for(lambda: shown.output.locator('svg[aria-label="loss"]').count() == 1, "the loss")
    shown.choose("over", "epochs")
    shown.waits_for("epochs", "svg[aria-label=loss]")
    handle = shown.control("Smoothing (% of the readings)").locator(".noUi-handle")
    handle.focus()
    handle.press("Home")
    wait_for(lambda: shown.output.locator("svg").first.locator("polyline").count() == 2, "readings alone")
    shown.choose("Weights of", f"3: {cifar_run.name}")
    shown.waits_for("fc3.weight", 'svg[aria-label="weight distributions"]')
    outline = shown.output.locator('svg[aria-label="weight distributions"] path').first
    after = outline.get_attribute("d")
    handle = shown.output.locator(".noUi-handle, [role=slider]").last
    handle.focus()
    handle.press("Home")
    wait_for(lambda: outline.get_attribute("d") != after, "the initial weights")


def test_curves_grow_while_a_network_trains(open_notebook: Callable[..., Notebook], store: Path) -> None:
    cells = [
        "import hwkit\nexperiment = hwkit.named_experiment('mnist', 'smoke', data='stand-in', seed=77, epochs=6)",
        "run = hwkit.train(experiment, device='cpu', live=True)",
    ]
    notebook = open_notebook("live", cells)
    shown = Shown(notebook.output(1))
    shown.waits_for("iteration", seconds=120)
    seen = set()

    def finished() -> bool:
        found = re.search(r"iteration (\d+) of (\d+)", shown.output.inner_text())
        seen.add(found and found[1])
        return bool(found) and found[1] == found[2]

    wait_for(finished, "the end of training", seconds=120)
    assert len(seen) > 2
    assert shown.output.locator("polyline").count() == 3
    screenshot(notebook.page, "live")
