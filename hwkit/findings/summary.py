"""What the report says of itself as a whole: abstract, summary and conclusions, computed from all its numbers.

Every function takes the rows of results.csv and verdicts.csv, so that what they say holds with one seed and with
several, and where chapters were left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from IPython.display import Markdown

from hwkit.datasets import known_facts
from hwkit.findings.reference import REFERENCE_RESULTS, ResultTable, markdown_table, read_rows
from hwkit.findings.verdicts import ALPHA, OPTIMIZERS, summary_table
from hwkit.formats import duration, enumerated, in_words, mean_accuracy, percent, points

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
MAIN = COMPARED["cifar10-l2", "cifar10"]
# What became of a difference of the reference report; the last two where a single pair of networks was trained.
OUTCOMES = ("reproduced", "contradicted", "undecided", "same sign", "other sign")
# Primary claims in the conclusions, by their verdicts.
CONCLUDED = {"Supported": ("supported", "the same"), "The opposite holds": ("opposite",)}
CONCLUDED |= {"Open": ("open",), "Not decided, for want of seeds": ("one pair",)}
REFERENCE = (
    "The *reference report* is an earlier report for the same course. It trained these networks on the same data, most "
    "of them once, and drew its conclusions from single differences in accuracy."
)
RECIPE = "hold for a *recipe*, that is a network, its penalty, its data and its schedule"


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
        """One of `OUTCOMES`."""
        alike = self.theirs * self.value > 0
        if self.low is None or self.high is None:
            return "same sign" if alike else "other sign"
        if self.low <= 0 <= self.high:
            return "undecided"
        return "reproduced" if alike else "contradicted"

    @property
    def interval(self) -> str:
        """The interval as text; empty if there is none."""
        return "" if self.low is None or self.high is None else _ends(self.low, self.high)

    def __str__(self) -> str:
        here = ", ".join(filter(None, [f"{points(self.value, sign=True)} here", self.interval]))
        return f"{self.what} ({points(self.theirs, sign=True)} there, {here})"


@dataclass(frozen=True)
class Summary:
    """The report's rows and what can be said of them.

    Attributes
    ----------
    rows : of results.csv, a row per run.
    verdicts : of verdicts.csv, a row per finding.
    reference : whether the report compares itself with the reference report.
    labels : the labels of the report's sections and tables, for references to those that are there.
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
        return _joined(self._asked(), self._done(), self._accuracies(), self._found()) if self.rows else ""

    @property
    def intro(self) -> str:
        """The text of the summary before its table: what the report asks, and how to read its verdicts."""
        pair = ", and not just for one pair of trained networks."
        if self.compares:
            start = f"{REFERENCE} This report asks which of them {RECIPE}{pair}"
        else:
            start = f"This report asks what {RECIPE.replace('hold', 'holds', 1)}{pair}"
        if not self.primary:
            return start
        where = (
            "Each chapter of the discussion has one primary claim, which was fixed before its runs were read; "
            "@tbl-verdicts lists them, and @fig-verdicts draws their differences."
        )
        if not self.decided:
            return _joined(
                start,
                where,
                "Each network was trained once, so these are statements on pairs of networks and no verdicts: "
                "intervals are those of the choice of test images alone, and another seed may give another sign.",
            )
        return _joined(
            start,
            where,
            "An interval covers what other random seeds and other test images would give, a verdict holds under the "
            "schedule beside it, and p is adjusted for the number of claims (Holm).",
        )

    @property
    def discussion(self) -> str:
        """The text of the summary behind its table and figure."""
        return "\n\n".join(filter(None, [self.comparison(), self.limits()]))

    def _asked(self) -> str:
        titles = _named(row["dataset"] for row in self.rows)
        about = f"What do penalty, filters and schedule do to what a small convolutional network learns from {titles}?"
        if not self.primary:
            return about
        whose = " of an earlier course report, the reference report," if self.compares else ""
        each = "it" if len(self.primary) == 1 else "each of them"
        return f"{about} We take {_count(self.primary, 'claim')}{whose} and test {each}."

    def _done(self) -> str:
        counts = Counter(row["name"] for row in self.rows)
        seeds = max(counts.values())
        upto = "up to " if min(counts.values()) < seeds else ""
        how = f"each from {upto}{in_words(seeds)} random seeds" if seeds > 1 else "each once, from one random seed"
        drawn = [row["dataset"] for row in self.rows if row["data"] != "real"]
        note = f" The pictures of {_named(drawn)} are a drawn stand-in, not the real data." if drawn else ""
        return f"We trained {_count(counts, 'network')}, {how}, {schedules(self.rows)}.{note}"

    def _accuracies(self) -> str:
        """The test accuracy of the plain networks."""
        found = []
        for name in ("mnist", "cifar10"):
            values = [row["test_accuracy"] for row in self.rows if row["name"] == name]
            if values:
                found.append(f"{percent(fmean(values))} of the test images of {known_facts(name).title}")
        return f"Without a penalty they classify {enumerated(found)} correctly." if found else ""

    def _found(self) -> str:
        if not self.primary:
            return ""
        if not self.decided:
            return (
                "With one seed no claim is decided: every difference is one between two trained networks, and is "
                "reported with the sampling error of the test images alone."
            )
        return _joined(self._tally(), self._main_finding(short=True))

    def _tally(self) -> str:
        """How many primary claims have which verdict, those that are decided in words."""
        decided = [row for row in self.primary if row["p_holm"] is not None and row["p_holm"] <= ALPHA]
        held = [row for row in decided if row["verdict"] in ("supported", "the same")]
        against = [row for row in decided if row["verdict"] == "opposite"]
        left = [row for row in self.primary if row not in [*held, *against]]
        parts = []
        if held:
            parts.append(f"{in_words(len(held))} {'is' if len(held) == 1 else 'are'} supported ({_claims(held)})")
        if against:
            parts.append(f"the opposite holds of {in_words(len(against))} ({_claims(against)})")
        if left:
            parts.append(f"{in_words(len(left))} {'stays' if len(left) == 1 else 'stay'} open")
        return f"Of {_count(self.primary, 'primary claim')}, {enumerated(parts)}."

    # --- The reference report ------------------------------------------------------------------------------------

    @property
    def compared(self) -> list[Compared]:
        """The differences of the reference report that are measured here, too."""
        return [found for pair in COMPARED if (found := self._compare(pair))] if self.compares else []

    def _compare(self, pair: tuple[str, str]) -> Compared | None:
        mine = [[row for row in self.rows if row["name"] == name and row["data"] == "real"] for name in pair]
        if not all(mine):
            return None
        a, b = (REFERENCE_RESULTS[name].accuracy for name in pair)
        images = known_facts(mine[0][0]["dataset"]).test_size
        error = 1.96 * math.sqrt((a * (1 - a) + b * (1 - b)) / images)
        for row in self.verdicts:
            if row["quantity"] == "test accuracy" and {row["a"], row["b"]} == set(pair):
                sign = 1 if row["a"] == pair[0] else -1
                low, high = sorted((sign * row["low"], sign * row["high"]))
                ends = (low, high) if row["p_value"] is not None else (None, None)
                return Compared(COMPARED[pair], a - b, error, sign * row["value"], *ends, row["schedule"])
        means = [fmean(row["test_accuracy"] for row in of_name) for of_name in mine]
        return Compared(COMPARED[pair], a - b, error, means[0] - means[1], None, None, _schedule(mine[0][0]))

    def comparison(self) -> str:
        """What of the reference report was reproduced and what was not, two paragraphs; empty without it."""
        compared = self.compared
        if not compared:
            return ""
        others = [one for one in compared if one.what != MAIN]
        of = {outcome: [one for one in others if one.outcome == outcome] for outcome in OUTCOMES}
        main = next((one.outcome for one in compared if one.what == MAIN), "")
        alike = [
            _listed("These differences in test accuracy have its sign here, too:", of["reproduced"]),
            _listed("The difference has the same sign here for", of["same sign"]),
        ]
        unlike = [
            _listed("The sign is the opposite for", of["contradicted"]),
            _listed("The sign is another for", of["other sign"]),
            _listed("The interval includes zero for", of["undecided"]),
        ]
        (alike if main in ("reproduced", "same sign") else unlike).insert(0, self._main_finding())
        small = [one for one in compared if abs(one.theirs) < one.error]
        if small:
            lie = "lies" if len(small) == 1 else "lie"
            unlike.append(
                f"Of its {_count(compared, 'difference')}, {in_words(len(small))} {lie} within the sampling error "
                "of its own test images."
            )
        several = any(one.interval for one in compared)
        heads = ("What was reproduced", "What was not") if several else ("What has the same sign", "What has not")
        paragraphs = zip(heads, (_joined(self._level(), *alike), _joined(*unlike)), strict=True)
        return "\n\n".join(f"**{head}.** {text}" for head, text in paragraphs if text)

    def _level(self) -> str:
        """How many of its networks reach the reference report's accuracy here."""
        means: dict[str, list[float]] = {}
        for row in self.rows:
            if row["seed_accuracy"] is not None and row["name"] in REFERENCE_RESULTS:
                means.setdefault(row["name"], []).append(row["test_accuracy"])
        if not means:
            return ""
        reached = [name for name, values in means.items() if fmean(values) >= REFERENCE_RESULTS[name].accuracy]
        every = "both" if len(means) == 2 else "all"
        count = every if len(reached) == len(means) else "none" if not reached else in_words(len(reached))
        where = " (@tbl-reference)" if "tbl-reference" in self.labels else ""
        return (
            f"Of {_count(means, 'network')} that both reports trained, {count} "
            f"{'reaches' if len(reached) < 2 else 'reach'} the reference report's test accuracy here{where}."
        )

    def _main_finding(self, *, short: bool = False) -> str:
        """What became of the reference report's main finding; empty where it was not measured."""
        found = next((one for one in self.compared if one.what == MAIN), None)
        if found is None:
            return ""
        what = "The reference report's main finding, that a penalty of 1e-3 costs test accuracy on CIFAR-10,"
        interval = f" ({found.interval})" if found.interval else ""
        here = f"{points(found.value, sign=True)} after {found.schedule}{interval}"
        says = {
            "reproduced": "is reproduced",
            "contradicted": "is not reproduced, for the penalty raises it",
            "undecided": "is not reproduced, for the interval includes zero",
            "same sign": "has the same sign in this pair of networks",
            "other sign": "is not seen in this pair of networks, which differ the other way",
        }[found.outcome]
        if short:
            return f"{what} {says}: {here}."
        text = f"{what} {says}: it measured {points(found.theirs, sign=True)}, and here it is {here}."
        if "sec-length" in self.labels:
            text += " @sec-length follows this difference over the length of training and the two optimisers."
        return text

    # --- Limits and conclusions ----------------------------------------------------------------------------------

    def limits(self) -> str:
        """What this report cannot say, a paragraph."""
        if self.decided:
            seeds = max(len(str(row["seeds"]).split()) for row in self.verdicts)
            own = (
                f"Intervals rest on {in_words(seeds)} seeds and cover other seeds and other test images, but no other "
                "schedule, width or data set."
            )
            left = [row for row in self.primary if row["verdict"] == "open" and row["unit"] == "points"]
            if left:
                most = max(max(abs(row["low"]), abs(row["high"])) for row in left)
                own += (
                    f" An open claim is not a refuted one: differences of up to {points(most)} remain possible for "
                    f"{_claims(left)}."
                )
        else:
            own = (
                "With one seed nothing is said of other seeds: two trainings of one recipe can differ as much as two "
                "recipes do. A verdict takes three seeds or more."
            )
        return (
            f"**What this report cannot say.** {own} Step sizes and lengths were chosen for the plain networks, on "
            "training images held out for that, and kept for their variants; a variant with a schedule of its own "
            "might do better. And a difference in accuracy does not tell its cause: where a chapter offers a "
            "mechanism, it says what was measured of it."
        )

    def conclusions(self) -> Markdown:
        """The primary claims as a list by their verdicts, and whether these stand together."""
        if not self.primary:
            return Markdown("No chapter of this report has a primary claim, so there is no verdict to sum up.")
        if not self.decided:
            certain = [row for row in self.primary if row["low"] > 0 or row["high"] < 0]
            count = _count(self.primary, "primary claim")
            return Markdown(
                "Nothing is decided, for each network was trained once. The sampling error of the test images "
                f"leaves the sign of the difference certain for {in_words(len(certain))} of {count}, as far as the "
                "trained networks go; whether it is the sign for the recipes takes more seeds."
            )
        done = [row for row in self.primary if row["verdict"] not in ("open", "one pair")]
        weak = [row for row in done if (row["p_holm"] or 0) > ALPHA]
        of_verdict = {says: [row for row in self.primary if row["verdict"] in of] for says, of in CONCLUDED.items()}
        listed = "\n".join(f"- **{says}:** {_claims(rows)}." for says, rows in of_verdict.items() if rows)
        together = ""
        if weak:
            together = f"Tested together with the other claims, {_claims(weak)} would not stand (Holm)."
        elif done:
            together = "All verdicts stand when the claims are tested together (Holm)."
        return Markdown("\n\n".join(filter(None, [listed, together])))


def read(results: str, verdicts: str, *, reference: bool = True) -> Summary:
    """The summary of a report from its files; of no rows where the paths are empty or there are no such files."""
    rows = read_rows(Path(results)) if results and Path(results).exists() and Path(results).stat().st_size > 2 else []
    found: list[Row] = []
    if verdicts and Path(verdicts).exists():
        frame = pd.read_csv(verdicts, dtype={"seeds": str})
        found = [{str(k): v for k, v in row.items()} for row in _without_nan(frame).to_dict("records")]
    return Summary(rows, found, reference)


def _without_nan(frame: pd.DataFrame) -> Any:
    return frame.astype(object).where(frame.notna(), None)


# --- Tables -----------------------------------------------------------------------------------------------------


def verdict_table(primary: Sequence[Row], *, reference: bool = True) -> str:
    """The primary claims as a Markdown table."""
    frame = summary_table(primary)
    table = markdown_table(frame if reference else frame.drop(columns="reference report"))
    if all(row["verdict"] == "one pair" for row in primary):
        table = table.replace(" (images)", "")  # as the caption says of all
    head, _, *rows = table.split("\n")
    texts = ("claim", "scope", "verdict", "reference report")
    sides = [":--" if name.strip() in texts else "--:" for name in head.strip("|").split("|")]
    return "\n".join([head, f"|{'|'.join(sides)}|", *rows])


NO_RUNS = "No chapter of this report shows a run."


def run_table(rows: Sequence[Row]) -> pd.DataFrame | Markdown:
    """All runs, a row per recipe: what sets it apart, its seeds, accuracies and training time."""
    if not rows:
        return Markdown(NO_RUNS)
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
                "test accuracy": mean_accuracy([row["test_accuracy"] for row in of_name]),
                "time": duration(fmean(row["seconds"] for row in of_name)),
            }
        )
    return pd.DataFrame(shown).set_index("run")


def reference_table(rows: Sequence[Row]) -> ResultTable | Markdown:
    """The networks that the reference report trained, too, beside its numbers; a sentence if there are none."""
    found = tuple(row for row in rows if row["seed_accuracy"] is not None)
    return ResultTable(found) if found else Markdown("None of the runs can be compared with the reference report.")


def machine_table(rows: Sequence[Row]) -> pd.DataFrame | Markdown:
    """What the runs were trained on and with, and how long that took; a row per fact."""
    if not rows:
        return Markdown(NO_RUNS)
    of_rows = {
        "device": [f"{row['environment_device_name']} ({row['environment_precision']})" for row in rows],
        "software": [f"hwkit {row['environment_hwkit']}, PyTorch {row['environment_torch']}" for row in rows],
        "Python": [str(row["environment_python"]) for row in rows],
        "system": [str(row["environment_platform"]) for row in rows],
        "last training ended": [max(str(row["finished"]) for row in rows)[:10]],
        "training time": [f"{duration(sum(row['seconds'] for row in rows))}, of {len(rows)} trainings"],
    }
    facts = {name: "; ".join(sorted(set(values))) for name, values in of_rows.items()}
    return pd.DataFrame({"value": list(facts.values())}, index=pd.Index(list(facts), name="what"))


def time_sentence(rows: Sequence[Row]) -> Markdown:
    """How many networks were trained, on what, and how long it took."""
    if not rows:
        return Markdown(NO_RUNS)
    devices = enumerated(sorted({str(row["environment_device_name"]) for row in rows}))
    precisions = enumerated(sorted({str(row["environment_precision"]) for row in rows}))
    longest = max(rows, key=lambda row: row["seconds"])
    return Markdown(
        f"The {len(rows)} trainings of this report took {duration(sum(row['seconds'] for row in rows))} of training "
        f"time on {devices} ({precisions}), with several at a time where there was room; the longest, "
        f"`{longest['name']}`, took {duration(longest['seconds'])}."
    )


# --- Words ------------------------------------------------------------------------------------------------------


def schedules(rows: Sequence[Row]) -> str:
    """For how long and by what the networks of each data set were trained, the most frequent schedule of each."""
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        found = Counter(_schedule(row) for row in rows if row["dataset"] == dataset)
        most = found.most_common(1)[0][0]
        parts.append(f"{'mostly ' if len(found) > 1 else ''}for {most} on {known_facts(dataset).title}")
    return enumerated(parts)


def _schedule(row: Row) -> str:
    epochs, optimizer = float(row["epochs"]), str(row.get("optimizer") or "adam")
    length = "1 epoch" if epochs == 1 else f"{epochs:.3g} epochs" if epochs > 1 else f"{int(row['iterations'])} steps"
    part = f" ({int(row['train_images']):,} images)" if row.get("train_size") else ""
    return f"{length} of {OPTIMIZERS.get(optimizer, optimizer)}{part}"


def _named(datasets: Iterable[str]) -> str:
    return enumerated([known_facts(name).title for name in dict.fromkeys(datasets)])


def _claims(rows: Sequence[Row]) -> str:
    return "; ".join(f"“{row['claim']}”" for row in rows)


def _count(things: Sized, noun: str) -> str:
    return f"{in_words(len(things))} {noun}{'' if len(things) == 1 else 's'}"


def _listed(start: str, compared: Sequence[Compared]) -> str:
    return f"{start} {'; '.join(map(str, compared))}." if compared else ""


def _ends(low: float, high: float) -> str:
    """An interval in points: 95 % interval −0.10 to +1.80."""
    return f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}".replace("-", "−")


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
