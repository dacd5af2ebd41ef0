"""The stand-in data sets: shapes drawn by the code, for machines with neither the real data nor a network.

In place of MNIST: ten figures in bright strokes on black. In place of CIFAR-10: five shapes, each striped or dotted,
in random colours on cluttered ground. Shapes and counts of the tensors are those of the real sets, the classes are
honest about what is drawn. Position, size, angle, stroke, colour and ground vary from image to image, so that no
single pixel tells the class and a linear classifier stays far behind a CNN; neither does colour or left and right.

Every step on pixels is an addition, a multiplication, a division, a square root, a comparison or a rounding, each of
which has one right result in IEEE arithmetic. So the images come out bit for bit the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator, Tensor

CHUNK = 200  # images drawn at a time: few enough to stay in the cache, many enough for vectorised code to pay

# A figure is a function of coordinates (u, v), v upwards, to a distance: negative inside, about 1 in each direction
# from the centre to the rim. Distances near the rim are true ones, which makes strokes even and edges smooth.
# The formulas without a comment are the norms whose unit ball is the figure.
Figure = Callable[[Tensor, Tensor], Tensor]


def _disc(u: Tensor, v: Tensor) -> Tensor:
    return (u * u + v * v).sqrt_() - 0.9


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) - 0.8


def _hexagon(u: Tensor, v: Tensor) -> Tensor:
    u, v = u.abs(), v.abs()
    return torch.maximum(u, u * 0.5 + v * 0.8660254) - 0.85


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs() * 0.8660254 + v * 0.5, -v) - 0.55


def _cross(u: Tensor, v: Tensor) -> Tensor:
    u, v = u.abs(), v.abs()
    return torch.maximum(torch.minimum(u, v) - 0.3, torch.maximum(u, v) - 1.0)


def _crescent(u: Tensor, v: Tensor) -> Tensor:
    beside = u - 0.65
    return torch.maximum(_disc(u, v), 0.75 - (beside * beside + v * v).sqrt_())


def _star(u: Tensor, v: Tensor) -> Tensor:
    """Five points, after Inigo Quilez's `sdStar5` (2D distance functions): folded onto one edge by two mirrors."""
    mirror_u, mirror_v = 0.80901699, 0.58778525  # cosine and sine of 36 degrees
    u = u.abs()
    for side in (1.0, -1.0):
        beyond = (u * (side * mirror_u) - v * mirror_v).clamp_(min=0) * 2
        u = u - beyond * (side * mirror_u)
        v = v + beyond * mirror_v
    u, v = u.abs(), v - 1.05
    edge_u, edge_v = 0.45 * mirror_v, 0.45 * mirror_u - 1.0
    along = ((u * edge_u + v * edge_v) / (edge_u**2 + edge_v**2)).clamp_(0, 1.05)
    off_u, off_v = u - along * edge_u, v - along * edge_v
    distance = (off_u * off_u + off_v * off_v).sqrt_()
    return torch.where(v * edge_u > u * edge_v, distance, -distance)


def _bars(u: Tensor, v: Tensor) -> Tensor:
    """Two parallel lines without ends."""
    return u.abs() - 0.45


def _axes(u: Tensor, v: Tensor) -> Tensor:
    """Two lines without ends that cross in the centre."""
    return torch.minimum(u.abs(), v.abs())


def _zigzag(u: Tensor, v: Tensor) -> Tensor:
    return (v - _wave(u * 0.8 + 0.25) * 1.1 + 0.55) * 0.5  # 0.5: the cosine of the slope


def _lower(u: Tensor, v: Tensor) -> Tensor:
    return v - 0.35


def _wave(x: Tensor) -> Tensor:
    """A triangle wave of period 1 between 0 (at whole numbers) and 1, made of exact operations."""
    return (x - x.round()).abs_() * 2


# The grey set strokes the rim of the first figure, as far as it lies inside the second.
_STROKES: dict[str, tuple[Figure, Figure | None]] = {
    "ring": (_disc, None),
    "hexagon": (_hexagon, None),
    "square": (_square, None),
    "triangle": (_triangle, None),
    "star": (_star, None),
    "crescent": (_crescent, None),
    "horseshoe": (_disc, _lower),
    "cross": (_axes, _square),
    "bars": (_bars, _square),
    "zigzag": (_zigzag, _square),
}
# The colour set fills these.
_SOLIDS: dict[str, Figure] = {
    "disc": _disc, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross
}  # fmt: skip

CLASSES: dict[str, tuple[str, ...]] = {
    "mnist": tuple(_STROKES),
    "cifar10": tuple(f"{texture} {shape}" for shape in _SOLIDS for texture in ("striped", "dotted")),
}
_COUNTS = {"mnist": (60000, 10000), "cifar10": (50000, 10000)}


def draw(
    name: str, train_size: int | None = None, test_size: int | None = None, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw the stand-in for a data set, or its first images; the first n are the same however many are drawn.

    Parameters
    ----------
    name : 'mnist' or 'cifar10'.
    train_size, test_size : how many images; default as many as the real set has.
    seed : another seed draws another set of the same kind.

    Returns
    -------
    train_images, train_labels, test_images, test_labels : uint8 (N, C, H, W) and int64 (N,), as in `hwkit.data.Dataset`
    """
    sizes = [
        whole if size is None else size for whole, size in zip(_COUNTS[name], (train_size, test_size), strict=True)
    ]
    which = list(_COUNTS).index(name)
    paint = _paint_grey if name == "mnist" else _paint_colour
    tensors: list[Tensor] = []
    with _one_thread():
        for split, size in enumerate(sizes):
            chunks = [_draw_chunk(paint, (seed, which, split, start)) for start in range(0, size, CHUNK)]
            tensors += [torch.cat(parts)[:size] for parts in zip(*chunks, strict=True)]
    return tensors[0], tensors[1], tensors[2], tensors[3]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute in one thread: threads that meet after each small step crawl on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _draw_chunk(paint: Callable[[Generator], Tensor], key: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """CHUNK images with as many of each class, in random order: uint8 (CHUNK, C, H, W), int64 (CHUNK,)."""
    mixed = np.random.SeedSequence(key).generate_state(1, np.uint64)
    generator = Generator().manual_seed(int(mixed[0]))
    images = paint(generator)
    order = torch.randperm(CHUNK, generator=generator)
    return images[order], order // (CHUNK // 10)


def _paint_grey(generator: Generator) -> Tensor:
    """CHUNK images, sorted by class: uint8 (CHUNK, 1, 28, 28)."""
    size = 28
    radius = _uniform(generator, 0.38, 0.72)
    u, v = _place(generator, size, radius, turn=0.1, stray=0.3)
    stroke = _uniform(generator, 0.07, 0.15) / radius
    ink = torch.empty(CHUNK, size, size)
    for part, (figure, region) in zip(_class_slices(), _STROKES.values(), strict=True):
        distance = figure(u[part], v[part]).abs_() - stroke[part]
        if region:
            distance = torch.maximum(distance, region(u[part], v[part]))
        ink[part] = _coverage(distance, radius[part], size)
    noise = torch.rand(CHUNK, size, size, generator=generator) * 0.2 - 0.1
    bright = ink * _uniform(generator, 0.65, 1.0) + noise * _uniform(generator, 0.0, 1.0)
    return _to_bytes(bright).unsqueeze(1)


def _paint_colour(generator: Generator) -> Tensor:
    """CHUNK images, sorted by class: uint8 (CHUNK, 3, 32, 32)."""
    size = 32
    canvas = _ground(generator, size)
    for _ in range(3):  # clutter: pieces smaller than the figures
        radius = _uniform(generator, 0.1, 0.3)
        u, v = _place(generator, size, radius, turn=0.5, stray=0.9)
        v *= _uniform(generator, 0.4, 1.0)
        _paint_over(canvas, _coverage(_square(u, v), radius, size), _colour(generator))

    radius = _uniform(generator, 0.45, 0.8)
    u, v = _place(generator, size, radius, turn=0.12, stray=0.3)
    inside = torch.empty(CHUNK, size, size)
    for part, figure in zip(_class_slices(5), _SOLIDS.values(), strict=True):
        inside[part] = _coverage(figure(u[part], v[part]), radius[part], size)

    # The texture lies at an angle of its own, 5 to 7 pixels from one stripe or dot to the next.
    period = _uniform(generator, 5.0, 7.0) * (2 / size)
    s, t = _place(generator, size, period, turn=0.5, stray=1.0)
    marks = _wave(s)
    for part in _class_slices()[1::2]:
        marks[part] = torch.minimum(marks[part], _wave(t[part])) * 1.3
    marks = (marks * 3 - 1).clamp_(0, 1)
    light, dark = _colour_pair(generator)
    _paint_over(canvas, inside, light)
    _paint_over(canvas, inside * marks, dark)
    noise = torch.rand(CHUNK, 1, size, size, generator=generator) * 0.2 - 0.1
    canvas += noise * _uniform(generator, 0.2, 1.0).unsqueeze(1)
    return _to_bytes(canvas)


def _class_slices(groups: int = 10) -> list[slice]:
    each = CHUNK // groups
    return [slice(group * each, (group + 1) * each) for group in range(groups)]


def _uniform(generator: Generator, low: float, high: float) -> Tensor:
    """One number per image: float32 (CHUNK, 1, 1)."""
    return torch.rand(CHUNK, 1, 1, generator=generator) * (high - low) + low


def _place(generator: Generator, size: int, radius: Tensor, turn: float, stray: float) -> tuple[Tensor, Tensor]:
    """Coordinates (u, v) of each pixel as a figure sees them: shifted, turned by up to `turn` of a circle, scaled.

    The picture reaches from -1 to 1. Both results are float32 (CHUNK, size, size).
    """
    across = (torch.arange(size, dtype=torch.float32) * 2 + 1) / size - 1
    centre_x, centre_y = _uniform(generator, -stray, stray), _uniform(generator, -stray, stray)
    angle = _uniform(generator, -turn, turn).double() * (2 * torch.pi)
    # Rounded from double, so that the last bit does not hang on whose cosine it is.
    cosine, sine = angle.cos().float() / radius, angle.sin().float() / radius
    x, y = across.view(1, 1, size) - centre_x, centre_y - across.view(1, size, 1)
    return x * cosine + y * sine, y * cosine - x * sine


def _coverage(distance: Tensor, radius: Tensor, size: int) -> Tensor:
    """The share of each pixel that lies inside, from the distance to the rim: the edge is one pixel wide."""
    return (0.5 - distance * (radius * (size / 2))).clamp_(0, 1)


def _ground(generator: Generator, size: int) -> Tensor:
    """Smooth patches of colour, float32 (CHUNK, 3, size, size): a random 5x5 grid, interpolated linearly."""
    grid = torch.rand(CHUNK, 3, 5, 5, generator=generator) * 0.5 + _colour(generator) * 0.5
    share = torch.arange(size // 4, dtype=torch.float32) * (4 / size)
    down, across = share.view(-1, 1), share
    rows = grid[:, :, :4, None] * (1 - down) + grid[:, :, 1:, None] * down
    rows = rows.reshape(CHUNK, 3, size, 5, 1)
    return (rows[..., :4, :] * (1 - across) + rows[..., 1:, :] * across).reshape(CHUNK, 3, size, size)


def _colour(generator: Generator) -> Tensor:
    """One colour per image: float32 (CHUNK, 3, 1, 1)."""
    return torch.rand(CHUNK, 3, 1, 1, generator=generator)


def _colour_pair(generator: Generator) -> tuple[Tensor, Tensor]:
    """Two colours per image that differ in brightness, so that a texture survives the loss of colour."""
    first, second = _colour(generator), _colour(generator)
    light, dark = first * 0.55 + 0.45, second * 0.5
    swap = torch.rand(CHUNK, 1, 1, 1, generator=generator) < 0.5
    return torch.where(swap, dark, light), torch.where(swap, light, dark)


def _paint_over(canvas: Tensor, cover: Tensor, colour: Tensor) -> None:
    """Lay `colour`, float32 (CHUNK, 3, 1, 1), over the canvas in place where `cover`, float32 (CHUNK, H, W), is 1."""
    cover = cover.unsqueeze(1)
    canvas *= 1 - cover
    canvas += cover * colour


def _to_bytes(bright: Tensor) -> Tensor:
    """Brightness from 0 to 1 as uint8. Uses up `bright`."""
    return bright.clamp_(0, 1).mul_(255).round_().to(torch.uint8)
