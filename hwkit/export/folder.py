"""Many notebooks: which ones files and folders name, their conversion side by side, and what came of it."""

from __future__ import annotations

import csv
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwkit.errors import ReportError
from hwkit.export.export import Conversion, Options, export_pdf
from hwkit.export.files import replace_file, require_distinct

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.context import BaseContext

# A worker ends after this many notebooks, and with it what the typesetter keeps of each in case it comes again: 20 MB
# for a notebook of six figures. The next worker is a fork, which takes milliseconds.
NOTEBOOKS_PER_WORKER = 4
WATCH_SECONDS = 0.1  # between two looks at the files
_CELL = re.compile(r"cell (\d+): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Result:
    """What became of one notebook: a PDF with or without warnings, or none and the problem."""

    conversion: Conversion
    warnings: tuple[str, ...] = ()
    problem: str = ""
    seconds: float = 0.0


def planned(paths: Sequence[Path], output_dir: Path | None = None) -> list[Conversion]:
    """What becomes of the notebooks that files and folders name; those of a folder come in the order of their names.

    A PDF stands beside its notebook, or in the same folder below `output_dir`. Hidden files and folders are skipped.

    Raises
    ------
    ReportError
        If a path does not exist or holds no notebook, or two notebooks would become one PDF.
    """
    found: dict[str, Conversion] = {}
    for path in paths:
        inside = sorted(_notebooks_below(path)) if path.is_dir() else [path] if path.exists() else []
        if not inside:
            problem = "holds no notebook (.ipynb)" if path.is_dir() else "does not exist"
            raise ReportError(f"{path} {problem}; name notebooks, or a folder with some")
        root = path if path.is_dir() else path.parent
        for notebook in inside:
            pdf = notebook.with_suffix(".pdf")
            if output_dir is not None:
                pdf = output_dir / pdf.relative_to(root)
            found.setdefault(os.path.abspath(notebook), Conversion(notebook, pdf, root))
    require_distinct((one.notebook, one.pdf) for one in found.values())
    return list(found.values())


def _notebooks_below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(".ipynb") and not name.startswith("."):
                yield Path(place, name)


def export_all(
    conversions: Sequence[Conversion], options: Options, *, on_done: Callable[[], object] = lambda: None
) -> Iterator[Result]:
    """Export notebooks on all cores; the results come in the order of the notebooks.

    One notebook is exported here, several in worker processes, which end after some of them. A notebook that takes
    longer than `options.seconds`, or whose process dies, has failed; the others go on. `on_done` is called, from
    another thread, whenever one has ended.
    """
    if len(conversions) == 1:
        yield _exported(conversions[0], options)
        on_done()
        return
    with _Workers(min(_cores(), len(conversions))) as workers:
        futures = [workers.start(one, options) for one in conversions]
        for future in futures:
            future.add_done_callback(lambda _: on_done())
        for one, future in zip(conversions, futures, strict=True):
            yield _Workers.result(one, future, options)


def watch(paths: Sequence[Path], output_dir: Path | None, options: Options) -> Iterator[Result]:
    """Export notebooks, and then each of them whenever it has been saved, and new ones. This never ends by itself."""
    exported: dict[Path, tuple[int, int]] = {}
    with _Workers(1) as workers:
        while True:
            for one in planned(paths, output_dir):
                if (stamp := _stamp(one.notebook)) and exported.get(one.notebook) != stamp:
                    exported[one.notebook] = stamp
                    yield _Workers.result(one, workers.start(one, options), options)
            time.sleep(WATCH_SECONDS)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:  # it is being replaced
        return None
    return found.st_mtime_ns, found.st_size


class _Workers:
    """Processes that export notebooks, and that are replaced when one of them hangs, dies or has done enough."""

    def __init__(self, count: int) -> None:
        from pebble import ProcessPool  # a single notebook does without

        self.pool = ProcessPool(max_workers=count, max_tasks=NOTEBOOKS_PER_WORKER, context=_context())

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.stop()
        self.pool.join()

    def start(self, one: Conversion, options: Options) -> Future[Result]:
        return self.pool.schedule(_exported, args=(one, options), timeout=options.seconds)

    @staticmethod
    def result(one: Conversion, future: Future[Result], options: Options) -> Result:
        """How the export went, a process that was killed included."""
        from concurrent.futures.process import BrokenProcessPool

        from pebble import ProcessExpired

        try:
            return future.result()
        except TimeoutError:
            problem = f"it took longer than {options.seconds:g} seconds and was stopped; allow more with --limit"
        except (ProcessExpired, BrokenProcessPool) as error:
            problem = f"its process died ({error}), perhaps for want of memory"
        return Result(one, problem=problem, seconds=options.seconds)


def _exported(one: Conversion, options: Options) -> Result:
    start = time.perf_counter()
    try:
        _, warnings = export_pdf(one.notebook, one.pdf, root=one.root, options=options)
    except ReportError as error:
        return Result(one, problem=str(error), seconds=time.perf_counter() - start)
    return Result(one, tuple(warnings), seconds=time.perf_counter() - start)


def _context() -> BaseContext:
    """Workers are forks of a process that has imported everything and computes nothing, where systems have that."""
    import multiprocessing

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hwkit.export.preloaded"])
    return context


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- What came of it ------------------------------------------------------------------------------------------------


def summary(results: Sequence[Result]) -> str:
    """How many notebooks were written, how many of them with warnings, and how many failed."""
    failed = sum(bool(result.problem) for result in results)
    warned = sum(bool(result.warnings) for result in results)
    parts = [f"{len(results) - failed} written" + (f", {warned} of them with warnings" if warned else "")]
    parts += [f"{failed} failed"] if failed else []
    return f"{len(results)} notebooks: {', '.join(parts)}"


def write_report(results: Sequence[Result], path: Path) -> None:
    """Write a CSV file with a row for each warning and each problem, and for each notebook without any.

    The columns are notebook, pdf, status ("written" or "failed"), cell, message and seconds.
    """
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["notebook", "pdf", "status", "cell", "message", "seconds"])
    for result in results:
        one, seconds = result.conversion, f"{result.seconds:.2f}"
        pdf = "" if result.problem else one.pdf
        status = "failed" if result.problem else "written"
        for message in [result.problem] if result.problem else result.warnings or [""]:
            cell = _CELL.fullmatch(message)
            rows.writerow([one.notebook, pdf, status, *(cell.groups() if cell else ("", message)), seconds])
    replace_file(path, table.getvalue().encode("utf-8", "backslashreplace"))
