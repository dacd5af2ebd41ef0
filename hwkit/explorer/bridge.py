"""Between Python and the page: clicks on HTML, a pad to draw on, messages for errors, and a picture for a report.

ipywidgets has no clickable picture, and a widget with JavaScript of its own would have to be installed in, or fetched
by, every front end. So a `Clickable` is two widgets that every front end has: an `HTML`, whose event handlers write
what was clicked into a hidden `Text`, and that `Text`, whose value Python observes.
"""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from hwkit.errors import HwkitError
from hwkit.theme import ReportFigure

VIEW_MIME = "application/vnd.jupyter.widget-view+json"

# Writes an answer where Python reads it. The time makes every answer a new value, even a second click on one thing.
_SEND = (
    "const send=(e,a)=>{const i=e.closest('.hwkit-clickable').querySelector('.hwkit-answer input');"
    "i.value=a+'|'+Date.now();i.dispatchEvent(new Event('input',{bubbles:true}))};"
)
# Runs whenever the page was drawn anew, which takes the focus from what was chosen: gives it back. Of a page that was
# replaced meanwhile, nothing is left to look in.
_ON_DRAWN = (
    "const r=this.closest('.hwkit-clickable'),b=r?.chosen&&r.querySelector(r.chosen);"
    "if(b&&document.activeElement===document.body)b.focus({preventScroll:true})"
)
# Where the pointer is on a plane, in shares of its width and height.
_WHERE = (
    "const where=p=>{const r=p.getBoundingClientRect();"
    "return ' '+(event.clientX-r.x)/r.width+' '+(event.clientY-r.y)/r.height};"
)
# Marks the chosen one of the things to pick, makes it the one that Tab stops at, and tells Python.
_ON_CLICK = (
    f"{_SEND}{_WHERE}const b=event.target.closest('[data-pick],[data-plane]'),r=this.closest('.hwkit-clickable');"
    "if(b&&b.dataset.plane){r.chosen='[data-plane]';send(this,'on'+where(b))}else if(b){"
    "r.chosen=`[data-pick='${b.dataset.pick}']`;"
    "this.querySelectorAll('[data-pick]').forEach(o=>{o.ariaPressed=o===b;o.tabIndex=o===b?0:-1});"
    "send(this,b.dataset.pick)}"
)
# Arrow keys go from one thing to the next, up and down to the one above or below. On a plane they move a cross, and
# Enter chooses what is there.
_ON_KEY = (
    f"{_SEND}const p=event.target.closest('[data-plane]'),c=p&&p.querySelector('.cross'),"
    "by={ArrowRight:[1,0],ArrowLeft:[-1,0],ArrowUp:[0,-1],ArrowDown:[0,1]}[event.key];"
    "if(p&&(by||event.key==='Enter')){const to=(now,step)=>Math.min(100,Math.max(0,parseFloat(now)+step)),"
    "x=to(c.style.left,by?by[0]:0),y=to(c.style.top,by?1.5*by[1]:0);c.style.left=x+'%';c.style.top=y+'%';"
    "event.preventDefault();event.stopPropagation();this.closest('.hwkit-clickable').chosen='[data-plane]';"
    "send(this,(by?'over ':'on ')+x/100+' '+y/100)}"
    "const b=event.target.closest('[data-pick]'),a=[...this.querySelectorAll('[data-pick]')],i=a.indexOf(b),"
    "x=b&&b.getBoundingClientRect().x,level=o=>Math.abs(o.getBoundingClientRect().x-x)<4,"
    "n={ArrowRight:()=>a[i+1],ArrowLeft:()=>a[i-1],ArrowDown:()=>a.slice(i+1).find(level),"
    "ArrowUp:()=>a.slice(0,i).reverse().find(level)}[event.key];"
    "if(b&&n){event.preventDefault();event.stopPropagation();const t=n();if(t){b.tabIndex=-1;t.tabIndex=0;t.focus()}}"
)
# Tells where the pointer is on a plane, at most every 60 ms.
_ON_MOVE = (
    f"{_SEND}{_WHERE}const p=event.target.closest('[data-plane]');"
    "if(p&&Date.now()-(p.sent||0)>60){p.sent=Date.now();send(this,'over'+where(p))}"
)
_PEN = "const c=this.getContext('2d');c.lineWidth=20;c.lineCap=c.lineJoin='round';"
_PAD = f"""<canvas width="280" height="280" class="hwkit-pad" aria-label="a pad to draw a digit on" data-sheet="SHEET"
onpointerdown="{_PEN}this.setPointerCapture(event.pointerId);this.down=true;c.beginPath();
c.moveTo(event.offsetX,event.offsetY);c.lineTo(event.offsetX,event.offsetY);c.stroke()"
onpointermove="{_PEN}{_SEND}if(this.down){{c.lineTo(event.offsetX,event.offsetY);c.stroke();
if(Date.now()-(this.sent||0)&gt;250){{this.sent=Date.now();send(this,this.toDataURL())}}}}"
onpointerup="{_SEND}this.down=false;send(this,this.toDataURL())"></canvas>"""

STYLE = """<style>
.hwkit {color: var(--jp-ui-font-color1, inherit); font-size: 13px; line-height: 1.35}
.hwkit button {font: inherit; color: inherit; border: 0; padding: 0; background: none; cursor: pointer}
.hwkit-all :is(button, select, input, label, [tabindex]):focus-visible {
  outline: 3px solid #2A8FD0 !important; outline-offset: 1px}
.hwkit button[aria-pressed=true] {outline: 3px solid #CC3311; outline-offset: 0}
.hwkit img {image-rendering: pixelated; display: block}
.hwkit-tiles {display: flex; flex-wrap: wrap; gap: 6px; margin: 4px}
.hwkit-tiles.small {gap: 3px}
.hwkit-tiles button {font-size: 10px; text-align: left}
.hwkit-tiles i {display: block; background-image: var(--sheet); background-size: var(--size);
  image-rendering: pixelated}
.hwkit-bars {display: grid; grid-template-columns: max-content 1fr; gap: 2px 6px; align-items: center}
.hwkit-bars span {white-space: nowrap; display: flex; align-items: center; gap: 4px}
.hwkit-bars b {display: inline-block; height: 11px; min-width: 1px}
.hwkit table {border-collapse: collapse; font-variant-numeric: tabular-nums}
.hwkit th, .hwkit td {padding: 2px 8px; text-align: left}
.hwkit .matrix td {padding: 1px} .hwkit .matrix th {font-weight: normal; padding: 1px 5px}
.hwkit .matrix td button {width: 42px; height: 24px; text-align: center}
.hwkit-pad {background: #fff; border: 1px solid #777; touch-action: none; cursor: crosshair}
.hwkit-plane {position: relative; display: inline-block; cursor: crosshair}
.hwkit-plane .cross {position: absolute; width: 2px; height: 2px; pointer-events: none}
.hwkit-plane:focus-visible .cross::after {content: "+"; position: absolute; left: -9px; top: -20px; color: #111;
  font-size: 32px; line-height: 1}
.hwkit-plane .here {position: absolute; width: 16px; height: 16px; margin: -8px; border: 3px solid #CC3311;
  border-radius: 50%; box-shadow: 0 0 0 2px #fff; pointer-events: none; box-sizing: border-box}
.hwkit svg {width: 100%; max-width: 860px; font-size: 12px; background: #fff; color: #222}
.hwkit-dot {display: inline-block; width: 11px; height: 11px; border-radius: 50%; border: 1px solid #888;
  box-sizing: border-box}
.hwkit-hidden {display: none !important}
</style>"""


class Clickable(ipywidgets.VBox):
    """HTML whose elements with `data-pick` can be clicked, or reached with Tab and arrow keys and chosen with Enter.

    Parameters
    ----------
    on_answer : called with the `data-pick` of what was chosen. For an element with `data-plane`, called with "over x y"
        as the pointer moves and "on x y" at a click, in shares of its width and height.
    """

    def __init__(self, on_answer: Callable[[str], None]) -> None:
        self._page = ipywidgets.HTML()
        self._answer = ipywidgets.Text()
        self._answers = 0
        self._answer.add_class("hwkit-answer").add_class("hwkit-hidden")
        super().__init__([self._page, self._answer])
        self.add_class("hwkit-clickable")
        self._answer.observe(lambda change: on_answer(change["new"].partition("|")[0]), "value")

    def show(self, content: str) -> None:
        """Put HTML in the place of what is there."""
        # Lab's own shortcuts would take the arrow keys away.
        self._page.value = (
            f'<div class="hwkit" data-lm-suppress-shortcuts="true" onclick="{html.escape(_ON_CLICK)}" '
            f'onkeydown="{html.escape(_ON_KEY)}" onpointermove="{html.escape(_ON_MOVE)}">{content}'
            f'<img class="hwkit-hidden" alt="-" src="data:," onerror="{html.escape(_ON_DRAWN)}"></div>'
        )

    def answer(self, text: str) -> None:
        """Do what a click on the element with this `data-pick` does."""
        self._answers += 1
        self._answer.value = f"{text}|{self._answers}"


class Pad(Clickable):
    """A pad to draw on; the drawing, a PNG with black ink on nothing, is handed on while it is drawn."""

    def __init__(self, on_drawing: Callable[[bytes], None]) -> None:
        super().__init__(lambda answer: on_drawing(base64.b64decode(answer.partition(",")[2])))
        self._sheets = 0
        self.clear()

    def clear(self) -> None:
        """A fresh sheet."""
        self._sheets += 1
        self.show(_PAD.replace("SHEET", str(self._sheets)))


class Signal(Clickable):
    """Tells, once, that a front end shows the widget: nobody answers where a notebook runs without one."""

    def __init__(self, on_shown: Callable[[], None]) -> None:
        super().__init__(lambda _: on_shown())
        self.show(f'<img class="hwkit-hidden" alt="" src="data:," onerror="{_SEND}send(this,\'shown\')">')


class FrontEnd:
    """What `explore` and `dashboard` have in common: how they show themselves, and what they do with errors.

    Attributes
    ----------
    widget : everything, as one ipywidgets box, to be put into other widgets.
    message : the line in which errors are told.
    """

    def __init__(self) -> None:
        # Clicks come in the main thread, and what is computed in the background draws too.
        self._drawing = threading.RLock()
        self.message = ipywidgets.HTML()
        self.widget = ipywidgets.VBox().add_class("hwkit-all")
        self._hidden_box = ipywidgets.VBox(layout=ipywidgets.Layout(display="none"))

    def figure(self) -> ReportFigure | Figure:
        """What stands in for the widget where there is no front end: in a report, or on a page."""
        raise NotImplementedError

    def say(self, text: str, *, problem: bool = False) -> None:
        """Write a line, as one to be noticed if it is a problem; screen readers read it out."""
        style = ' style="background:#FBE9E7;color:#7A1F0B;padding:4px 8px;border-left:4px solid #CC3311"' * problem
        self.message.value = f'<div class="hwkit" role="status"{style}>{html.escape(text)}</div>' if text else ""

    def guarded(self, action: Callable[..., None]) -> Callable[..., None]:
        """An action whose errors are told in the message line: a widget has nobody to raise them to."""

        def attempt(*arguments: Any) -> None:
            try:
                with self._drawing:
                    action(*arguments)
            except HwkitError as error:
                self.say(str(error), problem=True)
            except Exception as error:  # a widget that stops answering tells less than any message
                self.say(f"{type(error).__name__}: {error}", problem=True)

        return attempt

    def _ipython_display_(self) -> None:
        """Show the widget, and then leave a picture for readers without a front end.

        Two outputs, because the picture takes longer to draw than the widget to open. Of the first, a page without a
        front end shows nothing; in place of the second, a front end shows a box that is hidden.
        """
        display(_view(self.widget), raw=True)
        data, metadata = bundle(self._hidden_box, self.figure(), repr(self))
        display(data, metadata=metadata, raw=True)


def bundle(widget: ipywidgets.Widget, figure: ReportFigure | Figure, text: str) -> tuple[dict[str, Any], ...]:
    """A widget as a notebook's output, with a picture for readers without a front end: data and metadata."""
    content, size = figure._repr_png_()
    data = {**_view(widget), "image/png": base64.b64encode(content).decode(), "text/plain": text}
    return data, {"image/png": size}


def _view(widget: ipywidgets.Widget) -> dict[str, Any]:
    """A widget as a notebook's output, of which readers without a front end see nothing."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {VIEW_MIME: view, "text/plain": ""}
