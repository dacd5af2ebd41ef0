"""The numbers of the docs are those of the files beside them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hwkit.bench import docs, reports
from hwkit.paths import project_root


def test_every_page_says_what_its_files_say() -> None:
    for page, text in docs.pages(project_root()).items():
        assert page.read_text() == text, f"{page.name} differs from its files; run python -m hwkit.bench.docs"


@pytest.mark.parametrize("before", ["", "| quick | 2 s |\n"])
def test_a_number_that_was_edited_by_hand_is_found_and_put_right(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    row = {"profile": "quick", "state": "from an empty store", "pages": 30, "seconds": 481.0, "planning": 5.0}
    row |= {"training": 400.0, "notebooks": 70.0, "document": 6.0}
    pd.DataFrame([row]).to_csv(tmp_path / "docs" / "report-times.csv")
    page = tmp_path / "README.md"
    page.write_text(f"Before.\n<!-- report-times -->\n{before}<!-- end -->\nAfter.\n")
    monkeypatch.setattr(docs, "project_root", lambda: tmp_path)
    assert docs.main(["--check"]) == 1
    assert "README.md differs" in capsys.readouterr().err
    assert docs.main([]) == 0
    assert page.read_text().startswith("Before.\n<!-- report-times -->\n| `make report` | in all |")
    assert "| 8 min 01 s | 5.0 s |" in page.read_text()
    assert page.read_text().endswith("| 30 |\n<!-- end -->\nAfter.\n")
    assert docs.main(["--check"]) == 0


def test_a_measured_report_replaces_its_own_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(profile: str, say: object) -> list[dict[str, object]]:
        return [{"profile": profile, "state": "nothing changed", "seconds": float(len(measured))}]

    measured: list[str] = []
    monkeypatch.setattr(reports, "measure", measure)
    for profile in ("quick", "smoke", "quick"):
        measured.append(profile)
        assert reports.main([profile, "--output", str(tmp_path)]) == 0
    found = pd.read_csv(tmp_path / "report-times.csv")
    assert dict(zip(found.profile, found.seconds, strict=True)) == {"smoke": 2.0, "quick": 3.0}
