"""The reference report's MNIST network as it was written: a TensorFlow graph and a session that runs it.

TensorFlow 2 still has TensorFlow 1's interface under `tf.compat.v1`. Everything here happens in a graph and a session
of its own, so that nothing changes for other users of TensorFlow in the process. It is imported only when a network is
built: it takes seconds, and the rest of the report does without it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwkit import data
from hwkit.chapters import penalty_bug as penalty
from hwkit.chapters.penalty_bug import PenaltyRun, PenaltyTraining
from hwkit.engine.devices import resolve_device
from hwkit.errors import ExperimentError, ParameterError, TrainingError, did_you_mean
from hwkit.experiment import Experiment

Shape = tuple[int, ...]
Weight = tuple[Any, Any]  # a variable, and the node of its penalty or None

CHOICES = ("auto", "off")
KERNELS = {"conv1": (5, 5, 1, 32), "conv2": (5, 5, 32, 64), "fc1": (7 * 7 * 64, 1024), "fc2": (1024, 10)}
EVALUATED = 1000  # images at a time


def available() -> bool:
    """Whether TensorFlow is installed; finds out without importing it."""
    return importlib.util.find_spec("tensorflow") is not None


def wanted(choice: str) -> bool:
    """Whether to train in TensorFlow: "auto" is where it is installed, "off" nowhere.

    Raises
    ------
    ParameterError
        For another word.
    """
    if choice not in CHOICES:
        raise ParameterError(f"tensorflow={choice!r} is neither of the choices; {did_you_mean(choice, CHOICES)}")
    return choice == "auto" and available()


def train(training: PenaltyTraining, *, device: str = "auto", progress: bool = True) -> PenaltyRun:
    """Train in TensorFlow's graph mode, or load the result if it is there, which takes no TensorFlow.

    Parameters
    ----------
    device : "cpu" keeps TensorFlow off a GPU; otherwise it takes the one that it can use.

    Raises
    ------
    TrainingError
        If TensorFlow is not installed, the device does not exist, or the loss is no longer a finite number.
    ExperimentError
        If the training is one in PyTorch, which `hwkit.chapters.penalty_bug.train` does.
    DataError, RunError
        If the data set is missing or damaged; if the result cannot be written.
    """
    if training.framework != "tensorflow":
        raise ExperimentError(f"{training.experiment.name} is trained by hwkit.chapters.penalty_bug.train")
    target = resolve_device(device)

    @contextlib.contextmanager
    def network(resolved: PenaltyTraining) -> Iterator[GraphNetwork]:
        if not available():
            raise TrainingError(
                "TensorFlow is not installed: `pip install 'hwkit[tensorflow]'` adds it; tensorflow='off' does without"
            )
        opened = GraphNetwork(resolved, target)
        try:
            yield opened
        finally:
            opened.session.close()

    return penalty.load_or_fit(training, network, target, progress=progress)


# --- The mistake and its repair ---------------------------------------------------------------------------------
# `tf` is tensorflow.compat.v1. Seeds are given to each operation: a graph's own seed would give other numbers as soon
# as a penalty adds operations to it.


def plain_weight(tf: ModuleType, shape: Shape, l2: float, seed: int) -> Weight:
    """A weight without a penalty."""
    return tf.Variable(tf.truncated_normal(shape, stddev=0.1, seed=seed)), None


def faulty_weight(tf: ModuleType, shape: Shape, l2: float, seed: int) -> Weight:
    """A weight and its penalty as in the reference report."""
    initial = tf.truncated_normal(shape, stddev=0.1, seed=seed)
    penalty = l2 * tf.nn.l2_loss(initial)  # of the node that draws initial values
    return tf.Variable(initial), penalty


def repaired_weight(tf: ModuleType, shape: Shape, l2: float, seed: int) -> Weight:
    """A weight and a penalty on it."""
    initial = tf.truncated_normal(shape, stddev=0.1, seed=seed)
    weight = tf.Variable(initial)
    return weight, l2 * tf.nn.l2_loss(weight)


def collected_penalty(tf: ModuleType, l2: float) -> Any:
    """A penalty over what was put into the collection `Ws`: in the reference report, the initial values."""
    return l2 * tf.add_n([tf.nn.l2_loss(value) for value in tf.get_collection("Ws")])


def attempts(l2: float) -> dict[str, tuple[float, float | None]]:
    """As `hwkit.chapters.penalty_bug.attempts`, in a graph of its own.

    Raises
    ------
    ImportError
        If TensorFlow is not installed; see `available`.
    """
    tf = _import_tensorflow().compat.v1
    with tf.Graph().as_default() as graph:
        initial = tf.truncated_normal(KERNELS["conv1"], stddev=0.1, seed=1)
        tf.add_to_collection("Ws", initial)
        weight = tf.Variable(initial)
        over_variables = l2 * tf.add_n([tf.nn.l2_loss(variable) for variable in tf.trainable_variables()])
        nodes = (l2 * tf.nn.l2_loss(initial), collected_penalty(tf, l2), over_variables)
        gradients = [_norm_or_none(tf, tf.gradients(node, weight)[0]) for node in nodes]
        start = tf.global_variables_initializer()
    with tf.Session(graph=graph, config=_configuration(tf, torch.device("cpu"))) as session:
        session.run(start)
        values = [float(session.run(node)) for node in nodes]
        norms = [None if gradient is None else float(session.run(gradient)) for gradient in gradients]
    return dict(zip(penalty.ATTEMPTS, zip(values, norms, strict=True), strict=True))


# --- The graph --------------------------------------------------------------------------------------------------


class GraphNetwork:
    """MNIST's 5x5 network as a graph with a session; see `hwkit.chapters.penalty_bug.Network`."""

    precision = "fp32"

    def __init__(self, training: PenaltyTraining, device: torch.device) -> None:
        tensorflow = _import_tensorflow()
        tf = tensorflow.compat.v1
        self.packages = {"tensorflow": tensorflow.__version__}
        experiment = training.experiment
        make = {"none": plain_weight, "faulty": faulty_weight, "repaired": repaired_weight}[training.version]
        with tf.Graph().as_default() as graph:
            self.images = tf.placeholder(tf.float32, [None, 28, 28, 1])
            self.labels = tf.placeholder(tf.int64, [None])
            self.keep = tf.placeholder(tf.float32, [])
            made = {
                f"{layer}.weight": make(tf, shape, experiment.l2, _operation_seed(experiment, number))
                for number, (layer, shape) in enumerate(KERNELS.items())
            }
            self.weights = {name: weight for name, (weight, _) in made.items()}
            self.penalty_nodes = {name: node for name, (_, node) in made.items() if node is not None}
            biases = [tf.Variable(tf.constant(0.1, shape=shape[-1:])) for shape in KERNELS.values()]
            self.outputs = self._outputs(tf, list(self.weights.values()), biases, _operation_seed(experiment, 9))
            cross_entropy = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.labels, logits=self.outputs)
            )
            total = tf.add_n([cross_entropy, *self.penalty_nodes.values()])
            self.training_step = tf.train.AdamOptimizer(experiment.learning_rate).minimize(total)
            self.norm_nodes = {name: tf.norm(weight) for name, weight in self.weights.items()}
            self.gradient_nodes = {
                name: _norm_or_none(tf, tf.gradients(node, self.weights[name])[0])
                for name, node in self.penalty_nodes.items()
            }
            start = tf.global_variables_initializer()
        self.dropout = experiment.dropout or 0.0
        self.session = tf.Session(graph=graph, config=_configuration(tf, device))
        self.session.run(start)

    def _outputs(self, tf: ModuleType, weights: list[Any], biases: list[Any], seed: int) -> Any:
        """The ten outputs for the images; `self.keep` is the probability with which dropout keeps a feature."""
        x = self.images
        for weight, bias in zip(weights[:2], biases[:2], strict=True):
            x = tf.nn.relu(tf.nn.conv2d(x, weight, strides=1, padding="SAME") + bias)
            x = tf.nn.max_pool2d(x, ksize=2, strides=2, padding="SAME")
        x = tf.nn.relu(tf.reshape(x, [-1, 7 * 7 * 64]) @ weights[2] + biases[2])
        return tf.nn.dropout(x, rate=1 - self.keep, seed=seed) @ weights[3] + biases[3]

    def step(self, images: Tensor, labels: Tensor) -> None:
        fed = {self.images: _pixels(images), self.labels: labels.numpy(), self.keep: 1 - self.dropout}
        self.session.run(self.training_step, fed)

    def logits(self, images: Tensor) -> Tensor:
        parts = [
            self.session.run(self.outputs, {self.images: _pixels(part), self.keep: 1.0})
            for part in images.split(EVALUATED)
        ]
        return torch.from_numpy(np.concatenate(parts))

    def norms(self) -> dict[str, float]:
        return _as_floats(self.session.run(self.norm_nodes))

    def penalties(self) -> dict[str, float]:
        return _as_floats(self.session.run(self.penalty_nodes)) if self.penalty_nodes else {}

    def penalty_gradients(self) -> dict[str, float | None]:
        there = {name: node for name, node in self.gradient_nodes.items() if node is not None}
        computed = _as_floats(self.session.run(there)) if there else {}
        return {name: computed.get(name) for name in self.gradient_nodes}


def _import_tensorflow() -> ModuleType:
    """TensorFlow, imported after Triton, which PyTorch's CUDA builds import sooner or later.

    Both bring an LLVM of their own. TensorFlow makes its symbols global, so that a Triton loaded after it takes them
    for its own and aborts the process ("Option ... registered more than once"). The other way round they get along.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")
    return importlib.import_module("tensorflow")


def _norm_or_none(tf: ModuleType, gradient: Any) -> Any:
    """The node of a gradient's norm; None where `tf.gradients` found no path and gave None."""
    return None if gradient is None else tf.norm(gradient)


def _operation_seed(experiment: Experiment, number: int) -> int:
    """The seed of the graph's random operation with this number, from 1 to 2**31 - 2."""
    return 1 + (10 * experiment.seed + number) % (2**31 - 2)


def _configuration(tf: ModuleType, device: torch.device) -> Any:
    """As many threads as PyTorch uses, a GPU only where one is wanted, and of its memory no more than needed."""
    threads = torch.get_num_threads()
    return tf.ConfigProto(
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=threads,
        device_count={"GPU": 0} if device.type == "cpu" else {},
        gpu_options=tf.GPUOptions(allow_growth=True),
    )


def _pixels(images: Tensor) -> np.ndarray:
    """Images, uint8 (N, 1, 28, 28), as TensorFlow takes them: float32 (N, 28, 28, 1), from 0 to 1."""
    return data.normalise(images, "mnist").permute(0, 2, 3, 1).numpy()


def _as_floats(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
