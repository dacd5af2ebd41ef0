"""A batch file says what to run, and what is wrong with one is said with its line and key before anything starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwkit.batch.file import Limits, Resources, read_batch
from hwkit.batch.planning import listing, plan
from hwkit.batch.state import State, read_state
from hwkit.batch.storage import Store
from hwkit.batch.tasks import tasks_of
from hwkit.cli import main
from hwkit.errors import BatchError
from hwkit.experiment import named_experiment

NOTEBOOK_CELL = """seed = 0
scale: float = 1.0
name = "a"  # str: what it is called
count = None  # int: how many
flag = False
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def notebook_in(folder: Path, source: str = NOTEBOOK_CELL) -> Path:
    cell = {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "outputs": []}
    content = {"cells": [{**cell, "execution_count": None, "source": source}], "metadata": {}}
    path = folder / "mine.ipynb"
    path.write_text(json.dumps({**content, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_grid_rows_and_seeds_make_the_tasks(tmp_path: Path) -> None:
    text = (
        "experiments: [mnist, cifar10]\nprofile: smoke\nseeds: 2\nset: {data: stand-in}\n"
        "grid:\n  width: [0.5, 1]\n  l2: [0, 1e-3]\nrows:\n  - {epochs: 3}\n"
    )
    tasks = tasks_of(read_batch(written(tmp_path, text)))
    assert len(tasks) == 2 * (2 * 2 + 1) * 2
    assert tasks[0].name == "mnist[width=0.5, l2=0] seed 0"
    last = named_experiment("cifar10", "smoke", data="stand-in", epochs=3, seed=1)
    assert tasks[-1].experiment == last
    assert tasks[-1].key == f"cifar10-{last.fingerprint}"
    assert tasks[3].experiment.l2 == 1e-3


def test_what_trains_to_the_same_run_is_one_task(tmp_path: Path) -> None:
    text = "experiments: [mnist, mnist-l2]\nset: {data: stand-in}\ngrid: {l2: [0.001, 0.01]}\n"
    assert len(tasks_of(read_batch(written(tmp_path, text)))) == 2


@pytest.mark.parametrize("seeds", [[3], [0, 1, 7, 4294967295]])
def test_fingerprints_of_seeds_are_those_of_the_experiments(seeds: list[int]) -> None:
    experiment = named_experiment("mnist", "smoke", seed=1)
    assert experiment.fingerprints(seeds) == [experiment.replace(seed=seed).fingerprint for seed in seeds]


NETWORKS = """
import functools
from torch import nn
from beside import SIZE

class Net(nn.Linear):
    def __init__(self, outputs=10):
        super().__init__(SIZE, outputs)

    def forward(self, images):
        return super().forward(images.flatten(1))

class NeedsOutputs(Net):
    def __init__(self, outputs):
        super().__init__(outputs)

Twice = functools.partial(NeedsOutputs, outputs=10)
Few = functools.partial(NeedsOutputs, outputs=3)
"""


def test_networks_of_ones_own_are_compared_by_the_names_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "mine.py").write_text(NETWORKS)
    (tmp_path / "nets" / "beside.py").write_text("SIZE = 784")
    text = "experiments: mnist\nset: {data: stand-in}\ngrid: {model: [null, nets/mine.py:Net, nets/mine.py:Twice]}\n"
    tasks = tasks_of(read_batch(written(tmp_path, text)))
    assert [task.name.partition("[")[2] for task in tasks] == [
        "model=None] seed 0",
        "model=nets/mine.py:Net] seed 0",
        "model=nets/mine.py:Twice] seed 0",
    ]
    assert [task.variant.work.model.partition("@")[0] for task in tasks] == ["", "Net", "NeedsOutputs(outputs=10)"]
    one = "experiments: mnist\nset: {data: stand-in}\nmodel: nets/mine.py:Net\n"
    assert tasks_of(read_batch(written(tmp_path, one)))[0].key == tasks[1].key


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("mine.py:Nte", "mine.py has no Nte; it has: Net, NeedsOutputs"),
        ("mine.py:NeedsOutputs", r"NeedsOutputs\(\) fails: .*'outputs'; give its arguments by functools.partial"),
        ("mine.py:Few", r"gives shape \(2, 3\).* it must give logits of shape \(2, 10\)"),
        ("beside.py:SIZE", "model must be a class or a function, not an object of the class int"),
        ("broken.py:Net", "broken.py fails: ZeroDivisionError: division by zero"),
        ("beside.txt:Net", "beside.txt does not end in .py"),
    ],
)
def test_what_is_no_network_in_a_file_is_told_with_its_line(model: str, complaint: str, tmp_path: Path) -> None:
    for name, content in {
        "mine.py": NETWORKS,
        "beside.py": "SIZE = 784",
        "broken.py": "1 / 0",
        "beside.txt": "",
    }.items():
        (tmp_path / name).write_text(content)
    for text, place in ((f"model: {model}", "model"), (f"grid: {{model: [null, {model}]}}", r"grid.model\[2\]")):
        path = written(tmp_path, f"experiments: mnist\nset: {{data: stand-in}}\n{text}\n")
        with pytest.raises(BatchError, match=f"line 3: {place}: mnist: .*{complaint}"):
            tasks_of(read_batch(path))


def test_resources_limits_and_store_are_read(tmp_path: Path) -> None:
    text = "experiments: mnist\nresources: {cores: 2, gpus: 0.25}\nlimits: {task: 60, cell: 5}\nstore: here\n"
    batch = read_batch(written(tmp_path, text))
    assert (batch.resources, batch.limits) == (Resources(2, 0.25), Limits(5, 60))
    assert batch.store == str(tmp_path / "here")
    assert read_batch(written(tmp_path, "experiments: mnist\nstore: s3://bucket/runs/\n")).store == "s3://bucket/runs"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: must hold keys"),
        ("- a\n", "line 1: must hold keys"),
        ("experiments: [mnist\n", "is not YAML"),
        ("experiments: mnist\nseed: 3\n", "line 2: seed: unknown key; did you mean 'seeds'?"),
        ("experiments: mnist\nseeds: 0\n", "line 2: seeds: must be a number"),
        ("experiments: mnist\nseeds: [1, -1]\n", "line 2: seeds: must be a number"),
        (
            "experiments: [mnist,\n  mnits]\n",
            "line 2: experiments[2]: unknown experiment 'mnits'; did you mean",
        ),
        ("experiments: mnist\nseeds: until-decided\n", "line 2: seeds: until decided needs a `baseline`"),
        ("experiments: mnist\nseeds: {until: bored}\n", "line 2: seeds: must be such as {until: decided, from: 3"),
        ("experiments: mnist\nseeds: {from: 2}\n", "line 2: seeds: must be such as {until: decided, from: 3"),
        ("experiments: mnist\nseeds: {step: 4}\n", "line 2: seeds: must be such as {until: decided, from: 3"),
        ("experiments: mnist\nseeds: {at_most: 2}\n", "line 2: seeds: must be such as {until: decided, from: 3"),
        ("experiments: mnist\nbaseline: [mnist]\n", "line 2: baseline: must hold names with values"),
        ("seeds: 3\n", "must name either `experiments` or `notebooks`"),
        ("experiments: mnist\nprofile: fast\n", "line 2: profile: unknown profile 'fast'"),
        ("experiments: mnist\nmodel: [a.py:Net]\n", "line 2: model: must be a class in a file"),
        ("experiments: mnist\nmodel: a.py\n", "line 2: model: mnist: 'a.py' does not name a class in a file"),
        ("experiments: mnist\nmodel: a.py:Net\n", "line 2: model: mnist: there is no file"),
        ("experiments: mnist\nmodel: a.py:Net\nset: {model: b.py:Net}\n", "line 2: model: is in `set` already"),
        ("experiments: mnist\nmodel: a.py:Net\ngrid: {model: [b.py:Net]}\n", "line 3: grid.model: is in `set`"),
        ("notebooks: no.ipynb\nmodel: a.py:Net\n", "line 2: model: must be left out: notebooks have none"),
        ("experiments: mnist\ngrid:\n  l2: 3\n", "line 3: grid.l2: must be a list"),
        ("experiments: mnist\ngrid:\n  l2: [0]\n  l2: [1]\n", "line 4: grid.l2: is given twice"),
        ("experiments: mnist\nset: {l2: 1}\ngrid:\n  l2: [0]\n", "line 4: grid.l2: is in `set` already"),
        ("experiments: mnist\nseeds: 2\nrows:\n- {seed: 4}\n", "line 4: rows[1].seed: is given by `seeds` already"),
        ("experiments: mnist\nrows: []\n", "line 2: rows: must be a list"),
        ("experiments: mnist\nlimits: {cel: 3}\n", "line 2: limits.cel: unknown key; did you mean 'cell'?"),
        ("experiments: mnist\nlimits: {cell: soon}\n", "limits.cell: must be a whole number above 0, not 'soon'"),
        ("experiments: mnist\nresources: {cores: 0}\n", "line 2: resources.cores: must be a whole number above 0"),
        ("experiments: mnist\nset:\n  lr: 1\n", "line 3: set.lr: not an option of experiments"),
        (
            "experiments: mnist\ngrid:\n  l2:\n  - 0\n  - -1\n",
            "line 5: grid.l2[2]: mnist: l2 must be a number",
        ),
        ("experiments: mnist\nrows:\n- {l2: 0}\n- {epochs: 0}\n", "line 4: rows[2].epochs: mnist: epochs must be"),
        ("notebooks: no.ipynb\n", "line 1: notebooks: notebook"),
        ("notebooks: /dev/zero\n", "line 1: notebooks: notebook /dev/zero cannot be read: it is not a regular file"),
        (
            "experiments: mnist\nset: {l2: 2026-99-99}\n",
            "set.l2: mnist: l2 must be a number, not '2026-99-99'",
        ),
        (
            "experiments: mnist\nset: {l2: !!python/name:os.system }\n",
            "line 2: set.l2: is not a value: could not determine",
        ),
        ("experiments: mnist\nset: {'../x': 1}\n", "line 2: set: a key must be a word"),
        ("experiments: mnist\ngrid: &a\n  l2: *a\n", "line 3: is not YAML: aliases (*name) are not accepted"),
        (f"experiments: {'[' * 50_000}{']' * 50_000}\n", "is not YAML: it is nested too deeply"),
        ("experiments: mnist\nseeds: 1000000000000\n", "line 2: seeds: must be a number such as 5 (up to 1000000)"),
        (
            f"experiments: mnist\ngrid: {{l2: {[0] * 1000}, width: {[1] * 1000}, dropout: [0, 0.1]}}\n",
            "line 1: asks for 2000000 tasks; the limit is 1000000",
        ),
        (
            "experiments: mnist\nstore: reference::http://host/x.json\n",
            "line 2: store: must be a folder or an address",
        ),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(
    tmp_path: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text)
    assert main(["batch", "plan", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"hwkit: {path}, line ")
    assert complaint in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("target", ["/dev/zero", "a pipe", "a megabyte"])
def test_a_batch_file_that_never_ends_is_refused(tmp_path: Path, target: str) -> None:
    path = tmp_path / "study.yaml"
    if target == "a pipe":
        os.mkfifo(path)
    elif target == "a megabyte":
        path.write_text("#" * (2**20 + 1))
    else:
        path.symlink_to(target)
    with pytest.raises(
        BatchError, match=r"study\.yaml cannot be read: it (is not a regular file|has more than 1048576 bytes)"
    ):
        read_batch(path)


def test_nothing_is_named_so_that_it_leaves_the_folder_of_its_batch(tmp_path: Path) -> None:
    for name in ("...yaml", "..yaml"):
        (tmp_path / name).write_text("experiments: mnist\n")
        with pytest.raises(BatchError, match="its name must not begin with a dot"):
            read_batch(tmp_path / name)
    notebook_in(tmp_path)
    text = 'notebooks: mine.ipynb\ngrid: {name: ["../../x", "/etc/x", "a\\0b", "\\e[2J", "\\ud800", "..\\\\..\\\\x"]}\n'
    for task in tasks_of(read_batch(written(tmp_path, text))):
        assert re.fullmatch(r"mine-name=[A-Za-z0-9_.,=+-]+-[0-9a-f]{10}", task.key)
        assert task.name.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        *("[" * 100_000, "9" * 10_000, "null", "\xff"),
        *('{"updated": []}', '{"running": [1]}', '{"running": 5}', '{"failed": {"a": 1}}'),
        '{"failed": {"a": {"name": 1, "error": "", "finished": ""}}}',
        *('{"seconds": {"mnist": [0, 1]}}', '{"seconds": {"mnist": [1e999, 1]}}', '{"seconds": {"mnist": [1, NaN]}}'),
    ],
)
def test_a_state_that_cannot_be_is_taken_for_none(tmp_path: Path, content: str) -> None:
    store = Store(str(tmp_path), "study")
    store.write(store.own("state.json"), content.encode("latin-1"))
    assert read_state(store) == State()


def test_options_that_do_not_fit_together_name_the_point(tmp_path: Path) -> None:
    text = "experiments: mnist\nset: {data: stand-in}\nrows:\n- {holdout: 30000, train_size: 40000}\n"
    with pytest.raises(BatchError, match=r"line 4: rows\[1\]: mnist with holdout=30000, train_size=40000: train_size"):
        tasks_of(read_batch(written(tmp_path, text)))


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("grid: {scal: [1]}", "grid.scal: notebook mine.ipynb has no parameter 'scal'; did you mean 'scale'?"),
        (
            "grid: {scale: [1, big]}",
            "grid.scale[2]: parameter scale of notebook mine.ipynb takes float: a number such as 0.5, not 'big'",
        ),
        ("rows: [{flag: 1}]", "rows[1].flag: parameter flag of notebook mine.ipynb takes bool: true or false, not 1"),
        ("profile: quick", "profile: notebook mine.ipynb has no parameter 'profile'; known: seed, scale"),
    ],
)
def test_parameters_that_a_notebook_does_not_take_are_errors(tmp_path: Path, lines: str, complaint: str) -> None:
    notebook_in(tmp_path)
    with pytest.raises(BatchError) as error:
        tasks_of(read_batch(written(tmp_path, f"notebooks: mine.ipynb\n{lines}\n")))
    assert complaint in str(error.value)


def test_a_changed_notebook_is_another_task(tmp_path: Path) -> None:
    notebook_in(tmp_path)
    batch = read_batch(written(tmp_path, "notebooks: mine.ipynb\nseeds: 2\ngrid: {scale: [0.5]}\n"))
    before = [task.key for task in tasks_of(batch)]
    assert before[1].startswith("mine-scale=0.5-seed=1-")
    notebook_in(tmp_path, NOTEBOOK_CELL + "another = 1\n")
    assert not set(before) & {task.key for task in tasks_of(batch)}


def test_a_plan_of_many_tasks_stays_short(tmp_path: Path) -> None:
    text = f"experiments: mnist\nset: {{data: stand-in}}\nseeds: 10\ngrid: {{l2: {list(range(100))}}}\nstore: s\n"
    lines = listing(plan(read_batch(written(tmp_path, text))))
    assert len(lines) < 40
    assert "100 variants, 1000 tasks: 0 done, 0 failed, 1000 to run" in lines[-2]


def test_planning_and_help_import_neither_dask_nor_torch(tmp_path: Path) -> None:
    path = written(tmp_path, "experiments: mnist\nset: {data: stand-in}\nstore: s\n")
    code = (
        "import sys\nfrom pathlib import Path\nfrom hwkit.cli import main\n"
        "from hwkit.batch.file import read_batch\nfrom hwkit.batch.planning import listing, plan\n"
        f"listing(plan(read_batch(Path({str(path)!r}))))\n"
        "print([name for name in ('dask', 'distributed', 'torch', 'fsspec') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
