"""`make report`: run the notebooks that need it, and put the results together as PDF, HTML and CSV."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import dataclasses
import difflib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwkit.engine import files as storage
from hwkit.errors import HwkitError, ParameterError, ReportError
from hwkit.export.files import replace_file, require_distinct
from hwkit.export.settings import ReportSettings
from hwkit.paths import project_root
from hwkit.report.execute import Execution, execute, outputs_of_kind, read_notebook
from hwkit.report.parameters import Signature, signature_of
from hwkit.report.planning import planned_trainings
from hwkit.report.selection import chosen_chapters, labels_of
from hwkit.report.values import canonical

if TYPE_CHECKING:
    from hwkit.engine.processes import Outcome
    from hwkit.findings.summary import Summary
    from hwkit.parallel import Training
    from hwkit.theme import ReportFigure

NOTEBOOK_SECONDS = 6.0  # one notebook of the report on one CPU core, runs loaded and figures drawn; for the forecast
# What notebooks may take of the report: files with what the others found, and a switch of report.toml.
GATHERED = ("results", "verdicts", "reference")
BIBLIOGRAPHY = "references.bib"  # beside the notebooks
PDF_STANDARD = "ua-1"  # that a report keeps to, unless its settings have another
# Packages whose version can change what a notebook shows.
SHOWN_BY = ("torch", "torchvision", "matplotlib", "seaborn", "pandas")


@dataclass(frozen=True)
class Report:
    """What a build left behind: the files, how each notebook went, and what the reader should be told.

    `seconds` tells where the time went, by the name of the step.
    """

    pdf: Path
    html: Path
    csv: Path
    verdicts: Path
    executions: tuple[Execution, ...]
    reused: tuple[str, ...]
    pages: int
    warnings: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failures(self) -> list[Execution]:
        """The notebooks that failed."""
        return [execution for execution in self.executions if execution.failure]


def build_report(
    profile: str | None = None,
    *,
    notebooks: Sequence[Path] | None = None,
    parameters: Mapping[str, Any] | None = None,
    settings: Path | None = None,
    output: Path | None = None,
    force: bool = False,
    kernel: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Execute notebooks and export them as one report: report.pdf, report.html, results.csv, verdicts.csv, notebooks.

    What the notebooks are going to train is trained first, and then they are executed, as many at a time as the machine
    takes. Those whose metadata say `"hwkit": {"closing": true}` come last: they may have parameters `results` and
    `verdicts`, and get the paths of these files. A notebook that was executed before with the same text, parameters,
    library and data is not executed again. One that fails does not stop the others; it is named in the result, and the
    report shows how far it came.

    Parameters
    ----------
    profile : how long to train; None is "full" where there is a CUDA GPU and "quick" elsewhere.
    notebooks : default those of `notebooks/` of the project, by name; see `standard_notebooks`.
    parameters : notebook parameters, a `values.Text` for what is to be read as the notebook's type; each notebook gets
        those it declares, and one at least has to.
    settings : a report.toml; default the project's, if it has one.
    output : default `build` in the project.
    force : execute all notebooks again; finished runs are still not trained again.
    kernel : the name of a Jupyter kernel in place of those that the notebooks name.
    say : is called with lines on what is going on.

    Raises
    ------
    ExperimentError, ParameterError, DataError, ReportError
        For what is wrong before anything is executed, two seeds among that, or if the PDF cannot be made.
    """
    clock = _Clock()
    root = project_root()
    output = output or root / "build"
    device = str((parameters or {}).get("device", "auto"))
    if settings and not settings.exists():
        raise ReportError(f"there is no settings file {settings}")
    report_settings = ReportSettings.load(settings or root / "report.toml")
    of_profile = profile or _default_profile(device)
    folder = root / "notebooks"
    standard = standard_notebooks(folder) if not notebooks else []
    if not notebooks and not standard:
        raise ReportError(f"there are no notebooks in {folder}; run this in the project's folder")
    in_profile = standard_notebooks(folder, of_profile)
    notebooks = list(notebooks or (one for one in chosen_chapters(standard, report_settings) if one in in_profile))
    # Those beside the ones of this report: a reference to one says that it was left out.
    folders = {path.parent for path in notebooks}
    others = standard or [path for folder in folders for path in standard_notebooks(folder)]
    absent = {label: says for path in others if path not in notebooks for label, says in labels_of(path).items()}
    require_distinct((notebook, _executed(notebook, output)) for notebook in notebooks)
    parameters = dict(parameters or {})
    parameters |= {"profile": profile} if profile else {}
    profile = of_profile
    contents = [read_notebook(notebook) for notebook in notebooks]
    signatures = [signature_of(one, f"notebook {path.name}") for one, path in zip(contents, notebooks, strict=True)]
    for name in parameters.keys() - {"profile"}:
        if not any(name in signature.known for signature in signatures):
            likely = next((one for one in signatures if difflib.get_close_matches(name, one.known)), signatures[0])
            likely.require(name)
    around = _around_notebooks(kernel)
    files = _Files(output)

    def planned() -> list[_Plan]:
        of_each = zip(notebooks, contents, signatures, strict=True)
        return [_plan(*one, profile, parameters, files.given(report_settings), around) for one in of_each]

    plans = planned()
    if any(plan.parameters.get("seeds") == 2 for plan in plans):
        raise ParameterError("seeds=2 gives no verdict: take 3 or more, or 1 for statements on single networks")
    state = _State(output / "state.json")
    todo = [plan for plan in plans if force or not state.is_current(plan, output)]
    what = f"profile {profile}, " if any("profile" in plan.parameters for plan in plans) else ""
    say(f"{what}{len(plans)} notebooks, {len(plans) - len(todo)} of them up to date")
    for source in sorted({line for plan in plans for line in plan.stand_ins}):
        say(source)
    executions = []
    missing: list[Training] = []
    if todo:
        if kernel:
            from hwkit.report.kernels import require_kernel  # imports Jupyter's client

            require_kernel(kernel)
        _start_server(todo)
        missing = _missing_trainings(todo)
    _make_folder(output / "notebooks")
    if todo:
        say(_forecast(missing, todo, device))
    clock.lap("planning")
    if todo:
        _train(missing, device, say)
        clock.lap("training")
        executions = _execute([plan for plan in todo if not plan.closes], output, state, device, kernel, say)
    if executions or not files.are_as_written(state):
        files.gather(plans)
    plans = planned()
    closing = [plan for plan in plans if plan.closes and (force or not state.is_current(plan, output))]
    if closing:
        _start_server(closing)
        executions += _execute(closing, output, state, device, kernel, say)
    clock.lap("notebooks")
    report = _export(plans, executions, report_settings, files, absent, state)
    clock.lap("document")
    told = [f"{one.notebook.name}: {one.warning}" for one in executions if one.warning]
    if "profile" in parameters and not any("profile" in plan.parameters for plan in plans):
        told.append(f"no notebook has a parameter profile, and {profile!r} has no effect")
    return dataclasses.replace(report, warnings=(*told, *report.warnings), seconds=clock.laps)


class _Clock:
    """Tells how long each step took: `laps`, seconds by the step's name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.since = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        self.laps[step] = now - self.since
        self.since = now


# --- What to run ------------------------------------------------------------------------------------------------


def _default_profile(device: str) -> str:
    """ "full" where there is a CUDA GPU to train on, and "quick" elsewhere."""
    if device.startswith("cpu") or not _has_cuda_driver():  # PyTorch would know, but takes seconds to import
        return "quick"
    from hwkit.engine.devices import resolve_device

    return "full" if resolve_device(device).type == "cuda" else "quick"


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


def standard_notebooks(folder: Path, profile: str | None = None) -> list[Path]:
    """The notebooks of a folder by name, but for those whose metadata leave them out.

    These say `"hwkit": {"report": false}`, or `"hwkit": {"profiles": ["full"]}`, to be in the reports of some profiles.

    Parameters
    ----------
    profile : of the report; None is any.
    """
    wanted = []
    for path in sorted(folder.glob("*.ipynb")):
        facts = read_notebook(path)["metadata"].get("hwkit", {})
        if facts.get("report", True) and profile in (None, *facts.get("profiles", [profile])):
            wanted.append(path)
    return wanted


@dataclass(frozen=True)
class _Plan:
    """One notebook of a report with the parameters it gets.

    `key` changes with everything that can change what the executed notebook shows. One that `closes` the report is
    executed after the others, whose numbers it takes.
    """

    notebook: Path
    parameters: dict[str, Any]
    datasets: tuple[str, ...]
    stand_ins: tuple[str, ...]
    key: str
    closes: bool

    def output(self, folder: Path) -> Path:
        return _executed(self.notebook, folder)


def _executed(notebook: Path, output: Path) -> Path:
    """Where the executed notebook is written."""
    return output / "notebooks" / notebook.name


def _plan(
    notebook: Path,
    content: Mapping[str, Any],
    signature: Signature,
    profile: str,
    parameters: Mapping[str, Any],
    gathered: Mapping[str, Any],
    around: bytes,
) -> _Plan:
    """The plan for a notebook, with a data source that is decided once, here, and not by each kernel on its own.

    The notebook's metadata lists, under hwkit.datasets, the data sets that it needs, and says whether it is closing.
    The default profile is only given to notebooks that take it, and what was gathered to those that say something of
    hwkit: in others the words mean something else.
    """
    from hwkit.datasets import known_facts, resolve_source

    told = content["metadata"].get("hwkit", {})
    closes = told.get("closing") is True
    offered = {name: one for name, one in gathered.items() if closes or (told and name == "reference")}
    given = {name: value for name, value in {**offered, **parameters}.items() if name in signature.known}
    datasets = told.get("datasets", [])
    stand_ins = []
    if datasets and "data" in signature.known:
        asked = signature.convert("data", given.get("data", "auto"))
        found = [resolve_source(name, asked) for name in datasets]
        given["data"] = "stand-in" if "stand-in" in found else "real"
        if given["data"] == "stand-in":
            titles = " and ".join(known_facts(name).title for name in datasets)
            stand_ins = [f"{titles}: a drawn stand-in set takes the place of the real data, and the report says so"]
    if "profile" in signature.known and "profile" not in given:
        with contextlib.suppress(ParameterError):
            given = signature.convert_all({"profile": profile, **given})
    given = signature.convert_all(given)
    paths = [Path(given[name]) for name in ("results", "verdicts") if closes and name in given]
    files = [path.read_bytes() if path.is_file() else b"" for path in paths]
    key = _digest(notebook.read_bytes(), canonical(given).encode(), around, *files)
    return _Plan(notebook, given, tuple(datasets), tuple(stand_ins), key, closes)


class _Files:
    """results.csv and verdicts.csv of a report: the rows that its notebooks show."""

    def __init__(self, output: Path) -> None:
        self.pdf, self.html = output / "report.pdf", output / "report.html"
        self.results, self.verdicts = output / "results.csv", output / "verdicts.csv"
        self.rows: list[dict[str, Any]] = []
        self.found: list[dict[str, Any]] = []
        self.gathered = False

    @property
    def paths(self) -> tuple[Path, Path, Path, Path]:
        """All files of the report, in the order of `Report`."""
        return self.pdf, self.html, self.results, self.verdicts

    def given(self, settings: ReportSettings) -> dict[str, Any]:
        """The parameters that notebooks get of it, those that they declare."""
        paths = str(self.results.absolute()), str(self.verdicts.absolute())
        return dict(zip(GATHERED, (*paths, settings.reference), strict=True))

    def are_as_written(self, state: _State) -> bool:
        """Whether all files of the report are those that the last build left."""
        return state.content.get("written") == [_sha256(path) for path in self.paths]

    def gather(self, plans: Sequence[_Plan]) -> None:
        """Collect and write the rows of executed notebooks, once; nothing is written where nothing has changed."""
        if self.gathered:
            return
        import pandas as pd

        from hwkit.findings.reference import RESULTS_MIME, unique_rows
        from hwkit.findings.verdicts import COLUMNS, VERDICTS_MIME, adjusted

        executed = (plan.output(self.pdf.parent) for plan in plans if not plan.closes)
        there = [path for path in executed if path.exists()]
        self.rows = unique_rows([table for path in there for table in outputs_of_kind(path, RESULTS_MIME)])
        self.found = adjusted(
            [
                {"chapter": path.stem, **row}
                for path in there
                for of_finding in outputs_of_kind(path, VERDICTS_MIME)
                for row in of_finding
            ]
        )
        for path, frame in (
            (self.results, pd.DataFrame(self.rows)),
            (self.verdicts, pd.DataFrame(self.found, columns=COLUMNS)),
        ):
            content = frame.to_csv(index=False).encode()
            if not path.is_file() or path.read_bytes() != content:
                replace_file(path, content)
        self.gathered = True


def _around_notebooks(kernel: str | None) -> bytes:
    """A digest of the kernel asked for, the library and the packages that draw what a notebook shows."""
    versions = {name: importlib.metadata.version(name) for name in SHOWN_BY}
    machine = [versions, platform.python_version(), importlib.util.find_spec("tensorflow") is not None, kernel]
    library = (path.read_bytes() for path in _library_files(exporting=False))
    return _digest(json.dumps(machine, sort_keys=True).encode(), *library).encode()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(f"cannot make {folder}: {error.strerror}; name a folder to write to with --output") from None


def _start_server(plans: Sequence[_Plan]) -> None:
    """Let the server of all processes import and load what they share, while this process goes on planning."""
    from hwkit.engine import processes

    real = (plan for plan in plans if plan.parameters.get("data") == "real")
    processes.context({name for plan in real for name in plan.datasets})


def _missing_trainings(plans: Sequence[_Plan]) -> list[Training]:
    """What the notebooks are going to train and what is not trained yet, each once."""
    from hwkit import parallel

    wanted = [one for plan in plans for one in planned_trainings(read_notebook(plan.notebook), plan.parameters)]
    return parallel.unfinished([parallel.resolved(one) for one in wanted])


def _forecast(missing: Sequence[Training], plans: Sequence[_Plan], device: str) -> str:
    """How long training and notebooks should take, from a few steps of each kind of network."""
    from hwkit import parallel
    from hwkit.formats import duration

    places = parallel.places(device)
    training = sum(parallel.expected_seconds(one, device) for one in missing) / max(1, min(places, len(missing)))
    notebooks = NOTEBOOK_SECONDS * len(plans) / min(places, len(plans))
    what = f"{len(missing)} networks to train, {len(plans)} notebooks to execute"
    return f"{what}: this should take about {duration(training + notebooks)}"


def _train(missing: Sequence[Training], device: str, say: Callable[[str], None]) -> None:
    """Train side by side; what fails here fails again, and is shown, in the notebook that wants it."""
    from hwkit import parallel

    try:
        parallel.train_all(missing, device=device, say=say)
    except HwkitError as error:
        say(f"training failed: {error}")


def _execute(
    plans: Sequence[_Plan], output: Path, state: _State, device: str, kernel: str | None, say: Callable[[str], None]
) -> list[Execution]:
    """Execute notebooks side by side, those first that took longest last time, or else have the most to do."""
    from hwkit import parallel
    from hwkit.engine.processes import Job, run_jobs
    from hwkit.formats import duration

    plans = sorted(plans, key=lambda plan: (state.seconds(plan), plan.notebook.stat().st_size), reverse=True)
    workers = max(1, min(parallel.places(device), len(plans)))
    threads = parallel.threads_each(workers)
    executions: list[Execution] = []

    def started(number: int) -> None:
        # What an interrupted execution leaves in the output's place must not pass for the one before, nor the one
        # before for what a process that is killed would have shown.
        state.forget(plans[number])
        plans[number].output(output).unlink(missing_ok=True)

    def ended(number: int, outcome: Outcome) -> None:
        plan = plans[number]
        failed = Execution(plan.notebook, plan.output(output), 0.0, str(outcome.error))
        execution = failed if outcome.error else dataclasses.replace(outcome.value, notebook=plan.notebook)
        _require_whole(execution.output)
        state.remember(plan, execution, output)
        executions.append(execution)
        how = f"failed: {execution.failure}" if execution.failure else duration(execution.seconds)
        say(f"[{len(executions)}/{len(plans)}] {plan.notebook.name}: {how}")

    jobs = [
        Job(_execute_in_process, (plan.notebook, plan.output(output), plan.parameters, threads, kernel))
        for plan in plans
    ]
    run_jobs(jobs, workers, on_start=started, on_end=ended)
    return executions


def _execute_in_process(
    tell: Callable[[Any], None],
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    threads: int,
    kernel: str | None,
) -> Execution:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    return execute(notebook.absolute(), output.absolute(), parameters, progress=False, kernel=kernel)


class _State:
    """What `build/` holds already: per notebook the key it was executed under, and how long that took."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Nothing built yet, or not by this version, or damaged: everything is built anew.
        self.content: dict[str, Any] = {"notebooks": {}}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            found = storage.read_object(path)
            if all(isinstance(known["seconds"], float) for known in found["notebooks"].values()):
                self.content = found

    def is_current(self, plan: _Plan, output: Path) -> bool:
        known = self.content["notebooks"].get(plan.notebook.name, {})
        return known.get("key") == plan.key and known.get("sha256") == _sha256(plan.output(output))

    def seconds(self, plan: _Plan) -> float:
        return self.content["notebooks"].get(plan.notebook.name, {}).get("seconds", 0.0)

    def remember(self, plan: _Plan, execution: Execution, output: Path) -> None:
        """Note an execution; a failed one is never up to date."""
        self.content["notebooks"][plan.notebook.name] = {
            "key": None if execution.failure else plan.key,
            "seconds": round(execution.seconds, 1),
            "sha256": _sha256(plan.output(output)),
        }
        self.save()

    def forget(self, plan: _Plan) -> None:
        """Drop what is known of a notebook, because its output is about to change."""
        self.content["notebooks"].pop(plan.notebook.name, None)
        self.save()

    def save(self) -> None:
        replace_file(self.path, (json.dumps(self.content, indent=2) + "\n").encode())


# --- What comes out ---------------------------------------------------------------------------------------------


def _export(
    plans: Sequence[_Plan],
    executions: Sequence[Execution],
    settings: ReportSettings,
    files: _Files,
    absent: Mapping[str, str],
    state: _State,
) -> Report:
    """Write PDF and HTML from the executed notebooks, unless they are there and nothing has changed."""
    output = files.pdf.parent
    executed = [plan.output(output) for plan in plans if plan.output(output).exists()]
    if not executed:
        failures = "; ".join(f"{e.notebook.name}: {e.failure}" for e in executions)
        raise ReportError(f"no notebook could be executed, so there is no report: {failures}")
    beside = dict.fromkeys(plan.notebook.parent / BIBLIOGRAPHY for plan in plans)
    found = [str(path) for path in beside if path.is_file()]
    settings = dataclasses.replace(
        settings,
        bibliography=(*settings.bibliography, *found),
        pdf_standard=settings.pdf_standard or PDF_STANDARD,
    )
    key = _digest(
        repr(settings).encode(),
        *(Path(path).read_bytes() for path in found),
        *(path.read_bytes() for path in executed),
        *(path.read_bytes() for path in _library_files(exporting=True)),
    )
    reused = tuple(plan.notebook.name for plan in plans if plan.notebook not in [e.notebook for e in executions])
    if state.content.get("report") == key and files.are_as_written(state):
        return Report(*files.paths, tuple(executions), reused, int(state.content.get("pages", 0)), ())

    from hwkit.findings.summary import Summary
    from hwkit.report.bind import build_book

    files.gather(plans)
    labels = frozenset(label for plan in plans for label in labels_of(plan.notebook))
    summary = Summary(files.rows, files.found, settings.reference, labels)
    if not settings.abstract:
        settings = dataclasses.replace(settings, abstract=summary.abstract)
    failed = [f"{e.notebook.stem} stopped at {e.failure}" for e in executions if e.failure]
    facts = {"Incomplete": ", ".join(failed)} if failed else {}
    info = build_book(
        executed,
        settings=settings,
        facts=facts,
        opening=_opening(summary),
        absent=absent,
        pdf=files.pdf,
        html=files.html,
    )
    state.content |= {"report": key, "pages": info.pages, "written": [_sha256(path) for path in files.paths]}
    state.save()
    warnings = (*_doubtful(files.found), *info.warnings)
    return Report(*files.paths, tuple(executions), reused, info.pages, warnings)


def _doubtful(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """A warning on each chapter with several primary claims: Holm's correction is over one of each."""
    counts = Counter(row["chapter"] for row in verdicts if row["primary"])
    return [f"{chapter} has {count} primary claims; leave one" for chapter, count in counts.items() if count > 1]


def _opening(summary: Summary) -> str:
    """The summary at the front of the report, as Markdown: the primary claims in a table and a figure, and words."""
    if not summary.rows:
        return ""
    from hwkit.findings import figures
    from hwkit.findings.summary import verdict_table

    parts = ["# Summary {#sec-summary}", summary.intro]
    if primary := summary.primary:
        parts += [
            verdict_table(primary, reference=summary.compares),
            ": The primary claims: differences in percentage points unless another unit is given"
            + ("" if summary.decided else "; intervals are of the choice of test images alone")
            + ". {#tbl-verdicts}",
            _picture(
                figures.forest(primary),
                "Differences of the primary claims"
                + (
                    " with their 95 % intervals"
                    if summary.decided
                    else ", dotted the sampling error of the images alone"
                )
                + "; a band is the margin within which two count as the same.",
                "#fig-verdicts",
            ),
        ]
    return "\n\n".join([*parts, summary.discussion])


def _picture(figure: ReportFigure, caption: str, attributes: str) -> str:
    """A figure as Markdown that holds it."""
    from hwkit import theme

    picture = base64.b64encode(theme.svg(figure).encode()).decode()
    alt = (figure.alt or theme.description(figure)).replace('"', "'")
    return f'![{caption}](data:image/svg+xml;base64,{picture}){{{attributes} fig-alt="{alt}"}}'


def _library_files(*, exporting: bool) -> list[Path]:
    """The source files of hwkit that decide what an executed notebook shows, or how notebooks are exported."""
    package = Path(__file__).parents[1]
    files = [path for path in sorted(package.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return [path for path in files if ("report" in path.relative_to(package).parts) == exporting]


def _require_whole(notebook: Path) -> None:
    """Delete an executed notebook whose process was killed, or ran out of disk, in the middle of writing it."""
    try:
        read_notebook(notebook)
    except ReportError:
        notebook.unlink(missing_ok=True)


def _sha256(path: Path) -> str | None:
    """The SHA-256 of a file; None if there is none that can be read."""
    with contextlib.suppress(OSError):
        return storage.sha256(path)
    return None


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()
