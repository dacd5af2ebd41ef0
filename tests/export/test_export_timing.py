"""`hwkit bench --export`: what is installed is timed, what fails is left out."""

from __future__ import annotations

import sys

import pytest

from hwkit.bench import exports as timing
from hwkit.errors import BenchError


def test_a_way_that_fails_has_no_time_and_one_that_states_its_own_is_believed():
    assert timing._seconds([sys.executable, "-c", "raise SystemExit(1)"], stated=False) is None
    assert timing._seconds([sys.executable, "-c", "print('0.25')"], stated=True) == 0.25


def test_ratios_are_medians_over_rounds_of_whole_commands_and_of_conversions():
    table = timing.table_of_exports(
        {
            "hwkit export": [1.0, 2.0, 1.0],
            "nbconvert --to webpdf": [6.0, 10.0, 7.0],
            "conversion alone, typstpdf": [0.5, 0.5, 0.5],
            "conversion alone, webpdf": [4.0, 5.0, 4.0],
        }
    )
    assert "| nbconvert --to webpdf | 7.00 | 6.0 |" in table
    assert "| conversion alone, webpdf | 4.00 | 8.0 |" in table


def test_a_notebook_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(BenchError, match=r"nowhere\.ipynb does not exist"):
        timing.measure_exports(tmp_path / "nowhere.ipynb", 1)
