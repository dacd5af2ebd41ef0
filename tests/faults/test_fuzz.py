"""Every parser of ours, fed with whatever hypothesis comes up with: it gives a value or its own error."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from nbformat.v4 import new_notebook, new_raw_cell
from parsers import PARSERS

from hwkit.errors import HwkitError
from hwkit.export import images
from hwkit.export.frontmatter import take_front_matter
from hwkit.export.settings import ReportSettings


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_gives_a_value_or_its_own_error(name: str, times: Callable[[int, int], int], tmp_path: Path) -> None:
    parser = PARSERS[name]
    count = times(100, 2000)
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    done = 0

    @seed(int(os.environ.get("HWKIT_FAULTS_SEED", "0")))
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=quiet)
    @given(parser.inputs)
    def attack(content: bytes) -> None:
        nonlocal done
        done += 1
        parser(content, tmp_path)

    attack()
    print(f"{name}: {done} inputs")


def test_aliases_that_stand_for_gigabytes_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    bomb = "\n".join([*lines, "title: *a11"])
    found = take_front_matter(new_notebook(cells=[new_raw_cell(f"---\n{bomb}\n---")]), tmp_path)
    assert any("aliases" in warning for warning in found.warnings)
    assert found.settings == {}


def test_a_picture_that_claims_a_hundred_million_pixels_is_refused() -> None:
    import zlib

    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = part(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    picture = b"\x89PNG\r\n\x1a\n" + size + part(b"IDAT", zlib.compress(bytes(10**6))) + part(b"IEND", b"")
    with pytest.raises(HwkitError, match="10000 x 10000 pixels; make it smaller"):
        images.ImageStore("").add(picture, "image/png")


@pytest.mark.parametrize("content", ["a = " + "[" * 100_000, "a = " + "9" * 10_000, "title = '''" + "x" * 10**6])
def test_settings_made_to_break_their_reader_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.toml").write_text(content)
    with pytest.raises(HwkitError, match=r"report\.toml"):
        ReportSettings.load(tmp_path / "report.toml")
