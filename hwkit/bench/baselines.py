"""What `hwkit bench` compares: hwkit's training, the loops that people write instead, and the limit of the hardware.

A contestant is a function that trains, as long as its experiment says, and calls `step(images, model)` after every
optimiser step, with the number of images in it. That call is all that the benchmark sees of it: a contestant neither
measures itself nor knows when it is measured. All train the same network from the same initial weights with Adam, but
for the one that shows what Muon costs.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torch.utils.data import Dataset as TorchDataset
from torch.utils.flop_counter import FlopCounterMode

from hwkit import data, models
from hwkit.data import FLIP_PROBABILITY, GRAYSCALE_PROBABILITY
from hwkit.datasets.sources import DATASETS
from hwkit.engine.devices import autocast, resolve_precision
from hwkit.experiment import Experiment
from hwkit.paths import data_root

Step = Callable[[int, nn.Module], None]

MATRIX_SIZE = 2048  # large enough for the best kernel, small enough for a window of a second
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Job:
    """What a contestant is to train.

    Attributes
    ----------
    experiment : with `data` resolved to "real" or "stand-in".
    device : a torch device that exists.
    folder : its own, for what it writes.
    facts : what it wants to be known about it, such as its precision; it may add to them.
    """

    experiment: Experiment
    device: torch.device
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """A contestant.

    Attributes
    ----------
    title : for tables.
    train : the function described above.
    program : whether it is one that people start, so that the time from its start to its first step means something.
    several : whether several of it train side by side, on a CPU in processes of one thread each.
    """

    title: str
    train: Callable[[Job, Step], Any]
    program: bool = True
    several: bool = False


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was told to do; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


# --- hwkit --------------------------------------------------------------------------------------------------------


def train_with_hwkit(job: Job, step: Step, *, recording: bool = True, optimizer: str | None = None) -> None:
    """What `hwkit.train` does: with checkpoints and, unless switched off, with records."""
    from hwkit import callbacks, training

    experiment = job.experiment.replace(optimizer=optimizer or job.experiment.optimizer)
    if not recording:
        experiment = experiment.replace(record_every=experiment.iterations)
    batch_size = min(experiment.batch_size, experiment.train_count)
    job.facts["configuration"] = f"{resolve_precision(experiment.precision, job.device)}, channels_last"

    class Counter(callbacks.Callback):
        def on_step(self, training: callbacks.Training) -> None:
            step(batch_size, training.model)

    hooks = [callbacks.Recorder(), Counter(), callbacks.Checkpointer()]
    training.train_in(job.folder, experiment, job.device, hooks)


# --- What people write --------------------------------------------------------------------------------------------


def textbook_network(experiment: Experiment) -> nn.Sequential:
    """The experiment's network as textbooks write it, each activation before its pooling.

    The same parameters and the same function as `models.build(experiment)`, which turns the two round.
    """
    model = models.build(experiment)
    layers: list[nn.Module] = []
    for layer in model.children():
        if isinstance(layer, nn.Conv2d):
            layers += [layer, nn.ReLU(), nn.MaxPool2d(2)]
    *hidden, last = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
    layers.append(nn.Flatten())
    for layer in hidden:
        layers += [layer, nn.ReLU()]
    if experiment.dropout:
        layers.append(nn.Dropout(experiment.dropout))
    return nn.Sequential(*layers, last)


class StandInImages(TorchDataset):
    """The stand-in training set as torchvision would hold it: one PIL image and one label at a time."""

    def __init__(self, experiment: Experiment, transform: Callable[[Any], Tensor]) -> None:
        dataset = data.load(experiment.dataset, "stand-in", train_size=experiment.train_count)
        images = dataset.train_images
        self.images = (images.squeeze(1) if images.shape[1] == 1 else images.permute(0, 2, 3, 1)).numpy()
        self.labels = dataset.train_labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def plain_loader(experiment: Experiment, workers: int, *, pin_memory: bool = False) -> DataLoader:
    """torchvision's data set with torchvision's transforms, in full batches: what a tutorial tells one to write.

    Yields float32 (B, C, H, W), with the numbers of `data.normalise`, and int64 (B,).
    """
    import torchvision.datasets
    from torchvision import transforms

    facts = DATASETS[experiment.dataset]
    steps: list[Callable] = []
    if experiment.augment:
        steps += [transforms.RandomHorizontalFlip(FLIP_PROBABILITY), transforms.RandomGrayscale(GRAYSCALE_PROBABILITY)]
    steps.append(transforms.ToTensor())
    if (facts.mean, facts.std) != (0, 1):
        steps.append(transforms.Normalize([facts.mean] * facts.channels, [facts.std] * facts.channels))
    transform = transforms.Compose(steps)
    if experiment.data == "real":
        images = getattr(torchvision.datasets, facts.loader)(data_root(), train=True, transform=transform)
    else:
        images = StandInImages(experiment, transform)
    if experiment.train_count < len(images):
        images = Subset(images, range(experiment.train_count))
    return DataLoader(
        images,
        batch_size=min(experiment.batch_size, experiment.train_count),
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def train_plainly(job: Job, step: Step, *, workers: int) -> list[float]:
    """The plain loop: fp32, Adam, hwkit's schedule, and the loss asked for after every step; returns the losses."""
    from hwkit.callbacks import learning_rate_at

    experiment, device = job.experiment, job.device
    job.facts["configuration"] = "fp32"
    torch.manual_seed(experiment.seed)
    loader = plain_loader(experiment, workers, pin_memory=device.type == "cuda")
    model = textbook_network(experiment).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=experiment.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: learning_rate_at(done + 1, experiment) / experiment.learning_rate
    )
    losses: list[float] = []
    while len(losses) < experiment.iterations:
        for images, labels in itertools.islice(loader, experiment.iterations - len(losses)):
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            step(len(images), model)
    return losses


def train_with_lightning(job: Job, step: Step, *, workers: int) -> None:
    """PyTorch Lightning on the plain loop's data, with its default precision, logger and checkpoints."""
    import lightning  # pyright: ignore[reportMissingImports]  # a baseline where it is installed

    class Network(lightning.LightningModule):
        def __init__(self, experiment: Experiment) -> None:
            super().__init__()
            self.model = textbook_network(experiment)

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            images, labels = batch
            loss = F.cross_entropy(self.model(images), labels)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=job.experiment.learning_rate)

    class Counter(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, network: Network, outputs: Any, batch: Any, index: int) -> None:
            step(len(batch[0]), network.model)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it tells which devices it does not use
    warnings.filterwarnings("ignore", module="lightning")  # and recommends more workers than the contestant has
    job.facts["configuration"] = "fp32"
    torch.manual_seed(job.experiment.seed)
    trainer = lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(job.device.type, job.device.type),
        devices=1 if job.device.index is None else [job.device.index],
        max_steps=job.experiment.iterations,
        max_epochs=-1,
        default_root_dir=job.folder,
        callbacks=[Counter()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = plain_loader(job.experiment, workers, pin_memory=job.device.type == "cuda")
    trainer.fit(Network(job.experiment), loader)


# --- The limit ----------------------------------------------------------------------------------------------------


def train_at_the_limit(job: Job, step: Step) -> None:
    """Steps on one batch that never changes, in whichever precision and memory format is fastest here."""
    torch.backends.cudnn.benchmark = True
    precisions = {"fp32", resolve_precision("auto", job.device)}
    best: tuple[float, Callable[[], None], nn.Module] | None = None
    for precision, layout in itertools.product(sorted(precisions), MEMORY_FORMATS):
        one_step, model = fixed_step(job, precision, MEMORY_FORMATS[layout])
        seconds = min(_seconds(one_step, job.device) for _ in range(5))
        if best is None or seconds < best[0]:
            best = seconds, one_step, model
            job.facts["configuration"] = f"{precision}, {layout}"
    assert best is not None
    _, one_step, model = best
    for _ in range(job.experiment.iterations):
        one_step()
        step(job.experiment.batch_size, model)


def fixed_step(job: Job, precision: str, memory_format: torch.memory_format) -> tuple[Callable[[], None], nn.Module]:
    """A function that makes one optimiser step on a batch that never changes, and its model.

    On a CUDA device it replays a CUDA graph. The learning rate is 0: the same work, but a network that learned the
    one batch by heart would have gradients so small that a CPU needs longer for them.
    """
    experiment, device = job.experiment, job.device
    facts = DATASETS[experiment.dataset]
    model = models.build(experiment).to(device).to(memory_format=memory_format).train()
    images = torch.rand(experiment.batch_size, *facts.shape, device=device)
    images = images.contiguous(memory_format=memory_format)
    labels = torch.arange(experiment.batch_size, device=device) % 10
    on_cuda = device.type == "cuda"
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=on_cuda or device.type == "cpu", capturable=on_cuda)

    def one_step() -> None:
        with autocast(device, precision):
            logits = model(images)
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    if not on_cuda:
        return one_step, model
    # A capture allows no choosing of kernels and no first-time set-up: a few steps on another stream come before it.
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            one_step()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        one_step()
    return graph.replay, model


def _seconds(one_step: Callable[[], None], device: torch.device) -> float:
    """How long two steps take."""
    synchronise(device)
    started = time.perf_counter()
    one_step()
    one_step()
    synchronise(device)
    return time.perf_counter() - started


def multiply_matrices(job: Job, step: Step) -> None:
    """Nothing but a product of two large matrices, over and over, in the precision that hwkit trains in.

    Tells `step` the number of images whose forward and backward pass is as many operations as were done: what the
    hardware could do if convolutions, casts, pooling and the optimiser were as good as its best kernel.
    """
    precision = resolve_precision("auto", job.device)
    job.facts["configuration"] = f"{precision}, {MATRIX_SIZE} x {MATRIX_SIZE}"
    model = models.build(job.experiment).to(job.device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.rand(2, MATRIX_SIZE, MATRIX_SIZE, device=job.device).to(dtype)
    out = torch.empty_like(left)
    images = round(2 * MATRIX_SIZE**3 / operations_per_image(job.experiment))
    job.facts["operations_per_image"] = operations_per_image(job.experiment)
    for _ in range(job.experiment.iterations):
        torch.matmul(left, right, out=out)
        step(images, model)


def operations_per_image(experiment: Experiment) -> float:
    """Floating-point operations of a forward and a backward pass per image, as PyTorch counts them."""
    model, facts = models.build(experiment), DATASETS[experiment.dataset]
    counter = FlopCounterMode(display=False)
    with counter:
        logits = model(torch.rand(8, *facts.shape))
        F.cross_entropy(logits, torch.arange(8)).backward()
    return counter.get_total_flops() / 8


CONTESTANTS: dict[str, Contestant] = {
    "hwkit": Contestant("hwkit", train_with_hwkit),
    "hwkit-unrecorded": Contestant(
        "hwkit, recording off", functools.partial(train_with_hwkit, recording=False), program=False
    ),
    "hwkit-several": Contestant("hwkit, several runs at once", train_with_hwkit, program=False, several=True),
    "plain": Contestant("plain loop", functools.partial(train_plainly, workers=0)),
    "plain-2": Contestant("plain loop, 2 workers", functools.partial(train_plainly, workers=2)),
    "lightning": Contestant("Lightning", functools.partial(train_with_lightning, workers=0)),
    "lightning-2": Contestant("Lightning, 2 workers", functools.partial(train_with_lightning, workers=2)),
    "hwkit-muon": Contestant("hwkit, Muon", functools.partial(train_with_hwkit, optimizer="muon"), program=False),
    "limit": Contestant("compute limit", train_at_the_limit, program=False),
    "matrix": Contestant("product of matrices", multiply_matrices, program=False),
}


def present(*, runs: int) -> list[str]:
    """The contestants that can be measured here: no Lightning where it is not installed, `runs` at once if over 1."""
    lightning = importlib.util.find_spec("lightning") is not None
    return [
        name
        for name, contestant in CONTESTANTS.items()
        if (lightning or not name.startswith("lightning")) and (runs > 1 or not contestant.several)
    ]
