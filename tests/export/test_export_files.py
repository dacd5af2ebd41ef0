"""Files that hwkit export writes and reads, and what it imports for that."""

from __future__ import annotations

import ast
import errno
import os
import stat
import subprocess
import sys

import pytest

from hwkit.errors import ReportError
from hwkit.export import files
from hwkit.export.files import read_bytes, replace_file


def test_export_needs_nothing_of_hwkit_but_its_errors():
    check = (
        "import pkgutil, sys, hwkit.export\n"
        "for module in pkgutil.iter_modules(hwkit.export.__path__): __import__(f'hwkit.export.{module.name}')\n"
        "print([m for m in sys.modules if m.startswith('hwkit.') and not m.startswith('hwkit.export')])"
    )
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(found.stdout)) == {"hwkit.errors", "hwkit.version"}


def test_the_package_itself_imports_nothing():
    check = "import hwkit.export, sys; assert not [m for m in sys.modules if m.startswith('hwkit.export.')]"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_decides_who_may_read_what_was_written(tmp_path, mask):
    before = os.umask(mask)
    try:
        replace_file(tmp_path / "new" / "a.pdf", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "a.pdf").stat().st_mode) == 0o666 & ~mask


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".pdf")
    replace_file(path, b"content")
    assert read_bytes(path) == b"content"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "permissions"),
    ],
)
def test_the_remedy_is_that_of_the_problem(tmp_path, monkeypatch, code, remedy):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(ReportError, match=remedy) as error:
        replace_file(tmp_path / "a.pdf", b"x")
    assert os.strerror(code) in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_regular_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"[Ii]s a directory|not a regular file"):
        read_bytes(tmp_path)
    (tmp_path / "large").write_bytes(b"12345")
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_bytes(tmp_path / "large", 4)
