"""`FeatureFolder`: features that were computed elsewhere, looked up by image and rate."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crbench.api import FEATURE_SUFFIXES, Encoded, Samples, load_arrays, load_meta, to_torch
from crbench.errors import ConfigError, DataError

_log = logging.getLogger("crbench")
_TABLES = (".csv", ".tsv")
_KNOWN = ", ".join(FEATURE_SUFFIXES)
_AGREEMENT = 1e-3
"""How far two features of one row may differ, relative to the largest value: rounding of another batch, not more."""

RowName: TypeAlias = tuple[str, str]
"""Key and rate of a row; the rate as lists print it, so that no file's precision matters."""


@attrs.frozen(eq=False)
class _Part:
    """One feature file: features [n, D], and the name and counting columns of each row."""

    path: Path
    x: Any
    names: list[RowName]
    dims: NDArray[np.int64]

    def take(self, which: list[int]) -> Tensor:
        """Features f32[len(which), D], on the CPU."""
        tensor: Tensor = to_torch(self.x[which])
        return tensor.float()


class FeatureFolder:
    """All feature files of a folder as one table.

    Args:
        folder: holds files as `crbench.api.load_arrays` reads them, with ``keys`` (and ``rates``,
            1 where absent) in place of persons. Columns may come from a table of the same name beside the file
            (``.csv`` or ``.tsv``), for example the ``manifest.tsv`` of ``crbench data export``.
        weights: must be None; the folder is all there is.
        device: not used; features are looked up on the CPU.

    Attributes:
        dim: feature length.

    Raises:
        DataError: no feature file, one that cannot be read, files of unequal D, two unequal features of one row.
        ConfigError: weights were given.
    """

    def __init__(self, folder: Path, *, weights: Path | None = None, device: str = "cpu") -> None:
        if weights is not None:
            raise ConfigError(f"features:{folder} has no weights; leave out --weights")
        self._folder = folder
        self._parts = [_load(path) for path in _files(folder)]
        self.dim = int(self._parts[0].x.shape[1])
        for part in self._parts:
            if part.x.shape[1] != self.dim:
                raise DataError(
                    f"{part.path}: features have {part.x.shape[1]} columns, those of {self._parts[0].path.name} "
                    f"{self.dim}; expected one length in the whole folder"
                )
        self._places = self._index()

    def lookup(self, rows: Samples) -> Encoded:
        """Features of rows by key and rate: x f32[n, dim], and dims i64[n] where any row counts fewer columns.

        Raises:
            DataError: rows that are in no file; the first of them are named.
        """
        names = _names(rows.keys, rows.rates)
        missing = list(dict.fromkeys(name for name in names if name not in self._places))
        if missing:
            listed = ", ".join(f"{key} at rate {rate}" for key, rate in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DataError(
                f"features {self._folder}: no features of {len(missing)} of {len(set(names))} rows ({listed}{more}); "
                "crbench data export lists the keys and rates of a trial"
            )
        places = np.array([self._places[name] for name in names], dtype=np.int64).reshape(len(names), 2)
        x = torch.empty((len(names), self.dim))
        dims = torch.empty(len(names), dtype=torch.int64)
        for number, part in enumerate(self._parts):
            at = np.flatnonzero(places[:, 0] == number)
            which = places[at, 1]
            x[at] = part.take(which.tolist())
            dims[at] = torch.from_numpy(part.dims[which])
        return Encoded(x=x, dims=dims if bool((dims < self.dim).any()) else None)

    def _index(self) -> dict[RowName, tuple[int, int]]:
        """Place of each row: number of its file, row in the file; of equal ones the first."""
        places: dict[RowName, tuple[int, int]] = {}
        doubles: list[tuple[RowName, tuple[int, int]]] = []
        for number, part in enumerate(self._parts):
            for row, name in enumerate(part.names):
                if name in places:
                    doubles.append((name, (number, row)))
                else:
                    places[name] = (number, row)
        for name, (number, row) in doubles:
            first, again = places[name], self._parts[number]
            if not _agree(self._parts[first[0]].take([first[1]]), again.take([row])):
                key, rate = name
                raise DataError(f"{again.path}: row {row} is {key} at rate {rate} again, with other features")
        return places


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"features {folder}: not a folder; put feature files ({_KNOWN}) into one")
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in FEATURE_SUFFIXES]
    if not found:
        raise DataError(f"features {folder}: no feature file in it; expected names that end in {_KNOWN}")
    return found


def _load(path: Path) -> _Part:
    table = next((path.with_suffix(suffix) for suffix in _TABLES if path.with_suffix(suffix).is_file()), None)
    arrays = load_arrays(path, meta=None if table is None else load_meta(table), role=None)
    count, length = arrays.x.shape
    if (rounded := _rounded(arrays.x)) > 0:
        _log.warning(
            "%s: features of %d of %d rows are float64 and rounded to float32, in which a run computes; "
            "crbench evaluate ranks them as float64 gives",
            path,
            rounded,
            count,
        )
    if "keys" not in arrays.columns:
        raise DataError(
            f"{path}: nothing says whose features these are; add an array keys [n], "
            f"or a table {path.with_suffix('.csv').name} beside it with columns key and rate"
        )
    rates = arrays.columns.get("rates", np.ones(count))
    dims = arrays.columns.get("dims", np.full(count, length))
    if not np.all((dims >= 1) & (dims <= length)):
        raise DataError(f"{path}: array 'dims' holds {dims.min()} to {dims.max()}; expected 1 to {length}")
    return _Part(path=path, x=arrays.x, names=_names(arrays.columns["keys"], rates), dims=dims)


def _rounded(x: Any) -> int:
    """How many rows float32 does not hold as they are."""
    if x.dtype != np.float64:
        return 0
    with np.errstate(over="ignore"):
        return int(sum((row.astype(np.float32) != row).any() for row in x))


def _names(keys: NDArray[np.str_], rates: NDArray[Any]) -> list[RowName]:
    return [(key, f"{rate:g}") for key, rate in zip(keys.tolist(), rates.tolist(), strict=True)]


def _agree(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= _AGREEMENT * one.abs().max())
