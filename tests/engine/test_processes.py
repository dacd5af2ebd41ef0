"""Jobs in processes of their own: what comes back, and what happens to those that die."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwkit.engine import processes
from hwkit.engine.processes import Job, run_jobs
from hwkit.errors import DataError, HwkitError

Tell = Callable[[Any], None]


def double(tell: Tell, number: int) -> int:
    tell(f"doubling {number}")
    return 2 * number


def draw(tell: Tell) -> float:
    return random.random()


def look_around(tell: Tell) -> tuple[str, str]:
    return os.getcwd(), os.environ["HWKIT_HOME"]


def fail(tell: Tell, kind: str) -> None:
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise DataError("no such data") if kind == "ours" else ModuleNotFoundError(lambda: "cannot be pickled")


def wait_for_interrupt(tell: Tell, path: Path) -> None:
    try:
        tell("ready")
        time.sleep(60)
    finally:
        path.write_text("tidied up")


def test_outcomes_come_in_the_order_of_the_jobs_and_messages_with_their_number() -> None:
    messages, started, ended = [], [], []
    outcomes = run_jobs(
        [Job(double, (number,)) for number in range(5)],
        workers=2,
        on_message=lambda number, message: messages.append((number, message)),
        on_start=started.append,
        on_end=lambda number, outcome: ended.append((number, outcome.value)),
    )
    assert [outcome.value for outcome in outcomes] == [0, 2, 4, 6, 8]
    assert sorted(messages) == [(number, f"doubling {number}") for number in range(5)]
    assert started == list(range(5))
    assert sorted(ended) == [(number, 2 * number) for number in range(5)]


def test_processes_draw_different_random_numbers() -> None:
    outcomes = run_jobs([Job(draw, ()), Job(draw, ())], workers=2)
    assert outcomes[0].value != outcomes[1].value


def test_processes_work_in_the_folder_and_environment_of_who_starts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs([Job(double, (1,))], workers=1)  # now there is a server, with the folder and variables of now
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWKIT_HOME", "elsewhere")
    (outcome,) = run_jobs([Job(look_around, ())], workers=1)
    assert outcome.value == (str(tmp_path), "elsewhere")


def test_an_error_is_one_outcome_among_others() -> None:
    jobs = [Job(fail, ("ours",)), Job(fail, ("foreign",)), Job(fail, ("killed",)), Job(double, (1,))]
    ours, foreign, killed, fine = run_jobs(jobs, workers=2)
    assert isinstance(ours.error, DataError)
    assert "no such data" in str(ours.error)
    assert "ModuleNotFoundError" in str(foreign.error)
    assert isinstance(killed.error, HwkitError)
    assert "died with signal 9" in str(killed.error)
    assert (fine.value, fine.error) == (2, None)


def test_an_interrupt_reaches_running_jobs_and_waits_for_them(tmp_path: Path) -> None:
    def interrupt(number: int, message: str) -> None:
        raise KeyboardInterrupt

    never_started = Job(wait_for_interrupt, (tmp_path / "second",))
    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job(wait_for_interrupt, (tmp_path / "first",)), never_started], workers=1, on_message=interrupt)
    assert (tmp_path / "first").read_text() == "tidied up"
    assert not (tmp_path / "second").exists()


def test_a_job_whose_listener_was_killed_still_tidies_up(tmp_path: Path) -> None:
    """As a training does: it notes the signal, tells how far it is, and writes its checkpoint after the step."""
    script = tmp_path / "parent.py"
    script.write_text(
        "from pathlib import Path\n"
        "from hwkit.engine.processes import Job, run_jobs\n"
        "from helpers import train\n"
        "if __name__ == '__main__':\n"
        "    heard = lambda number, message: print(message, flush=True)\n"
        "    run_jobs([Job(train, (Path('checkpoint'),))], 1, on_message=heard)\n"
    )
    (tmp_path / "helpers.py").write_text(
        "import signal, time\n"
        "def train(tell, checkpoint):\n"
        "    came = []\n"
        "    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))\n"
        "    tell('ready')\n"
        "    while not came:\n"
        "        time.sleep(0.01)\n"
        "    tell('nobody hears this')\n"
        "    checkpoint.touch()\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while not (tmp_path / "checkpoint").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "checkpoint").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_job_ends_when_the_process_that_wants_its_result_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from hwkit.engine.processes import Job, run_jobs\n"
        "from helpers import wait\n"
        "if __name__ == '__main__':\n"
        "    run_jobs([Job(wait, ())], 1, on_message=lambda number, message: print(message, flush=True))\n"
    )
    (tmp_path / "helpers.py").write_text(
        "import os, time\ndef wait(tell):\n    tell(os.getpid())\n    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.skipif(not processes.forking(), reason="needs a fork server")
def test_forks_share_the_data_sets_that_their_server_has_loaded(tmp_path: Path, real_data_root: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from helpers import loaded\n"
        "from hwkit.engine.processes import Job, context, run_jobs\n"
        "if __name__ == '__main__':\n"
        "    context(['mnist'])\n"
        "    print(*(outcome.value for outcome in run_jobs([Job(loaded, ())], 1)))\n"
    )
    (tmp_path / "helpers.py").write_text(
        "import torch\n"
        "from hwkit import data\n"
        "def loaded(tell):\n"
        "    torch.set_num_threads(2)\n"
        "    images = data.load('mnist', 'real').train_images\n"
        "    return f'{data._read.cache_info().hits} {images.float().sum().item() > 0}'\n"
    )
    environment = {**os.environ, "HWKIT_DATA": str(real_data_root)}
    found = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    # Both halves of the set were there already; and the fork computes with threads of its own.
    assert (found.stdout.split(), found.returncode) == (["2", "True"], 0)


def test_what_is_preloaded_exists() -> None:
    for name in processes.PRELOADED:
        __import__(name)
