"""Figures as the report has them: drawings in its typeface that describe themselves."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from hwkit import theme
from hwkit.theme import description, new_axes, new_figure, svg


def test_text_stays_text_in_the_typeface_of_the_report() -> None:
    axes = new_axes(4)
    axes.set_xlabel("epochs")
    drawn = svg(axes.figure)  # type: ignore[arg-type]
    assert ">epochs</text>" in drawn
    assert theme.TYPEFACE in drawn
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", drawn)]
    assert min(sizes) >= 7


def test_a_figure_is_the_same_file_whenever_it_is_drawn() -> None:
    def drawn() -> str:
        axes = new_axes(4)
        axes.plot([1, 2], [3, 4], "o-")
        return svg(axes.figure)  # type: ignore[arg-type]

    assert drawn() == drawn()


def test_pictures_keep_their_own_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    with theme.applied():
        figure = new_figure(4, 4)
        figure.add_subplot().imshow(pixels)
        drawn = svg(figure)
    (found,) = re.findall(r'data:image/png;base64,([^"]+)"', drawn)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB"))
    assert picture.shape == pixels.shape
    assert any(np.array_equal(one, pixels) for one in (picture, picture[::-1]))


def test_many_points_are_one_picture_and_few_are_drawn() -> None:
    for count, pictures in ((50, 0), (theme.MOST_POINTS + 1, 1)):
        axes = new_axes(4)
        axes.scatter(np.arange(count), np.arange(count))
        assert svg(axes.figure).count("<image") == pictures  # type: ignore[arg-type]


def test_a_description_names_axes_and_the_course_of_each_named_line() -> None:
    axes = new_axes(4)
    axes.plot([0, 1, 2], [0.41, 0.9, 0.8], label="test")
    axes.plot([0, 2], [0.5, 0.5], label="chance")
    axes.plot([0, 2], [0.1, 0.2])
    axes.set(xlabel="epochs", ylabel="accuracy", title="CIFAR-10")
    said = description(axes.figure)  # type: ignore[arg-type]
    assert said == "CIFAR-10: accuracy over epochs: test rises from 0.41 to 0.8; chance stays at 0.5."


def test_a_description_counts_pictures_and_an_own_one_comes_first() -> None:
    figure = new_figure(4)
    for axes, title in zip(figure.subplots(1, 2), ("7", "1 → 7"), strict=True):
        axes.imshow(np.zeros((2, 2)))
        axes.set_title(title)
    assert description(figure) == "2 pictures: 7; 1 → 7."
    assert figure._repr_png_()[1]["alt"] == description(figure)
    figure.alt = "Two sevens"
    assert figure._repr_svg_()[1]["alt"] == "Two sevens"
