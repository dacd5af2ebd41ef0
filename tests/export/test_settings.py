"""Report settings: read from report.toml, checked, with errors that say what to do."""

from __future__ import annotations

import datetime

import pytest

from hwkit.errors import ReportError
from hwkit.export.settings import ReportSettings


def test_a_missing_file_gives_defaults_dated_today(tmp_path):
    settings = ReportSettings.load(tmp_path / "report.toml")
    assert settings == ReportSettings()
    assert settings.date == datetime.date.today()
    assert settings.theme == "report"


def test_a_file_sets_every_key_it_names(tmp_path):
    path = tmp_path / "report.toml"
    path.write_text(
        'title = "CNNs"\nauthor = ["王小明", "Ada"]\ncourse = "DL"\ndate = 2026-01-31\npaper = "a5"\n', encoding="utf-8"
    )
    settings = ReportSettings.load(path)
    assert settings.author == ("王小明", "Ada")
    assert settings.date_text == "31 January 2026"
    assert (settings.title, settings.course, settings.paper) == ("CNNs", "DL", "a5")


def test_one_author_needs_no_list():
    assert ReportSettings.from_mapping({"author": "Ada"}).author == ("Ada",)


def test_paths_are_taken_from_the_files_folder(tmp_path):
    (tmp_path / "report.toml").write_text('theme = "own.typ"\n')
    assert ReportSettings.load(tmp_path / "report.toml").theme == str(tmp_path / "own.typ")


def test_a_misspelt_key_is_named_with_its_value_and_the_known_keys(tmp_path):
    path = tmp_path / "report.toml"
    path.write_text('titel = "CNNs"\n')
    with pytest.raises(ReportError, match=r"report\.toml.*'titel'.*'CNNs'.*did you mean 'title'.*subtitle"):
        ReportSettings.load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("title", 3),
        ("author", [1]),
        ("author", 5),
        ("paper", "a44"),
        ("theme", "reprot"),
        ("font_size", 90),
        ("font_size", True),
        ("contents", "yes"),
        ("language", "English"),
        ("date", 2026),
    ],
)
def test_a_wrong_value_is_an_error_naming_key_and_value(key, value):
    with pytest.raises(ReportError) as caught:
        ReportSettings.from_mapping({key: value}, source="report.toml")
    assert str(caught.value).startswith(f"report.toml: {key} = ")


def test_a_file_that_is_no_toml_is_an_error_naming_the_file(tmp_path):
    path = tmp_path / "report.toml"
    path.write_text("title = \n")
    with pytest.raises(ReportError, match=r"report\.toml is not valid TOML"):
        ReportSettings.load(path)
