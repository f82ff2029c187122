"""The table beside features: a CSV file with one line per row, in the order of the rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import DataError
from crbench.inputs import read_text_input
from crbench.numerals import parse_integer, parse_number

ROLES = ("query", "gallery")

_NAMES = {
    "pid": "pids",
    "pids": "pids",
    "label": "pids",
    "camid": "camids",
    "camids": "camids",
    "camera": "camids",
    "rate": "rates",
    "rates": "rates",
    "dims": "dims",
    "path": "keys",
    "key": "keys",
    "keys": "keys",
}
"""Columns of the table and the arrays that they give, the later one where both are there; label, path and camera are
OpenMetricLearning's names."""

_BLANKS = " \t"
"""Around a cell or a name they do not count, as people write ``1, 2``."""

_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas"}
"""What separates cells in tables that programs write, such as Excel where a comma stands in numbers."""

_YES = {"1", "true", "yes"}
_NO = {"0", "false", "no", ""}


@attrs.frozen(eq=False)
class Meta:
    """A table as text.

    Attributes:
        path: where it comes from, for messages.
        columns: text [n] by name, as in the header.
        lines: where in the file each row ends, from 1.
    """

    path: Path
    columns: Mapping[str, NDArray[np.str_]]
    lines: Sequence[int]

    def rows(self, role: str | None, count: int, features: Path) -> tuple[dict[str, NDArray[Any]], NDArray[np.intp]]:
        """The columns of one role, and the rows of its feature file that they belong to.

        The roles are in a column ``role`` (query or gallery), or in ``is_query`` and ``is_gallery``; without them the
        whole table is meant.

        Args:
            role: ``query`` or ``gallery``; None = the whole table.
            count: rows of the feature file: as many as the role has, or as the table has.
            features: the feature file, for messages.

        Returns:
            Known columns by the name of their array (pids, camids, ...) and all columns by their own name; and the rows
            of the file.

        Raises:
            DataError: another number of rows, no row of that role, a cell that is not what it should be.
        """
        mask = self._mask(role)
        chosen = np.flatnonzero(mask)
        if count not in (len(chosen), len(mask)):
            part = "" if role is None else f" {len(chosen)} of them {role},"
            raise DataError(
                f"{self.path}: {len(mask)} rows,{part} but {features} has {count} rows; "
                "expected one row per row of features"
            )
        which = chosen if count == len(mask) else np.arange(count)
        found: dict[str, NDArray[Any]] = {}
        for name, column in self.columns.items():
            found[name] = column[chosen]
        for name, array in _NAMES.items():
            if name in self.columns:
                found[array] = self._parsed(name, array, chosen)
        return found, which

    def _mask(self, role: str | None) -> NDArray[np.bool_]:
        if role is None:
            return np.ones(len(next(iter(self.columns.values()))), dtype=np.bool_)
        if "role" in self.columns:
            roles = self.columns["role"]
            self._check("role", lambda cell: cell in (*ROLES, "train", ""), "query, gallery or train")
            mask: NDArray[np.bool_] = roles == role
        elif f"is_{role}" in self.columns:
            name = f"is_{role}"
            self._check(name, lambda cell: cell.lower() in _YES | _NO, "true or false")
            mask = np.array([cell.lower() in _YES for cell in self.columns[name].tolist()], dtype=np.bool_)
        else:
            return np.ones(len(next(iter(self.columns.values()))), dtype=np.bool_)
        if not mask.any():
            raise DataError(f"{self.path}: no row is {role}")
        return mask

    def _parsed(self, name: str, array: str, chosen: NDArray[np.intp]) -> NDArray[Any]:
        column = self.columns[name][chosen]
        if array == "keys":
            return column
        parse: Callable[[str], float] = parse_number if array == "rates" else parse_integer
        values = []
        try:
            for cell in column.tolist():
                values.append(parse(cell))
        except ValueError as error:
            line = self.lines[chosen[len(values)]]
            raise DataError(f"{self.path}: line {line}, column {name!r}: {error}") from None
        if array != "rates":
            return np.array(values, dtype=np.int64)
        with np.errstate(over="ignore"):  # what leaves the range becomes inf, which no rate is
            return np.array(values).astype(np.float32)

    def _check(self, name: str, accepted: Callable[[str], bool], expected: str) -> None:
        for number, cell in enumerate(self.columns[name].tolist()):
            if not accepted(cell):
                raise DataError(f"{self.path}: line {self.lines[number]}, column {name!r}: {cell!r} is not {expected}")


def load_meta(path: Path) -> Meta:
    """The table in a CSV file with a header line; cells are separated by commas, by tabs where its name ends in .tsv.

    Its encoding is UTF-8, or what a byte-order mark says, as Excel writes one.

    Raises:
        DataError: no such file, not such a table, a line of another length than the header.
    """
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        reader = csv.reader(io.StringIO(read_text_input(path), newline=""), strict=True, delimiter=separator)
        header = [name.strip(_BLANKS) for name in next(reader, [])]
        numbered = [(reader.line_num, line) for line in reader if line]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a table in CSV ({error})") from error
    if not numbered or not any(header):
        raise DataError(f"{path}: an empty table; expected a header such as pid,camid,role and one line per row")
    if len(header) == 1 and (other := next((one for one in _SEPARATORS if one in header[0]), None)) is not None:
        raise DataError(
            f"{path}: its cells are separated by {_SEPARATORS[other]}; expected commas, or tabs in a file .tsv; "
            "save it anew, or rename it"
        )
    doubles = sorted({name for name in header if header.count(name) > 1})
    if doubles:
        raise DataError(f"{path}: column {doubles[0]!r} occurs twice")
    for number, line in numbered:
        if len(line) != len(header):
            raise DataError(f"{path}: line {number} has {len(line)} cells, the header {len(header)}")
    columns = zip(*([cell.strip(_BLANKS) for cell in line] for _, line in numbered), strict=True)
    return Meta(
        path=path,
        columns={name: np.array(column, dtype=np.str_) for name, column in zip(header, columns, strict=True)},
        lines=[number for number, _ in numbered],
    )
