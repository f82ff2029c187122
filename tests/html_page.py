"""An HTML page taken apart, and what must hold of every page."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser

VOID = {"area", "br", "col", "hr", "img", "input", "meta", "wbr"}
REFERENCES = {"aria-controls", "aria-labelledby", "aria-describedby", "for"}
CELLS = {"td", "th"}


class Page(HTMLParser):
    """The elements of a page in order, the texts of its cells by row, and faults of its markup."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        names = [name for name, _ in attrs]
        self.faults += [f"<{tag}> has {name} twice" for name in set(names) if names.count(name) > 1]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in CELLS:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> inside of {self._open[-3:]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if CELLS & set(self._open):
            self.rows[-1][-1] += data.replace("\n", "").replace("\xa0", " ")

    def values(self, name: str) -> list[str]:
        """The values of an attribute, wherever it stands."""
        return [value for own, value in self.attributes if own == name]


def faults(text: str, *, below: int = 0) -> list[str]:
    """What is wrong with a page: markup, ids, references, and all that its policy forbids.

    Args:
        below: level of the heading that it stands under, if it is a part of a page.
    """
    page = Page(text)
    ids = page.values("id")
    targets = [word for name, value in page.attributes if name in REFERENCES for word in value.split()]
    targets += [value.removeprefix("#") for value in page.values("href") if value.startswith("#")]
    targets += re.findall(r"url\(#(.*?)\)", text)
    headings = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    return [
        *page.faults,
        *(f"id {id} stands twice" for id in set(ids) if ids.count(id) > 1),
        *(f"nothing has the id {target}" for target in set(targets) - set(ids)),
        *(f"address {value}" for value in page.values("href") if not value.startswith("#")),
        *(f"attribute {name}" for name, _ in page.attributes if name.startswith("on") or name in ("style", "src")),
        *(f"h{old}, then h{new}" for old, new in zip([below, *headings], headings, strict=False) if new > old + 1),
    ]


def packed(text: str, id: str) -> str:
    """What a page keeps packed under an id."""
    (found,) = re.findall(rf'<pre id="{re.escape(id)}" hidden>(.*?)</pre>', text)
    return gzip.decompress(base64.b64decode(found)).decode()


def opened(text: str) -> list[str]:
    """What the rows of a page show when they are opened."""
    return [html for id in re.findall(r'<pre id="(t-.*?-details)"', text) for html in json.loads(packed(text, id))]
