"""Patterns of image names, as users write them: ``{pid}_{camid}_{any}``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import attrs

_PARTS = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS: Mapping[str, str] = {"pid": "(?P<pid>[^/]+?)", "camid": "(?P<camid>[^/]+?)", "any": ".*?"}

EXAMPLE = "{pid}_{camid}_{any}"


@attrs.frozen
class Pattern:
    """How the person, and the camera where it is known, are told by an image's name without its suffix.

    ``{pid}`` and ``{camid}`` are the shortest texts that fit, of one character at least and without a slash; ``{any}``
    is whatever is left, or nothing. With a slash, the pattern is that of the path below the folder, else of the name.

    Raises:
        ValueError: no ``{pid}``, a placeholder that there is not, twice the same, or two with nothing between them.

    Example:
        >>> Pattern("{pid}_{camid}_{any}").match("march/ann_2_0001.jpg")
        ('ann', '2')
        >>> Pattern("{pid}/{any}").match("ann/1.jpg")
        ('ann', '')
    """

    text: str
    _compiled: re.Pattern[str] = attrs.field(init=False, repr=False, eq=False)

    @_compiled.default
    def _compile(self) -> re.Pattern[str]:
        names = _PARTS.findall(self.text)
        for name in names:
            if name not in _PLACEHOLDERS:
                close = difflib.get_close_matches(name, _PLACEHOLDERS, n=1)
                hint = f"; did you mean {{{close[0]}}}?" if close else ";"
                raise ValueError(f"pattern: {self.text!r} holds {{{name}}}{hint} known: {{pid}}, {{camid}}, {{any}}")
        if names.count("pid") != 1 or names.count("camid") > 1:
            raise ValueError(f"pattern: {self.text!r} needs {{pid}} once, and {{camid}} at most once, as in {EXAMPLE}")
        if "}{" in self.text:
            raise ValueError(f"pattern: {self.text!r} has nothing between two placeholders, so where one ends is open")
        pieces = _PARTS.split(self.text)
        return re.compile(
            "".join(_PLACEHOLDERS[piece] if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)), re.DOTALL
        )

    def match(self, path: str) -> tuple[str, str] | None:
        """Person and camera (empty where the pattern has none) of a path below the folder; None = it does not fit."""
        name = PurePosixPath(path).with_suffix("").as_posix() if "/" in self.text else PurePosixPath(path).stem
        found = self._compiled.fullmatch(name)
        return None if found is None else (found["pid"], found.groupdict().get("camid", ""))
