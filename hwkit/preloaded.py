"""Imported by the fork server alone, this loads the data sets that its forks will share; see `processes.context`."""

import contextlib
import os

import torch

from hwkit import data
from hwkit.engine import processes
from hwkit.errors import HwkitError

_threads = torch.get_num_threads()
torch.set_num_threads(1)  # threads that the server starts are missing in its forks, which would wait for them
for _name in os.environ.get(processes.DATASETS, "").split():
    with contextlib.suppress(HwkitError):  # a fork that needs the data meets the same error, and can tell it
        data.load(_name, "real")
torch.set_num_threads(_threads)
