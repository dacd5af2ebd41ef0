"""What came out of a batch: results of different things are told apart, and what holds no number is said to."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from hwkit.batch.comparison import options_figure, variants_figure
from hwkit.batch.file import read_batch
from hwkit.batch.planning import Plan, listing, plan
from hwkit.batch.results import NO_NUMBER, SCRAP_MIME, BatchResults, gather
from hwkit.batch.state import StateFile
from hwkit.batch.tasks import Task
from hwkit.cli import main
from hwkit.errors import BatchError
from hwkit.findings.reference import RESULTS_MIME

PARAMETERS = "seed = 0\nx = None\nrun = 1\nvalue = 2\nkind = 'a'"


def notebook_in(folder: Path, name: str, source: str = PARAMETERS) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(new_notebook(cells=[new_code_cell(source, metadata={"tags": ["parameters"]})])))


def planned(folder: Path, text: str) -> Plan:
    (folder / "study.yaml").write_text(f"store: store\n{text}")
    return plan(read_batch(folder / "study.yaml"))


def executed(found: Plan, task: Task, scraps: dict[str, Any], runs: list[dict[str, Any]] | None = None) -> None:
    """Put into the store what the notebook of a task would have left."""
    data = [{SCRAP_MIME: {"name": name, "data": value}} for name, value in scraps.items()]
    data += [{RESULTS_MIME: runs}] if runs else []
    outputs = [new_output("display_data", data=one) for one in data]
    content = new_notebook(cells=[new_code_cell(outputs=outputs)])
    found.store.write(found.store.own("notebooks", f"{task.key}.ipynb"), json.dumps(content).encode())


def results(folder: Path, text: str, *scraps: Any) -> BatchResults:
    """The results of a batch whose tasks left these numbers, or scraps, in their order."""
    found = planned(folder, text)
    assert len(found.tasks) == len(scraps), [task.name for task in found.tasks]
    for task, left in zip(found.tasks, scraps, strict=True):
        executed(found, task, left if isinstance(left, dict) else {"result": left})
    return gather(planned(folder, text))


def means(found: BatchResults, metric: str = "result") -> dict[str, tuple[float, int]]:
    """Mean and count by what they are the results of."""
    return {str(name): (row[metric, "mean"], int(row[metric, "count"])) for name, row in found.by_variant.iterrows()}


# --- Different things are never averaged --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "subjects"),
    [
        (["a/hw.ipynb", "b/hw.ipynb"], ["a/hw", "b/hw"]),
        (["hw.ipynb", "a/hw.ipynb"], ["{folder}/hw", "a/hw"]),
        (["a/x/hw.ipynb", "b/x/hw.ipynb", "y/hw.ipynb"], ["a/x/hw", "b/x/hw", "y/hw"]),
        (["a/hw.ipynb", "a/hw.json", "b/other.ipynb"], ["hw.ipynb", "hw.json", "other.ipynb"]),
        (["a/hw.ipynb", "b/HW.ipynb", "a_hw.ipynb"], ["hw", "HW", "a_hw"]),
        (["a/hw.ipynb", "a_hw.ipynb", "b/hw.ipynb"], ["a/hw", "a_hw", "b/hw"]),
        ([f"{'long' * 40}/hw.ipynb", f"{'long' * 40}s/hw.ipynb"], [f"{'long' * 40}/hw", f"{'long' * 40}s/hw"]),
    ],
)
def test_notebooks_of_one_name_are_told_apart(paths: list[str], subjects: list[str], tmp_path: Path) -> None:
    """Copies, even: by name, in the store, in the state and in the table."""
    for path in paths:
        notebook_in(tmp_path, path)
    subjects = [subject.format(folder=tmp_path.name) for subject in subjects]
    text = f"notebooks: {json.dumps(paths)}\nseeds: 2\n"
    found = results(tmp_path, text, *range(2 * len(paths)))
    assert means(found) == {subject: (2 * number + 0.5, 2) for number, subject in enumerate(subjects)}
    assert len({task.key.lower() for task in found.plan.tasks}) == 2 * len(paths)
    assert all(len(f"{task.key}.ipynb") < 255 for task in found.plan.tasks)
    assert [line.split()[0] for line in listing(found.plan)[: len(paths)]] == subjects
    for task in found.plan.tasks:
        found.plan.state.took(task, 1.0)
    assert set(found.plan.state.seconds) == set(subjects)


@pytest.mark.parametrize("length", [1, 60, 80])
def test_names_in_any_script_fit_into_a_file_name_and_stay_apart(length: int, tmp_path: Path) -> None:
    """Such as of emoji, which have four bytes each: 60 of them are as long a name as a file can have."""
    folder = "\N{WHITE SQUARE}" * length
    notebook_in(tmp_path, f"{folder}a/hw.ipynb")
    notebook_in(tmp_path, f"{folder}b/hw.ipynb")
    notebook_in(tmp_path, "\N{GRINNING FACE}" * min(length, 60) + ".ipynb")
    found = results(
        tmp_path, f"notebooks: {json.dumps([str(p) for p in tmp_path.rglob('*.ipynb')], ensure_ascii=False)}\n", 1, 2, 3
    )
    assert len({task.key for task in found.plan.tasks}) == len(means(found)) == 3


@pytest.mark.parametrize(("first", "second"), [("a/study.yaml", "b/study.yaml"), ("a/study.yaml", "a/study.yml")])
def test_batches_of_one_name_do_not_overwrite_each_other(
    first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has results of its own; in one store, where tasks could be mistaken for each other, they are refused."""
    monkeypatch.chdir(tmp_path)
    written = []
    for number, name in enumerate((first, second)):
        notebook_in(tmp_path, f"{name.partition('/')[0]}/hw.ipynb")
        Path(name).write_text(f"notebooks: hw.ipynb\nstore: store{number}\n")
        found = plan(read_batch(Path(name)))
        executed(found, found.tasks[0], {"result": number})
        written.append(gather(plan(read_batch(Path(name)))).write())
    assert [pd.read_csv(path)["result"].item() for path in written] == [0, 1]

    for name in (first, second):
        Path(name).write_text(f"notebooks: hw.ipynb\nstore: {tmp_path / 'both'}\n")
    found = plan(read_batch(Path(first)))
    StateFile(found.store, found.state).close()
    with pytest.raises(BatchError, match=rf"{second} and \S+{first} would both be batch study in \S+both: rename"):
        plan(read_batch(Path(second)))
    Path(first).rename("elsewhere")
    assert plan(read_batch(Path(second))).missing


def test_a_notebook_that_stands_alone_keeps_its_plain_name(tmp_path: Path) -> None:
    notebook_in(tmp_path, "a/hw.ipynb")
    (task,) = planned(tmp_path, "notebooks: a/hw.ipynb\n").tasks
    assert task.name == "hw"
    assert re.fullmatch(r"hw-[0-9a-f]{10}", task.key)


@pytest.mark.parametrize(
    "values",
    [
        ["0.1234567", "0.1234568"],
        ["1000000.0", "1000001.0"],
        ["1", "'1'"],
        ["true", "'true'"],
        ["null", "'null'", "'~'"],
        ["a", "'a, kind=b'", "'[a]'"],
        ["[1, 2]", "'[1, 2]'", "(1, 2)"],
        ["1e-20", "2e-20"],
        ["a b", "a_b", "a-b", "é", "è"],
    ],
)
def test_values_that_look_alike_are_different_variants(values: list[str], tmp_path: Path) -> None:
    notebook_in(tmp_path, "hw.ipynb")
    rows = ", ".join(f"{{x: {value}}}" for value in values)
    for text in (f"grid:\n  x:\n{''.join(f'  - {value}{chr(10)}' for value in values)}", f"rows: [{rows}]\n"):
        if "(1, 2)" in text and "rows" in text:
            continue  # a comma ends a value within brackets
        found = results(tmp_path, f"notebooks: hw.ipynb\nseeds: 2\n{text}", *range(2 * len(values)))
        assert [mean for mean, count in means(found).values()] == [2 * number + 0.5 for number in range(len(values))]


def test_runs_of_one_notebook_are_averaged_over_their_seeds_alone(tmp_path: Path) -> None:
    notebook_in(tmp_path, "hw.ipynb")

    def run(seed: int, accuracy: float, **options: Any) -> dict[str, Any]:
        row = {"name": "custom", "fingerprint": f"{seed}{options}", "seed": seed, "test_accuracy": accuracy}
        return {**row, "train_accuracy": 1.0, "seconds": 2, "l2": 0.0, "profile": "quick", **options}

    found = planned(tmp_path, "notebooks: hw.ipynb\n")
    rows = [run(0, 0.5), run(1, 0.7), run(0, 0.9, l2=0.1), run(0, 0.1, l2=0.1, profile="full")]
    executed(found, found.tasks[0], {"test_accuracy": 7}, rows)
    again = gather(planned(tmp_path, "notebooks: hw.ipynb\n"))
    assert {name: (round(mean, 3), count) for name, (mean, count) in means(again, "test_accuracy").items()} == {
        "hw: custom[l2=0.0, profile=quick]": (0.6, 2),
        "hw: custom[l2=0.1, profile=quick]": (0.9, 1),
        "hw: custom[l2=0.1, profile=full]": (0.1, 1),
    }
    assert means(again, "result test_accuracy")["hw: custom[l2=0.1, profile=full]"] == (7.0, 1)


def test_parameters_and_results_named_as_columns_of_the_table_do_not_replace_them(tmp_path: Path) -> None:
    notebook_in(tmp_path, "hw.ipynb")
    scraps = {"variant": 1.0, "seed": 2.0, "key": 3.0, "value": 4.0, "run": 5.0}
    found = results(tmp_path, "notebooks: hw.ipynb\ngrid: {run: [7, 8], value: [9]}\n", scraps, scraps)
    assert list(means(found, "result variant")) == ["hw[run=7, value=9]", "hw[run=8, value=9]"]
    assert found.frame["variant"].tolist() == list(means(found, "result variant"))
    assert found.frame["parameter run"].tolist() == [7, 8]
    assert found.frame["value"].tolist() == [9, 9]
    assert found.metrics == ["result variant", "result seed", "result key", "result value", "result run"]
    assert found.frame["result value"].tolist() == [4.0, 4.0]


# --- What numbers there are ---------------------------------------------------------------------------------------


def test_without_a_number_that_is_said_and_all_else_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook_in(tmp_path, "hw.ipynb")
    for scraps in ({}, {"result": "good"}, {"result": math.nan}):
        found = results(tmp_path, "notebooks: hw.ipynb\nseeds: 2\n", scraps, scraps)
        assert (found.metrics, found.markdown()) == ([], NO_NUMBER)
        command = [str(tmp_path / "study.yaml"), "--output", str(tmp_path / "out.csv")]
        assert main(["batch", "results", *command]) == 0
        assert "2 of 2 tasks are done" in capsys.readouterr().out
        assert len((tmp_path / "out.csv").read_text().splitlines()) == 3
        assert main(["batch", "report", *command]) == 2
        assert capsys.readouterr().err == f"hwkit: batch study has nothing to compare: {NO_NUMBER}\n"


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        ([1, 2], "1.5000 ± 0.7071"),
        ([True, False], "0.5000 ± 0.7071"),
        ([1, math.nan], "1.0000"),
        ([1e-7, 3e-7], "2e-07 ± 1.41e-07"),
        ([10**30, 10**30], "1e+30 ± 0"),
        ([123.456, 123.456], "123.5 ± 0.0"),
        ([0.5, None], "0.5000"),
    ],
)
def test_numbers_of_all_kinds_are_shown(left: list[Any], shown: str, tmp_path: Path) -> None:
    notebook_in(tmp_path, "hw.ipynb")
    found = results(tmp_path, "notebooks: hw.ipynb\nseeds: 2\n", *({} if one is None else one for one in left))
    assert f"| {shown} |" in found.markdown()
    pd.read_csv(found.write(tmp_path / "r.csv"))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"cells": 3}', '{"cells": [{"outputs": [3]}]}', "null", "9" * 5000]
)
def test_a_damaged_result_is_one_line_and_the_others_are_shown(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook_in(tmp_path, "hw.ipynb")
    found = results(tmp_path, "notebooks: hw.ipynb\nseeds: 2\n", 1, 2)
    place = found.plan.store.own("notebooks", f"{found.plan.tasks[0].key}.ipynb")
    Path(place).write_text(content)
    assert main(["batch", "results", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "r.csv")]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"hwkit: {place} is not a Jupyter notebook (format 4)\n"
    assert "2.0000" in printed.out


def test_a_table_that_is_not_of_hwkit_is_one_line(tmp_path: Path) -> None:
    notebook_in(tmp_path, "hw.ipynb")
    found = planned(tmp_path, "notebooks: hw.ipynb\n")
    for rows in ([3], [{"name": "a"}], [{"name": "a", "fingerprint": "b", "test_accuracy": "x"}], {"a": 1}):
        executed(found, found.tasks[0], {}, rows)
        (problem,) = gather(planned(tmp_path, "notebooks: hw.ipynb\n")).problems
        assert "holds a table of results that is not one of hwkit's" in problem


def test_figures_show_names_as_they_are_and_rows_beside_the_grid(tmp_path: Path) -> None:
    """Such as one with dollars, in which matplotlib would look for formulas; a row may have the grid's options."""
    notebook_in(tmp_path, "$\\no $.ipynb")
    text = "notebooks: $\\no $.ipynb\ngrid: {kind: ['$a^$', b], x: [1, 2.5]}\nrows: [{kind: c, x: 7}]\n"
    found = results(tmp_path, text, *({"acc_$^": number} for number in range(5)))
    assert list(means(found, "acc_$^"))[-1].endswith("$[kind=c, x=7]")
    for figure in (variants_figure(found, list(means(found, "acc_$^"))), options_figure(found, ["kind", "x"])):
        figure.draw_without_rendering()
    labels = [label.get_text() for label in options_figure(found, ["kind", "x"]).axes[1].get_xticklabels()]
    assert labels == ["1", "2.5"]


def test_the_comparison_of_odd_names_is_a_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook_in(tmp_path, "a_b*c.ipynb")
    text = "notebooks: a_b*c.ipynb\ngrid: {kind: ['x|y', '@fig-z', '$a^$', '*b*']}\n"
    results(tmp_path, text, *({"a|b_$": number} for number in range(4)))
    assert main(["batch", "report", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "r.pdf")]) == 0
    assert "warning" not in capsys.readouterr().out
    import pypdf

    pages = "".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "r.pdf").pages)
    for name in ("a_b*c[kind=x|y]", "a_b*c[kind=@fig-z]", "a_b*c[kind=$a^$]", "a_b*c[kind=*b*]", "a|b $"):
        assert name in pages.replace("\n", "")
    assert main(["batch", "report", str(tmp_path / "study.yaml"), "--settings", "no.toml"]) == 2
    assert "there is no settings file no.toml" in capsys.readouterr().err
