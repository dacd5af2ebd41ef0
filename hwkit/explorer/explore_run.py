"""`explore(run)`: walk through the test set, the layers and the mistakes of a run."""

from __future__ import annotations

import contextlib
import html
import threading
from collections.abc import Iterator

import ipywidgets
import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from hwkit import analysis, plots, runs, theme
from hwkit.errors import HwkitError, RunError
from hwkit.explorer import attribution, drawing, pictures
from hwkit.explorer.bridge import STYLE, Clickable, FrontEnd, Pad, Signal
from hwkit.explorer.opened import KINDS, ORDERS, Openings, OpenRun, Subject
from hwkit.runs import Run

NOTHING, COUNTERPART = "nothing", "an example of the predicted class"
ANY = -1  # a class; ipywidgets takes the value None for nothing chosen
SORTINGS = ("strongest first", "by number")
PANELS = ("Channel", "Confusion matrix", "Draw or upload", "Saliency and occlusion", "Filters", "Map of the test set")
PLANE = (600, 400)  # pixels


def explore(run: Run, other: Run | None = None) -> Explorer:
    """Walk through the test set of a run: every image, every layer, every mistake.

    Parameters
    ----------
    run : a finished run.
    other : a second one, tested on the same images, to be seen beside it.

    Raises
    ------
    RunError
        If a run's folder is gone or damaged, or the two were tested on different images.
    DataError
        If the data set is missing.
    """
    return Explorer(run, other)


class Pane:
    """A picture with its probabilities and, below, the maps of a layer."""

    def __init__(self, explorer: Explorer, place: int) -> None:
        self.picture = ipywidgets.HTML()
        self.maps = Clickable(explorer.guarded(lambda answer: explorer.pick(place, int(answer))))
        self.widget = ipywidgets.VBox([self.picture, self.maps], layout=ipywidgets.Layout(flex="1 1 400px"))

    def show(self, opened: OpenRun, subject: Subject) -> None:
        """Show a picture and what a network makes of it."""
        name, predicted = opened.names, subject.predicted
        if subject.label is None:
            title, verdict = "your picture", f"predicted: <b>{html.escape(name[predicted])}</b>"
        else:
            title = f"test image {subject.number}"
            right = predicted == subject.label
            colour = "#00684B" if right else "#B02A0C"
            verdict = (
                f"true: <b>{html.escape(name[subject.label])}</b>, predicted: <b>{html.escape(name[predicted])}</b> "
                f'<span style="background:{colour};color:#fff;padding:0 6px">{"correct" if right else "mistake"}</span>'
            )
        address = drawing.data_uri(drawing.pixels_of(subject.image))
        self.picture.value = (
            f'<div class="hwkit"><div><b>{html.escape(opened.run.name)}</b>, {title}<br>{verdict}</div>'
            f'<div style="display:flex;gap:14px;align-items:center;margin:6px 0">{drawing.picture(address, 140, title)}'
            f"{drawing.bars(name, subject.probabilities.tolist(), subject.label, predicted)}</div></div>"
        )


class Explorer(FrontEnd):
    """The widget of `explore`; its controls are attributes, so that a program can use them as a hand does.

    Attributes
    ----------
    run_choice, beside : which run is shown, and what beside it.
    number, back, forward, mismatch_back, mismatch_forward : the test image.
    label, predicted, kind, confidence, order : which test images `back` and `forward` go through.
    layer, sorting, panel : what is shown of it.
    target : the class that saliency and occlusion explain.
    upload, clear, pad, return_to_tests : pictures from outside.
    """

    def __init__(self, run: Run, other: Run | None = None) -> None:
        super().__init__()
        if other is not None:
            analysis.require_same_test_images(run, other)
        self._openings = Openings()
        self._together = False
        self._subject_from_outside: Tensor | None = None
        self._picked = (0, 0)
        self._shown: list[tuple[OpenRun, Subject]] = []
        self._scatter: tuple[OpenRun | None, str] = (None, "")  # the map of the test set, drawn once per run
        self.opened = self._openings.open(run)
        self._runs = self._known_runs(run, other)
        self._make_controls(run)
        self._fill_choices()
        if other is not None:
            self.beside.value = str(other.folder)
        worst = analysis.misclassified(run)
        if len(worst):
            self.number.value = int(worst["index"].iloc[0])
        self._observe()
        self.refresh()

    def __repr__(self) -> str:
        return f"Explorer({self.opened})"

    # --- Set-up -------------------------------------------------------------------------------------------------

    def _known_runs(self, *given: Run | None) -> dict[str, Run]:
        """The runs to choose from by folder: the given ones and those of the store."""
        listed = [run for run in given if run is not None] + runs.list_runs()
        known: dict[str, Run] = {}
        for run in listed:
            known.setdefault(str(run.folder), run)
        return known

    def _make_controls(self, run: Run) -> None:
        wide, narrow = ipywidgets.Layout(width="auto"), ipywidgets.Layout(width="190px")
        style = {"description_width": "auto"}
        names = [(_title(one), folder) for folder, one in self._runs.items()]
        self.run_choice = ipywidgets.Dropdown(
            options=names, value=str(run.folder), description="Run", style=style, layout=wide
        )
        self.beside = ipywidgets.Dropdown(options=[NOTHING], description="Beside it", style=style, layout=wide)
        self.number = ipywidgets.BoundedIntText(max=len(self.opened) - 1, description="Test image", style=style)
        self.number.layout.width = "165px"
        self.back, self.forward = (_button(text, tip) for text, tip in (("◀", "previous"), ("▶", "next")))
        self.mismatch_back = _button("◀ mistake", "previous mistake of the test set")
        self.mismatch_forward = _button("mistake ▶", "next mistake of the test set")
        self.label = ipywidgets.Dropdown(description="True", style=style, layout=narrow)
        self.predicted = ipywidgets.Dropdown(description="Predicted", style=style, layout=narrow)
        self.kind = ipywidgets.Dropdown(options=KINDS, description="Show", style=style, layout=narrow)
        self.order = ipywidgets.Dropdown(options=ORDERS, description="Order", style=style, layout=narrow)
        self.confidence = ipywidgets.FloatRangeSlider(
            value=(0, 1),
            max=1,
            step=0.01,
            description="Confidence",
            style=style,
            continuous_update=False,
            readout_format=".2f",
        )
        self.count = ipywidgets.HTML()
        self.progress = ipywidgets.HTML()
        self.layer = ipywidgets.ToggleButtons(options=self.opened.layers, description="Layer", style=_narrow_buttons())
        self.sorting = ipywidgets.ToggleButtons(options=SORTINGS, description="Maps", style=_narrow_buttons())
        self.panel = ipywidgets.ToggleButtons(options=PANELS, description="Look at", style=_narrow_buttons())
        self.target = ipywidgets.Dropdown(description="Explain class", style=style, layout=narrow)
        self.upload = ipywidgets.FileUpload(
            accept="image/*", multiple=False, description="Upload a picture", layout=wide
        )
        self.clear = _button("Clear the pad", "a fresh sheet")
        self.return_to_tests = _button("Back to the test images", "leave the picture from outside")
        self.pad = Pad(self.guarded(self._look_at_file))
        self.panes = [Pane(self, place) for place in (0, 1)]
        self.page = Clickable(self.guarded(self._pick_from_panel))
        self.hint = ipywidgets.HTML()
        self._pane_box, self._panel_box = _row(), ipywidgets.VBox()
        self._tools = _row(self.clear, self.upload, self.return_to_tests)
        self._page_and_hint = _row(self.page, self.hint)
        signal = Signal(self.guarded(self._shown_to_somebody))
        self.widget.children = [
            ipywidgets.HTML(STYLE),
            _row(self.run_choice, self.beside, signal),
            _row(self.number, self.back, self.forward, self.mismatch_back, self.mismatch_forward, self.count),
            _row(self.label, self.predicted, self.kind, self.order, self.confidence),
            self.message,
            self.progress,
            _row(self.layer, self.sorting),
            self._pane_box,
            self.panel,
            self._panel_box,
        ]

    def _observe(self) -> None:
        """Connect the controls; only after they are filled, so that filling them is no click."""

        def on_value(control: ipywidgets.Widget, action: object) -> None:
            control.observe(self.guarded(lambda _: action()), "value")

        on_value(self.run_choice, self._change_run)
        for control in (self.label, self.predicted, self.kind, self.confidence, self.order):
            on_value(control, self._filter)
        on_value(self.number, self._look_at_number)
        for control in (self.beside, self.layer, self.sorting):
            on_value(control, self.refresh)
        for control in (self.panel, self.target):
            on_value(control, self._draw_panel)
        self.upload.observe(self.guarded(lambda _: self._look_at_upload()), "value")
        actions = {
            self.back: lambda: self._step(-1),
            self.forward: lambda: self._step(1),
            self.mismatch_back: lambda: self._step_to_mismatch(-1),
            self.mismatch_forward: lambda: self._step_to_mismatch(1),
            self.clear: self.pad.clear,
            self.return_to_tests: self._look_at_number,
        }
        for button, action in actions.items():
            button.on_click(self.guarded(lambda _, action=action: action()))

    def _fill_choices(self) -> None:
        """Fill the controls with what the run at hand has."""
        opened = self.opened
        classes = [("any", ANY), *zip(opened.names, range(len(opened.names)), strict=True)]
        beside = [(NOTHING, NOTHING), (COUNTERPART, COUNTERPART)]
        beside += [
            (_title(run), folder)
            for folder, run in self._runs.items()
            if opened.comparable(run) and run.folder != opened.run.folder
        ]
        with self._at_once():
            self.number.max = len(opened) - 1
            for control, options in ((self.label, classes), (self.predicted, classes), (self.beside, beside)):
                _set_options(control, options)
            _set_options(self.target, [("the predicted one", ANY), *classes[1:]])
            _set_options(self.layer, opened.layers)

    @contextlib.contextmanager
    def _at_once(self) -> Iterator[None]:
        """Change several controls without an answer to each."""
        before, self._together = self._together, True
        try:
            yield
        finally:
            self._together = before

    # --- What a hand can do -------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Find the strongest images of every channel, the counterparts and the map; once per run."""
        self.opened.prepare()
        self.refresh()

    def _shown_to_somebody(self) -> None:
        """Begin with what takes long and may be asked for later."""
        threading.Thread(target=attribution.get_ready).start()
        self.prepare_in_background()

    def prepare_in_background(self) -> None:
        """The same without making anyone wait."""
        opened = self.opened

        def prepare() -> None:
            try:
                opened.prepare()
            except HwkitError as error:
                self.say(str(error), problem=True)
            else:
                self.guarded(self._draw_panel if self.beside.value != COUNTERPART else self.refresh)()
            finally:
                self.progress.value = ""

        if opened.index is None:
            self.progress.value = (
                '<div class="hwkit" role="status">⏳ Looking through all test images for what each channel responds '
                "to: seconds, once for this run. You can go on meanwhile.</div>"
            )
            threading.Thread(target=prepare).start()

    def pick(self, place: int, channel: int) -> None:
        """Look at one channel of the layer, clicked in the first or second pane."""
        self._picked = (place, channel)
        if self.panel.value == PANELS[0]:
            self._draw_panel()
        else:
            self.panel.value = PANELS[0]

    def _change_run(self) -> None:
        if self._together:
            return
        try:
            opened = self._open(self.run_choice.value)
        except HwkitError:
            with self._at_once():
                self.run_choice.value = str(self.opened.run.folder)
            raise
        same_images = opened.comparable(self.opened.run)
        self.opened = opened
        self._fill_choices()
        if not same_images:
            self._subject_from_outside = None
            self._picked = (0, 0)
        self._filter()
        self.prepare_in_background()

    def _open(self, folder: str) -> OpenRun:
        """The run in a folder; a RunError if it was deleted since it was listed."""
        run = self._runs[folder]
        if not runs.is_finished(run.folder):
            raise RunError(f"the folder of {run.name}, {run.folder}, was deleted; choose another run")
        return self._openings.open(run)

    def _filter(self) -> None:
        if self._together:
            return
        fitting = self._fitting()
        if len(fitting) and self.number.value not in fitting:
            self._go(int(fitting[0]))
        else:
            self.refresh()

    def _fitting(self) -> np.ndarray:
        label, predicted = (None if choice.value == ANY else choice.value for choice in (self.label, self.predicted))
        low, high = self.confidence.value
        return self.opened.matching(label, predicted, self.kind.value, low, high, self.order.value)

    def _go(self, number: int) -> None:
        """Show a test image, also if it is the one behind a picture from outside."""
        if self.number.value == number:
            self._look_at_number()
        else:
            self.number.value = number

    def _look_at_number(self) -> None:
        self._subject_from_outside = None
        self.refresh()

    def _step(self, step: int) -> None:
        fitting = self._fitting()
        if not len(fitting):
            return
        places = np.flatnonzero(fitting == self.number.value)
        self._go(int(fitting[(places[0] + step) % len(fitting)] if len(places) else fitting[0]))

    def _step_to_mismatch(self, step: int) -> None:
        found = self.opened.neighbouring_mismatch(self.number.value, step)
        if found is None:
            self.say(f"there is no mistake {'after' if step > 0 else 'before'} test image {self.number.value}")
        else:
            self._go(found)

    def _look_at_upload(self) -> None:
        # A dictionary by file name before ipywidgets 8, a tuple since.
        files = self.upload.value.values() if isinstance(self.upload.value, dict) else self.upload.value
        for file in files:
            self._look_at_file(bytes(file["content"]))

    def _look_at_file(self, content: bytes) -> None:
        self._subject_from_outside = pictures.as_test_image(content, self.opened.run.experiment.dataset)
        self.refresh()

    def _pick_from_panel(self, answer: str) -> None:
        if self.panel.value == PANELS[5]:
            event, x, y = answer.split()
            number = self._nearest(float(x), float(y))
            if event == "on":
                self._go(number)
            elif number != self._hovered:
                self._hover(number)
        elif self.panel.value == PANELS[1]:
            label, predicted = map(int, answer.split())
            with self._at_once():
                self.label.value, self.predicted.value = label, predicted
                self.kind.value, self.confidence.value = KINDS[0], (0, 1)
            self._filter()
        elif self.panel.value == PANELS[4]:
            with self._at_once():
                self.layer.value = self.opened.layers[0]
            self._picked = (0, int(answer))
            self._draw_panes()
            self._draw_hint_for_filter(int(answer))
        else:
            self._go(int(answer))

    # --- Drawing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw everything again for the state that the controls are in."""
        if self._together:
            return
        self.say("")
        if self.opened.gone:
            name = self.opened.run.name
            self.say(f"the folder of {name} was deleted; what you see is from memory", problem=True)
        fitting = self._fitting()
        place = np.flatnonzero(fitting == self.number.value)
        position = f"{place[0] + 1} of " if len(place) else ""
        self.count.value = f'<div class="hwkit">{position}{len(fitting)} that fit</div>'
        for button in (self.back, self.forward):
            button.disabled = not len(fitting)
        self._shown = self._subjects()
        self._draw_panes()
        self._draw_panel()

    def _subjects(self) -> list[tuple[OpenRun, Subject]]:
        """What is shown in each pane."""
        outside = self._subject_from_outside
        number = self.number.value
        first = self.opened.subject(number) if outside is None else self.opened.outsider(outside)
        shown = [(self.opened, first)]
        if self.beside.value == COUNTERPART:
            found = self.opened.counterpart(number) if outside is None else self._example_of(first.predicted)
            if found is None:
                self.say(f"no other image of class {self.opened.names[first.predicted]!r} is classified correctly")
            else:
                shown.append((self.opened, self.opened.subject(found)))
        elif self.beside.value != NOTHING:
            try:
                other = self._open(self.beside.value)
            except HwkitError as error:
                self.say(str(error), problem=True)
            else:
                shown.append((other, other.subject(number) if outside is None else other.outsider(outside)))
        return shown

    def _example_of(self, label: int) -> int | None:
        """The image of a class that the network recognises most surely."""
        fitting = self.opened.matching(label, label, "correct", 0, 1, "surest first")
        return int(fitting[0]) if len(fitting) else None

    def _draw_panes(self) -> None:
        layers = [opened.activations(subject.image) for opened, subject in self._shown]
        self._maps = [maps.get(self.layer.value) for maps in layers]
        for place, (pane, (opened, subject)) in enumerate(zip(self.panes, self._shown, strict=False)):
            pane.show(opened, subject)
            pane.maps.show(self._tiles(place))
        self._pane_box.children = [pane.widget for pane in self.panes[: len(self._shown)]]

    def _on_one_scale(self, place: int) -> Tensor | None:
        """The maps of a pane's network, float32 (M, channels, h, w): of both panes if they show the same network."""
        opened = self._shown[place][0]
        own = [maps for (other, _), maps in zip(self._shown, self._maps, strict=True) if other is opened]
        return None if own[0] is None else torch.stack(own)

    def _tiles(self, place: int) -> str:
        """All maps of the layer in a pane."""
        common = self._on_one_scale(place)
        if common is None:
            return f"{self._shown[place][0].run.name} has no layer {self.layer.value}"
        low, high = _scale(common)
        strength = common.mean(dim=(0, 2, 3))
        order = (
            strength.argsort(descending=True, stable=True)
            if self.sorting.value == SORTINGS[0]
            else range(len(strength))
        )
        own = self._maps[place]
        means = own.mean(dim=(1, 2)).tolist()
        titles = {int(number): f"channel {number}, mean {means[number]:.2f}" for number in map(int, order)}
        size = f"{own.shape[1]}×{own.shape[2]}" if own[0].numel() > 1 else "one number each"
        chosen = self._picked[1] if self._picked[0] == place else None
        scale = f"dark {low:.1f}, bright {high:.1f} and more"
        head = f"<div><b>{self.layer.value}</b>: {len(own)} channels, {size}; {scale}</div>"
        return head + drawing.tiles(drawing.shades(own, low, high), titles, colours="viridis", chosen=chosen)

    def _draw_panel(self) -> None:
        """Draw the panel that is chosen, and only that."""
        panel = self.panel.value
        draw = (
            self._channel,
            self._confusion,
            self._outside,
            self._attributions,
            self._filters,
            self._plane,
        )[PANELS.index(panel)]
        self._hovered: int | None = None
        self.hint.value = ""
        self._panel_box.children = draw()

    def _channel(self) -> list[ipywidgets.Widget]:
        place, channel = self._picked
        if place >= len(self._shown):
            place = 0
        opened, maps = self._shown[place][0], self._on_one_scale(place)
        if maps is None or channel >= maps.shape[1]:
            channel = 0
        if maps is None:
            self.page.show("there is no such layer; choose another")
            return [self.page]
        low, high = _scale(maps)
        parts = []
        for (other, subject), own in zip(self._shown, self._maps, strict=True):
            if other is opened:
                one = own[channel]
                enlarged = drawing.data_uri(drawing.shades(one, low, high), "viridis")
                image = drawing.data_uri(drawing.pixels_of(subject.image))
                parts.append(drawing.picture(image, 196, "the picture") + drawing.picture(enlarged, 196, "its map"))
                parts.append(f"<div>mean {one.mean():.2f}<br>largest {one.max():.2f}</div>")
        content = (
            f"<div><b>{html.escape(opened.run.name)}, {self.layer.value}, channel {channel}</b></div>"
            f'<div style="display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:4px">{"".join(parts)}</div>'
        )
        self.page.show(content + self._strongest(opened, channel))
        return [self.page]

    def _strongest(self, opened: OpenRun, channel: int) -> str:
        """The test images that a channel responds to most."""
        if opened.index is None:
            return "<div>Looking through all test images for those it responds to most; once for this run …</div>"
        layer = self.layer.value
        found = zip(
            opened.index.strongest[layer][channel].tolist(),
            opened.index.responses[layer][channel].tolist(),
            strict=True,
        )
        items = []
        for number, response in found:
            what = f"test image {number}: {opened.names[int(opened.labels[number])]}, largest activation {response:.2f}"
            address = drawing.data_uri(drawing.pixels_of(opened.images[number]))
            items.append((str(number), address, f"{response:.2f}", what))
        head = "<div>The test images it responds to most, with its largest activation anywhere in them:</div>"
        return head + drawing.thumbnails(items, 56)

    def _confusion(self) -> list[ipywidgets.Widget]:
        size = len(self.opened.names)
        counts = torch.bincount(self.opened.labels * size + self.opened.predicted, minlength=size**2).view(size, size)
        head = (
            "<div>Click a cell to walk through its images; the row is the true class, the column the prediction.</div>"
        )
        self.page.show(head + drawing.matrix(self.opened.names, counts.numpy()))
        return [self.page]

    def _outside(self) -> list[ipywidgets.Widget]:
        facts = f"It is prepared as the {self.opened.run.experiment.dataset} images are, and shown above."
        digits = len(self.opened.images[0]) == 1
        what = (
            "Draw a digit, or upload a picture of one." if digits else "Upload a picture; its middle square is taken."
        )
        self.hint.value = f'<div class="hwkit">{what} {facts}</div>'
        self.clear.layout.display = "" if digits else "none"
        return [self.hint, self.pad, self._tools] if digits else [self.hint, self._tools]

    def _attributions(self) -> list[ipywidgets.Widget]:
        if not attribution.available():
            self.hint.value = (
                '<div class="hwkit">Saliency and occlusion need captum. Install it with '
                "<code>%pip install captum</code> and restart the kernel.</div>"
            )
            return [self.hint]
        rows = []
        for opened, subject in self._shown:
            target = subject.predicted if self.target.value == ANY else self.target.value
            maps = attribution.maps(opened.run, subject.image, target, model=opened.model)
            saliency, occlusion = maps["saliency"], maps["occlusion"]
            reach = max(float(occlusion.abs().max()), 1e-9)
            panels = {
                "picture": drawing.data_uri(drawing.pixels_of(subject.image)),
                "saliency": drawing.data_uri(drawing.shades(saliency, 0, float(saliency.max())), "magma"),
                "occlusion": drawing.data_uri(drawing.shades(occlusion, -reach, reach), "RdBu_r"),
            }
            shown = "".join(f"<div>{drawing.picture(uri, 168, name)}{name}</div>" for name, uri in panels.items())
            rows.append(
                f"<div><b>{html.escape(opened.run.name)}</b>: what speaks for {html.escape(opened.names[target])}</div>"
                f'<div style="display:flex;flex-wrap:wrap;gap:10px;margin:4px">{shown}</div>'
            )
        legend = (
            "<div>Saliency is bright where a small change of a pixel moves the logit most. Occlusion is red where "
            "covering a patch lowers the logit, blue where it raises it.</div>"
        )
        self.page.show("".join(rows) + legend)
        return [self.target, self.page]

    def _filters(self) -> list[ipywidgets.Widget]:
        kernels = plots.filter_pictures(self.opened.run)
        titles = {number: f"filter {number}" for number in range(len(kernels))}
        head = "<div>The weights of the first layer; grey is zero. Click one to see its map above.</div>"
        chosen = self._picked[1] if self.layer.value == self.opened.layers[0] else None
        self.page.show(head + drawing.tiles(drawing.shades(kernels, 0, 1), titles, chosen=chosen))
        return [self.page, self.hint]

    def _draw_hint_for_filter(self, channel: int) -> None:
        low, high = _scale(self._on_one_scale(0))
        pairs = drawing.data_uri(drawing.shades(self._maps[0][channel], low, high), "viridis")
        self.hint.value = f'<div class="hwkit">filter {channel} on this image{drawing.picture(pairs, 168, "map")}</div>'

    # --- The map of the test set --------------------------------------------------------------------------------

    def _plane(self) -> list[ipywidgets.Widget]:
        opened = self.opened
        if opened.index is None:
            self.page.show("<div>Laying out all test images; once for this run …</div>")
            return [self.page]
        if self._scatter[0] is not opened:
            self._scatter = opened, _scatter(opened)
        x, y = self._on_plane(opened.position(self._shown[0][1]))
        here = f"left:{100 * x:.2f}%;top:{100 * y:.2f}%"
        legend = "".join(
            f'<span style="margin-right:12px">{drawing.dot(colour)} {html.escape(name)}</span>'
            for name, colour in zip(opened.names, theme.CLASS_COLOURS, strict=False)
        )
        self.page.show(
            "<div>Every dot is a test image, where the last hidden layer puts it (first two principal components of "
            "its directions); mistakes are ringed. Move over it to see the images, click to look at one.</div>"
            f'<div class="hwkit-plane" data-plane="1" tabindex="0" role="application" aria-label="map of the test set, '
            f'arrow keys move a cross, Enter looks at the image there">'
            f'<img src="{self._scatter[1]}" width="{PLANE[0]}" height="{PLANE[1]}" alt="map of the test set">'
            f'<span class="here" style="{here}"></span><span class="cross" style="{here}"></span></div>'
            f"<div>{legend}</div>"
        )
        return [self._page_and_hint]

    def _on_plane(self, position: Tensor) -> tuple[float, float]:
        """A position of the index as shares of the picture's width and height."""
        x, y = _shares(self.opened, position[None])[0]
        return float(np.clip(x, 0, 1)), float(np.clip(y, 0, 1))

    def _nearest(self, x: float, y: float) -> int:
        """The test image nearest to a place of the map, given in shares of its width and height."""
        places = _shares(self.opened, self.opened.index.positions)
        return int(np.square((places - (x, y)) * PLANE).sum(axis=1).argmin())

    def _hover(self, number: int) -> None:
        """Show a test image beside the map."""
        self._hovered, opened = number, self.opened
        names = (opened.names[int(label)] for label in (opened.labels[number], opened.predicted[number]))
        what = f"test image {number}<br>" + " → ".join(map(html.escape, names))
        address = drawing.data_uri(drawing.pixels_of(opened.images[number]))
        self.hint.value = f'<div class="hwkit">{drawing.picture(address, 168, f"test image {number}")}{what}</div>'

    # --- Without a front end ------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """The image that is shown, its probabilities, and the strongest channels of its convolutions."""
        number = self.number.value
        if self.beside.value in (NOTHING, COUNTERPART):
            return plots.example(self.opened.run, analysis.example(self.opened.run, number), channels=16)
        return plots.activations_beside(self.opened.run, self._runs[self.beside.value], number)


def _shares(opened: OpenRun, positions: Tensor) -> np.ndarray:
    """Positions, float32 (N, 2), as shares of the map's width and height, float (N, 2), with some room around."""
    all_of_them = opened.index.positions.numpy()
    low, high = all_of_them.min(axis=0), all_of_them.max(axis=0)
    shares = 0.03 + 0.94 * (positions.numpy() - low) / np.maximum(high - low, 1e-9)
    return np.stack([shares[:, 0], 1 - shares[:, 1]], axis=1)


def _scatter(opened: OpenRun) -> str:
    """The map of the test set as a PNG: a dot per image in the colour of its class, mistakes on a black ground."""
    width, height = PLANE
    canvas = np.full((height, width, 3), 255, np.uint8)
    colours = np.array([to_rgb(colour) for colour in theme.CLASS_COLOURS]) * 255
    places = (_shares(opened, opened.index.positions) * (width - 1, height - 1)).round().astype(int)
    labels, wrong = opened.labels.numpy(), (opened.labels != opened.predicted).numpy()
    for chosen, reach, black in ((~wrong, 1, False), (wrong, 2, True), (wrong, 1, False)):
        paint = np.zeros(3) if black else colours[labels[chosen] % len(colours)]
        for x in range(-reach, reach + 1):
            for y in range(-reach, reach + 1):
                if abs(x) + abs(y) <= reach:
                    columns, rows = (places[chosen] + (x, y)).clip(0, (width - 1, height - 1)).T
                    canvas[rows, columns] = paint
    return drawing.data_uri(canvas)


def _scale(maps: Tensor) -> tuple[float, float]:
    """The colour scale of a layer's maps: from 0, or what lies below it, to where the largest thousandth begins."""
    # Sorting is quicker than torch's quantile, which also refuses large tensors.
    values = maps.flatten().sort().values
    return min(float(values[0]), 0.0), float(values[int(0.999 * (len(values) - 1))])


def _title(run: Run) -> str:
    source = "" if run.experiment.data == "real" else f", {run.experiment.data}"
    return f"{run.name} ({run.experiment.profile}{source}, seed {run.experiment.seed}): {run.test_accuracy:.4f}"


def _set_options(control: ipywidgets.Widget, options: object) -> None:
    """Give a control other options and keep its value if it is among them."""
    before = control.value
    control.options = options
    values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    control.value = before if before in values else values[0]


def _button(text: str, tip: str) -> ipywidgets.Button:
    return ipywidgets.Button(description=text, tooltip=tip, layout=ipywidgets.Layout(width="auto"))


def _narrow_buttons() -> dict[str, str]:
    return {"button_width": "auto", "description_width": "auto"}


def _row(*children: ipywidgets.Widget) -> ipywidgets.Box:
    """Widgets side by side, and below each other where the page is narrow."""
    layout = ipywidgets.Layout(display="flex", flex_flow="row wrap", align_items="center", grid_gap="2px 12px")
    return ipywidgets.Box(children, layout=layout)
