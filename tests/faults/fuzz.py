"""Millions of inputs for the parsers of `parsers.py`, bred by atheris for what reaches code that none did before.

    make fuzz ARGS='--inputs 1000000 --seconds 60 --seed 1 PARSER ...'

Each parser gets a process of its own, which begins with inputs of hypothesis and ends at its first fault, at so many
inputs, or after so many seconds of a CPU. An input that takes ten seconds, or 2 GiB of memory, is a fault, too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hwkit", "yaml", "tomllib"]):
    from parsers import PARSERS, Parser

from hypothesis import HealthCheck, given, seed, settings

LIMITS = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"]
STARTING = 200  # inputs of hypothesis


def main() -> int:
    """Fuzz one parser after the other; returns how many had a fault."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parsers", nargs="*", metavar="PARSER", help=f"of: {', '.join(PARSERS)} (default: all)")
    options.add_argument("--inputs", type=int, default=1_000_000, help="of a parser, at most (default: 1000000)")
    options.add_argument("--seconds", type=float, default=60.0, help="of a CPU for a parser, at most (default: 60)")
    options.add_argument("--seed", type=int, default=1, help="default: 1")
    chosen = options.parse_args()
    total = faults = 0
    for name in chosen.parsers or PARSERS:
        with tempfile.TemporaryDirectory(prefix="hwkit-fuzz-") as place:
            folder = Path(place)
            child = os.fork()
            if not child:
                try:
                    fuzz(PARSERS[name], folder, chosen)
                finally:
                    os._exit(1)  # atheris leaves by an exception where it has found a fault
            os.waitpid(child, 0)
            try:
                count, seconds = (folder / "done").read_text().split()
            except FileNotFoundError:
                faults += 1
                print(f"{name}: FAULT\n{(folder / 'log').read_text(errors='replace')[-5000:]}", flush=True)
                continue
        total += int(count)
        print(f"{name}: {count} inputs in {seconds} s", flush=True)
    print(f"{total} inputs, seed {chosen.seed}, parsers with a fault: {faults}")
    return faults


def fuzz(parser: Parser, folder: Path, chosen: argparse.Namespace) -> None:
    """Fuzz one parser, to the end of this process; leaves a log, and where all went well the file `done`."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(log, stream)
    (folder / "corpus").mkdir()
    (folder / "own").mkdir()
    count, began = 0, time.process_time()

    @seed(chosen.seed)
    @settings(max_examples=STARTING, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(parser.inputs)
    def collect(content: bytes) -> None:
        nonlocal count
        count += 1
        (folder / "corpus" / str(count)).write_bytes(content)

    def attack(content: bytes) -> None:
        nonlocal count
        parser(content, folder / "own")
        count += 1
        seconds = time.process_time() - began
        if count >= chosen.inputs or seconds >= chosen.seconds:
            (folder / "done").write_text(f"{count} {seconds:.0f}")
            os._exit(0)

    collect()
    count = 0
    os.chdir(folder)
    atheris.Setup([sys.argv[0], *LIMITS, f"-seed={chosen.seed}", str(folder / "corpus")], attack)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main() > 0)
