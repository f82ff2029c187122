"""A figure of matplotlib as SVG that stands inside the page.

The page's policy forbids style attributes, and its colours follow the reader's scheme. So styles become attributes, and
the placeholder colours of `COLOURS` become CSS variables. Equal figures give equal text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = 6
"""How many rows of a table can be told apart in a figure."""

TEXT, SOFT, LINE, CARD = "#000001", "#000002", "#000003", "#000004"
"""Placeholders: text, secondary text, grid lines, ground."""

SERIES = tuple(f"#00001{place}" for place in range(STYLES))
"""Placeholders of the rows that a figure tells apart."""

COLOURS: Mapping[str, str] = {
    TEXT: "var(--text)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    CARD: "var(--card)",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(SERIES)},
}
"""Placeholder colours of figures to CSS variables of the page."""

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 11.5,
    "text.color": TEXT,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "lines.scale_dashes": False,
}
"""Settings of matplotlib while a figure is made and written."""

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+")
_KEPT = {"fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "opacity", "text-anchor", "font-size"}


def inline_svg(figure: Figure, *, name: str, label: str) -> Markup:
    """The figure as one SVG element; call it where `SETTINGS` are in force.

    Args:
        name: distinct on a page; ids inside the element begin with it.
        label: says in words what the figure shows, for those who do not see it.
    """
    root = _tree(figure, name)
    return _text(root, {"class": "plot", "viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label})


def symbol(figure: Figure, *, name: str) -> Markup:
    """The figure as a symbol of this id, which ``<use>`` shows as often as it is needed."""
    root = _tree(figure, name)
    root.tag = "symbol"
    return _text(root, {"id": name, "viewBox": root.attrib["viewBox"]})


def _text(root: ElementTree.Element, attributes: dict[str, str]) -> Markup:
    root.attrib = attributes
    return Markup(re.sub(r"\s*\n\s*", "", ElementTree.tostring(root, encoding="unicode")))


def _tree(figure: Figure, name: str) -> ElementTree.Element:
    """What matplotlib writes, fit for the page but for the attributes of its root."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    ids = {text[1:] for node in root.iter() for text in (node.get(_HREF, ""),) if text}
    ids |= {text[5:-1] for node in root.iter() for text in (node.get("clip-path", ""),) if text}
    names = {old: f"{name}-{place}" for place, old in enumerate(sorted(ids))}
    for node in root.iter():
        _rewrite(node, names)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == "style" or _draws_nothing(child)]:
            parent.remove(child)
    return root


def _rewrite(node: ElementTree.Element, names: Mapping[str, str]) -> None:
    """Make one element fit for the page."""
    node.tag = node.tag.removeprefix(_SVG)
    attributes = dict(node.attrib)
    style = dict(part.strip().split(": ", 1) for part in attributes.pop("style", "").split(";") if part.strip())
    own = attributes.pop("id", "")
    if own in names:
        attributes["id"] = names[own]
    if (target := attributes.pop(_HREF, None)) is not None:
        attributes["href"] = f"#{names[target[1:]]}"
    if clip := attributes.pop("clip-path", None):
        attributes["clip-path"] = f"url(#{names[clip[5:-1]]})"
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    styled = {key: COLOURS.get(value, value) for key, value in style.items() if key in _KEPT}
    node.attrib = {key: _short(value) for key, value in {**attributes, **styled}.items()}


def _draws_nothing(node: ElementTree.Element) -> bool:
    """Whether it is the ground of a figure or of axes, or an empty group."""
    if node.tag == "g":
        return all(map(_draws_nothing, node))
    return node.tag == "path" and node.get("fill") == "none" and "stroke" not in node.attrib and "id" not in node.attrib


def _short(text: str) -> str:
    """`text` with numbers as precise as a screen shows them, on one line."""
    return re.sub(r"\s+", " ", _NUMBER.sub(lambda found: f"{float(found[0]):.1f}".replace(".0", ""), text)).strip()
