"""What the report says of itself: abstract, summary and conclusions, from rows of all kinds of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwkit.findings import summary
from hwkit.findings.reference import REFERENCE_RESULTS, read_rows
from hwkit.findings.summary import Summary
from hwkit.findings.verdicts import adjusted

ROOT = Path(__file__).parents[2]
ROWS = read_rows(ROOT / "docs" / "results.csv")
MAIN = "cifar10-l2", "cifar10"


def verdict(a: str, b: str, value: float, half: float, *, one: bool = False, **changes: Any) -> dict[str, Any]:
    low, high = value - half, value + half
    word = "one pair" if one else "open" if low <= 0 <= high else "supported" if value > 0 else "opposite"
    row = {"chapter": "02_cifar10", "claim": f"{a} is better than {b}", "primary": True, "verdict": word}
    row |= {"quantity": "test accuracy", "a": a, "b": b, "value": value, "low": low, "high": high, "unit": "points"}
    row |= {"seeds": "0" if one else "0 1 2", "schedule": "4 epochs of Muon", "p_value": None if one else 0.01}
    return row | {"reference": "it is", "margin": None, **changes}


def of(*verdicts: dict[str, Any], rows: list[dict[str, Any]] = ROWS, **options: Any) -> Summary:
    return Summary(rows, adjusted(list(verdicts)), **options)


@pytest.mark.parametrize(
    ("value", "half", "one", "outcome"),
    [
        (-0.01, 0.005, False, "reproduced"),
        (0.01, 0.005, False, "contradicted"),
        (0.001, 0.005, False, "undecided"),
        (-0.001, 0.005, True, "same sign"),
        (0.001, 0.005, True, "other sign"),
    ],
)
def test_the_main_finding_is_reproduced_only_where_the_interval_says_so(
    value: float, half: float, one: bool, outcome: str
) -> None:
    assert REFERENCE_RESULTS[MAIN[0]].accuracy < REFERENCE_RESULTS[MAIN[1]].accuracy
    found = of(verdict(*MAIN, value, half, one=one))
    assert found.compared[0].outcome == outcome
    good, bad = [f"**{head}" for head in (("What was r", "What was n") if not one else ("What has t", "What has n"))]
    place = found.discussion.index("main finding")
    before = found.discussion[:place].rindex("**What")
    assert found.discussion[before:].startswith(good if outcome in ("reproduced", "same sign") else bad)


def test_a_difference_is_that_of_the_claim_whichever_way_round_it_was_measured() -> None:
    there = of(verdict(*MAIN, 0.01, 0.005)).compared[0]
    back = of(verdict(*reversed(MAIN), -0.01, 0.005)).compared[0]
    assert (there.value, there.low, there.high) == pytest.approx((back.value, back.low, back.high))


def test_without_the_chapter_the_means_of_the_runs_are_compared_and_nothing_is_decided() -> None:
    found = of().compared[0]
    assert found.low is None
    a, b = ([row["test_accuracy"] for row in ROWS if row["name"] == name] for name in MAIN)
    assert found.value == pytest.approx(sum(a) / len(a) - sum(b) / len(b))


def test_one_seed_decides_nothing_anywhere() -> None:
    found = of(verdict(*MAIN, 0.01, 0.005, one=True))
    texts = found.abstract + found.intro + found.discussion + (found.conclusions().data or "")
    assert "no claim is decided" in found.abstract
    assert "no verdicts" in found.intro
    for word in ("supported", "Holm", "reproduced", "95 % interval"):
        assert word not in texts


def test_verdicts_are_counted_and_named() -> None:
    found = of(
        verdict(*MAIN, 0.01, 0.005),
        verdict("mnist-l2", "mnist", -0.01, 0.005),
        verdict("mnist-3x3", "mnist-l2", 0.001, 0.005),
    )
    assert "Of three primary claims, one is supported (“cifar10-l2 is better than cifar10”)" in found.abstract
    assert "the opposite holds of one (“mnist-l2 is better than mnist”) and one stays open." in found.abstract
    assert "differences of up to 0.60 points remain possible" in found.discussion
    listed = (found.conclusions().data or "").splitlines()[:3]
    assert [line.partition("**")[2].partition(":")[0] for line in listed] == ["Supported", "The opposite holds", "Open"]
    assert [line.count("is better than") for line in listed] == [1, 1, 1]


def test_claims_that_stand_only_alone_are_named_in_the_conclusions() -> None:
    weak = of(verdict(*MAIN, 0.01, 0.005, p_value=0.04), verdict("mnist-l2", "mnist", 0.01, 0.005, p_value=0.03))
    assert "would not stand" in (weak.conclusions().data or "")
    assert "All verdicts stand" in (of(verdict(*MAIN, 0.01, 0.005)).conclusions().data or "")


def test_without_the_reference_report_it_is_never_mentioned() -> None:
    found = of(verdict(*MAIN, 0.01, 0.005), reference=False)
    table = summary.verdict_table(found.primary, reference=found.compares)
    assert "reference" not in found.abstract + found.intro + found.discussion + table + (found.conclusions().data or "")
    assert "reference" in of(verdict(*MAIN, 0.01, 0.005)).intro


def test_drawn_pictures_are_named_and_compared_with_nothing() -> None:
    rows = [{**row, "data": "stand-in", "seed_accuracy": None} for row in ROWS]
    found = of(verdict(*MAIN, 0.01, 0.005), rows=rows)
    assert "drawn stand-in" in found.abstract
    assert not found.compared


def test_references_lead_to_what_is_there() -> None:
    labels = frozenset({"sec-length", "tbl-reference"})
    assert "@sec-length" not in of(verdict(*MAIN, 0.01, 0.005)).discussion
    with_both = of(verdict(*MAIN, 0.01, 0.005), labels=labels).discussion
    assert "@sec-length" in with_both
    assert "@tbl-reference" in with_both


def test_a_report_without_runs_has_sentences_in_place_of_tables() -> None:
    empty = summary.read("", "")
    assert empty.abstract == ""
    assert "no verdict" in (empty.conclusions().data or "")
    for shown in (summary.run_table([]), summary.machine_table([]), summary.time_sentence([])):
        assert "No chapter" in (getattr(shown, "data", "") or "")


def test_every_run_is_in_the_appendix() -> None:
    frame: Any = summary.run_table(ROWS)
    assert list(frame.index) == list(dict.fromkeys(row["name"] for row in ROWS))
    table: Any = summary.reference_table(ROWS)
    assert {row["name"] for row in table.rows} == {row["name"] for row in ROWS if row["seed_accuracy"] is not None}


def test_a_claim_that_is_supported_only_before_holms_correction_counts_as_open() -> None:
    weak = verdict("cifar10", "cifar10-noaug", 0.01, 0.005, p_value=0.04)
    strong = verdict(*MAIN, 0.02, 0.005, p_value=0.001)
    open_one = verdict("mnist-l2", "mnist", 0.001, 0.005, p_value=0.6)
    said = of(weak, strong, open_one).abstract
    assert "two stay open" in said
    assert "cifar10-l2 is better" in said
    assert "cifar10 is better than cifar10-noaug" not in said
