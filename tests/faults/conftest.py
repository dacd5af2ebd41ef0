"""How much the fault suite does: HWKIT_FAULTS=full for the figures in docs/promises.md, else a short form for CI."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Outcome, trained_elsewhere

from hwkit.experiment import Experiment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def times() -> Callable[[int, int], int]:
    """How often to do something: `times(short, full)`."""
    return lambda short, full: full if os.environ.get("HWKIT_FAULTS") == "full" else short


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of a test of its own; HWKIT_FAULTS_SEED gives others."""
    return random.Random(f"{os.environ.get('HWKIT_FAULTS_SEED', '0')} {request.node.name}")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Outcome]:
    """What an experiment comes to where nothing goes wrong; each is trained once."""
    known: dict[str, Outcome] = {}

    def outcome_of(experiment: Experiment) -> Outcome:
        if experiment.fingerprint not in known:
            known[experiment.fingerprint] = trained_elsewhere(experiment, tmp_path_factory.mktemp("undisturbed"))
        return known[experiment.fingerprint]

    return outcome_of
