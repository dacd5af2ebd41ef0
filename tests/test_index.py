"""The index of a run: what it finds, and that it is kept with the run and never believed blindly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from hwkit import analysis, runs
from hwkit.explorer import index
from hwkit.runs import Run


@pytest.fixture
def own_copy(trained_run: Run, tmp_path: Path) -> Run:
    """A run of one's own, without an index."""
    folder = tmp_path / trained_run.folder.name
    shutil.copytree(trained_run.folder, folder)
    (folder / "index.safetensors").unlink(missing_ok=True)
    return runs.load(folder)


def test_counterparts_of_misclassified_images_are_those_of_pairs(cifar_run: Run) -> None:
    found = index.of(cifar_run)
    for row in analysis.misclassified(cifar_run).head(5).itertuples():
        try:
            expected = analysis.pair(cifar_run, row.index).counterpart.index
        except analysis.RunError:
            expected = -1
        assert found.counterparts[row.index] == expected


def test_no_image_is_its_own_counterpart_and_all_are_of_the_predicted_class(trained_run: Run) -> None:
    counterparts = index.of(trained_run).counterparts
    there = counterparts >= 0
    assert there.any()
    assert not torch.any(counterparts == torch.arange(len(counterparts)))
    predicted = analysis.predicted(trained_run)
    assert torch.equal(predicted[there], trained_run.labels[counterparts[there]])


def test_strongest_images_are_those_with_the_largest_activation(trained_run: Run) -> None:
    found = index.of(trained_run)
    images = analysis.test_set(trained_run).test_images
    for layer, maps in analysis.activations(trained_run, images).items():
        largest = maps.amax(dim=(2, 3))
        torch.testing.assert_close(found.responses[layer], largest.topk(index.STRONGEST, dim=0).values.T)
        torch.testing.assert_close(found.responses[layer], largest.T.gather(1, found.strongest[layer]))
    assert found.strongest["fc1"].shape == (1024, index.STRONGEST)


def test_the_plane_is_the_one_with_the_most_variance(trained_run: Run) -> None:
    found = index.of(trained_run)
    first, second = found.positions.var(dim=0).tolist()
    assert first > second
    assert 0 < found.explained.sum() < 1
    torch.testing.assert_close(found.axes.T @ found.axes, torch.eye(2), atol=1e-5, rtol=0)
    # A point of the plane is placed where it was.
    features = F.normalize(found.centre + found.axes[:, 0], dim=0)
    torch.testing.assert_close(found.place(3 * features[None]), found.place(features[None]))


def test_an_index_is_computed_once_and_kept(own_copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert index.kept(own_copy) is None
    first = index.of(own_copy)
    monkeypatch.setattr(index, "compute", lambda run: pytest.fail("computed twice"))
    second = index.of(runs.load(own_copy.folder))
    assert torch.equal(first.positions, second.positions)
    assert torch.equal(first.strongest["conv2"], second.strongest["conv2"])


@pytest.mark.parametrize("place", [-1, 200])
def test_a_damaged_index_is_not_believed(own_copy: Run, place: int) -> None:
    index.of(own_copy)
    path = own_copy.folder / "index.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    assert index.kept(own_copy) is None


def test_the_index_of_another_run_is_not_believed(own_copy: Run, trained_run_l2: Run) -> None:
    index.of(trained_run_l2)
    shutil.copy(trained_run_l2.folder / "index.safetensors", own_copy.folder)
    assert index.kept(own_copy) is None


def test_a_store_that_cannot_be_written_is_no_reason_to_go_without(
    own_copy: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise runs.RunError("disk full")

    monkeypatch.setattr(runs, "write_index", full_disk)
    assert len(index.of(own_copy).positions) == len(own_copy.labels)
