"""The images of a document: checked, named by their content, and looked up only where they may be."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import html
import io
import math
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image as PillowImage
from PIL import ImageOps

from hwkit.errors import ReportError
from hwkit.export.drawings import with_labels
from hwkit.export.files import find_inside, shortened

CSS_PIXELS_PER_INCH = 96.0
# What matplotlib's inline figures have; a picture file that states its own density keeps it.
DEFAULT_PIXELS_PER_INCH = 100.0
MOST_PIXELS = 80_000_000  # 320 MB in memory
MOST_ELEMENTS = 200_000  # of an SVG, which takes Typst about a minute

_SUFFIX_OF_MIME = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "application/pdf": ".pdf",
}
MIME_OF_SUFFIX = {suffix: mime for mime, suffix in _SUFFIX_OF_MIME.items()} | {".jpeg": "image/jpeg"}
IMAGE_MIMES = tuple(_SUFFIX_OF_MIME)

_ORIENTATION = 0x0112  # Exif's tag for how a photo was held

# Formats that a page does not take and Pillow reads (BMP, TIFF) become PNG; a phone's MPO begins with a plain JPEG.
_MIME_OF_FORMAT = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}

# An SVG within an SVG is left out as well: nobody would look into it.
_SVG_INSIDE = r"(?!\#|data:image/(?:png|jpe?g|gif|webp)\b)"
_SVG_OUTSIDE_REFERENCE = re.compile(
    rf"""\s(?:[\w.-]+:)?href\s*=\s*(?:"{_SVG_INSIDE}[^"]*"|'{_SVG_INSIDE}[^']*')""", re.IGNORECASE
)
_SVG_PICTURE = re.compile(r"""href\s*=\s*(["'])(data:[^"']*)\1""", re.IGNORECASE)
_SVG_SCRIPT = re.compile(r"<script\b.*?(?:</script\s*>|/>)", re.IGNORECASE | re.DOTALL)
_LENGTH = re.compile(r"^\s*([\d.]+)\s*(px|pt|in|cm|mm|)\s*$")
_INCHES_PER_UNIT = {"px": 1 / 96, "": 1 / 96, "pt": 1 / 72, "in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}


@dataclass(frozen=True)
class StoredImage:
    """An image that is part of the document: its file name there, and its natural size in inches."""

    name: str
    width: float | None
    height: float | None


@dataclass
class ImageStore:
    """All images of one document, each stored once however often it is shown.

    `roots` are folders in which files may lie that notebooks within them show, beside their own folders.
    `files` maps each name to its content.
    """

    roots: Sequence[Path] = ()
    # Where each image is shown, as warnings begin ("a, cell 3: ").
    places: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    # What to show where the typesetter does not take an image: another, by their names.
    substitutes: dict[str, str] = field(default_factory=dict)
    _stored: dict[str, StoredImage] = field(default_factory=dict)

    def add(self, content: bytes, mime: str) -> StoredImage:
        """Store an image; of a bitmap, the type is what its content says.

        Raises
        ------
        ReportError
            If the content is not a readable image.
        """
        if not mime.startswith("image/") and mime != "application/pdf":
            raise ReportError(f"images of type {mime!r} are not supported (known: {', '.join(IMAGE_MIMES)})")
        width = height = None  # of a PDF, only the typesetter can tell
        if mime == "image/svg+xml":
            content = _safe_svg(content)
            width, height = _svg_size(content.decode())
        elif mime == "application/pdf":
            if not content.startswith(b"%PDF"):
                raise ReportError("a PDF image is damaged: it does not start with %PDF")
        else:
            content, mime, width, height = _bitmap(content, mime)
        name = f"{hashlib.sha256(content).hexdigest()[:16]}{_SUFFIX_OF_MIME[mime]}"
        self.files[name] = content
        self._stored[name] = StoredImage(name, width, height)
        return self._stored[name]

    def find(self, target: str, folders: Sequence[Path], attachments: Mapping[str, str]) -> StoredImage:
        """The image that a notebook's text points to: stored already, attached, inline, or a file.

        `folders` are the folders whose files the notebook may show; nothing outside them is read.
        `attachments` maps the names of attached images to data URIs.

        Raises
        ------
        ReportError
            If the image is remote, outside the folders, missing, or no readable image.
        """
        if target in self._stored:
            return self._stored[target]
        if target.startswith("attachment:"):
            name = urllib.parse.unquote(target.removeprefix("attachment:"))
            if name not in attachments:
                raise ReportError(f"image {name!r} is not attached to its cell; paste it in again")
            target = attachments[name]
        if target.startswith("data:"):
            return self.add(*_decode_data_uri(target))
        if re.match(r"^[A-Za-z][A-Za-z0-9+.-]+:", target) or target.startswith("//"):
            raise ReportError(f"image {shortened(target)} is not in the notebook's folder and was not fetched")
        name = urllib.parse.unquote(target.split("?")[0].split("#")[0])
        path = find_inside(name, folders, "image", roots=self.roots)
        content = path.read_bytes()
        try:
            return self.add(content, _mime_of(content))
        except ReportError as error:
            raise ReportError(f"image {target!r}: {error}; save it as PNG, JPEG or SVG") from None


def image_bytes(data: str | bytes, mime: str) -> bytes:
    """The content of an image as a notebook's output stores it: text for SVG, base64 for the rest.

    Raises
    ------
    ReportError
        If the base64 is damaged.
    """
    if isinstance(data, bytes):
        return data
    if not isinstance(data, str):
        raise ReportError(f"an output of type {mime} is damaged: it holds no text")
    if mime == "image/svg+xml":
        return data.encode()
    try:
        return base64.b64decode(data)
    except (binascii.Error, ValueError) as error:
        raise ReportError(f"an output of type {mime} is damaged: {error}") from error


def data_uri(name: str, content: bytes) -> str:
    """An image as a data URI, for pages that stand alone."""
    mime = MIME_OF_SUFFIX[Path(name).suffix]
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _decode_data_uri(uri: str) -> tuple[bytes, str]:
    head, _, body = uri.partition(",")
    head = urllib.parse.unquote(head).replace(" ", "")
    mime = head.removeprefix("data:").split(";")[0] or "text/plain"
    if head.endswith(";base64"):
        return image_bytes(re.sub(r"\s", "", urllib.parse.unquote(body)), "image/png"), mime
    return urllib.parse.unquote_to_bytes(body), mime


def _mime_of(content: bytes) -> str:
    """The type of an image by its content, whatever its file is named; Pillow tells bitmaps from each other."""
    if content.startswith(b"%PDF"):
        return "application/pdf"
    return "image/svg+xml" if b"<svg" in content[:4096] else "image/png"


def _bitmap(content: bytes, mime: str) -> tuple[bytes, str, float, float]:
    """A bitmap, its MIME type, and width and height in inches.

    The type is that of the content, whatever the file's name says: a picture saved under the wrong one is common.
    """
    try:
        with PillowImage.open(io.BytesIO(content)) as image:
            if math.prod(image.size) > MOST_PIXELS:  # a small file may claim as many as it likes
                raise ValueError(f"it has {image.size[0]} x {image.size[1]} pixels; make it smaller")
            image.load()
            density = float(image.info.get("dpi", (DEFAULT_PIXELS_PER_INCH,))[0])
            known = _MIME_OF_FORMAT.get(image.format or "")
            size = image.size[::-1] if image.getexif().get(_ORIENTATION, 1) >= 5 else image.size  # a quarter turn
            if not known:
                converted = io.BytesIO()
                ImageOps.exif_transpose(image).convert("RGBA").save(converted, "PNG")
                content, known = converted.getvalue(), "image/png"
    except PillowImage.UnidentifiedImageError:
        raise ReportError(f"an image of type {mime} is damaged: it has no known format") from None
    except Exception as error:  # Pillow raises many kinds on damaged files; all mean the same here
        raise ReportError(f"an image of type {mime} is damaged: {error}") from error
    per_inch = density if 30 <= density <= 1200 else DEFAULT_PIXELS_PER_INCH
    return content, known, size[0] / per_inch, size[1] / per_inch


def _safe_svg(content: bytes) -> bytes:
    """The SVG without scripts, entities and references to anything outside it."""
    text = content.decode("utf-8", "replace")
    if "<!ENTITY" in text:
        raise ReportError("an SVG image defines XML entities and was left out")
    start = text.find("<svg")
    if start < 0:
        raise ReportError("an SVG image is damaged: it has no <svg> element")
    try:
        text = with_labels(_SVG_OUTSIDE_REFERENCE.sub("", _SVG_SCRIPT.sub("", text)))
    except (ElementTree.ParseError, ValueError) as error:
        raise ReportError(f"an SVG image is damaged: {error}") from None
    except RecursionError:
        raise ReportError("an SVG image is nested too deeply and was left out") from None
    for picture in _SVG_PICTURE.finditer(text):
        _check_inner_picture(html.unescape(picture[2]))
    if "#" in text and _elements_drawn(text) > MOST_ELEMENTS:
        raise ReportError(f"an SVG image draws more than {MOST_ELEMENTS} elements; save it as PNG")
    return text.encode("utf-8", "replace")


def _check_inner_picture(uri: str) -> None:
    """See to it that a picture within an SVG is what it says: Typst passes over others, or fails."""
    try:
        content, mime = _decode_data_uri(uri)
        _, known, *_ = _bitmap(content, mime)
    except ReportError as error:
        raise ReportError(f"an SVG image holds a picture that cannot be shown: {error}") from None
    if known != mime.lower().replace("/jpg", "/jpeg"):
        raise ReportError(f"an SVG image holds a picture that says it is {mime} and is {known}")


def _elements_drawn(text: str) -> float:
    """How many elements an SVG has once each reference stands for what it refers to: a few lines can make billions."""
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ReportError(f"an SVG image is damaged: {error}") from None
    named: dict[str | None, list[ElementTree.Element]] = {}
    for element in root.iter():
        named.setdefault(element.get("id"), []).append(element)
    counts: dict[ElementTree.Element, float] = {}

    def count(element: ElementTree.Element) -> float:
        if element not in counts:
            counts[element] = math.inf  # what refers to itself never ends
            names = re.findall(r"#([^\s\"')]+)", " ".join(element.attrib.values()))
            counts[element] = 1 + sum(map(count, [*element, *(part for name in names for part in named.get(name, []))]))
        return counts[element]

    try:
        return count(root)
    except RecursionError:
        raise ReportError("an SVG image is nested too deeply and was left out") from None


def _svg_size(text: str) -> tuple[float | None, float | None]:
    tag = text[text.find("<svg") :]
    tag = tag[: tag.find(">")]
    found = {key: value for key, value in re.findall(r"\b(width|height|viewBox)\s*=\s*[\"']([^\"']*)", tag)}
    width, height = (_inches(found.get(key, "")) for key in ("width", "height"))
    if width and height:
        return width, height
    box = found.get("viewBox", "").replace(",", " ").split()
    with contextlib.suppress(ValueError):
        if len(box) == 4:
            return float(box[2]) / CSS_PIXELS_PER_INCH, float(box[3]) / CSS_PIXELS_PER_INCH
    return None, None


def _inches(text: str) -> float | None:
    match = _LENGTH.match(text)
    with contextlib.suppress(ValueError):
        return float(match.group(1)) * _INCHES_PER_UNIT[match.group(2)] if match else None
    return None
