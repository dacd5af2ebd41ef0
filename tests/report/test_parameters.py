"""A notebook computes with the values that it is given, whatever their type and whichever way they come, or refuses."""

from __future__ import annotations

import ast
import itertools
import json
import math
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

from hwkit.batch.file import read_batch
from hwkit.batch.tasks import tasks_of
from hwkit.errors import BatchError, ParameterError
from hwkit.report.execute import execute, read_notebook
from hwkit.report.parameters import Parameter, declared_by, signature_of
from hwkit.report.planning import planned_trainings
from hwkit.report.values import Text, python_code, read_value, show_value

ROOT = Path(__file__).parents[2]
REFUSED = object()

# What a type makes of a text; what is not here, it refuses.
TAKEN: dict[str, dict[str, Any]] = {
    "bool": {
        **dict.fromkeys(("true", "True", "TRUE", "yes", "on"), True),
        **dict.fromkeys(("false", "False", "no", "No", "off"), False),
    },
    "int": {"3": 3, "-1": -1, "+5": 5, "0": 0, "1": 1, "1_000": 1000, "0x10": 16},
    "float": {
        **{
            "3": 3.0,
            "-1": -1.0,
            "+5": 5.0,
            "0": 0.0,
            "1": 1.0,
            "1_000": 1000.0,
            "0x10": 16.0,
            "1e-3": 0.001,
            "0.5": 0.5,
        },
        **{".5": 0.5, "5.": 5.0, "5.0": 5.0, "1E3": 1000.0, "nan": math.nan, ".nan": math.nan, "NaN": math.nan},
        **{"inf": math.inf, "-inf": -math.inf, "-.inf": -math.inf},
    },
    "list": {"[]": [], "[1, 2]": [1, 2], "(3, 4)": [3, 4], "[yes, 'no']": [True, "no"], "[a, 1e-3]": ["a", 0.001]},
    "tuple": {"[]": (), "[1, 2]": (1, 2), "(3, 4)": (3, 4), "[yes, 'no']": (True, "no"), "[a, 1e-3]": ("a", 0.001)},
    "set": {"[]": set(), "[1, 2]": {1, 2}, "(3, 4)": {3, 4}, "[yes, 'no']": {True, "no"}, "[a, 1e-3]": {"a", 0.001}},
    "dict": {"{}": {}, "{a: 1}": {"a": 1}, "{a: {b: no}}": {"a": {"b": False}}},
}
TEXTS = [
    "text",
    "a b",
    "2026-01-31",
    "010",
    "1:30",
    "12:00:00",
    "1j",
    "b'x'",
    "é",
    "C:\\new",
    "'no'",
    '"3"',
    "none",
    "null",
]
SPELLINGS = sorted({*itertools.chain(*TAKEN.values()), *TEXTS})
DEFAULTS = {"bool": "True", "int": "1", "float": "0.5", "str": "'a'", "list": "[0]", "tuple": "(0,)", "set": "{0}"}
DEFAULTS |= {"dict": "{'a': 0}"}
DECLARATIONS = {kind: [f"x = {DEFAULTS[kind]}", f"x: {kind} = None", f"x = None  # {kind}: what"] for kind in DEFAULTS}


def notebook_of(*cells: str | tuple[str, str], **metadata: Any) -> dict[str, Any]:
    """A notebook of code cells: texts, or pairs of tag and text."""
    pairs = [cell if isinstance(cell, tuple) else ("", cell) for cell in cells]
    made = [new_code_cell(source, metadata={"tags": [tag] if tag else []}) for tag, source in pairs]
    return new_notebook(cells=made, metadata=metadata)


def in_folder(folder: Path, notebook: Any, name: str = "mine.ipynb") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / name)
    return folder / name


def expected(kind: str, text: str, *, optional: bool) -> Any:
    """What a parameter of this type makes of a text on the command line."""
    if text in ("null", "none"):
        return None if optional else REFUSED
    if kind == "str":
        return {"'no'": "no", '"3"': "3"}.get(text, text)
    return TAKEN[kind].get(text, REFUSED)


def same(one: Any, other: Any) -> bool:
    return python_code(one) == python_code(other)


# --- Types, spellings and routes --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_a_value_on_the_command_line_is_read_as_the_parameters_type(kind: str) -> None:
    for declaration, text in itertools.product(DECLARATIONS[kind], SPELLINGS):
        signature = signature_of(notebook_of(("parameters", declaration)), "it")
        wanted = expected(kind, text, optional="None" in declaration)
        try:
            found = signature.convert("x", Text(text))
        except ParameterError as error:
            assert wanted is REFUSED, (declaration, text)
            message = str(error)
            assert f"parameter x of it takes {kind}" in message
            assert message.endswith(f", not {text!r}")
        else:
            assert same(found, wanted), (declaration, text, found)


@pytest.mark.parametrize("kind", [*DECLARATIONS, "any"])
def test_a_batch_reads_a_value_as_the_command_line_does_or_refuses_it(kind: str, tmp_path: Path) -> None:
    """What differs is that a text such as no has to be in quotes in a file, which is read before types are known."""
    for declaration in DECLARATIONS.get(kind, ["x = None", "x = 2 * y"]):
        notebook = in_folder(tmp_path, notebook_of(("parameters", declaration)))
        signature = signature_of(read_notebook(notebook), "it")
        for text in SPELLINGS:
            (tmp_path / "study.yaml").write_text(f"notebooks: mine.ipynb\nset:\n  x: {text}\n")
            try:
                typed = signature.convert("x", Text(text))
            except ParameterError:
                typed = REFUSED
            try:
                (task,) = tasks_of(read_batch(tmp_path / "study.yaml"))
            except BatchError as error:
                assert typed is REFUSED or kind == "str", (declaration, text)
                assert "line 3: set.x: parameter x of notebook mine.ipynb takes" in str(error)  # noqa: PT017
            else:
                assert same(task.parameters["x"], typed), (declaration, text)


def test_a_grid_is_converted_value_by_value(tmp_path: Path) -> None:
    in_folder(tmp_path, notebook_of(("parameters", "lr = 0.5\nsize = (1, 1)\nflag = True\nseed = 0")))
    (tmp_path / "study.yaml").write_text(
        "notebooks: mine.ipynb\nseeds: 2\ngrid: {lr: [1, 1e-3, 1.0]}\nset: {size: [3, 4]}\nrows: [{flag: no}]\n"
    )
    tasks = tasks_of(read_batch(tmp_path / "study.yaml"))
    variants = [task.variant.name for task in tasks[::2]]
    assert variants == ["mine[lr=1.0]", "mine[lr=0.001]", "mine[flag=False]"]
    assert tasks[0].parameters == {"lr": 1.0, "size": (3, 4), "seed": 0}
    assert len({task.key for task in tasks}) == len(tasks) == 6


VALUES: list[Any] = [True, False, None, 0, -1, 10**30, 0.5, 1e-300, math.nan, math.inf, -math.inf, "", "no", "nan", "1"]
VALUES += [
    'it\'s "x"\\n\n\t{y}',
    "é∞🎉",
    "\ud800",
    "# x",
    [],
    [1, "a", None],
    (),
    (3, 4),
    (1,),
    [(1, 2)],
    {1, 2},
    set(),
]
VALUES += [{"a": 1}, {1: "a", "b": (2,)}, {"a": [math.nan]}, {(1, 2): 3}]


def test_a_kernel_gets_exactly_the_values_that_were_given(tmp_path: Path) -> None:
    """Through papermill, which by itself makes texts of tuples and of the keys of dictionaries."""
    names = [f"x{number}" for number in range(len(VALUES))]
    cell = "\n".join(f"{name}: object = ..." for name in names)
    path = in_folder(tmp_path / "{folder}", notebook_of(("parameters", cell), f"print(ascii([{', '.join(names)}]))"))
    execution = execute(path, tmp_path / "{out}.ipynb", dict(zip(names, VALUES, strict=True)), progress=False)
    assert execution.failure is None
    executed = json.loads(execution.output.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    shown = "".join("".join(output["text"]) for cell in executed["cells"] for output in cell["outputs"])
    assert shown.strip() == ascii(VALUES)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_what_is_shown_of_a_value_reads_back_as_the_value(value: Any) -> None:
    assert same(eval(python_code(value)), value)
    if not isinstance(value, list | tuple | dict):
        assert same(read_value(show_value(value)), value)


@given(st.text())
def test_any_text_is_some_value(text: str) -> None:
    read_value(text)


# --- What a notebook declares ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "types", "optional"),
    [
        ("x = 1", ["int"], False),
        ("x = 60 * 60", ["int"], False),
        ("x = 1 / 3", ["float"], False),
        ("x = -2.5", ["float"], False),
        ("x = 'a' 'b'", ["str"], False),
        ("x = f'{y}'", ["str"], False),
        ("x = not True", ["bool"], False),
        ("x = float('inf')", ["float"], False),
        ("x = list(range(3))", ["list"], False),
        ("x = [n for n in range(3)]", ["list"], False),
        ("x = None", [], True),
        ("x = compute()", [], False),
        ("x = 2 * y", [], False),
        ("y, x = 1, 'a'", ["str"], False),
        ("y = x = 0.5", ["float"], False),
        ("x: float = 1", ["float"], False),
        ("x: float", ["float"], False),
        ("x: 'int | None' = None", ["int"], True),
        ("x: Optional[int] = 3", ["int"], True),
        ("x: typing.Union[int, str] = 3", ["int", "str"], False),
        ("x: int | float = 1", ["float", "int"], False),
        ("x: list[int] = (1,)", ["list"], False),
        ("x: List[int] = None", ["list"], False),
        ("x: Literal['a', 'b'] = 'a'", ["str"], False),
        ("x: Any = 1", [], True),
        ("x: np.ndarray = None", [], True),
        ("x: Path = 'a'", ["str"], False),
        ("x: Final = 3", ["int"], False),
        ("x: float = 1e-3  # lambda", ["float"], False),
        ("x = 1  # float: a factor", ["float"], False),
        ("x = 1  # type: float of the network", ["float"], False),
        ("x = None  # type: Optional[int]", ["int"], True),
        ("x = True  # list all runs", ["bool"], False),
        ("x = True  # list: all runs", ["bool"], False),
        ("x = (\n    1,\n)  # tuple of int", ["tuple"], False),
        ("%matplotlib inline\nx = 1", ["int"], False),
        ("!pip install x\nx = 1  # float", ["float"], False),
        ("%%time\nx = 1", ["int"], False),
        ("x = !ls", [], False),
    ],
)
def test_the_type_is_that_of_annotation_comment_or_default(line: str, types: list[str], optional: bool) -> None:
    found = declared_by(f"{line}\nif x:\n    inner = 1\nother.x = 2\n")
    assert found.keys() - {"y"} == {"x"}
    assert found["x"] == Parameter(tuple(types), optional or ("= None" in line and ":" in line))


DEEP = ["1" + "+1" * 900, "1" + "+1" * 3000, "-" * 900 + "1", "a" + ".a" * 2000, "a" + "(a)" * 2000, "(" * 10_000]


@pytest.mark.parametrize(
    "source", ["a = \0", *(f"a = {one}" for one in DEEP), f"a: int{'|int' * 900} = 1", "a = '\\ud800'"]
)
def test_parameters_made_to_break_their_reader_are_none_or_of_any_type(source: str) -> None:
    assert list(declared_by(source)) in ([], ["a"])
    signature_of(notebook_of(("parameters", "a = 1"), source), "it").without_effect(["a"])
    signature_of(notebook_of(("parameters", f"a = 1\n{source}")), "it").without_effect(["a"])


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_papermill_reads_the_same_names_and_defaults(path: Path) -> None:
    found = papermill.inspect_notebook(path)
    known = signature_of(read_notebook(path), path.name).known
    assert list(found) == list(known)
    for name, parameter in known.items():
        assert parameter.convert(ast.literal_eval(found[name]["default"])) is not ...


@pytest.mark.parametrize(
    ("notebook", "why"),
    [
        (notebook_of("a = 1"), "none of its cells is tagged `parameters`"),
        (notebook_of(("parameters", "# nothing yet")), "its cell tagged `parameters` assigns nothing"),
        (notebook_of(("parameters", "%%bash\na=1")), "its cell tagged `parameters` assigns nothing"),
        (notebook_of(("parameters", "a = (")), "its cell tagged `parameters` is not Python"),
        (
            notebook_of(("parameters", "a <- 1"), kernelspec={"name": "ir", "language": "R", "display_name": "R"}),
            "parameters are read from Python only, and it is in r",
        ),
        (notebook_of(("parameters", "ab = 1")), "did you mean 'ab'? known: ab"),
    ],
)
def test_why_a_notebook_has_no_such_parameter_is_said(notebook: dict[str, Any], why: str) -> None:
    with pytest.raises(ParameterError) as error:
        signature_of(notebook, "notebook x.ipynb").convert_all({"a": 2})
    assert str(error.value) == f"notebook x.ipynb has no parameter 'a'; {why}"


# --- What papermill would do differently -------------------------------------------------------------------------

DECLARED = ("parameters", "a = 1\nb = 2")
LOST: list[tuple[dict[str, Any], str]] = [
    # assigned again before it is read
    (notebook_of(("parameters", "a = 1"), ("parameters", "b = 2"), "print(a, b)"), "b after cell 1, and cell 2"),
    *(
        (notebook_of(DECLARED, "import os", again, "print(b)"), "b after cell 1, and cell 3 assigns it again")
        for again in ("b = 3", "a, (b, c) = 1, (2, 3)", "b: int = 3", "for b in range(3): pass", "import json as b")
    ),
    (notebook_of(DECLARED, "def b(): pass"), "b after cell 1, and cell 2"),
    (notebook_of(DECLARED, "%matplotlib inline\nb = 3"), "b after cell 1, and cell 2"),
    (notebook_of(("injected-parameters", "b = 7"), DECLARED, "print(b)"), "b after cell 1, and cell 2"),
    # read before it is there
    *(
        (
            notebook_of(("parameters", f"a = 1\nb = 2\n{early}{rest}")),
            f"`{early}` in cell 1 reads b, whose value papermill",
        )
        for early, rest in {
            **dict.fromkeys(("c = 2 * b", "numpy.random.seed(b)", "c = f'{b}.csv'", "assert b > 0", "a = b"), ""),
            "if b:": "\n    c = 1",
        }.items()
    ),
    (notebook_of(("parameters", "a = 1\nb = 2\n%env SEED=$b")), "reads b, whose value papermill injects after"),
    # values of an earlier execution
    (notebook_of(DECLARED, ("injected-parameters", "a = 5")), "cell 2 holds the parameters of an earlier execution"),
]
KEPT = [
    notebook_of(DECLARED, "print(b)", "b = 3"),
    notebook_of(DECLARED, "b = b or 3"),
    notebook_of(DECLARED, "b += 1"),
    notebook_of(DECLARED, "if COLAB: b = 3"),
    notebook_of(DECLARED, "if b is None:\n    b = 3"),
    notebook_of(DECLARED, "!echo $b", "b = 3"),
    notebook_of(DECLARED, "def f():\n    b = 3"),
    notebook_of(DECLARED, "[b for b in range(3)]"),
    notebook_of(DECLARED, "%%bash\nb=3"),
    notebook_of(("parameters", "a = 1\nb = 2\nb = 3\nb += 1\nc = lambda: b")),
    notebook_of(("parameters", "b = 2\ndef f():\n    return b")),
    notebook_of(DECLARED, ("injected-parameters", "b = 5")),
    notebook_of(("parameters", "b = 1"), ("parameters", "a = 2")),
]


@pytest.mark.parametrize(("notebook", "complaint"), LOST)
def test_a_value_that_papermill_would_lose_is_an_error(notebook: Any, complaint: str, tmp_path: Path) -> None:
    """In a report, and in a batch with the line of the key."""
    with pytest.raises(ParameterError, match="papermill") as error:
        execute(in_folder(tmp_path, notebook), tmp_path / "out.ipynb", {"b": Text("5")}, progress=False)
    assert complaint in str(error.value)
    assert not (tmp_path / "out.ipynb").exists()
    (tmp_path / "study.yaml").write_text("notebooks: mine.ipynb\ngrid:\n  b: [5, 6]\n")
    with pytest.raises(BatchError, match=r"study\.yaml, line 3: grid\.b: notebook mine\.ipynb: ") as error:
        tasks_of(read_batch(tmp_path / "study.yaml"))
    assert complaint in str(error.value)


@pytest.mark.parametrize("notebook", KEPT)
def test_a_value_that_papermill_keeps_is_none(notebook: dict[str, Any]) -> None:
    signature_of(notebook, "it").convert_all({"b": 5})


def test_what_is_computed_from_a_parameter_may_be_given_together_with_it() -> None:
    signature = signature_of(notebook_of(("parameters", "a = 1\nb = 2 * a")), "it")
    signature.convert_all({"b": 5})
    signature.convert_all({"a": 5, "b": 10})
    with pytest.raises(ParameterError, match="give b, too, or move the line to a later cell"):
        signature.convert_all({"a": 5})


def test_a_markdown_cell_may_bear_the_tag() -> None:
    notebook = notebook_of("a = 1")
    notebook["cells"].insert(0, new_markdown_cell("# Parameters", metadata={"tags": ["parameters"]}))
    with pytest.raises(ParameterError, match="assigns nothing"):
        signature_of(notebook, "it").convert_all({"a": 2})


def test_a_plan_is_made_of_parameters_with_magics() -> None:
    plan = "import hwkit\nexperiments = [hwkit.named_experiment('mnist', 'smoke', seed=seed)]"
    notebook = notebook_of(("parameters", "%matplotlib inline\nseed = 0"), ("plan", plan))
    assert [one.seed for one in planned_trainings(notebook, {"seed": 3})] == [3]
    assert planned_trainings(notebook_of(("plan", "experiments = ['mnist', 3]")), {}) == []
    assert planned_trainings(notebook_of(("plan", "experiments = 3")), {}) == []


def test_a_plan_may_define_an_augmentation_and_means_the_run_that_the_notebook_trains() -> None:
    function = "import torch\n\ndef mirrored(images, generator):\n    return images.flip(-1)  # left to right\n"
    plan = "experiments = [hwkit.named_experiment('cifar10', 'smoke', augment=mirrored)]"
    [planned] = planned_trainings(notebook_of(("plan", function), ("plan", plan)), {})
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    for cell in ("import hwkit", function, plan):
        assert shell.run_cell(cell).success
    [trained] = shell.user_ns["experiments"]
    assert planned.name == "cifar10[mirrored]"
    assert planned.fingerprint == trained.fingerprint
