"""The explorer's pages in a real browser: what a hand, a finger or a keyboard does, and what is then to be seen.

Run with `make test-browser`. Needs playwright and a chromium; skipped where either is missing. axe-core, from npm, is
looked for in tests/page/node_modules. With HWKIT_SCREENSHOTS=FOLDER, pictures of the screen are left there.
"""

from __future__ import annotations

import json
import os
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
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from test_explorer import Opened, noise
from test_explorer_network import Residual

import hwkit
from hwkit import analysis
from hwkit.explorer import page as pages
from hwkit.explorer.page import Shown
from hwkit.runs import Run

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[1] / "page" / "node_modules" / "axe-core" / "axe.min.js"
TABS = ("images", "map", "layers", "why", "whatif", "compare")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
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
        "JUPYTER_DATA_DIR": root / "data",
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


def screenshot(page: Page, name: str) -> None:
    """Leave a picture of the page where HWKIT_SCREENSHOTS says, if it does."""
    if os.environ.get("HWKIT_SCREENSHOTS"):
        folder = Path(os.environ["HWKIT_SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")


# --- The explorer -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_runs(trained_run: Run, trained_run_l2: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two runs."""
    return hwkit.explore(trained_run, trained_run_l2, most=300).save(tmp_path_factory.mktemp("two") / "page.html")


@pytest.fixture(scope="module")
def any_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a residual network on 64x64 colour images of twelve classes with long names."""
    torch.manual_seed(0)
    model, images = Residual(3, 12).eval(), noise(60, 3, 64, 64)
    with torch.no_grad():
        logits = model(images.float() / 255)
    names = [f"a class named {number}" for number in range(12)]
    content = pages.build([Shown("residual", model, logits)], images, torch.arange(60) % 12, names, title="residual")
    path = tmp_path_factory.mktemp("any") / "page.html"
    path.write_text(content, encoding="utf-8")
    return path


Open = Callable[..., "Explorer"]


@pytest.fixture
def open_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Open]:
    problems: list[str] = []
    opened = []

    def open_it(path: Path, width: int = 1280, height: int = 900, hash: str = "", **options: Any) -> Explorer:
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{path.as_uri()}{hash}")
        page.wait_for_selector("#app:not([aria-busy])", timeout=60_000)
        opened.append(page)
        return Explorer(page)

    yield open_it
    for number, page in enumerate(opened):
        screenshot(page, f"{request.node.name}-{number}")
        page.close()
    assert not problems


class Explorer:
    """An opened page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def wait(self, condition: str, *arguments: Any) -> None:
        """Wait until a condition in JavaScript holds."""
        self.page.wait_for_function(condition, arg=list(arguments), timeout=60_000)

    def computed(self) -> None:
        """Wait until the network has run on what is looked at."""
        self.wait("() => hwkit.state.valuesOf === hwkit.state.pixels")

    def tab(self, name: str) -> None:
        self.page.click(f"#tab-{name}")
        self.page.wait_for_selector(f"#panel-{name}:not([hidden])")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def state(self, name: str) -> Any:
        return self.page.evaluate(f"hwkit.state.{name}")

    @property
    def number(self) -> int:
        return int(self.page.locator(".subject input[type=number]").input_value())


def in_sight(place: Locator) -> bool:
    """Whether all of an element is within the viewport."""
    box, size = place.bounding_box(), place.page.viewport_size
    assert box
    assert size
    ends = box["x"] + box["width"] <= size["width"] + 1, box["y"] + box["height"] <= size["height"] + 1
    return box["x"] >= -1 and box["y"] >= -1 and all(ends) and place.is_visible()


def test_the_browser_computes_what_pytorch_does(open_page: Open, two_runs: Path, trained_run: Run) -> None:
    shown = open_page(two_runs)
    carried = Opened(two_runs.read_text(encoding="utf-8"))
    model = trained_run.model()
    kept = {name: torch.from_numpy(np.array(carried[f"0/weight/{name}"], np.float32)) for name in model.state_dict()}
    model.load_state_dict(kept)
    images = analysis.test_images(trained_run)
    for number in carried["numbers"][[0, 7, 100]].astype(int):
        shown.page.evaluate("number => hwkit.choose(hwkit.images.numbers.indexOf(number))", int(number))
        shown.computed()
        found = torch.tensor(list(shown.page.evaluate("[...hwkit.state.values.at(-1)]")))
        with torch.no_grad():
            expected = model(images[number][None].float() / 255)[0]
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_it_opens_at_the_mistake_of_which_the_network_is_most_confident(
    open_page: Open, two_runs: Path, trained_run: Run
) -> None:
    shown = open_page(two_runs)
    wrong = trained_run.logits.argmax(dim=1) != trained_run.labels
    confidence = trained_run.logits.softmax(dim=1).amax(dim=1) * wrong
    on_page = Opened(two_runs.read_text(encoding="utf-8"))["numbers"].astype(int)
    assert shown.number == on_page[confidence[on_page].argmax()]
    assert "misclassified" in shown.text(".verdict")


def test_filters_say_what_they_are_and_can_be_taken_away(open_page: Open, two_runs: Path, trained_run: Run) -> None:
    shown = open_page(two_runs)
    counts = analysis.confusion(trained_run).to_numpy()
    label, predicted = divmod(int((counts * (1 - np.eye(10, dtype=int))).argmax()), 10)
    shown.page.click(f'#panel-images [data-cell="{label} {predicted}"]')
    names = analysis.class_names(trained_run)
    shown.page.wait_for_selector(f'.chip:has-text("predicted {names[predicted]}")')
    assert f"true {names[label]}" in shown.text("#panel-images .filters")
    assert trained_run.labels[shown.number] == label
    assert trained_run.logits[shown.number].argmax() == predicted
    before = shown.text("#panel-images .count")
    # An empty cell shows nothing of the one before it.
    empty = divmod(int((counts == 0).argmax()), 10)
    shown.page.click(f'#panel-images [data-cell="{empty[0]} {empty[1]}"]')
    shown.wait("() => document.querySelector('#panel-images .count').textContent === '0 images'")
    assert "No image fits" in shown.text("#panel-images .gallery")
    shown.page.click('button:has-text("clear all")')
    shown.wait("() => document.querySelector('#panel-images .count').textContent === '300 images'")
    assert before != "300 images"


def test_stepping_keeps_to_the_filter_also_from_mistake_to_mistake(
    open_page: Open, two_runs: Path, trained_run: Run
) -> None:
    shown = open_page(two_runs)
    predicted = trained_run.logits.argmax(dim=1)
    fitting = [int(c) for c in Opened(two_runs.read_text(encoding="utf-8"))["0/predicted"]]
    label = max(set(fitting), key=fitting.count)
    shown.page.evaluate("label => hwkit.filterBy({ predicted: label })", label)
    for button in ("next misclassified image", "next image", "previous misclassified image", "previous image"):
        before = shown.number
        shown.page.click(f'button[aria-label="{button}"]')
        shown.wait("([before]) => document.querySelector('.subject input').value !== String(before)", before)
        assert predicted[shown.number] == label
        if "misclassified" in button:
            assert trained_run.labels[shown.number] != label


def test_the_answer_to_every_click_is_in_sight(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    page = shown.page
    shown.computed()
    answers = [
        ("images", "#panel-images .thumb >> nth=5", ".subject .frame"),
        ("images", '#panel-images [data-cell="1 1"]', "#panel-images .thumb >> nth=0"),
        ("images", ".bars .bar >> nth=3", "#panel-layers .lines"),
        ("layers", ".strip button.stage >> nth=0", "#panel-layers .channel h2"),
        ("layers", "#panel-layers .tile >> nth=20", "#panel-layers .lines"),
        ("layers", ".strip button.stage >> nth=1", "#panel-layers .tile >> nth=0"),
        ("layers", "#panel-layers .gallery .thumb >> nth=0", ".subject .frame"),
        ("layers", ".strip button.stage >> nth=3", "#panel-layers .unit >> nth=0"),
        ("layers", "#panel-layers .term >> nth=0", "#panel-layers .channel h2"),
        ("why", '#panel-why button:has-text("Grad-CAM")', "#panel-why .cover"),
        ("why", "#panel-why .thumb >> nth=2", ".subject .frame"),
        ("whatif", '#panel-whatif button:has-text("clear")', ".bars"),
        ("compare", "#panel-compare .pair >> nth=1", "#panel-compare .thumb >> nth=0"),
        ("compare", "#panel-compare .cell >> nth=0", "#panel-images .count"),
    ]
    for tab, click, answer in answers:
        shown.tab(tab)
        page.locator(click).click()
        page.locator(answer).first.wait_for()
        shown.computed()
        assert in_sight(page.locator(answer).first), (click, answer)
        assert in_sight(page.locator(".subject .frame"))
        assert in_sight(page.locator(".bars"))
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


@pytest.mark.parametrize("width", [1280, 900, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_every_width_and_harm_no_reader(
    open_page: Open, two_runs: Path, any_network: Path, width: int, scheme: str
) -> None:
    for path in (two_runs, any_network):
        shown = open_page(path, width=width, color_scheme=scheme)
        shown.computed()
        for name in TABS:
            if not shown.page.locator(f"#tab-{name}").count():
                continue
            shown.tab(name)
            shown.page.wait_for_timeout(150)
            screenshot(shown.page, f"{path.parent.name[:3]}-{width}-{scheme}-{name}")
            assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), name
            if AXE.exists():
                assert not complaints(shown.page), name


def complaints(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations)")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in serious
        for node in one["nodes"][:3]
    ]


def test_the_map_answers_at_the_pointer_and_a_lasso_fills_the_gallery(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    page = shown.page
    shown.tab("map")
    canvas = page.locator("#panel-map canvas").first
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box
    shown.wait("() => document.querySelector('#panel-map canvas').width > 300")
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for step in range(12):
        page.mouse.move(box["x"] + 40 + step * (box["width"] - 80) / 11, middle[1])
        if page.locator("#tooltip").is_visible():
            break
    assert "Test image" in shown.text("#tooltip")
    assert in_sight(page.locator("#tooltip"))
    asked = int(shown.text("#tooltip b").split()[-1])
    page.mouse.down()
    page.mouse.up()
    shown.wait("([asked]) => document.querySelector('.subject input').value === String(asked)", asked)
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for x, y in ((0.97, 0.02), (0.97, 0.97), (0.02, 0.97), (0.02, 0.02)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_selector('.chip:has-text("lasso of")', state="attached")
    assert page.locator("#panel-map .thumb").count() > 0
    page.mouse.wheel(0, -400)
    shown.wait("() => true")
    canvas.focus()
    before = shown.number
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    shown.wait("([before]) => document.querySelector('.subject input').value !== String(before)", before)


def test_numbers_are_traced_to_what_they_are_computed_from(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    page = shown.page
    shown.computed()
    page.locator('.strip button[data-layer="conv2"]').click()
    page.wait_for_selector("#panel-layers .lines")
    page.locator("#panel-layers .tile").nth(3).click()
    channel = shown.state("channel")
    big = page.locator("#panel-layers .maps canvas").first
    box = big.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.3 * box["height"])
    place = "row 4, column 8"  # of 14 x 14
    page.wait_for_selector(f'#panel-layers h2:has-text("{place}")')
    assert page.locator(".subject .field").is_visible()
    cells = page.locator("#panel-layers .lines tr:not(.step)").evaluate_all(
        "rows => rows.map(row => Number(row.cells[1].textContent.replace('−', '-')))"
    )
    assert sum(cells[:-1]) == pytest.approx(cells[-1], abs=0.02 * sum(map(abs, cells)) + 0.01)
    value = page.evaluate("c => hwkit.state.values[hwkit.stage.node][c * 196 + 4 * 14 + 8]", channel)
    assert max(cells[-1], 0) == pytest.approx(value, abs=0.02 * abs(value) + 1e-3)
    big.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_selector('#panel-layers h2:has-text("row 5, column 8")')


def test_why_a_class_is_explained_in_four_ways(open_page: Open, any_network: Path) -> None:
    shown = open_page(any_network)
    shown.computed()
    shown.tab("why")
    for method in ("integrated", "gradcam", "occlusion", "saliency"):
        shown.page.evaluate("method => hwkit.set({ method, target: 5 })", method)
        shown.page.wait_for_selector(f'.cover[data-ready="{method} 5"]', timeout=60_000)
        alpha = (
            "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(v => v > 0)"
        )
        assert shown.page.locator(".cover").evaluate(alpha)


def draw(shown: Explorer, *places: tuple[float, float]) -> None:
    box = shown.page.locator(".pad").bounding_box()
    assert box
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    shown.page.mouse.move(*points[0])
    shown.page.mouse.down()
    for point in points[1:]:
        shown.page.mouse.move(*point, steps=6)
    shown.page.mouse.up()


def test_what_is_drawn_is_looked_at_and_what_is_cleared_is_gone(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    page = shown.page
    shown.tab("whatif")
    page.click('#panel-whatif button:has-text("clear")')
    shown.wait("() => hwkit.state.source === 'an empty sheet'")
    shown.computed()
    assert page.evaluate("hwkit.state.pixels.every(value => value === 0)")
    draw(shown, (0.1, 0.1), (0.3, 0.1), (0.3, 0.3))
    shown.wait("() => hwkit.state.source === 'your drawing'")
    shown.computed()
    assert "your drawing" in shown.text(".subject .title")
    ink = np.array(page.evaluate("[...hwkit.state.pixels]")).reshape(28, 28)
    rows, columns = np.nonzero(ink > 50)
    assert abs(rows.mean() - 13.5) < 3  # in the middle, as the test images are
    assert abs(columns.mean() - 13.5) < 3
    drawn = page.evaluate("hwkit.state.pixels.join()")
    draw(shown, (0.6, 0.6), (0.9, 0.9))
    page.click('#panel-whatif button:has-text("undo")')
    shown.wait("([drawn]) => hwkit.state.pixels.join() === drawn", drawn)
    page.get_by_label("rotate").fill("90")
    shown.wait("([drawn]) => hwkit.state.pixels.join() !== drawn", drawn)
    page.click('#panel-whatif button:has-text("back to the test image")')
    shown.wait("() => hwkit.state.image !== null")
    assert page.get_by_label("rotate").input_value() == "0"


def test_pictures_from_files_also_twice_the_same_and_wrong_ones(
    open_page: Open, two_runs: Path, tmp_path: Path
) -> None:
    shown = open_page(two_runs)
    page = shown.page
    shown.tab("whatif")
    digit = np.full((90, 120), 30, np.uint8)
    digit[20:70, 50:60] = 200
    Image.fromarray(digit).save(tmp_path / "one.png")
    chooser = page.get_by_label("a picture file")
    for _ in range(2):
        chooser.set_input_files(tmp_path / "one.png")
        shown.wait("() => hwkit.state.source === 'one.png'")
        page.click('#panel-whatif button:has-text("clear")')
        shown.wait("() => hwkit.state.source === 'an empty sheet'")
    (tmp_path / "wrong.png").write_text("no picture")
    chooser.set_input_files(tmp_path / "wrong.png")
    message = page.locator("#panel-whatif .message")
    message.wait_for()
    assert message.inner_text() == "wrong.png cannot be read as a picture; choose a PNG, JPEG or WebP file."
    assert in_sight(message)


def test_of_many_fast_clicks_the_last_one_counts(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    shown.tab("layers")
    shown.page.evaluate("for (let i = 0; i < 60; i++) hwkit.choose(i)")
    shown.computed()
    assert shown.state("image") == 59
    assert shown.page.evaluate("hwkit.engine.next") < 20


def test_two_runs_side_by_side(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    page = shown.page
    shown.tab("compare")
    page.locator("#panel-compare .pair.differ").first.click()
    page.wait_for_selector('.chip:has-text("correct")', state="attached")
    place = shown.state("image")
    right = [page.evaluate(f"hwkit.payload.array('{run}/right')[{place}]") for run in (0, 1)]
    assert right == [1, 0]
    assert page.locator(".track .other").count() > 0
    page.locator(".run").nth(1).click()
    shown.wait("() => hwkit.state.network === 1")
    assert page.locator(".badge.wrong").is_visible()


def test_runs_with_long_names_do_not_push_tables_over_each_other(open_page: Open, tmp_path: Path) -> None:
    images, labels = noise(40, 1, 20, 20), torch.arange(40) % 10
    shown = [Shown(f"a run[of many={k}, settings={k}, and a long name={k}]", None, torch.randn(40, 10)) for k in (1, 2)]
    path = tmp_path / "page.html"
    path.write_text(pages.build(shown, images, labels, list("0123456789"), title="two"), encoding="utf-8")
    for width in (1280, 900, 400):
        opened = open_page(path, width=width)
        opened.tab("compare")
        table = opened.page.locator("#panel-compare .fourfold").bounding_box()
        matrix = opened.page.locator("#panel-compare .confusion").bounding_box()
        assert table
        assert matrix
        assert table["x"] + table["width"] <= matrix["x"] or table["y"] + table["height"] <= matrix["y"]
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
        assert "A correct" in opened.text("#panel-compare .fourfold")


def test_a_view_is_shared_as_address_code_and_picture(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    shown.computed()
    shown.page.locator('.strip button[data-layer="conv2"]').click()
    shown.wait("() => hwkit.state.tab === 'layers' && location.hash.includes('conv2')")
    number = shown.number
    again = open_page(two_runs, hash=shown.page.evaluate("location.hash"))
    assert again.number == number
    assert again.state("tab") == "layers"
    shown.page.click("summary:has-text('share')")
    with shown.page.expect_download() as download:
        shown.page.click('button:has-text("save as PNG")')
    with Image.open(download.value.path()) as picture:
        assert picture.size == (2560, 1800)
        assert len(picture.convert("RGB").resize((64, 45)).getcolors(5000) or ()) > 50
    with shown.page.expect_download() as download:
        shown.page.click('button:has-text("save as SVG")')
    assert download.value.path().read_text(encoding="utf-8").startswith("<svg")


def test_fingers_do_what_a_mouse_does(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs, width=400, height=860, has_touch=True)
    shown.page.locator("#panel-images .thumb").nth(4).tap()
    shown.wait("() => hwkit.state.image === hwkit.found[4]")
    shown.page.locator("#tab-layers").tap()
    shown.page.locator("#panel-layers .tile").nth(2).tap()
    shown.page.wait_for_selector("#panel-layers .lines")
    assert in_sight(shown.page.locator(".subject .frame"))  # it stays in sight while the page scrolls


def test_the_keyboard_reaches_everything(open_page: Open, two_runs: Path) -> None:
    shown = open_page(two_runs)
    page = shown.page
    before = shown.number
    page.keyboard.press("ArrowRight")
    shown.wait("([before]) => document.querySelector('.subject input').value !== String(before)", before)
    page.locator("#tab-images").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#panel-map:not([hidden])")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#panel-layers .tile")
    tiles = page.locator("#panel-layers .tile")
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    focused = "document.activeElement.dataset.channel"
    shown.wait(f"() => Number({focused}) === hwkit.state.channel")
    assert tiles.evaluate_all("all => all.filter(tile => tile.tabIndex === 0).length") == 1


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with snapshots."""
    torch.manual_seed(0)
    model, images = Residual(3, 12).eval(), noise(60, 3, 64, 64)
    with torch.no_grad():
        logits = model(images.float() / 255)
    moments = {k: {name: tensor * k / 3 for name, tensor in model.state_dict().items()} for k in range(4)}
    shown = [Shown("film", model, logits, moments)]
    path = tmp_path_factory.mktemp("film") / "page.html"
    names = [f"class {number}" for number in range(12)]
    path.write_text(pages.build(shown, images, torch.arange(60) % 12, names, title="film"), encoding="utf-8")
    return path


def test_a_film_plays_in_sight_and_its_parts_are_whole_at_every_width(open_page: Open, film: Path) -> None:
    for width in (1280, 900, 400):
        shown = open_page(film, width=width)
        shown.computed()
        shown.tab("training")
        whole = (
            "place => place.scrollHeight <= place.clientHeight + 1 || getComputedStyle(place).overflowY === 'visible'"
        )
        assert shown.page.locator("#panel-training .scroll").evaluate(whole)
        slider = shown.page.get_by_label("moment of the training")
        slider.fill("0")
        before = shown.text("#panel-training output")
        shown.page.click('#panel-training button:has-text("play")')
        shown.wait("() => hwkit.state.moment === 3")
        assert shown.text("#panel-training output") != before
        if width == 1280:
            for part in ("output", ".tiles >> nth=0", ".tiles >> nth=1", "canvas.plane", ".confusion .matrix"):
                assert in_sight(shown.page.locator(f"#panel-training {part}").first), part


# --- The dashboard ----------------------------------------------------------------------------------------------


def test_the_dashboard(open_page: Open, trained_run: Run, trained_run_l2: Run, cifar_run: Run, tmp_path: Path) -> None:
    path = hwkit.dashboard([trained_run, trained_run_l2, cifar_run]).save(tmp_path / "dashboard.html")
    shown = open_page(path)
    page = shown.page
    assert page.locator("svg.chart:has(polyline)").count() == 2  # an axis for each data set
    chart = page.locator("svg.chart").first
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    assert trained_run_l2.name in shown.text("#tooltip")
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    page.mouse.up()
    page.wait_for_selector('button:has-text("whole axis")')
    page.click('button:has-text("whole axis")')
    letters = page.locator("svg.chart text").evaluate_all("all => all.map(text => text.getBoundingClientRect().height)")
    assert max(letters) < 2 * min(letters)
    page.click('th button:has-text("run")')
    assert "▲" in shown.text("th[aria-sort]")
    page.locator(".swatch").first.click()
    page.wait_for_selector(".swatch.off")
    assert page.locator("svg.chart:has(polyline)").count() == 1
    page.click('button:has-text("loss")')
    page.wait_for_selector('svg[aria-label*="loss"]')
    page.locator("tbody .link").last.click()
    page.wait_for_selector('code:has-text("hwkit explore")')
    if AXE.exists():
        assert not complaints(page)


# --- Notebooks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_a_saved_notebook_still_shows_it(
    browser: Any, lab: tuple[str, str, Path], trained_run: Run, trusted: bool
) -> None:
    address, token, folder = lab
    data, _ = hwkit.explore(trained_run, most=100)._repr_mimebundle_()
    cell = nbformat.v4.new_code_cell("hwkit.explore(run)", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("execute_result", data=data, execution_count=1)]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    name = f"saved-{trusted}.ipynb"
    nbformat.write(notebook, folder / name)
    if trusted:
        environment = os.environ | {"JUPYTER_DATA_DIR": str(folder.parent / "data")}
        subprocess.run([sys.executable, "-m", "nbformat.sign", folder / name], check=True, env=environment)
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{address}/lab/tree/{name}?token={token}&reset")
    output = page.locator(".jp-Cell-outputArea").first
    output.wait_for(timeout=120_000)
    if trusted:
        frame = page.frame_locator("iframe[title^='hwkit explorer']")
        frame.locator("#panel-images .thumb").nth(3).click(timeout=60_000)
        frame.locator('.strip button[data-layer="conv1"]').click()
        frame.locator("#panel-layers .tile").first.wait_for()
    else:
        output.locator("img").wait_for(timeout=60_000)
        assert "hwkit explore" in output.inner_text()
    screenshot(page, f"lab-{trusted}")
    page.close()
