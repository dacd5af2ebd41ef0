"""What the report says of itself as a whole: abstract, summary and conclusions, computed from all its numbers.

Every function takes the rows of results.csv and verdicts.csv, so that what they say holds with one seed and with
several, and where chapters were left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from IPython.display import Markdown

from hwkit.datasets import known_facts
from hwkit.findings.reference import REFERENCE_RESULTS, ResultTable, markdown_table, read_rows
from hwkit.findings.verdicts import ALPHA, OPTIMIZERS, summary_table
from hwkit.formats import duration, enumerated, in_words, percent, points

Row = dict[str, Any]

# What the reference report compared, by the networks that it named, and how a sentence calls it.
COMPARED = {
    ("cifar10-l2", "cifar10"): "a penalty of 1e-3 on CIFAR-10",
    ("cifar10-l2-strong", "cifar10"): "a penalty of 1e-2 on CIFAR-10",
    ("cifar10-selu", "cifar10-l2"): "SELU in place of ReLU",
    ("cifar10-avgpool", "cifar10-l2"): "average pooling behind 5×5 kernels",
    ("mnist-l2", "mnist"): "a penalty of 1e-3 on MNIST",
    ("mnist-3x3", "mnist-l2"): "3×3 in place of 5×5 kernels on MNIST",
    ("mnist-3x3-double", "mnist-l2"): "3×3 kernels and twice as many filters on MNIST",
}
MAIN = ("cifar10-l2", "cifar10")
REFERENCE = (
    "The *reference report* is an earlier report for the same course. It trained these networks on the same data, most "
    "of them once, and drew its conclusions from single differences in accuracy."
)


@dataclass(frozen=True)
class Compared:
    """A difference in test accuracy that the reference report has, too.

    Attributes
    ----------
    what : how a sentence calls it.
    theirs, error : the reference report's difference, and how far its sampling error reaches (95 %).
    value, low, high : the difference here; the ends are None where there is no verdict.
    schedule : that it was measured under.
    """

    what: str
    theirs: float
    error: float
    value: float
    low: float | None
    high: float | None
    schedule: str

    @property
    def outcome(self) -> str:
        """ "reproduced", "contradicted", "undecided", or of single networks "same sign" or "other sign"."""
        alike = self.theirs * self.value > 0
        if self.low is None or self.high is None:
            return "same sign" if alike else "other sign"
        if self.low <= 0 <= self.high:
            return "undecided"
        return "reproduced" if alike else "contradicted"

    def __str__(self) -> str:
        ends = "" if self.low is None or self.high is None else f", {_ends(self.low, self.high)}"
        return f"{self.what} ({points(self.theirs, sign=True)} there, {points(self.value, sign=True)} here{ends})"


@dataclass(frozen=True)
class Summary:
    """The report's rows and what can be said of them.

    Attributes
    ----------
    rows : of results.csv, a row per run.
    verdicts : of verdicts.csv, a row per finding.
    reference : whether the report compares itself with the reference report.
    labels : the labels of the report's sections, for references to those that are there.
    """

    rows: Sequence[Row]
    verdicts: Sequence[Row]
    reference: bool = True
    labels: frozenset[str] = frozenset()

    @property
    def primary(self) -> list[Row]:
        """The findings on primary claims."""
        return [row for row in self.verdicts if row["primary"]]

    @property
    def decided(self) -> bool:
        """Whether any claim has a verdict, which takes three seeds."""
        return any(row["p_value"] is not None for row in self.verdicts)

    @property
    def compares(self) -> bool:
        """Whether there is anything of the reference report to compare with."""
        return self.reference and any(row["seed_accuracy"] is not None for row in self.rows)

    # --- Title page and summary ----------------------------------------------------------------------------------

    @property
    def abstract(self) -> str:
        """What was asked, done and found, as Markdown; empty if there is nothing."""
        if not self.rows:
            return ""
        return " ".join(filter(None, [self._asked(), self._done(), self._accuracies(), self._found()]))

    @property
    def discussion(self) -> str:
        """The text of the summary behind the table and the figure of the primary claims."""
        return "\n\n".join(filter(None, [self.comparison(), self.limits()]))

    def _asked(self) -> str:
        about = f"What do the penalty, the filters and the training of a small network do to what it learns from {_titles(self.rows)}?"
        if not self.primary:
            return about
        claims = "one claim" if len(self.primary) == 1 else f"{in_words(len(self.primary))} claims"
        whose = " of an earlier course report, the reference report," if self.compares else ""
        return (
            f"{about} This report takes {claims}{whose} and tests {'it' if len(self.primary) == 1 else 'each of them'}."
        )

    def _done(self) -> str:
        recipes = {row["name"] for row in self.rows}
        counts = Counter(row["name"] for row in self.rows)
        seeds = max(counts.values())
        how = f"from up to {in_words(seeds)} random seeds each" if seeds > 1 else "each once, from one random seed"
        stand_in = sorted({row["dataset"] for row in self.rows if row["data"] != "real"})
        note = f" Pictures of {_named(stand_in)} are a drawn stand-in, not the real data." if stand_in else ""
        what = "one network" if len(recipes) == 1 else f"{in_words(len(recipes))} networks"
        return f"We trained {what}, {how}; {schedules(self.rows)}.{note}"

    def _accuracies(self) -> str:
        """The test accuracy of the plain networks."""
        found = {}
        for name in ("mnist", "cifar10"):
            values = [row["test_accuracy"] for row in self.rows if row["name"] == name]
            if values:
                found[known_facts(name).title] = percent(fmean(values))
        if not found:
            return ""
        listed = enumerated([f"{value} of the test images of {title}" for title, value in found.items()])
        return f"Without a penalty the networks classify {listed} correctly."

    def _found(self) -> str:
        if not self.primary:
            return ""
        if not self.decided:
            return (
                "With one seed no claim is decided: every difference is one between two trained networks, and is "
                "reported with the sampling error of the test images alone."
            )
        return f"{self._tally()} {self._main_finding(short=True)}".strip()

    def _tally(self) -> str:
        """How many primary claims have which verdict, those that are decided in words."""
        held = [row for row in self.primary if row["verdict"] in ("supported", "the same")]
        against = [row for row in self.primary if row["verdict"] == "opposite"]
        left = [row for row in self.primary if row["verdict"] in ("open", "one pair")]
        parts = []
        if held:
            parts.append(f"{in_words(len(held))} {_hold(held)} ({_claims(held)})")
        if against:
            parts.append(f"of {in_words(len(against))} the opposite holds ({_claims(against)})")
        if left:
            parts.append(f"{in_words(len(left))} {'stays' if len(left) == 1 else 'stay'} open")
        total = "claim" if len(self.primary) == 1 else f"{in_words(len(self.primary))} claims"
        return f"Of the {total}, {enumerated(parts)}."

    @property
    def intro(self) -> str:
        """The text of the summary before the table: what the report asks, and how to read its verdicts."""
        opening = (
            f"{REFERENCE} This report asks which of them hold for a *recipe*, that is a network, its penalty, its data "
            "and its schedule, and not just for one pair of trained networks. "
            if self.compares
            else "This report asks what holds for a *recipe*, that is a network, its penalty, its data and its schedule, "
            "and not just for one pair of trained networks. "
        )
        if not self.primary:
            return opening
        several = (
            f"{self._tally()} An interval covers what other random seeds and other test images would give, a verdict "
            "holds under the schedule beside it, and p is adjusted for the number of claims (Holm)."
            if self.decided
            else "Each network was trained once, so @tbl-verdicts has statements on pairs of networks and no verdicts: "
            "intervals are those of the choice of test images alone, and another seed may give another sign."
        )
        return (
            f"{opening}Each chapter of the discussion has one primary claim, which was fixed before its runs were read; "
            f"@tbl-verdicts lists them, and @fig-verdicts draws their differences. {several}"
        )

    # --- The reference report ------------------------------------------------------------------------------------

    @property
    def compared(self) -> list[Compared]:
        """The differences of the reference report that are measured here, too."""
        return [found for pair in COMPARED if (found := self._compare(pair))] if self.compares else []

    def _compare(self, pair: tuple[str, str]) -> Compared | None:
        if any(row["data"] != "real" for row in self.rows if row["name"] in pair):
            return None
        mine = [[row for row in self.rows if row["name"] == name] for name in pair]
        if not all(mine):
            return None
        a, b = (REFERENCE_RESULTS[name].accuracy for name in pair)
        images = known_facts(mine[0][0]["dataset"]).test_size
        error = 1.96 * math.sqrt((a * (1 - a) + b * (1 - b)) / images)
        for row in self.verdicts:
            if row["quantity"] == "test accuracy" and {row["a"], row["b"]} == set(pair):
                sign = 1 if row["a"] == pair[0] else -1
                ends = sorted((sign * row["low"], sign * row["high"])) if row["p_value"] is not None else (None, None)
                return Compared(COMPARED[pair], a - b, error, sign * row["value"], *ends, row["schedule"])
        value = fmean(row["test_accuracy"] for row in mine[0]) - fmean(row["test_accuracy"] for row in mine[1])
        return Compared(COMPARED[pair], a - b, error, value, None, None, _schedule(mine[0][0]))

    def comparison(self) -> str:
        """What of the reference report was reproduced and what was not, two paragraphs; empty without it."""
        compared = self.compared
        if not compared:
            return ""
        by = {
            outcome: [one for one in compared if one.outcome == outcome]
            for outcome in ("reproduced", "contradicted", "undecided", "same sign", "other sign")
        }
        level = self._level()
        if not (by["reproduced"] or by["contradicted"] or by["undecided"]):
            same = _listed("Here, too, the sign is the reference report's for", by["same sign"])
            return "\n\n".join(
                filter(
                    None,
                    [
                        f"**Beside the reference report.** {level} {same}".strip(),
                        f"{self._main_finding()} {_listed('The sign is another for', [one for one in by['other sign'] if one.what != COMPARED[MAIN]])}".strip(),
                    ],
                )
            )
        reproduced = _listed("Of its differences in test accuracy these have the same sign here:", by["reproduced"])
        none = "" if by["reproduced"] else "None of its differences in test accuracy is reproduced with its sign."
        contradicted = [one for one in by["contradicted"] if one.what != COMPARED[MAIN]]
        undecided = [one for one in by["undecided"] if one.what != COMPARED[MAIN]]
        small = [one for one in compared if abs(one.theirs) < one.error]
        error = (
            f" {_sentence(in_words(len(small)))} of its {in_words(len(compared))} differences lie within the sampling "
            "error of its own test images."
            if len(small) > 1
            else ""
        )
        main_first = self._main_finding()
        return "\n\n".join(
            [
                f"**What was reproduced.** {' '.join(filter(None, [level, reproduced, none]))}",
                "**What was not.** "
                + " ".join(
                    filter(
                        None,
                        [
                            main_first,
                            _listed("The sign is the opposite for", contradicted),
                            _listed("The interval includes zero for", undecided),
                        ],
                    )
                )
                + error,
            ]
        )

    def _level(self) -> str:
        """How many of its networks reach the reference report's accuracy here."""
        means: dict[str, list[float]] = {}
        for row in self.rows:
            if row["seed_accuracy"] is not None:
                means.setdefault(row["name"], []).append(row["test_accuracy"])
        if not means:
            return ""
        reached = [name for name, values in means.items() if fmean(values) >= REFERENCE_RESULTS[name].accuracy]
        count = "all" if len(reached) == len(means) else "none" if not reached else in_words(len(reached))
        return (
            f"Of the {in_words(len(means))} networks that both reports trained, {count} "
            f"{'reaches' if len(reached) == 1 else 'reach'} the reference report's test accuracy (@tbl-all-runs)."
            if "tbl-all-runs" in self.labels
            else f"Of the {in_words(len(means))} networks that both reports trained, {count} "
            f"{'reaches' if len(reached) == 1 else 'reach'} the reference report's test accuracy."
        )

    def _main_finding(self, *, short: bool = False) -> str:
        """What became of the reference report's main finding; empty where it was not measured."""
        found = next((one for one in self.compared if one.what == COMPARED[MAIN]), None)
        if found is None:
            return ""
        what = "The reference report's main finding, that a penalty of 1e-3 costs test accuracy on CIFAR-10,"
        here = f"{points(found.value, sign=True)} after {found.schedule}"
        if found.low is not None and found.high is not None:
            here += f" ({_ends(found.low, found.high)})"
        says = {
            "reproduced": "is reproduced",
            "contradicted": "is not reproduced: the penalty helps",
            "undecided": "is not reproduced: whether the penalty costs or helps stays open",
            "same sign": "has the same sign in this pair of networks",
            "other sign": "is not seen in this pair of networks, which differ the other way",
        }[found.outcome]
        if short:
            return (
                f"{what} {says}: {here}."
                if ":" not in says
                else f"{what} {says} ({here.replace(' (', ', ').rstrip(')')})."
            )
        text = f"{what} {says}. It measured {points(found.theirs, sign=True)}; here it is {here}."
        if "sec-length" in self.labels:
            text += " @sec-length follows this difference over the length of training, under Adam and under Muon."
        return text

    # --- Limits and conclusions ----------------------------------------------------------------------------------

    def limits(self) -> str:
        """What this report cannot say, a paragraph."""
        seeds = max((len(str(row["seeds"]).split()) for row in self.verdicts), default=1)
        if self.decided:
            own = (
                f"Intervals rest on {in_words(seeds)} seeds and cover other seeds and other test images, but no other "
                "schedule, width or data set."
            )
            left = [row for row in self.primary if row["verdict"] == "open" and row["unit"] == "points"]
            if left:
                most = max(max(abs(row["low"]), abs(row["high"])) for row in left)
                own += (
                    f" An open claim is not a refuted one: for {_claims(left)}, differences of up to "
                    f"{points(most)} remain possible."
                )
        else:
            own = (
                "With one seed nothing is said of other seeds: two trainings of one recipe can differ as much as two "
                "recipes do. A verdict takes three seeds or more."
            )
        shared = (
            "Step sizes and lengths were chosen for the plain networks, on training images held out for that, and kept "
            "for their variants; a variant with a schedule of its own might do better. And a difference in accuracy does "
            "not tell its cause: where a chapter offers a mechanism, it says what was measured of it."
        )
        return f"**What this report cannot say.** {own} {shared}"

    def conclusions(self) -> Markdown:
        """The report's verdicts in words, a paragraph for what is decided, what is not, and what they rest on."""
        if not self.verdicts:
            return Markdown(
                "The conclusions are computed from the verdicts of the other chapters, of which there are none."
            )
        if not self.decided:
            held = [row for row in self.primary if abs(row["value"]) > 0 and (row["low"] > 0) == (row["high"] > 0)]
            return Markdown(
                f"Nothing is decided: each network was trained once. Of the {in_words(len(self.primary))} primary "
                f"claims, the sampling error of the test images leaves the sign of {in_words(len(held))} certain for "
                "the networks that were trained; whether it is that of the recipes takes more seeds."
            )
        parts = [self._tally()]
        parts += [f"{_sentence(_result(row))}." for row in self.primary if row["verdict"] not in ("open", "one pair")]
        weak = [
            row for row in self.primary if row["verdict"] not in ("open", "one pair") and (row["p_holm"] or 0) > ALPHA
        ]
        if weak:
            parts.append(
                f"Of these, {_claims(weak)} would not stand among {in_words(len(self.primary))} claims that are tested "
                "together (Holm)."
            )
        return Markdown("\n\n".join(filter(None, [" ".join(parts), self._main_finding()])))


def read(results: str, verdicts: str, *, reference: bool = True) -> Summary:
    """The summary of a report that was executed; of no rows where the paths are empty or there are no such files."""
    rows = read_rows(Path(results)) if results and Path(results).exists() and Path(results).stat().st_size > 2 else []
    found: list[Row] = []
    if verdicts and Path(verdicts).exists():
        frame = pd.read_csv(verdicts, dtype={"seeds": str})
        found = frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore[assignment]
    return Summary(rows, found, reference)


def verdict_table(primary: Sequence[Row], *, reference: bool = True) -> str:
    """The primary claims as a Markdown table."""
    frame = summary_table(primary)
    return markdown_table(frame if reference else frame.drop(columns="reference report"))


def run_table(rows: Sequence[Row]) -> pd.DataFrame:
    """All runs, a row per recipe: what sets it apart, its seeds, accuracies and training time."""
    shown = []
    for name in dict.fromkeys(row["name"] for row in rows):
        of_name = [row for row in rows if row["name"] == name]
        first = of_name[0]
        shown.append(
            {
                "run": name + ("" if first["data"] == "real" else " (stand-in)"),
                "λ": f"{first['l2']:g}",
                "schedule": _schedule(first),
                "seeds": f"{len(of_name)}",
                "training accuracy": percent(fmean(row["train_accuracy"] for row in of_name)),
                "test accuracy": percent(fmean(row["test_accuracy"] for row in of_name)),
                "lowest to highest": _range([row["test_accuracy"] for row in of_name]),
                "time": duration(fmean(row["seconds"] for row in of_name)),
            }
        )
    frame = pd.DataFrame(shown).set_index("run")
    return (
        frame.drop(columns="lowest to highest")
        if all(len(str(one)) < 2 for one in frame["lowest to highest"])
        else frame
    )


def reference_table(rows: Sequence[Row]) -> ResultTable | Markdown:
    """The runs of the networks that the reference report trained, too, beside its numbers; a sentence if there are none."""
    found = tuple(row for row in rows if row["seed_accuracy"] is not None)
    return ResultTable(found) if found else Markdown("None of the runs can be compared with the reference report.")


def machine_table(rows: Sequence[Row]) -> pd.DataFrame:
    """What the runs were trained on and with, and how long that took; a row per fact."""
    devices = sorted({f"{row['environment_device_name']} ({row['environment_precision']})" for row in rows})
    software = sorted({f"hwkit {row['environment_hwkit']}, PyTorch {row['environment_torch']}" for row in rows})
    facts = {
        "trained on": "; ".join(devices),
        "software": "; ".join(software),
        "python": "; ".join(sorted({str(row["environment_python"]) for row in rows})),
        "training time": f"{duration(sum(row['seconds'] for row in rows))} for {len(rows)} runs",
    }
    return pd.DataFrame({"": list(facts.values())}, index=pd.Index(list(facts), name=""))


def time_sentence(rows: Sequence[Row]) -> Markdown:
    """How many networks were trained, on what, and how long it took."""
    if not rows:
        return Markdown("How long the trainings took stands here once the report is built.")
    devices = enumerated(sorted({str(row["environment_device_name"]) for row in rows}))
    precisions = enumerated(sorted({str(row["environment_precision"]) for row in rows}))
    longest = max(rows, key=lambda row: row["seconds"])
    return Markdown(
        f"The {len(rows)} trainings of this report took {duration(sum(row['seconds'] for row in rows))} of training "
        f"time on {devices} ({precisions}), evaluation aside; the longest, `{longest['name']}`, took "
        f"{duration(longest['seconds'])}."
    )


def schedules(rows: Sequence[Row]) -> str:
    """For how long and by what the networks of each data set were trained, the most frequent schedule of each."""
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        found = Counter(_schedule(row) for row in rows if row["dataset"] == dataset)
        most = found.most_common(1)[0][0]
        parts.append(f"{known_facts(dataset).title} {'mostly ' if len(found) > 1 else ''}for {most}")
    return enumerated(parts)


# --- Words ------------------------------------------------------------------------------------------------------


def _schedule(row: Row) -> str:
    epochs = float(row["epochs"])
    length = "1 epoch" if epochs == 1 else f"{epochs:.3g} epochs" if epochs > 1 else f"{row['iterations']:.0f} steps"
    optimizer = str(row.get("optimizer") or "adam")
    part = f" on {int(row['train_images']):,} images" if row.get("train_size") else ""
    return f"{length} of {OPTIMIZERS.get(optimizer, optimizer)}{part}"


def _titles(rows: Iterable[Row]) -> str:
    return _named(dict.fromkeys(row["dataset"] for row in rows))


def _named(datasets: Iterable[str]) -> str:
    return enumerated([known_facts(name).title for name in datasets])


def _claims(rows: Sequence[Row]) -> str:
    return "; ".join(f"“{row['claim']}”" for row in rows)


def _hold(rows: Sequence[Row]) -> str:
    return "is supported" if len(rows) == 1 else "are supported"


def _result(row: Row) -> str:
    """A decided claim with its number, as a clause."""
    how = {"supported": "holds", "the same": "holds within its margin", "opposite": "does not hold, but the opposite"}
    if row["unit"] == "points":
        number = f": {points(row['value'], sign=True)} ({_ends(row['low'], row['high'])})"
    else:
        number = ""
    return f"that {row['claim']} {how[row['verdict']]}{number}"


def _listed(start: str, compared: Sequence[Compared]) -> str:
    return f"{start} {'; '.join(map(str, compared))}." if compared else ""


def _ends(low: float, high: float) -> str:
    """An interval as text: 95 % interval −0.10 to +1.80."""
    return f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}".replace("-", "−")


def _range(values: Sequence[float]) -> str:
    return "–" if len(values) < 2 else f"{percent(min(values), 2)} to {percent(max(values), 2)}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
