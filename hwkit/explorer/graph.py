"""Any network as a graph of simple operations, such as the explorer's page computes by itself.

torch.export says what a module computes, however it is written (modules, functions, methods). Each of its operations
is translated into one of page/operations.js; one that has no counterpart there is kept by name, and the page shows what
does not need it.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

# Rising functions of one number, which may as well be applied before taking a maximum: then their maps can be shown.
_RISING = {"relu", "leakyRelu", "elu", "selu", "sigmoid", "tanh", "clamp"}
_SAME_NUMBERS = (
    "view reshape unsafe_view flatten squeeze unsqueeze contiguous clone alias detach dropout feature_dropout"
)
_PAIRWISE = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide"}


@dataclass
class Stage:
    """A step that is shown: a layer with weights, a sum or a concatenation, up to the activation that follows.

    `node` is what is shown, `weighted` what computes it, both places in the graph's list of nodes.
    """

    label: str
    kind: str
    node: int
    weighted: int


@dataclass
class Graph:
    """What a network computes from one image.

    Attributes
    ----------
    nodes : in the order of computation, the image first; each a dictionary as page/operations.js reads it.
    stages : the steps that are shown, the last one gives the logits.
    parameters : tensors by the names that nodes use.
    unknown : the operations without a counterpart on the page, by name.
    features : the node whose values the last layer with weights reads; None if there is none.
    """

    nodes: list[dict[str, Any]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    features: int | None = None
    _module: fx.GraphModule | None = None
    _batch: int | None = None  # the only number of images at a time that it takes, if there is one
    _names: list[str] = field(default_factory=list)

    def with_parameters(self, parameters: dict[str, Tensor]) -> Graph:
        """The same network with other numbers in some of its `parameters`; only `values` of it are of use."""
        module = copy.deepcopy(self._module)
        for name, tensor in parameters.items():
            with contextlib.suppress(AttributeError):  # those that were computed from others stay
                operator.attrgetter(name)(module).data = tensor
        return dataclasses.replace(self, _module=module)

    def values(self, batch: Tensor, nodes: Sequence[int]) -> dict[int, Tensor]:
        """What some nodes make of a batch, float32 (N, C, H, W)."""
        if self._batch and len(batch) != self._batch:
            # Such a network is asked for one batch of its size after the other, the last one filled up.
            filled = torch.cat([batch, batch[:1].expand(-len(batch) % self._batch, *batch.shape[1:])])
            parts = [self.values(chunk, nodes) for chunk in filled.split(self._batch)]
            return {node: torch.cat([part[node] for part in parts])[: len(batch)] for node in nodes}
        wanted = {self._names[node]: node for node in nodes}
        found: dict[int, Tensor] = {}

        class Keeper(fx.Interpreter):
            def run_node(self, n: fx.Node) -> Any:
                result = super().run_node(n)
                if n.name in wanted:
                    found[wanted[n.name]] = result
                return result

        with torch.no_grad():
            Keeper(cast(fx.GraphModule, self._module)).run(batch.contiguous(memory_format=torch.channels_last))
        return found


@torch.no_grad()
def trace(model: nn.Module, shape: tuple[int, ...]) -> Graph:
    """The graph of a network in evaluation mode that takes images, float32 (N, *shape).

    Raises
    ------
    Exception
        Whatever torch.export raises where it cannot follow a network.
    """
    model = model.eval()
    batch = torch.zeros(2, *shape)
    program = torch.export.export(model, (batch,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    if any(map(_is_in_place, program.graph.nodes)):
        program = program.run_decompositions({})  # what changes a tensor in its place becomes what gives a new one
    # A copy, because what follows must not change the network.
    module = copy.deepcopy(program.module()).to(memory_format=torch.channels_last)
    for node in module.graph.nodes:
        if node.target is torch.ops.aten.view.default:  # which minds how numbers lie in memory
            node.target = torch.ops.aten.reshape.default
    _activate_before_maxima(module)
    found = _Translation(module).graph
    try:
        module(torch.zeros(3, *shape))
    except Exception:  # whatever a guard, or an operation on other sizes, raises
        found._batch = len(batch)
    return found


def _operation(node: fx.Node) -> str:
    """The plain name of what a node calls: "relu" of aten.relu_.default."""
    return getattr(node.target, "_opname", getattr(node.target, "__name__", str(node.target))).strip("_")


def _is_in_place(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "_opname", "").endswith("_")


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Arguments of a node by name, with the defaults of those that are not given."""
    schema = cast(Any, node.target)._schema
    given = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    given |= dict(zip((a.name for a in schema.arguments), node.args, strict=False))
    return {"input" if name == "self" else name: value for name, value in (given | dict(node.kwargs)).items()}


def _value(node: fx.Node) -> Any:
    """What is known of a node's value, or of the first of several."""
    value = node.meta.get("val")
    return value[0] if isinstance(value, (tuple, list)) else value


def _shape(node: fx.Node) -> list[int]:
    """The shape of a node's value for one image."""
    return [int(length) for length in _value(node).shape[1:]]


def _activate_before_maxima(module: fx.GraphModule) -> None:
    """Swap pooling by maxima and a rising activation right after it; the result is the same."""
    graph = module.graph
    for pool in list(graph.nodes):
        users = list(pool.users)
        if _operation(pool) != "max_pool2d" or len(users) != 1 or _activation(users[0]) is None:
            continue
        after = users[0]
        kind, parameters = cast(Any, _activation(after))
        if kind not in _RISING or (min(parameters, default=0) < 0 < len(parameters) and kind != "clamp"):
            continue
        with graph.inserting_before(pool):
            before = graph.call_function(after.target, (pool.args[0], *after.args[1:]), dict(after.kwargs))
        before.meta = {**after.meta, "val": pool.args[0].meta["val"]}
        pool.args = (before, *pool.args[1:])
        after.replace_all_uses_with(pool)
        graph.erase_node(after)
    module.recompile()


def _activation(node: fx.Node) -> tuple[str, list[float]] | None:
    """The page's name and the parameters of an activation; None of anything else."""
    name = _operation(node)
    simple = {"relu": "relu", "selu": "selu", "silu": "silu", "sigmoid": "sigmoid", "tanh": "tanh", "mish": "mish"}
    simple |= {"hardswish": "hardSwish", "hardsigmoid": "hardSigmoid"}
    if name in simple:
        return simple[name], []
    if name not in ("leaky_relu", "elu", "gelu", "hardtanh", "relu6", "clamp", "softplus"):
        return None
    a = _arguments(node)
    match name:
        case "leaky_relu":
            return "leakyRelu", [a["negative_slope"]]
        case "elu" if a["scale"] == a["input_scale"] == 1:
            return "elu", [a["alpha"]]
        case "gelu":
            return "geluTanh" if a["approximate"] == "tanh" else "gelu", []
        case "hardtanh":
            return "clamp", [a["min_val"], a["max_val"]]
        case "relu6":
            return "clamp", [0, 6]
        case "clamp" if not isinstance(a["min"], fx.Node) and not isinstance(a["max"], fx.Node):
            # JSON has no infinity
            return "clamp", [-1e38 if a["min"] is None else a["min"], 1e38 if a["max"] is None else a["max"]]
        case "softplus" if a["beta"] == 1:
            return "softplus", []
    return None


class _Unknown(Exception):
    """An operation that the page has no counterpart of."""


class _Translation:
    """From torch's graph to the page's, node by node."""

    def __init__(self, module: fx.GraphModule) -> None:
        self.graph = Graph(_module=module)
        self._at: dict[fx.Node, int] = {}
        self._tensors: dict[fx.Node, Tensor] = {}
        output = next(node for node in module.graph.nodes if node.op == "output")
        result = output.args[0]
        result = result[0] if isinstance(result, (tuple, list)) else result
        needed = _ancestors(result)
        for node in module.graph.nodes:
            if node.op == "get_attr":
                self._tensors[node] = _attribute(module, str(node.target))
            elif node.op == "placeholder":
                self._add(node, {"op": "image", "inputs": [], "shape": _shape(node), "label": "image"})
            elif node in needed and node.op == "call_function" and hasattr(_value(node), "shape"):
                self._translate(node)
        self._find_stages()

    def _add(self, node: fx.Node, entry: dict[str, Any]) -> None:
        self._at[node] = len(self.graph.nodes)
        self.graph.nodes.append(entry)
        self.graph._names.append(node.name)

    def _translate(self, node: fx.Node) -> None:
        name = _operation(node)
        inputs = [self._at[one] for one in node.all_input_nodes if one in self._at]
        label = _label(node)
        try:
            entry = self._entry(name, node)
        except (_Unknown, KeyError):  # a KeyError where an input is not a tensor of this network
            entry = {"op": name, "inputs": inputs}
            if name not in self.graph.unknown:
                self.graph.unknown.append(name)
        self._add(node, {"inputs": inputs, "label": label, "shape": _shape(node), **entry})

    def _entry(self, name: str, node: fx.Node) -> dict[str, Any]:
        """An operation as the page knows it."""
        found = _activation(node)
        if found:
            return {"op": "activation", "kind": found[0], "parameters": found[1]}
        if name in _PAIRWISE:
            return self._pairwise(_PAIRWISE[name], node)
        if name in _SAME_NUMBERS or (name == "getitem" and node.args[1] == 0):
            return self._same_numbers(cast(fx.Node, node.args[0]), node)
        translate: Callable[..., dict[str, Any]] | None = getattr(self, f"_{name}", None)
        if translate is None:
            raise _Unknown
        return translate(node, **_arguments(node))

    # --- Layers with weights ------------------------------------------------------------------------------------

    def _conv2d(self, node: fx.Node, *, input, weight, bias, stride, padding, dilation, groups) -> dict[str, Any]:
        kernel = list(self._tensors[weight].shape[2:])
        dilation, stride = _pair(dilation), _pair(stride)
        if isinstance(padding, str):
            padding = [d * (k - 1) // 2 if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
        entry = {"op": "convolution", "weight": self._parameter(weight), "kernel": kernel, "groups": groups}
        entry |= {"stride": stride, "padding": _pair(padding), "dilation": dilation}
        return entry | ({} if bias is None else {"bias": self._parameter(bias)})

    def _linear(self, node: fx.Node, *, input, weight, bias) -> dict[str, Any]:
        if len(_shape(node)) != 1:
            raise _Unknown
        entry = {"op": "linear", "weight": self._parameter(weight)}
        return entry | ({} if bias is None else {"bias": self._parameter(bias)})

    def _batch_norm(
        self, node: fx.Node, *, input, weight, bias, running_mean, running_var, training, eps, **_
    ) -> dict[str, Any]:
        if training:
            raise _Unknown
        mean, variance = self._tensors[running_mean], self._tensors[running_var]
        factor = (variance + eps).rsqrt()
        if weight is not None:
            factor = factor * self._tensors[weight]
        offset = -mean * factor
        if bias is not None:
            offset = offset + self._tensors[bias]
        return {"op": "affine", **self._new_parameters(node, factor, offset)}

    def _native_batch_norm_legit_no_training(self, node: fx.Node, **arguments) -> dict[str, Any]:
        return self._batch_norm(node, training=False, **arguments)

    # --- Pooling ------------------------------------------------------------------------------------------------

    def _max_pool2d(self, node: fx.Node, *, input, kernel_size, stride, padding, dilation, ceil_mode):
        if _pair(dilation) != [1, 1]:
            raise _Unknown
        windows = _windows(input, node, kernel_size, stride or kernel_size, padding)
        return {"op": "maxPool", "rows": windows[0].within, "columns": windows[1].within}

    def _avg_pool2d(
        self, node: fx.Node, *, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    ) -> dict[str, Any]:
        if divisor_override:
            raise _Unknown
        windows = _windows(input, node, kernel_size, stride or kernel_size, padding)
        return _averages(windows, padded=count_include_pad)

    def _adaptive_avg_pool2d(self, node: fx.Node, *, input, output_size) -> dict[str, Any]:
        return _averages(_adaptive_windows(_shape(input), _shape(node)))

    def _adaptive_max_pool2d(self, node: fx.Node, *, input, output_size) -> dict[str, Any]:
        windows = _adaptive_windows(_shape(input), _shape(node))
        return {"op": "maxPool", "rows": windows[0].within, "columns": windows[1].within}

    def _mean(self, node: fx.Node, *, input, dim, **_) -> dict[str, Any]:
        return _averages(self._whole_maps(input, dim))

    def _amax(self, node: fx.Node, *, input, dim, **_) -> dict[str, Any]:
        windows = self._whole_maps(input, dim)
        return {"op": "maxPool", "rows": windows[0].within, "columns": windows[1].within}

    def _whole_maps(self, source: fx.Node, axes: Sequence[int]) -> list[_Windows]:
        """Windows of a reduction over whole maps."""
        shape = _shape(source)
        if len(shape) != 3 or sorted(axis % 4 for axis in axes) != [2, 3]:
            raise _Unknown
        return _adaptive_windows(shape, [shape[0], 1, 1])

    # --- The rest -----------------------------------------------------------------------------------------------

    def _pairwise(self, kind: str, node: fx.Node) -> dict[str, Any]:
        a, b = node.args[:2]
        if node.kwargs.get("alpha", 1) != 1 or node.kwargs.get("rounding_mode"):
            raise _Unknown
        return {"op": "pairwise", "kind": kind, "inputs": [self._operand(a, node), self._operand(b, node)]}

    def _operand(self, value: Any, node: fx.Node) -> int:
        """A node's place; of a number or a parameter, that of a new constant."""
        if value in self._at:
            return self._at[value]
        if isinstance(value, fx.Node):
            tensor = self._tensors[value]
            shape = list(tensor.shape)
            if len(shape) > len(_shape(node)):
                if shape[0] != 1:
                    raise _Unknown
                shape = shape[1:]
        else:
            tensor, shape = torch.tensor(float(value)), []
        name = f"{node.name}.{value}"
        self.graph.parameters[name] = tensor.reshape(shape)
        self.graph.nodes.append({"op": "constant", "inputs": [], "shape": shape, "weight": name, "label": str(value)})
        self.graph._names.append("")
        return len(self.graph.nodes) - 1

    def _cat(self, node: fx.Node, *, tensors, dim) -> dict[str, Any]:
        axis = dim % (len(_shape(node)) + 1)
        if axis == 0:
            raise _Unknown
        lengths = [math.prod(_shape(one)[axis - 1 :]) for one in tensors]
        return {"op": "concatenation", "lengths": lengths, "inputs": [self._at[one] for one in tensors]}

    def _slice(self, node: fx.Node, *, input, dim, start, end, step) -> dict[str, Any]:
        source = input
        if _shape(source) == _shape(node):
            return {"op": "reshape"}
        axis = dim % (len(_shape(node)) + 1)
        if axis == 0:
            raise _Unknown
        length = _shape(source)[axis - 1]
        return {"op": "slice", "axis": axis - 1, "start": range(length)[start or 0 :][0], "step": step}

    def _group_norm(self, node: fx.Node, *, input, num_groups, weight, bias, eps, **_) -> dict[str, Any]:
        return self._standardised(node, num_groups, weight, bias, eps)

    def _layer_norm(self, node: fx.Node, *, input, normalized_shape, weight, bias, eps, **_) -> dict[str, Any]:
        if list(normalized_shape) != _shape(node):
            raise _Unknown
        return self._standardised(node, 1, weight, bias, eps)

    def _standardised(self, node: fx.Node, groups: int, weight, bias, eps: float) -> dict[str, Any]:
        entry = {
            "op": "standardise",
            "groups": groups,
            "epsilon": eps,
            "inputs": [self._at[cast(fx.Node, node.args[0])]],
        }
        if weight is None:
            return entry
        self.graph.nodes.append({"label": _label(node), "shape": _shape(node), **entry})
        self.graph._names.append("")
        factor = self._tensors[weight]
        offset = torch.zeros_like(factor) if bias is None else self._tensors[bias]
        parameters = self._new_parameters(node, factor.flatten(), offset.flatten())
        return {"op": "affine", "inputs": [len(self.graph.nodes) - 1], **parameters}

    def _softmax(self, node: fx.Node, *, dim, **_) -> dict[str, Any]:
        if len(_shape(node)) != 1 or dim % 2 != 1:
            raise _Unknown
        return {"op": "softmax"}

    def _log_softmax(self, node: fx.Node, *, dim, **_) -> dict[str, Any]:
        return {**self._softmax(node, dim=dim), "op": "logSoftmax"}

    def _same_numbers(self, source: fx.Node, node: fx.Node) -> dict[str, Any]:
        if _batch_of(source) != _batch_of(node) or math.prod(_shape(source)) != math.prod(_shape(node)):
            raise _Unknown
        return {"op": "reshape", "inputs": [self._at[source]]}

    # --- Parameters and stages ----------------------------------------------------------------------------------

    def _parameter(self, node: fx.Node) -> str:
        name = str(node.target)
        self.graph.parameters[name] = self._tensors[node]
        return name

    def _new_parameters(self, node: fx.Node, factor: Tensor, offset: Tensor) -> dict[str, str]:
        names = {"factor": f"{node.name}.factor", "offset": f"{node.name}.offset"}
        self.graph.parameters |= {names["factor"]: factor, names["offset"]: offset}
        return names

    def _find_stages(self) -> None:
        """Layers with weights, sums and concatenations of maps, each with what follows it and nothing else."""
        nodes = self.graph.nodes
        users: list[list[int]] = [[] for _ in nodes]
        for at, node in enumerate(nodes):
            for source in node["inputs"]:
                users[source].append(at)
        for at, node in enumerate(nodes):
            weighted = node["op"] in ("convolution", "linear")
            joined = node["op"] in ("pairwise", "concatenation") and all(nodes[i]["inputs"] for i in node["inputs"])
            if not (weighted or joined):
                continue
            end = at
            while len(users[end]) == 1:
                after = nodes[users[end][0]]
                follows = after["op"] in ("affine", "standardise", "activation") and after["inputs"] == [end]
                if not follows and not (after["op"] == "reshape" and after["shape"] == nodes[end]["shape"]):
                    break
                end = users[end][0]
            kind = (
                node["op"] if weighted else {"add": "sum", "multiply": "product"}.get(str(node.get("kind")), node["op"])
            )
            self.graph.stages.append(Stage(node["label"], kind, end, at))
            if weighted:
                self.graph.features = node["inputs"][0]


@dataclass
class _Windows:
    """Where the windows of pooling lie along one axis: [from, to) within the image, and lengths with padding."""

    within: list[list[int]]
    padded: list[int]


def _windows(source: fx.Node, result: fx.Node, kernel_size, stride, padding) -> list[_Windows]:
    found = []
    options = map(_pair, (kernel_size, stride, padding))
    for length, count, kernel, step, outside in zip(_shape(source)[1:], _shape(result)[1:], *options, strict=True):
        windows = _Windows([], [])
        for place in range(count):
            start = place * step - outside
            end = min(start + kernel, length + outside)
            windows.within.append([max(start, 0), min(end, length)])
            windows.padded.append(end - start)
        found.append(windows)
    return found


def _adaptive_windows(source: list[int], result: list[int]) -> list[_Windows]:
    found = []
    for length, count in zip(source[1:], result[1:], strict=True):
        within = [[place * length // count, -(-(place + 1) * length // count)] for place in range(count)]
        found.append(_Windows(within, [end - start for start, end in within]))
    return found


def _averages(windows: list[_Windows], padded: bool = False) -> dict[str, Any]:
    rows, columns = windows
    lengths = [w.padded if padded else [end - start for start, end in w.within] for w in windows]
    entry = {"op": "averagePool", "rows": rows.within, "columns": columns.within}
    return entry | {"heights": lengths[0], "widths": lengths[1]}


def _pair(value: int | Sequence[int]) -> list[int]:
    """Both numbers of an option that may be given as one."""
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


def _batch_of(node: fx.Node) -> Any:
    return _value(node).shape[0] if _value(node).dim() else None


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """A node and everything that it is computed from."""
    found, waiting = set(), [node]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += one.all_input_nodes
    return found


def _attribute(module: nn.Module, path: str) -> Tensor:
    return operator.attrgetter(path)(module).detach()


def _label(node: fx.Node) -> str:
    """The module that an operation stands in, such as "layer1.0.conv2"; without one, the operation's name."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    name = _operation(node)
    if not path or path.startswith("_empty"):
        return name
    return path if any(letter.isalpha() for letter in path.rsplit(".", 1)[-1]) else f"{path} {name}"
