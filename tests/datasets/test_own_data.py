"""Data that hwkit has never seen goes through everything: made, trained on, kept, found again; and refused if wrong."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from own_networks import ConvolutionsOnly, ResidualNet, SharedLayer, perceptron
from PIL import Image

import hwkit
from hwkit import data, doctor, models, runs, training
from hwkit.batch.file import read_batch
from hwkit.batch.storage import Store
from hwkit.batch.tasks import tasks_of
from hwkit.cli import main
from hwkit.datasets import own
from hwkit.engine import files
from hwkit.errors import DataError, ExperimentError, RunError
from hwkit.experiment import Experiment, named_experiment
from hwkit.findings import sentences

GREY, COLOUR = (20, 20), (64, 64, 3)


def pictures(count: int, shape: tuple[int, ...], classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images with a bright bar whose height tells the class."""
    labels = np.arange(count) % classes
    images = np.random.default_rng(seed).integers(0, 60, (count, *shape), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[label % shape[0]] = 255 - label
    return images, labels


def dataset(shape: tuple[int, ...] = GREY, classes: int = 2, *, name: str = "bars", seed: int = 0) -> hwkit.Dataset:
    train, test = pictures(4 * classes + 60, shape, classes, seed), pictures(2 * classes, shape, classes, seed + 1)
    return hwkit.Dataset.from_arrays(*train, *test, name=name)


def train(experiment: Experiment, model: object = None) -> runs.Run:
    return training.train(experiment, model, device="cpu", progress=False)


def elsewhere(script: str, **environment: str) -> str:
    """What a script prints in another process, which knows the store and nothing else."""
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


# ---------------------------------------------------------------------------------------- what can be made a data set


CONTAINERS: list[Callable[[np.ndarray], object]] = [
    np.asarray,
    torch.from_numpy,
    list,
    lambda array: [torch.from_numpy(one) for one in array],
    lambda array: (array / 255).astype(np.float16),
    lambda array: (array / 255).astype(">f8"),
    lambda array: torch.from_numpy(array) / 255,
    lambda array: (torch.from_numpy(array) / 255).to(torch.float64).requires_grad_(),
]
LAYOUTS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda array: array,
    lambda array: np.moveaxis(array, -1, 1).copy(),
]


@pytest.mark.parametrize("container", range(len(CONTAINERS)))
@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 1), (20, 24, 3)])
def test_arrays_of_any_kind_and_layout_are_the_same_images(shape: tuple[int, ...], layout: int, container: int) -> None:
    images, labels = pictures(12, shape, 3)
    made = images if len(shape) == 2 else LAYOUTS[layout](images)
    given = CONTAINERS[container](made)
    found = hwkit.Dataset.from_arrays(given, labels, given, list(labels))
    wanted = torch.from_numpy(images.reshape(12, 20, 24, -1)).permute(0, 3, 1, 2)
    assert torch.equal(found.train_images, wanted)
    assert torch.equal(found.test_images, wanted)
    assert found.test_labels.tolist() == labels.tolist()
    assert (found.train_images.dtype, found.train_labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64, ">i4"])
@pytest.mark.parametrize("column", [False, True])
def test_labels_of_any_integer_type_are_the_same_labels(kind: str, column: bool) -> None:
    images, labels = pictures(12, GREY, 3)
    given = labels.astype(kind)[:, None] if column else labels.astype(kind)
    assert hwkit.Dataset.from_arrays(images, given, images, given).train_labels.tolist() == labels.tolist()


def test_what_is_known_of_it_is_measured() -> None:
    images, labels = pictures(30, COLOUR, 3)
    made = hwkit.Dataset.from_arrays(images, labels, images[:6], labels[:6], name="rgb", classes=["a", "b", "ü"])
    facts = hwkit.datasets.known_facts(made.name)
    assert (facts.title, facts.shape, facts.classes, facts.sizes) == ("rgb", (3, 64, 64), ("a", "b", "ü"), (30, 6))
    normalised = data.normalise(made.train_images, made)
    assert abs(float(normalised.mean())) < 1e-4
    assert float(normalised.std()) == pytest.approx(1, abs=1e-4)
    assert made.title == "rgb"
    assert "colour pictures of 64×64 pixels in 3 classes: a, b, ü." in sentences.data_summary(made).data


def test_its_identity_tells_its_content_name_and_classes() -> None:
    images, labels = pictures(30, GREY, 3)
    brighter = images.copy()
    brighter[3, 3, 3] += 1
    swapped = labels.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    identities = [
        hwkit.Dataset.from_arrays(pixels, known, images, labels, name=name, classes=classes).identity
        for pixels, known, name, classes in [
            (images, labels, "bars", None),
            (images[:29], labels[:29], "bars", None),
            (brighter, labels, "bars", None),
            (images, swapped, "bars", None),
            (images, labels, "rods", None),
            (images, labels, "bars", ["x", "y", "z"]),
        ]
    ]
    assert len(set(identities)) == 6
    assert all(re.fullmatch(r"(bars|rods)@[0-9a-f]{12}", identity) for identity in identities)
    assert hwkit.Dataset.from_arrays(images / 255, labels, list(images), labels, name="bars").identity == identities[0]
    assert len({Experiment(dataset=identity).fingerprint for identity in identities}) == 6


def test_changing_an_array_afterwards_changes_no_data_set() -> None:
    images, labels = pictures(30, GREY, 3)
    made = hwkit.Dataset.from_arrays(images, labels, torch.from_numpy(images), labels)
    before = made.train_images.clone()
    images[:] = 0
    assert torch.equal(made.train_images, before)
    assert torch.equal(made.test_images, before)


# ------------------------------------------------------------------------------------------- trained and found again


CASES = [
    (GREY, 2, functools.partial(ResidualNet, 1, 2)),
    (GREY, 37, functools.partial(perceptron, pixels=400, classes=37)),
    (COLOUR, 2, functools.partial(ConvolutionsOnly, 3, 2)),
    (COLOUR, 37, functools.partial(SharedLayer, 3, 37)),
]


def test_runs_on_own_data_are_found_in_another_process_without_their_data(own_store: Path) -> None:
    told = []
    for shape, classes, network in CASES:
        made = dataset(shape, classes)
        run = train(Experiment(dataset=made, batch_size=20), network)
        assert run.name.startswith("bars[")
        assert run.logits.shape == (len(made.test_labels), classes)
        told.append([run.name, _written(network), made.checksum, classes])
    elsewhere(
        """
        import functools, json, os, torch, hwkit
        from hwkit.models import predict
        from own_networks import *
        for name, network, checksum, classes in json.loads(os.environ["RUNS"]):
            network = eval(network)
            run = hwkit.load(name, model=network)
            found = hwkit.data.of(run.experiment)
            assert (found.checksum, found.title, len(found.classes)) == (checksum, "bars", classes)
            again = predict(run.model(), found.test_images, found)
            assert torch.allclose(again, run.logits, rtol=1e-3, atol=1e-3)
            test = hwkit.data.load_test(run.experiment.dataset, run.experiment.data)
            assert torch.equal(test[0], found.test_images)
            assert hwkit.train(run.experiment, network, device="cpu", progress=False).finished == run.finished
        """,
        RUNS=json.dumps(told),
    )


def _written(network: functools.partial) -> str:
    options = [repr(value) for value in network.args] + [f"{key}={value!r}" for key, value in network.keywords.items()]
    return f"functools.partial({', '.join([network.func.__name__, *options])})"


def test_several_seeds_are_trained_side_by_side(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, network = dataset(classes=3), functools.partial(SharedLayer, 1, 3)
    experiment = Experiment(dataset=made, batch_size=20)
    together = hwkit.train_all([experiment.replace(seed=seed) for seed in (0, 1)], network, workers=2, device="cpu")
    assert [run.experiment.seed for run in together] == [0, 1]
    assert {path.name for path in own_store.iterdir()} == {"datasets", *(run.folder.name for run in together)}
    monkeypatch.setenv("HWKIT_HOME", str(own_store / "alone"))
    alone = train(together[1].experiment)
    assert all(torch.equal(value, together[1].final_weights[name]) for name, value in alone.final_weights.items())


@pytest.mark.parametrize(("shape", "augment"), [((28, 28), False), ((32, 32, 3), True)])
def test_the_reports_networks_take_own_images_of_their_size(
    shape: tuple[int, ...], augment: bool, own_store: Path
) -> None:
    run = train(Experiment(dataset=dataset(shape, 5), augment=augment, batch_size=20, epochs=0.5, width=0.25))
    assert run.model()(torch.zeros(1, shape[2] if shape[2:] else 1, *shape[:2])).shape == (1, 5)
    assert named_experiment("mnist-l2", dataset=run.experiment.dataset).l2 == 1e-3


def test_a_network_for_other_images_is_asked_for(own_store: Path) -> None:
    with pytest.raises(ExperimentError, match=r"no network of hwkit takes images of 1 x 20 x 20 \(bars\); pass model="):
        train(Experiment(dataset=dataset()))


def test_holdout_and_sizes_take_parts_of_it(own_store: Path) -> None:
    made = dataset(classes=3)
    experiment = Experiment(dataset=made).replace(holdout=12).replace(train_size=9)
    part = data.of(experiment)
    assert torch.equal(part.train_images, made.train_images[:9])
    assert torch.equal(part.test_images, made.train_images[-12:])
    assert (experiment.train_count, experiment.test_count) == (9, 12)
    with pytest.raises(ExperimentError, match="train_size must be at most 60, the images there are, not 61"):
        experiment.replace(train_size=61)
    with pytest.raises(ExperimentError, match="bars must be given whole; data, train_size, test_size and holdout"):
        Experiment(dataset=part)
    with pytest.raises(ExperimentError, match="MNIST must be given by its name, 'mnist'"):
        Experiment(dataset=data.load("mnist", "stand-in", train_size=10, test_size=10))


def test_sorted_arrays_are_refused_where_a_part_has_one_class_only(own_store: Path) -> None:
    images, labels = pictures(60, GREY, 2)
    order = np.argsort(labels, kind="stable")
    made = hwkit.Dataset.from_arrays(images[order], labels[order], images, labels, name="bars", classes=["cat", "dog"])
    with pytest.raises(DataError, match="the 20 training images are all of the class cat; mix the images"):
        train(Experiment(dataset=made, train_size=20), functools.partial(SharedLayer, 1, 2))


def test_a_run_is_loaded_with_its_data_and_with_no_other(own_store: Path) -> None:
    made, network = dataset(), functools.partial(SharedLayer, 1, 2)
    run = train(Experiment(dataset=made, batch_size=20), network)
    assert hwkit.load(run.name, model=network, dataset=made).folder == run.folder
    with pytest.raises(RunError, match=r"was trained with another dataset than bars as it is now"):
        hwkit.load(run.name, dataset=dataset(seed=7))
    with pytest.raises(ExperimentError, match=r"dataset must be a hwkit.Dataset or a name .*, not 3"):
        hwkit.load(run.name, dataset=3)


def test_without_its_data_a_run_has_its_numbers_and_says_what_is_missing(own_store: Path) -> None:
    run = train(Experiment(dataset=dataset((28, 28)), batch_size=20, epochs=0.5, width=0.25))
    own.path_in(own_store, run.experiment.dataset).unlink()
    told = elsewhere(f"""
        import hwkit
        run = hwkit.load({run.folder.name!r})
        assert run.logits.shape == (4, 2) and len(run.final_weights) == 8 and str(run) == {str(run)!r}
        for need in (run.model, lambda: hwkit.data.of(run.experiment)):
            try:
                need()
            except hwkit.errors.DataError as error:
                print(error)
        from hwkit import doctor
        for finding in doctor.examine_store(run.folder.parent):
            print(finding.alarming, finding)
        """)
    missing = "bars is a data set of your own, and .*bars-[0-9a-f]{12}.safetensors is not there; make it again"
    first, second, third = told.splitlines()
    assert re.match(missing, first)
    assert re.match(missing, second)
    assert re.match("False .* was trained on data of your own, bars, which no store keeps", third)


# ------------------------------------------------------------------------------------------------- kept in the store


def test_a_data_set_is_kept_once_and_is_no_run(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, network = dataset(), functools.partial(SharedLayer, 1, 2)
    first = train(Experiment(dataset=made, batch_size=20), network)
    (kept,) = (own_store / "datasets").iterdir()
    assert kept.name == made.identity.replace("@", "-") + ".safetensors"
    before = kept.stat().st_mtime_ns
    train(Experiment(dataset=made, batch_size=20, seed=1), network)
    assert kept.stat().st_mtime_ns == before
    assert len(runs()) == len(runs.listing().runs) == 2
    assert not runs.listing().unfinished
    assert not [finding for finding in doctor.examine_store(own_store)]
    assert main(["runs"]) == 0
    assert main(["data"]) == 0
    assert f"{made.identity} ok        68 + 4 images, your own" in re.sub(" +ok", " ok", capsys.readouterr().out)
    assert hwkit.load(first.folder.name).name == first.name


def test_a_store_that_was_sent_along_brings_its_data(own_store: Path, tmp_path: Path) -> None:
    run = train(Experiment(dataset=dataset(), batch_size=20), functools.partial(SharedLayer, 1, 2))
    told = elsewhere(
        f"""
        import hwkit
        from pathlib import Path
        run = hwkit.load(Path({str(run.folder)!r}))
        print(len(hwkit.data.of(run.experiment).train_images))
        """,
        HWKIT_HOME=str(tmp_path / "another"),
    )
    assert told == "68"


def kept_alone(store: Path, made: hwkit.Dataset) -> Path:
    """The file of a data set in a store; this process forgets that it made it."""
    data.keep(made.name, store)
    data._held.pop(made.name)
    own._known.pop(made.name)
    return own.path_in(store, made.name)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def _flip_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"train_size", b"train_sizf", 1))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _text(path: Path) -> None:
    path.write_text("<!DOCTYPE html>" * 10)


@pytest.mark.parametrize("damage", [_truncate, _flip, _flip_header, _empty, _folder, _text])
def test_a_damaged_copy_is_named_set_aside_and_made_again(damage: Callable[[Path], None], own_store: Path) -> None:
    made = dataset()
    path = kept_alone(own_store, made)
    damage(path)
    with pytest.raises(DataError, match=re.escape(f"{path} is damaged: ") + ".*; delete it, and train"):
        data.load(made.name)
    (finding,) = doctor.examine_store(own_store)
    assert finding.path == path
    assert str(finding).startswith(f"{path} is damaged")
    finding.repair()
    dataset()
    data.keep(made.name)
    assert data.read_own(path).checksum == made.checksum
    assert not list(doctor.examine_store(own_store))


def forged(store: Path, **changes: object) -> str:
    """A file that vouches for itself, as whoever sends one can make it: the identity of what it describes."""
    tensors = {"train_images": torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)}
    tensors |= {"train_labels": torch.arange(6) % 2, "test_images": tensors["train_images"][:2].clone()}
    tensors |= {"test_labels": torch.arange(2)}
    tensors |= {name: changes.pop(name) for name in list(changes) if name in tensors}
    made = hwkit.Dataset.from_arrays(*(torch.randint(0, 256, (6, 4, 4), dtype=torch.uint8), torch.arange(6) % 2) * 2)
    about = {**own.description(hwkit.datasets.known_facts(made.name), made.checksum), "title": "forged"}
    about |= {"train_size": 6, "test_size": 2, **changes}
    about["checksum"] = data._checksum([tensors[name] for name in data.TENSORS])
    path = own.path_in(store, own._identity(about))
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_tensors(path, tensors, about)
    return own.identity_of(path)


@pytest.mark.parametrize(
    "changes",
    [
        {},  # its mean and standard deviation are others
        {"train_labels": torch.full((6,), 9)},
        {"test_labels": torch.tensor([-1, 0])},
        {"train_labels": torch.zeros(6)},
        {"train_images": torch.zeros(6, 1, 4, 4)},
        {"train_images": torch.full((6, 4, 1, 4), 3, dtype=torch.uint8)},
        {"shape": [1, 2**40, 2**40]},
        {"shape": [4, 4, 4]},
        {"shape": [1, 4]},
        {"shape": [1, 4.0, 4]},
        {"train_size": 2**62},
        {"test_size": 0},
        {"test_size": True},
        {"classes": ["a"]},
        {"classes": ["a", "<script>"]},
        {"classes": ["a", "a"]},
        {"classes": ["a", ["b"]]},
        {"classes": list(map(str, range(2000)))},
        {"classes": 7},
        {"mean": "0.5"},
        {"mean": float("nan")},
        {"std": 0.0},
        {"std": 1e300},
    ],
    ids=lambda changes: " ".join(changes) or "nothing",
)
def test_a_forged_copy_is_refused(changes: dict[str, object], own_store: Path) -> None:
    identity = forged(own_store, **changes)
    with pytest.raises(DataError, match=r"forged-[0-9a-f]{12}.safetensors is damaged"):
        data.load(identity)
    assert [finding.path.name for finding in doctor.examine_store(own_store)] == [own.path_in(own_store, identity).name]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "", "a b", "ä", "x" * 200, ".hidden", "a\\b", "$HOME", "a@b"]
)
def test_no_name_leads_out_of_the_store(name: str, own_store: Path) -> None:
    with pytest.raises(ExperimentError, match="unknown dataset"):
        Experiment(dataset=f"{name}@{'0' * 12}")
    with pytest.raises(DataError):
        data.load(f"{name}@{'0' * 12}")
    images, labels = pictures(12, GREY, 2)
    with pytest.raises(DataError, match="name must be 1 to 60 letters, digits, - and _"):
        hwkit.Dataset.from_arrays(images, labels, images, labels, name=name)


def test_the_header_of_a_copy_is_read_alone(own_store: Path) -> None:
    path = kept_alone(own_store, dataset())
    with path.open("rb+") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"\1\2\3\4\5")
    assert hwkit.datasets.known_facts(own.identity_of(path)).sizes == (68, 4)
    metadata = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])["__metadata__"]
    assert set(metadata) == {"about", "sha256"}
    assert safetensors.torch.load_file(path)["train_images"].shape == (68, 1, 20, 20)


# --------------------------------------------------------------------------------------------------------- batches


def test_a_batch_file_names_data_by_its_identity(own_store: Path, tmp_path: Path) -> None:
    made = dataset((28, 28), 3)
    (tmp_path / "study.yaml").write_text(
        f"experiments: [mnist, mnist-l2]\nprofile: quick\nseeds: 2\nset: {{dataset: {made.identity}}}\n"
    )
    tasks = tasks_of(read_batch(tmp_path / "study.yaml"))
    assert [task.key for task in tasks] == [runs.folder_of(task.experiment).name for task in tasks]
    assert {task.experiment.dataset for task in tasks} == {made.identity}
    assert len(tasks) == 4


def test_a_batch_puts_data_into_its_store_where_its_workers_find_it(own_store: Path, tmp_path: Path) -> None:
    made = dataset()
    store = Store(str(tmp_path / "shared"), "batch")
    for _ in range(2):
        store.take_dataset(made.name)
        store.take_dataset("mnist")
    assert [path.name for path in (tmp_path / "shared/datasets").iterdir()] == [own.path_in(tmp_path, made.name).name]


def test_a_batch_carries_data_through_an_object_store(own_store: Path, tmp_path: Path, bucket: str) -> None:
    made = dataset()
    store = Store(bucket, "batch")
    store.take_dataset(made.name)
    for _ in range(2):
        store.give_dataset(made.name, tmp_path / "worker")
        store.give_dataset("mnist", tmp_path / "worker")
    assert data.read_own(own.path_in(tmp_path / "worker", made.name)).checksum == made.checksum


# ----------------------------------------------------------------------------------------------------------- folders


def write_folder(root: Path, shape: tuple[int, ...], counts: dict[str, int], suffix: str = ".png") -> Path:
    """Images whose brightness tells their class and number, in a folder for each class."""
    for place, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full(shape, 40 * place + number + 1, np.uint8)
            pixels[0] = 255
            Image.fromarray(pixels).save(root / name / f"{number}{suffix}")
    return root


@pytest.mark.parametrize("shape", [GREY, COLOUR, (20, 31)])
def test_a_folder_of_folders_is_a_data_set(shape: tuple[int, ...], tmp_path: Path) -> None:
    write_folder(tmp_path / "my pets", shape, {"cat": 10, "dog": 15, "eel": 5})
    (tmp_path / "my pets/.cache").mkdir()
    (tmp_path / "my pets/cat/notes.txt").write_text("not an image")
    made = hwkit.Dataset.from_folder(tmp_path / "my pets")
    assert (made.title, made.classes) == ("my-pets", ("cat", "dog", "eel"))
    assert made.train_images.shape[1:] == made.test_images.shape[1:] == (3 if shape[2:] else 1, *shape[:2])
    assert torch.bincount(made.train_labels).tolist() == [8, 12, 4]
    assert torch.bincount(made.test_labels).tolist() == [2, 3, 1]
    for images, labels in ((made.train_images, made.train_labels), (made.test_images, made.test_labels)):
        assert torch.equal(images[:, 0, 5, 5] // 40, labels.to(torch.uint8))
    every = torch.cat([made.train_images, made.test_images])[:, 0, 5, 5].tolist()
    assert len(set(every)) == 30
    assert hwkit.Dataset.from_folder(tmp_path / "my pets").identity == made.identity
    assert len(made.train_labels[:8].unique()) == 3


def test_a_folder_may_be_divided_already(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", GREY, {"cat": 6, "dog": 5})
    write_folder(tmp_path / "test", GREY, {"cat": 1, "dog": 3})
    made = hwkit.Dataset.from_folder(tmp_path, name="pets")
    assert (made.title, torch.bincount(made.train_labels).tolist()) == ("pets", [6, 5])
    assert torch.bincount(made.test_labels).tolist() == [1, 3]


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".bmp", ".tiff", ".webp", ".gif", ".ppm"])
def test_images_of_any_format_and_size_are_brought_to_one_size(suffix: str, tmp_path: Path) -> None:
    write_folder(tmp_path, (40, 30, 3), {"cat": 3, "dog": 2}, suffix)
    Image.fromarray(np.full((80, 20), 9, np.uint8)).save(tmp_path / "cat/grey.png")
    assert hwkit.Dataset.from_folder(tmp_path, size=(16, 12)).train_images.shape[1:] == (3, 16, 12)
    assert hwkit.Dataset.from_folder(tmp_path, size=50).train_images.shape[1:] == (3, 50, 50)


def test_what_the_camera_says_of_its_position_is_heeded(tmp_path: Path) -> None:
    write_folder(tmp_path, (20, 10, 3), {"cat": 2, "dog": 2}, ".png")
    sideways = Image.fromarray(np.full((10, 20, 3), 7, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "cat/turned.jpg", exif=exif)
    assert hwkit.Dataset.from_folder(tmp_path).train_images.shape[1:] == (3, 20, 10)


# --------------------------------------------------------------------------------------------------------- bad input


IMAGES, LABELS = pictures(12, GREY, 3)
RGB, _ = pictures(12, (20, 20, 3), 3)


def nan_at(index: int) -> np.ndarray:
    images = IMAGES / 255
    images[index, 2, 2] = np.nan
    return images


BAD_ARRAYS: list[tuple[dict[str, object], str]] = [
    ({"train_labels": LABELS + 1}, "test_labels|class 0 has no training images"),
    ({"test_labels": LABELS + 1}, "test_labels go from 1 to 3; with 3 classes they must be from 0 to 2"),
    ({"train_labels": LABELS - 1, "classes": ["a", "b", "c"]}, "train_labels go from -1 to 1; with 3 classes"),
    ({"train_labels": LABELS * 10**9}, "there are 2000000001 classes; a data set needs 2 to 1000"),
    ({"classes": ["a", "b"]}, "train_labels go from 0 to 2; with 2 classes they must be from 0 to 1"),
    ({"classes": ["a", "b", "c", "d"]}, "class d has no training images"),
    (
        {"train_labels": LABELS * 2, "test_labels": LABELS},
        "class 1, 3 has no training images; labels must count from 0",
    ),
    ({"train_labels": LABELS * 0, "test_labels": LABELS * 0}, "there is only one class; a data set needs 2 to 1000"),
    ({"classes": ["a"]}, "there is only one class"),
    ({"classes": [str(n) for n in range(1001)]}, "there are 1001 classes"),
    ({"classes": ["a", "b", "a"]}, "classes has 'a' twice"),
    ({"classes": ["a", "b", "<b>"]}, "a class is called '<b>'; its name must be 1 to 200 printable characters"),
    ({"classes": ["a", "b", ""]}, "a class is called ''"),
    ({"classes": "abc"}, "classes must be a list of names, by label, not 'abc'"),
    ({"classes": {"a", "b", "c"}}, "classes must be a list of names"),
    ({"train_labels": LABELS[:-1]}, "there are 12 train_images and 11 train_labels; each needs one"),
    ({"test_labels": []}, "there are 12 test_images and 0 test_labels"),
    (
        {"train_labels": LABELS.astype(float)},
        "train_labels holds float64, such as .*0.0.*; labels must be of an integer",
    ),
    ({"train_labels": np.array(["cat", "dog"] * 6)}, "train_labels holds <U3, such as .*cat.*names go into classes="),
    ({"train_labels": LABELS > 0}, "train_labels holds bool"),
    ({"train_labels": np.eye(3)[LABELS]}, r"train_labels has the shape \(12, 3\); it must be \(N,\); if it is one-hot"),
    ({"train_labels": 3}, "train_labels must be an array, not 3"),
    ({"train_labels": None}, "train_labels must be an array, not None"),
    ({"train_images": []}, r"train_images holds no images: its shape is \(0,\)"),
    ({"test_images": np.zeros((0, 20, 20), np.uint8), "test_labels": []}, "test_images holds no images"),
    ({"train_images": np.zeros((12, 0, 20), np.uint8)}, "train_images holds no images"),
    ({"train_images": nan_at(7)}, "train_images holds NaN or infinity, first in image 7; images must be uint8"),
    ({"train_images": torch.from_numpy(nan_at(0))}, "train_images holds NaN or infinity, first in image 0"),
    ({"train_images": np.full((12, 20, 20), np.inf)}, "train_images holds NaN or infinity"),
    ({"train_images": IMAGES.astype(float)}, "train_images holds float64 from 0 to 255; images must be uint8 from 0"),
    ({"test_images": IMAGES / 127.5 - 1}, "test_images holds float64 from -1 to 1; images must be uint8"),
    ({"train_images": IMAGES.astype(np.int64)}, "train_images holds int64; images must be uint8 from 0 to 255, or"),
    ({"train_images": IMAGES > 9}, "train_images holds bool"),
    ({"train_images": (IMAGES > 9).astype(np.uint8)}, "train_images is black: no value is above 1; images must be"),
    ({"train_images": IMAGES / 255 / 255}, "train_images is black: no value is above 1/255"),
    ({"train_images": np.full((12, 20, 20), 9, np.uint8)}, "all pixels of the training images are 9; there is nothing"),
    ({"train_images": np.array(["a.png"] * 12)}, "train_images holds <U5"),
    ({"train_images": IMAGES.reshape(12, 400)}, r"train_images has the shape \(12, 400\); it must be \(N, H, W\), \(N"),
    ({"train_images": IMAGES[:, None, None]}, r"train_images has the shape \(12, 1, 1, 20, 20\); it must be"),
    (
        {"train_images": np.zeros((12, 20, 20, 4), np.uint8) + 9},
        r"train_images has 4 channels, with the shape \(12, 20",
    ),
    ({"train_images": np.zeros((12, 4, 20, 20), np.uint8) + 9}, "train_images has 4 channels"),
    ({"train_images": np.zeros((12, 20, 20, 2), np.uint8) + 9}, "train_images has neither 1 nor 3 channels"),
    ({"train_images": RGB[:, :3]}, r"train_images has channels as its second or last axis, with the shape \(12, 3, 20"),
    (
        {"train_images": [IMAGES[0], IMAGES[0, 1:]] * 6},
        r"train_images is of mixed sizes, such as \(19, 20\) and \(20, ",
    ),
    ({"train_images": [torch.zeros(3, 3), torch.zeros(4, 3)] * 6}, "train_images is of mixed sizes"),
    (
        {"test_images": IMAGES[:, 1:]},
        r"train_images are of 1 x 20 x 20 \(channels x height x width\) and test_images of",
    ),
    ({"test_images": RGB}, "train_images are of 1 x 20 x 20 .* and test_images of 3 x 20 x 20"),
    ({"name": "mnist"}, "name must be .* and none of mnist, cifar10, .*; it is 'mnist'"),
    ({"name": ""}, "name must be"),
    ({"name": 7}, "name must be"),
]


@pytest.mark.parametrize(("changes", "complaint"), BAD_ARRAYS, ids=[complaint[:40] for _, complaint in BAD_ARRAYS])
def test_what_is_wrong_with_arrays_is_one_sentence(changes: dict[str, object], complaint: str) -> None:
    given = {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES, "test_labels": LABELS, **changes}
    with pytest.raises(DataError, match=complaint) as caught:
        hwkit.Dataset.from_arrays(**given)
    _is_one_sentence(str(caught.value))


def _is_one_sentence(message: str) -> None:
    assert len(message) < 400
    assert "\n" not in message
    assert not re.search(r"\. [A-Z]", message)


SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)
KINDS = st.sampled_from(["u1", "i8", "f4", "f2", ">f8", "?", "U3", "c8", "M8[s]"])
GIVEN = st.one_of(
    arrays_of.arrays(KINDS, SHAPES), st.none(), st.text(), st.lists(st.integers()), st.integers(), st.binary()
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(GIVEN, GIVEN, GIVEN, GIVEN), st.none() | st.lists(st.text(max_size=3), max_size=4))
def test_anything_else_is_refused_or_a_data_set(given: tuple[object, ...], classes: list[str] | None) -> None:
    try:
        made = hwkit.Dataset.from_arrays(*given, classes=classes)
    except DataError as error:
        _is_one_sentence(str(error).replace("\n", ""))
    else:
        assert made.train_images.dtype == torch.uint8
        assert int(made.train_labels.max()) < len(made.classes)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_images_that_fit_together_are_a_data_set(draw: st.DataObject) -> None:
    classes, count = draw.draw(st.integers(2, 6)), draw.draw(st.integers(6, 9))
    channels = draw.draw(st.sampled_from([(), (1,), (3,)]))
    shape = (count, draw.draw(st.integers(4, 9)), draw.draw(st.integers(4, 9)), *channels)
    images = draw.draw(arrays_of.arrays(np.uint8, shape, elements=st.integers(0, 255), fill=st.just(77)))
    images.reshape(-1)[:2] = 0, 200
    labels = np.arange(count) % classes
    made = hwkit.Dataset.from_arrays(images, labels, images, labels)
    facts = hwkit.datasets.known_facts(made.name)
    assert facts.mean == pytest.approx((images / 255).mean())
    assert facts.std == pytest.approx((images / 255).std())
    assert models.known(Experiment(dataset=made))


def _no_classes(root: Path) -> None:
    for one in list(root.iterdir()):
        for file in one.iterdir():
            file.rename(root / f"{one.name}-{file.name}")
        one.rmdir()


def _one_class(root: Path) -> None:
    (root / "dog").rename(root.parent / "dog")


def _empty_class(root: Path) -> None:
    (root / "eel").mkdir()


def _class_without_images(root: Path) -> None:
    (root / "eel").mkdir()
    (root / "eel/eel.npy").write_bytes(b"x")


def _single_image(root: Path) -> None:
    (root / "eel").mkdir()
    Image.fromarray(IMAGES[0]).save(root / "eel/alone.png")


def _another_size(root: Path) -> None:
    Image.fromarray(IMAGES[0, 1:]).save(root / "dog/small.png")


def _cut_off_image(root: Path) -> None:
    content = (root / "dog/0.png").read_bytes()
    (root / "dog/0.png").write_bytes(content[: len(content) // 2])


def _empty_image(root: Path) -> None:
    (root / "dog/0.png").write_bytes(b"")


def _text_image(root: Path) -> None:
    (root / "dog/0.png").write_text("<!DOCTYPE html>")


def _folder_image(root: Path) -> None:
    (root / "dog/new.png").mkdir()


def _pipe(root: Path) -> None:
    os.mkfifo(root / "dog/new.png")


def _dangling_link(root: Path) -> None:
    (root / "dog/new.png").symlink_to(root / "nowhere.png")


def _transparent(root: Path) -> None:
    Image.new("RGBA", (20, 20), (9, 9, 9, 99)).save(root / "dog/0.png")


def _transparent_palette(root: Path) -> None:
    Image.new("P", (20, 20)).save(root / "dog/0.gif", transparency=0)


def _deep(root: Path) -> None:
    Image.fromarray(np.full((20, 20), 40000, np.uint16)).save(root / "dog/0.png")


def _huge(root: Path) -> None:
    Image.new("1", (20000, 20000)).save(root / "dog/0.png")


def _divided_otherwise(root: Path) -> None:
    (root / "cat").rename(root / "cats")
    for part, classes in (("train", ("a", "b")), ("test", ("a", "c"))):
        write_folder(root / part, GREY, dict.fromkeys(classes, 2))
    for name in ("cats", "dog"):
        (root / name).rename(root.parent / name)


def _three_parts(root: Path) -> None:
    _divided_otherwise(root)
    write_folder(root / "val", GREY, {"a": 1, "b": 1})


def _markup(root: Path) -> None:
    (root / "dog").rename(root / "<dog>")


BAD_FOLDERS: list[tuple[Callable[[Path], None], dict[str, object], str]] = [
    (_no_classes, {}, "holds no folders; it must hold one folder of images for each of at least 2 classes"),
    (_one_class, {}, "holds only the class cat; it must hold one folder"),
    (_empty_class, {}, r"eel in .* holds no images \(\.bmp, .*\); add some, or remove it"),
    (_class_without_images, {}, "eel in .* holds no images"),
    (_single_image, {}, "eel has only the image .*alone.png; a class needs one for training and one for the test"),
    (_another_size, {}, r"images of mixed sizes \(height x width\): .*png with .*, .*png with .*; pass size="),
    (_cut_off_image, {}, r"dog/0.png cannot be read as an image \(.*\); replace it or move it away"),
    (_empty_image, {}, "dog/0.png cannot be read as an image"),
    (_text_image, {}, "dog/0.png cannot be read as an image"),
    (_folder_image, {}, "dog/new.png cannot be read as an image"),
    (_pipe, {}, "dog/new.png cannot be read as an image"),
    (_dangling_link, {}, "dog/new.png cannot be read as an image"),
    (_transparent, {}, "dog/0.png has transparent pixels and thus 4 channels; put it on a background"),
    (_transparent_palette, {}, "dog/0.gif has transparent pixels"),
    (_deep, {}, "dog/0.png has more than 8 bits per pixel .*; convert it to 8"),
    (_huge, {}, "dog/0.png cannot be read as an image .*exceeds limit"),
    (_divided_otherwise, {}, "has b, c in only one of train and test; both must hold the same classes"),
    (_three_parts, {}, "holds val beside train and test; hwkit takes these two"),
    (_markup, {}, "a class is called '<dog>'"),
    (lambda root: None, {"size": 0}, r"size must be a whole number of pixels above 0, or \(height, width\), not 0"),
    (lambda root: None, {"size": (20, 2.5)}, "size must be a whole number of pixels"),
    (lambda root: None, {"size": "20"}, "size must be a whole number of pixels"),
    (lambda root: None, {"test_fraction": 1}, "test_fraction must be a number above 0 and below 1, not 1"),
    (lambda root: None, {"test_fraction": "a"}, "test_fraction must be a number"),
    (lambda root: None, {"name": "a/b"}, "name must be 1 to 60 letters"),
]


@pytest.mark.parametrize(
    ("change", "options", "complaint"), BAD_FOLDERS, ids=[complaint[:40] for _, _, complaint in BAD_FOLDERS]
)
def test_what_is_wrong_with_a_folder_is_one_sentence(
    change: Callable[[Path], None], options: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "pets", GREY, {"cat": 3, "dog": 3})
    change(root)
    with pytest.raises(DataError, match=complaint) as caught:
        hwkit.Dataset.from_folder(root, **options)
    _is_one_sentence(str(caught.value))


def test_a_folder_that_is_not_there_or_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, found in (("nowhere", "is not there"), ("file", "is no folder")):
        with pytest.raises(DataError, match=f"{name} {found}; it must hold one folder per class"):
            hwkit.Dataset.from_folder(tmp_path / name)


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    """Each test knows only the data sets that it made."""
    held, known = dict(data._held), dict(own._known)
    yield
    data._held.clear()
    own._known.clear()
    data._held.update(held)
    own._known.update(known)
