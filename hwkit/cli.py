"""The `hwkit` command: a thin skin over the library. The only module that prints."""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwkit.errors import BenchError, HwkitError, ParameterError, remedy
from hwkit.report.values import Text, read_value
from hwkit.version import __version__

if TYPE_CHECKING:
    from hwkit.export.export import Conversion, Options
    from hwkit.export.folder import Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 if something failed, 2 for bad input, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that a terminal cannot show must not end a command
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except HwkitError as error:
        print(f"hwkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\nhwkit: {str(interrupt) or 'interrupted; run it again to continue'}", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        extra = "batch" if options.run in _BATCH else _EXTRAS.get(options.run, "train")
        extra = "report" if getattr(options, "execute", False) else extra
        print(f"hwkit: {error.name} is not installed; `pip install 'hwkit[{extra}]'` does it", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = error.filename or "the disk"
        print(f"hwkit: cannot use {where}: {error.strerror or error}; {remedy(error)}", file=sys.stderr)
        return 2


def _train(options: argparse.Namespace) -> int:
    from hwkit.experiment import Experiment, named_experiment, read_code
    from hwkit.training import train

    chosen = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(Experiment)}
    given = {name: read_value(text) for name, text in chosen.items() if text is not None and name != "profile"}
    overrides = {name: read_code(name, value) for name, value in given.items()}
    experiment = named_experiment(options.experiment, options.profile, **overrides)
    run = train(experiment, device=options.device, progress=not options.no_progress)
    print(run)
    return 0


def _runs(options: argparse.Namespace) -> int:
    from hwkit.engine import catalogue
    from hwkit.experiment import TRAINING_VERSION
    from hwkit.paths import store_root

    def read(folder: Path) -> catalogue.Line:
        from hwkit.runs import line_of  # imports torch, which listing what has not changed does without

        return line_of(folder)

    found = catalogue.list_store(store_root(), TRAINING_VERSION, read)
    print(
        catalogue.table(found.runs, TRAINING_VERSION)
        if found.runs
        else f"no finished runs in {store_root()}; `hwkit train mnist` makes one"
    )
    for folder in found.unfinished:
        print(f"unfinished: {folder}; training it again resumes from its checkpoint")
    for problem in found.problems:
        print(f"hwkit: {problem}", file=sys.stderr)
    return 1 if found.problems else 0


def _learn_networks(references: Sequence[str]) -> None:
    """Make networks of the user's own known, so that runs of them can be loaded."""
    from hwkit.experiment import read_code

    for reference in references:
        read_code("model", reference)


def _show(options: argparse.Namespace) -> int:
    from hwkit import models, runs

    _learn_networks(options.model)
    run = runs.load(options.reference)
    print(run)
    sections = {"folder": {"path": run.folder}, "experiment": run.experiment.as_dict(), "metrics": run.metrics}
    for title, content in {**sections, "environment": run.environment}.items():
        print(f"\n{title}")
        for key, value in content.items():
            if key != "files":
                print(f"  {key:<16} {value}")
    if models.known(run.experiment):
        print(f"\nparameters\n{models.parameter_table(run.model()).to_string()}")
    else:
        print(f"\nparameters of a network of your own, {run.experiment.model.partition('@')[0]}")
        for name, tensor in run.final_weights.items():
            print(f"  {name:<32} {' × '.join(map(str, tensor.shape))}")
    print(f"\nlast records\n{run.record.tail(5).to_string(index=False)}")
    return 0


def _explore(options: argparse.Namespace) -> int:
    import webbrowser

    from hwkit import runs
    from hwkit.explorer import explore
    from hwkit.paths import project_root

    _learn_networks(options.model)
    shown = [runs.load(reference) for reference in options.references[:2]]
    page = explore(*shown, image=options.image, layer=options.layer, most=options.images)
    path = page.save(options.output or project_root() / "build" / "explorer" / f"{shown[0].folder.name}.html")
    print(path)
    if options.output is None:
        webbrowser.open(path.resolve().as_uri())
    return 0


def _data(options: argparse.Namespace) -> int:
    from hwkit.datasets import own, sources
    from hwkit.paths import data_root

    rows = [*sources.status_table(), *own.status_table()]
    width = max(len(row["data set"]) for row in rows)
    print(f"data sets in {data_root()}")
    for row in rows:
        print(f"{row['data set']:<{width}} {row['status']:<9} {row['images']}, {row['source']}, in {row['location']}")
        for line in row["detail"].splitlines():
            print(f"{'':<{width}} {line}")
    return 1 if any(row["status"] == "damaged" for row in rows) else 0


def _doctor(options: argparse.Namespace) -> int:
    from hwkit import doctor
    from hwkit.paths import data_root, store_root

    print(f"runs in {store_root()}, data in {data_root()}")
    left = 0
    for finding in doctor.examine():
        print(finding)
        if finding.repair and options.repair:
            finding.repair()
            print(f"  done: {finding.remedy}")
        else:
            left += finding.alarming
            if finding.remedy:
                print(f"  `hwkit doctor --repair` would {finding.remedy}")
    print("everything else is undamaged")
    return 1 if left else 0


def _report(options: argparse.Namespace) -> int:
    from hwkit.report.build import build_report

    parameters: dict[str, Any] = {}
    for name, text in map(_assignment, options.parameter):
        if name in parameters:
            raise ParameterError(f"parameter {name} is given twice: {parameters[name]!r} and {text!r}; give one")
        parameters[name] = text
    if options.profile and "profile" in parameters:
        raise ParameterError(f"the profile is given twice: {options.profile!r} and {parameters['profile']!r}; give one")
    report = build_report(
        options.profile or parameters.pop("profile", None),
        notebooks=[Path(path) for path in options.notebooks],
        parameters=parameters,
        settings=options.settings,
        output=options.output,
        force=options.force,
        kernel=options.kernel,
        say=lambda line: print(line, flush=True),
    )
    for name in report.reused:
        print(f"{name}: up to date")
    for warning in report.warnings:
        print(f"warning: {warning}")
    print("time: " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in report.seconds.items()))
    print(f"{report.pdf} ({report.pages} pages)\n{report.html}\n{report.csv}")
    for execution in report.failures:
        print(f"hwkit: {execution.notebook.name} failed: {execution.failure}", file=sys.stderr)
        if execution.output.exists():
            print(f"hwkit: executed up to there in {execution.output}", file=sys.stderr)
    return 1 if report.failures else 0


def _export(options: argparse.Namespace) -> int:
    from hwkit.export import folder
    from hwkit.export.export import Options

    how = Options(options.theme, options.settings, options.questions, options.execute, options.limit)
    conversions = folder.planned(options.notebooks, options.output_dir)
    if options.bind:
        return _bind(conversions, options.output_dir, how)
    if options.watch:
        for result in folder.watch(options.notebooks, options.output_dir, how):
            _print_export(result)
    results = []
    for result in _exported(conversions, how):
        _print_export(result)
        results.append(result)
    if options.report:
        folder.write_report(results, options.report)
    failed = [result for result in results if result.problem]
    if len(results) > 1:
        print(folder.summary(results), file=sys.stderr)
        for result in failed:
            print(f"  {result.conversion.notebook}: {result.problem}", file=sys.stderr)
    return 1 if failed else 0


def _print_export(result: Result) -> None:
    from hwkit.export.export import named

    notebook = str(result.conversion.notebook)
    for line in named(notebook, [result.problem] if result.problem else result.warnings):
        print(f"hwkit: {line}", file=sys.stderr)
    if not result.problem:
        print(result.conversion.pdf, flush=True)


def _exported(conversions: Sequence[Conversion], how: Options) -> Iterator[Result]:
    """The results of all notebooks, with a progress bar where somebody watches and there is more than one."""
    from hwkit.export.folder import export_all

    if len(conversions) == 1:
        yield from export_all(conversions, how)
        return
    from tqdm import tqdm

    with tqdm(total=len(conversions), unit=" notebooks", leave=False, disable=None) as bar:
        for result in export_all(conversions, how, on_done=bar.update):
            with bar.external_write_mode():
                yield result


def _bind(conversions: Sequence[Conversion], output_dir: Path | None, how: Options) -> int:
    from hwkit.export.export import bind_pdf

    root = conversions[0].root.resolve()
    pdf = (output_dir or conversions[0].root) / f"{root.name or 'notebooks'}.pdf"
    warnings, failed = bind_pdf(conversions, pdf, options=how)
    for line in [*warnings, *(f"{notebook}: {problem}" for notebook, problem in failed.items())]:
        print(f"hwkit: {line}", file=sys.stderr)
    print(pdf)
    return 1 if failed else 0


def _bench(options: argparse.Namespace) -> int:
    if options.export is not None:
        from hwkit.bench.exports import measure_exports, table_of_exports

        print(table_of_exports(measure_exports(options.export, options.rounds or 5)))
        return 0

    from hwkit.bench.training import bench, tables
    from hwkit.engine import run_files
    from hwkit.paths import project_root

    output = options.output or project_root() / "build" / "bench.json"
    if output.is_dir():
        raise BenchError(f"--output {output} is a folder; name a file in it")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        result = bench(
            options.dataset or ["mnist", "cifar10"],
            device=options.device,
            source=options.data,
            quick=options.quick,
            runs=options.runs,
            speed=not options.no_speed,
            to_accuracy=options.to_accuracy,
            check_accuracy=options.check_accuracy,
            seeds=options.seeds,
            rounds=options.rounds,
            notebooks=options.report,
            folder=output.parent,
            say=lambda line: print(line, flush=True),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; nothing was written") from None
    run_files.write_json(output, result)
    print(f"\n{tables(result)}\n\n{output}")
    return 0


def _results(options: argparse.Namespace) -> int:
    from hwkit.findings import reference as results
    from hwkit.paths import project_root

    print(results.summary(results.read_rows(options.file or project_root() / "build" / "results.csv")))
    return 0


def _batch_plan(options: argparse.Namespace) -> int:
    from hwkit.batch.file import read_batch
    from hwkit.batch.planning import forecast, listing, plan

    found = plan(read_batch(options.file))
    print(*listing(found), sep="\n", flush=True)
    print(forecast(found))
    return 0


def _batch_status(options: argparse.Namespace) -> int:
    from hwkit.batch.file import read_batch
    from hwkit.batch.planning import plan, status

    for line in status(plan(read_batch(options.file))):
        print(line)
    return 0


def _batch_run(options: argparse.Namespace) -> int:
    from hwkit.batch.file import read_batch
    from hwkit.batch.planning import failures, plan
    from hwkit.batch.progress import display
    from hwkit.batch.running import run_batch

    batch = read_batch(options.file)
    progress = run_batch(
        batch,
        display(lambda line: print(line, flush=True)),
        scheduler=options.scheduler,
        workers=options.workers,
        kernel=options.kernel,
        retry=options.retry,
    )
    print(f"{batch.name}: {progress.done} of {progress.total} done, {progress.failed} failed; store: {batch.store}")
    for line in failures(plan(batch)) if progress.failed else ():
        print(f"hwkit: {line}", file=sys.stderr)
    return 1 if progress.failed else 0


def _batch_results(options: argparse.Namespace) -> int:
    from hwkit.batch import verdicts
    from hwkit.batch.file import read_batch
    from hwkit.batch.planning import plan
    from hwkit.batch.results import gather

    found = gather(plan(read_batch(options.file)))
    for problem in found.problems:
        print(f"hwkit: {problem}", file=sys.stderr)
    path = found.write(options.output)
    print(f"{found.markdown()}\n\n{found.summary}")
    compared = verdicts.against_baseline(found)
    if compared:
        print(f"\n{verdicts.markdown(compared)}")
    if remarks := verdicts.remarks(found, compared):
        print("", *remarks, "", sep="\n")
    print(path)
    if compared:
        print(verdicts.write(compared, path))
    return 1 if found.problems else 0


def _batch_report(options: argparse.Namespace) -> int:
    from hwkit.batch.comparison import build_comparison
    from hwkit.batch.file import read_batch
    from hwkit.batch.planning import plan

    report = build_comparison(plan(read_batch(options.file)), output=options.output, settings=options.settings)
    for warning in report.warnings:
        print(f"warning: {warning}")
    print(f"{report.pdf} ({report.pages} pages)")
    return 0


_EXTRAS = {_export: "export", _report: "report"}
_BATCH = (_batch_plan, _batch_status, _batch_run, _batch_results, _batch_report)


def _assignment(text: str) -> tuple[str, Text]:
    """A notebook parameter from `name=value`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ParameterError(f"parameter {text!r} has no {'name' if equals else 'value'}; write it as NAME=VALUE")
    return name.strip(), Text(value.strip())


class _Parser(argparse.ArgumentParser):
    """Errors in one line that begins as all of ours do; options by their whole names only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> None:
        print(f"hwkit: {message}; `{self.prog} --help` lists the options", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    from hwkit.experiment import Experiment, option_names

    parser = _Parser(prog="hwkit", description="Train small CNNs, look inside them, and build a course report.")
    parser.add_argument("--version", action="version", version=f"hwkit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    train = commands.add_parser(
        "train",
        help="train a named experiment, or load or continue its run",
        epilog="example: `hwkit train mnist --model mynets.py:Net --epochs 3` trains the class Net in mynets.py",
    )
    train.add_argument("experiment", help="such as mnist, mnist-l2, cifar10; an unknown name lists all")
    train.add_argument("--profile", default="quick", help="smoke, quick, full or seed (default: quick)")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    train.add_argument("--no-progress", action="store_true", help="no progress bar")
    changes = train.add_argument_group("changes to the experiment")
    for field in dataclasses.fields(Experiment):
        if field.name in option_names() and field.name != "dataset":
            name = f"--{field.name.replace('_', '-')}"
            changes.add_argument(name, help=field.metadata["help"].replace("%", "%%"), metavar="VALUE")
    train.set_defaults(run=_train)

    runs = commands.add_parser("runs", help="list the finished runs")
    runs.set_defaults(run=_runs)

    show = commands.add_parser("show", help="show one run")
    show.add_argument("reference", metavar="RUN", help="an experiment's name, or the run's folder or fingerprint")
    _add_model_option(show)
    show.set_defaults(run=_show)
    exploring = commands.add_parser("explore", help="look inside a run, or two beside each other, in a browser")
    exploring.add_argument("references", nargs="+", metavar="RUN", help="one or two, as of `hwkit show`")
    _add_model_option(exploring)
    exploring.add_argument("--output", type=Path, metavar="PAGE", help="write the page there and open nothing")
    exploring.add_argument("--images", type=int, default=1000, metavar="N", help="on the page at most (default: 1000)")
    exploring.add_argument("--image", type=int, metavar="N", help="the test image that is shown first")
    exploring.add_argument("--layer", metavar="NAME", help="the layer that is shown first")
    exploring.set_defaults(run=_explore)

    data = commands.add_parser("data", help="show which data sets are here, and check their files")
    data.set_defaults(run=_data)

    doctor = commands.add_parser("doctor", help="check every file of the runs and the data sets")
    doctor.add_argument("--repair", action="store_true", help="repair what can be, and set the rest aside")
    doctor.set_defaults(run=_doctor)

    report = commands.add_parser("report", help="execute the notebooks and export them as PDF, HTML and CSV")
    report.add_argument("notebooks", nargs="*", help="default: all of notebooks/")
    report.add_argument("--profile", help="smoke, quick, full or seed (default: full on a CUDA GPU, else quick)")
    report.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE")
    report.add_argument("--settings", type=Path, help="default: report.toml of the project")
    report.add_argument("--output", type=Path, help="default: build/ of the project")
    report.add_argument("--force", action="store_true", help="execute every notebook again")
    report.add_argument("--kernel", metavar="NAME", help="a Jupyter kernel in place of those the notebooks name")
    report.set_defaults(run=_report)

    export = commands.add_parser("export", help="typeset any notebooks as PDF, as they are")
    export.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="or a folder of notebooks")
    export.add_argument("--output-dir", type=Path, help="default: beside each notebook")
    export.add_argument("--theme", default="", help="article, report, handout, or a .typ file (default: article)")
    export.add_argument("--settings", default="", help="a report.toml with title, authors, paper, font, ...")
    export.add_argument("--questions", action="store_true", help="only the questions of otter-grader and nbgrader")
    export.add_argument("--execute", action="store_true", help="run each notebook first; its file stays as it is")
    export.add_argument("--bind", action="store_true", help="one PDF of all, with a chapter for each")
    export.add_argument("--watch", action="store_true", help="go on, and export what is saved")
    export.add_argument("--limit", type=float, default=300, help="seconds for each notebook of many (default: 300)")
    export.add_argument("--report", type=_csv, metavar="FILE.csv", help="write a row for each notebook and warning")
    export.set_defaults(run=_export)

    results = commands.add_parser("results", help="show the results.csv of a report as a Markdown table")
    results.add_argument("file", nargs="?", type=Path, help="default: build/results.csv of the project")
    results.set_defaults(run=_results)

    bench = commands.add_parser("bench", help="measure how fast training is, beside other ways and the limit")
    bench.add_argument("--dataset", action="append", metavar="NAME", help="mnist or cifar10 (default: both)")
    bench.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    bench.add_argument("--data", default="auto", help="real, stand-in, or auto (default)")
    bench.add_argument("--runs", type=int, help="how many at once (default: as many as a report trains)")
    bench.add_argument("--quick", action="store_true", help="seconds, on a part of the data, to see that it works")
    bench.add_argument("--no-speed", action="store_true", help="only what the next three options ask for")
    bench.add_argument("--to-accuracy", action="store_true", help="also seconds to given test accuracies")
    bench.add_argument(
        "--check-accuracy",
        nargs="?",
        const="full",
        metavar="PROFILE",
        help="also whether training as fast as it can is as accurate as in fp32 (default profile: full)",
    )
    bench.add_argument("--report", action="store_true", help="also what an empty notebook costs")
    bench.add_argument(
        "--export", type=Path, metavar="NOTEBOOK", help="only how long it takes to a PDF, by each way that is installed"
    )
    bench.add_argument("--rounds", type=int, help="windows of each baseline (default: 5)")
    bench.add_argument("--seeds", type=int, default=3, help="of --to-accuracy and --check-accuracy (default: 3)")
    bench.add_argument("--output", type=Path, help="default: build/bench.json of the project")
    bench.set_defaults(run=_bench)
    batch = commands.add_parser("batch", help="run grids of experiments or notebooks, here or on a cluster")
    _add_batch_commands(batch.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser))
    return parser


def _add_model_option(command: argparse.ArgumentParser) -> None:
    what = "the network of the run, if it is one of your own (repeat it for two)"
    command.add_argument("--model", action="append", default=[], metavar="FILE.py:NAME", help=what)


def _csv(text: str) -> Path:
    if not text.lower().endswith(".csv"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .csv")
    return Path(text)


def _add_batch_commands(commands: argparse._SubParsersAction) -> None:
    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.add_argument("file", type=Path, metavar="FILE", help="the batch file; docs/batch.md describes it")
        command.set_defaults(run=run, retry=name == "retry")
        return command

    add("plan", _batch_plan, "show the tasks, which of them are done, and how long the others should take")
    for name, text in (("run", "run what is missing"), ("retry", "run what is missing, and what failed before again")):
        running = add(name, _batch_run, text)
        running.add_argument("--scheduler", metavar="ADDRESS", help="of a running Dask scheduler: tcp://host:8786")
        running.add_argument("--workers", type=int, metavar="N", help="start n here (default: as many as fit)")
        running.add_argument("--kernel", metavar="NAME", help="a Jupyter kernel in place of those the notebooks name")
    add("status", _batch_status, "show the progress, and what failed")
    results = add(
        "results",
        _batch_results,
        "write results.csv, and show mean and spread over seeds, and variants against the baseline",
    )
    results.add_argument("--output", type=Path, help="default: build/batches/FILE/results.csv of the project")
    report = add("report", _batch_report, "compare the variants in a PDF")
    report.add_argument("--output", type=Path, help="default: build/batches/FILE/report.pdf of the project")
    report.add_argument("--settings", type=Path, help="default: report.toml of the project")


if __name__ == "__main__":
    sys.exit(main())
