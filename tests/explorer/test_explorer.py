"""The explorer's pages as Python makes them: what they carry, how large they are, and how they show themselves."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hwkit
from hwkit import analysis, cli, runs
from hwkit.errors import RunError
from hwkit.explorer import graph, page, payload
from hwkit.explorer.page import Shown
from hwkit.runs import Run

DTYPES = {"float16": np.float16, "float32": np.float32, "uint8": np.uint8, "uint16": np.uint16, "int8": np.int8}


def from_text(text: str) -> bytes:
    """The bytes of a payload's text."""
    values = np.zeros(128, np.uint64)
    values[[ord(digit) for digit in payload.DIGITS]] = np.arange(85)
    digits = values[np.frombuffer(text.encode(), np.uint8)]
    words = (digits[1:].reshape(-1, 5) * 85 ** np.arange(5, dtype=np.uint64)).sum(axis=1)
    content = words.astype("<u4").tobytes()
    return content[: len(content) - int(digits[0])]


class Opened:
    """What a page carries, read back as the page reads it."""

    def __init__(self, content: str) -> None:
        found = re.search(r'id="payload">([^<]*)<', content)
        assert found
        raw = zlib.decompress(from_text(found[1]))
        (length,) = struct.unpack("<I", raw[:4])
        self.about: dict[str, Any] = json.loads(raw[4 : 4 + length])
        self._bytes = raw[4 + length :]

    def __getitem__(self, name: str) -> np.ndarray:
        described = self.about["arrays"][name]
        dtype = DTYPES[described["dtype"]]
        count = int(np.prod(described["shape"]))
        array = np.frombuffer(self._bytes, dtype, count, described["offset"]).reshape(described["shape"])
        if "scale" not in described:
            return array
        return array * self[described["scale"]].reshape(-1, *[1] * (array.ndim - 1))


@pytest.fixture(scope="module")
def explorer(trained_run: Run) -> hwkit.explorer.Page:
    return hwkit.explore(trained_run)


@pytest.fixture(scope="module")
def opened(explorer: hwkit.explorer.Page) -> Opened:
    return Opened(explorer.html)


def noise(count: int, *shape: int) -> Tensor:
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def a_page(model: nn.Module | None, images: Tensor, classes: int, **options: Any) -> Opened:
    """A page of any network on any images."""
    labels = torch.arange(len(images)) % classes
    with torch.no_grad():
        logits = torch.randn(len(images), classes) if model is None else model.eval()(images.float() / 255)
    shown = Shown("net", model, logits)
    return Opened(page.build([shown], images, labels, list(map(str, range(classes))), title="net", **options))


# --- What a page carries ----------------------------------------------------------------------------------------


def test_a_page_carries_the_runs_predictions_and_test_images(opened: Opened, trained_run: Run) -> None:
    numbers = opened["numbers"].astype(int)
    assert np.array_equal(opened["labels"], trained_run.labels[numbers])
    np.testing.assert_allclose(opened["0/logits"], trained_run.logits[numbers], rtol=1e-3, atol=1e-3)
    assert np.array_equal(opened["0/confusion"], analysis.confusion(trained_run).to_numpy())
    assert opened.about["names"] == list(analysis.class_names(trained_run))
    assert opened.about["networks"][0]["accuracy"] == trained_run.test_accuracy
    (run,) = opened.about["networks"]
    assert [stage["label"] for stage in run["stages"]] == ["conv1", "conv2", "fc1", "fc2"]
    assert run["problem"] is None


def test_the_images_on_the_page_are_those_of_the_test_set(opened: Opened, trained_run: Run) -> None:
    from io import BytesIO

    from PIL import Image

    sheet = np.asarray(Image.open(BytesIO(opened["sprite"].tobytes())).convert("L"))
    columns = opened.about["images"]["columns"]
    images = analysis.test_images(trained_run)
    for place in (0, 1, columns, len(opened["numbers"]) - 1):
        row, column = divmod(place, columns)
        found = sheet[28 * row : 28 * row + 28, 28 * column : 28 * column + 28]
        assert np.array_equal(found, images[int(opened["numbers"][place]), 0])


def test_strongest_images_are_those_with_the_largest_activation(opened: Opened, trained_run: Run) -> None:
    images = analysis.test_images(trained_run)[torch.from_numpy(opened["numbers"].astype(np.int64))]
    with torch.no_grad():
        largest = trained_run.model().conv1(images.float() / 255).relu().amax(dim=(2, 3))
    found = torch.from_numpy(opened[f"0/strongest/{opened.about['networks'][0]['stages'][0]['node']}"].astype(np.int64))
    torch.testing.assert_close(largest.T.gather(1, found), largest.topk(page.STRONGEST, dim=0).values.T)


def test_the_map_has_the_directions_with_the_most_variance_first(opened: Opened) -> None:
    spread = opened["0/places"].astype(np.float64).var(axis=1)
    assert list(spread) == sorted(spread, reverse=True)
    assert 0 < sum(opened.about["networks"][0]["explained"]) <= 1


def test_misclassified_images_come_first_and_half_the_page_is_left_for_others() -> None:
    wrong = torch.arange(10_000) % 3 == 0
    chosen = page.choose(wrong, 1000)
    assert len(chosen) == len(chosen.unique()) == 1000
    assert wrong[chosen].sum() == 500
    few = torch.zeros(10_000, dtype=torch.bool)
    few[[17, 4000, 9999]] = True
    chosen = page.choose(few, 1000, always=4)
    assert {17, 4000, 4} <= set(chosen.tolist())
    assert len(chosen) == 1000
    assert torch.equal(chosen, chosen.sort().values)
    assert len(page.choose(few, 20_000)) == 10_000


def test_the_page_says_how_many_predictions_its_own_weights_give(opened: Opened) -> None:
    (run,) = opened.about["networks"]
    assert run["agreement"] >= 0.99 * len(opened["numbers"])


def test_eight_bits_predict_what_the_trained_weights_do(trained_run: Run) -> None:
    images = analysis.test_images(trained_run).float() / 255
    traced = graph.trace(trained_run.model(), tuple(images.shape[1:]))
    moments = page._input_moments(traced, images[:250])
    kept = {
        name: payload.Payload().add_weights(name, w, 127, moments.get(name)) for name, w in traced.parameters.items()
    }
    assert moments  # some layers are large enough to be rounded
    output = len(traced.nodes) - 1
    found = traced.with_parameters(kept).values(images, [output])[output]
    same = found.argmax(dim=1) == trained_run.logits.argmax(dim=1)
    assert same.double().mean() >= 0.999


# --- Its size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [127, 31, 7])
def test_weights_of_few_levels_are_as_near_as_their_steps_allow(levels: int) -> None:
    values = torch.randn(50, 3, 5, 5)
    values[7] = 0
    whole, factors = payload.quantised(values.numpy(), levels)
    assert np.abs(whole).max() == levels
    error = np.abs(whole * factors.reshape(-1, 1, 1, 1) - values.numpy())
    assert np.all(error <= 0.501 * factors.reshape(-1, 1, 1, 1))


def test_rounding_errors_make_up_for_each_other() -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(40, 60)).astype(np.float32)
    # As maps are: alike, and never negative.
    inputs = np.maximum(generator.normal(size=(500, 8)) @ generator.normal(size=(8, 60)), 0)

    def error(moments: np.ndarray | None) -> float:
        whole, factors = payload.quantised(weights, 15, moments)
        assert np.abs(whole).max() <= 15
        return float(np.square(inputs @ (whole * factors[:, None] - weights).T).mean())

    assert error(inputs.T @ inputs / len(inputs)) < error(None) / 2


@pytest.mark.parametrize("length", [0, 1, 3, 4, 10_001])
def test_text_gives_every_byte_back_and_needs_no_escapes(length: int) -> None:
    content = np.random.default_rng(length).bytes(length)
    text = payload.as_text(content)
    assert from_text(text) == content
    assert html.escape(text) == text
    assert json.dumps(text) == f'"{text}"'


@pytest.mark.parametrize(("shape", "quality"), [((1, 20, 20), None), ((3, 9, 7), None), ((5, 6, 6), None)])
def test_sprites_give_every_image_back(shape: tuple[int, int, int], quality: int | None) -> None:
    from io import BytesIO

    from PIL import Image

    images = noise(203, *shape).numpy()
    file, seen = payload.sprite(images, quality)
    assert np.array_equal(seen, images)
    with Image.open(BytesIO(file)) as sheet:
        assert max(sheet.size) <= 16383
    rounded = payload.sprite(images, None, step=4)[1].astype(int)
    assert np.abs(rounded - images).max() <= 4


def test_pages_keep_their_size_whatever_the_network() -> None:
    large = nn.Sequential(nn.Flatten(), nn.Linear(784, 4000), nn.ReLU(), nn.Linear(4000, 10))
    images = noise(300, 1, 28, 28)
    labels = torch.zeros(300, dtype=torch.int64)
    with torch.no_grad():
        shown = Shown("large", large.eval(), large(images.float() / 255))
    assert len(page.build([shown], images, labels, list("0123456789"), title="large")) <= 3_000_000


# --- Any network, any data --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "classes"), [((1, 20, 20), 3), ((3, 64, 64), 2), ((3, 64, 64), 40), ((4, 9, 12), 5)])
def test_pages_of_any_images_and_classes(shape: tuple[int, int, int], classes: int) -> None:
    model = nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    model = nn.Sequential(*model, nn.Flatten(), nn.Linear(4, classes))
    found = a_page(model, noise(60, *shape), classes)
    (net,) = found.about["networks"]
    assert found.about["shape"] == list(shape)
    assert net["problem"] is None
    assert found["0/confusion"].sum() == 60
    assert found.about["arrays"]["0/places"]["shape"] == [4, 60]  # no more directions than features


def test_what_the_page_cannot_compute_is_named_in_one_sentence() -> None:
    class Fourier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(self.conv(x).flatten(1)).abs()[:, :3]

    (net,) = a_page(Fourier(), noise(20, 1, 8, 8), 3).about["networks"]
    assert re.fullmatch(r"This page cannot compute .*fft.*; the layers before it are shown\.", net["problem"])
    assert [stage["label"] for stage in net["stages"]] == ["conv"]


def test_a_network_that_cannot_be_traced_is_shown_by_its_predictions() -> None:
    class Moody(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :3] * (2 if x.sum().item() > 0 else 1)

    (net,) = a_page(Moody(), noise(20, 1, 8, 8), 3).about["networks"]
    assert "net is shown by its predictions alone" in net["problem"]
    (net,) = a_page(None, noise(20, 1, 8, 8), 3).about["networks"]
    assert "hwkit.load(..., model=...)" in net["problem"]


def test_class_names_cannot_put_markup_on_the_page() -> None:
    images = noise(10, 1, 8, 8)
    shown = Shown("</script><b>", None, torch.randn(10, 2))
    content = page.build([shown], images, torch.zeros(10, dtype=torch.int64), ["</script>", "b"], title="</title><b>")
    assert content.count("</script>") == 2
    assert "<b>" not in content.partition("<style>")[0]


# --- Two runs, and over training --------------------------------------------------------------------------------


def test_two_runs_are_counted_against_each_other(trained_run: Run, trained_run_l2: Run) -> None:
    found = Opened(hwkit.explore(trained_run, trained_run_l2).html)
    compared = analysis.compare_accuracies(trained_run, trained_run_l2)
    pairs = found.about["pairs"]
    assert pairs["both"] + sum(pairs["only"]) + pairs["neither"] == len(trained_run.labels)
    assert pairs["p"] == pytest.approx(compared.p_value)
    right = found["0/right"].astype(bool)
    assert np.array_equal(right, found["0/predicted"] == found["labels"])


def test_runs_on_other_images_are_refused(trained_run: Run, cifar_run: Run) -> None:
    with pytest.raises(RunError, match="different"):
        hwkit.explore(trained_run, cifar_run)


def test_snapshots_become_a_film() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    final = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moments = {k: {name: tensor * k / 4 for name, tensor in final.items()} for k in (0, 2, 4)}
    images, labels = noise(30, 1, 8, 8), torch.arange(30) % 3
    with torch.no_grad():
        logits = model(images.float() / 255)
    found = Opened(page.build([Shown("net", model, logits, moments)], images, labels, list("abc"), title="net"))
    film = found.about["networks"][0]["film"]
    assert film["iterations"] == [0, 2, 4]
    assert np.array_equal(found["0/film/predicted"][-1], logits.argmax(dim=1))
    assert film["accuracies"][-1] == pytest.approx(found.about["networks"][0]["accuracy"])
    np.testing.assert_allclose(found["0/film/2/0.weight"], final["0.weight"] / 2, atol=1e-3)
    np.testing.assert_allclose(found["0/film/places"][-1].T, found["0/places"][:2], atol=2e-3)


@pytest.mark.parametrize(("moments", "width"), [(30, 4), (40, 8), (50, 2)])
def test_a_film_takes_the_room_of_its_own_weights_alone(moments: int, width: int) -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 3)
    model, images = nn.Sequential(*layers).eval(), noise(30, 1, 8, 8)
    with torch.no_grad():
        logits = model(images.float() / 255)
    kept = {k: model.state_dict() for k in range(moments)}
    built = page.build([Shown("net", model, logits, kept)], images, torch.arange(30) % 3, list("abc"), title="net")
    about = Opened(built).about
    assert about["quality"] is None  # a page of 3 MB holds all of this as it is
    assert about["networks"][0]["levels"] is None


# --- How it shows itself ----------------------------------------------------------------------------------------


def test_a_notebook_gets_a_frame_before_a_figure_and_a_report_the_figure(explorer: hwkit.explorer.Page) -> None:
    data, _ = explorer._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    source = re.search(r'srcdoc="([^"]*)"', data["text/html"])
    assert source
    assert html.unescape(source[1]) == explorer.html
    without = re.sub(r"<iframe.*</iframe>", "", data["text/html"])  # as where the notebook is not trusted
    assert "data:image/png;base64," in without
    assert "hwkit explore" in without


def test_pages_need_nothing_from_elsewhere(explorer: hwkit.explorer.Page, trained_run: Run) -> None:
    for content in (explorer.html, hwkit.dashboard(trained_run).html):
        page_alone = re.sub(r'id="payload">[^<]*<', "", content)
        found = set(re.findall(r"https?://[\w./]+", page_alone))
        assert found <= {"http://www.w3.org/2000/svg"}
        assert "import(" not in page_alone
        assert not re.search(r"^(import|export) ", page_alone, re.MULTILINE)


def test_what_is_shown_first_can_be_chosen(trained_run: Run) -> None:
    found = Opened(hwkit.explore(trained_run, image=17, layer="conv2", most=50).html)
    assert found.about["state"] == {"image": 17, "layer": "conv2"}
    assert 17 in found["numbers"]
    with pytest.raises(RunError, match="no test image -1"):
        hwkit.explore(trained_run, image=-1)


def test_a_page_is_written_for_a_report_to_link_to(trained_run: Run, trained_run_l2: Run, tmp_path: Path) -> None:
    path = tmp_path / "build" / "explore-mnist.html"
    assert hwkit.explorer.write_page([trained_run, trained_run_l2], path) == path
    titles = [one["title"] for one in Opened(path.read_text(encoding="utf-8")).about["networks"]]
    assert titles == [trained_run.name, trained_run_l2.name]


def test_the_command_line_writes_the_page(trained_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "folder" / "page.html"
    assert cli.main(["explore", trained_run.folder.name, "--images", "50", "--output", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert len(Opened(path.read_text(encoding="utf-8"))["numbers"]) == 50
    assert cli.main(["explore", "no such run", "--output", str(path)]) == 2


# --- The dashboard ----------------------------------------------------------------------------------------------


def test_a_dashboard_carries_records_settings_and_weights(trained_run: Run, trained_run_l2: Run) -> None:
    shown = hwkit.dashboard([trained_run, trained_run_l2])
    found = Opened(shown.html)
    first, second = found.about["runs"]
    np.testing.assert_allclose(found["0/test_accuracy"], trained_run.record["test_accuracy"], rtol=1e-6)
    assert (first["settings"]["l2"], second["settings"]["l2"]) == (0, trained_run_l2.experiment.l2)
    assert first["group"] != second["group"]
    for number, parameter in enumerate(first["parameters"]):
        counts = found[f"0/weights/{number}"]
        assert len(counts) == len(first["moments"])
        assert counts[-1].sum() == trained_run.final_weights[parameter["name"]].numel()
    assert shown._repr_mimebundle_()[0]["image/png"]


def test_a_dashboard_of_nothing_is_an_error() -> None:
    with pytest.raises(RunError, match="no run to show"):
        hwkit.dashboard([])


def test_seeds_of_one_experiment_are_one_group(trained_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / trained_run.folder.name
    shutil.copytree(trained_run.folder, folder)
    first, second = Opened(hwkit.dashboard([trained_run, runs.load(folder)]).html).about["runs"]
    assert first["group"] == second["group"]


# --- The page's modules -----------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_pages_modules() -> None:
    tests = Path(__file__).parents[1] / "page"
    found = subprocess.run(["node", "--test", tests], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-5000:]
