"""Features from files that any language can write: npz and npy, safetensors, mat. Nothing is ever unpickled.

What a file lacks (persons, cameras, ...) may come from a table in CSV, see `crbench.files.table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.arrays import as_int64
from crbench.errors import DataError, EvaluationError
from crbench.files.mat_files import read_mat, variables
from crbench.files.numpy_files import DamagedArrayError, read_npy, read_npz
from crbench.files.table import Meta, load_meta
from crbench.inputs import check_utf8, memory_limit, open_input
from crbench.records import Features, features_from_arrays

FEATURE_SUFFIXES = (".npz", ".npy", ".safetensors", ".mat")

_LABELS = ("pids", "camids", "dims")
_ARRAYS = ("features", *_LABELS, "rates", "keys")


@attrs.frozen(eq=False)
class Loaded:
    """Features with whatever else is known of their rows.

    Attributes:
        features: x f32[n, D], or f64[n, D] where float32 would change a value.
        columns: further columns of the table by name, text [n].
        places: intp[n], which rows of the file these are.
        variable: the array of the file that holds the features.
    """

    features: Features
    columns: Mapping[str, NDArray[np.str_]]
    places: NDArray[np.intp]
    variable: str


def load_features(path: Path, *, meta: Meta | None = None, role: str = "query") -> Loaded:
    """Features of one side from a file.

    The arrays are ``features [n, D]`` (float16, float32 or float64, see `crbench.arrays.to_features`), ``pids [n]``,
    and optionally ``camids``, ``rates``, ``dims`` and ``keys`` (text; not in safetensors). A npy file holds the
    features alone. Labels may be whole numbers stored as floats that tell them apart (below 2^53, in float32 below
    2^24), in one row or column, as MATLAB writes them. A mat file may hold both sides, see `crbench.files.mat_files`.
    Where a table and the file both give a column, both must say the same.

    Features that are stored as float32, row by row and uncompressed (npy, `numpy.savez`, safetensors), are not read but
    mapped into memory, so they may be larger than it; they must not be changed while they are in use. Others are
    converted, which takes memory for all of them.

    Args:
        path: a file whose name ends in one of `FEATURE_SUFFIXES`.
        meta: table with the other columns; it has one row per row of the file, of this role or of all roles. Without
            one, a npy file's is the CSV file of the same name beside it, where there is one.
        role: ``query`` or ``gallery``, which rows of the table are meant.

    Raises:
        DataError: no such file, not such a file, cut short; an array that is missing, of the wrong type or length;
            features that must be converted and do not fit in memory.
    """
    if meta is None and path.suffix.lower() == ".npy" and path.with_suffix(".csv").is_file():
        meta = load_meta(path.with_suffix(".csv"))
    arrays = load_arrays(path, meta=meta, role=role)
    if "pids" not in arrays.columns:
        raise DataError(
            f"{path}: array 'pids' is missing; add pids [n] to the file, or give a table with a column pid "
            f"(--meta, or {path.with_suffix('.csv').name} beside it)"
        )
    features = _build(arrays.x, arrays.columns, path)
    return Loaded(features, columns=arrays.extra, places=arrays.places, variable=arrays.variable)


def load_sides(query: Path, gallery: Path, *, meta: Meta | None = None) -> tuple[Loaded, Loaded]:
    """Features of both sides; rows of one file that have no keys are named by their number in it.

    So a row that is query and gallery at once, as in OpenMetricLearning's tables, does not meet itself.

    Raises:
        DataError: see `load_features`.
    """
    sides = load_features(query, meta=meta, role="query"), load_features(gallery, meta=meta, role="gallery")
    apart = not query.samefile(gallery) or sides[0].variable != sides[1].variable
    if apart or any(side.features.rows.named for side in sides):
        return sides
    return _numbered(sides[0]), _numbered(sides[1])


def _numbered(side: Loaded) -> Loaded:
    rows = attrs.evolve(side.features.rows, keys=[str(place) for place in side.places.tolist()], named=True)
    return attrs.evolve(side, features=attrs.evolve(side.features, rows=rows))


@attrs.frozen(eq=False)
class Arrays:
    """What a file and its table hold, before anything is required of it.

    Attributes:
        x: features [n, D], floating-point; a NumPy array (memory-mapped from a npy file) or a torch tensor.
        columns: those of ``pids``, ``camids``, ``rates``, ``dims`` and ``keys`` that are there, [n] each.
        extra: further columns of the table by name, text [n].
        places: intp[n], which rows of the file these are.
        variable: the array of the file that holds the features.
    """

    x: Any
    columns: Mapping[str, NDArray[Any]]
    extra: Mapping[str, NDArray[np.str_]]
    places: NDArray[np.intp]
    variable: str


def load_arrays(path: Path, *, meta: Meta | None, role: str | None) -> Arrays:
    """The arrays of `load_features`, with whatever columns there are.

    Args:
        role: which rows of the table are meant; None = all.

    Raises:
        DataError: see `load_features`.
    """
    arrays, variable = _read(path, role)
    if "features" not in arrays:
        found = ", ".join(sorted(arrays)) or "nothing"
        known = variables("features", role if path.suffix.lower() == ".mat" else None)
        raise DataError(
            f"{path}: array {' or '.join(map(repr, known))} is missing; found {found}, expected features [n, D]"
        )
    columns = {name: _column(arrays[name], name, path) for name in _ARRAYS[1:] if name in arrays}
    x, extra = _features(arrays["features"], path), {}
    which = np.arange(len(x))
    if meta is not None:
        rows, which = meta.rows(role, len(x), path)
        x = _rows(x, which)
        columns = {name: column[which] if len(column) == len(which) else column for name, column in columns.items()}
        extra = {name: column for name, column in rows.items() if name not in _ARRAYS}
        columns = _joined(columns, {name: rows[name] for name in _ARRAYS[1:] if name in rows}, path, meta.path)
    for name, column in columns.items():
        if len(column) != len(x):
            raise DataError(f"{path}: array {name!r} has {len(column)} rows, features have {len(x)}")
    return Arrays(x=x, columns=columns, extra=extra, places=which, variable=variable)


def _build(x: Any, columns: Mapping[str, NDArray[Any]], path: Path) -> Features:
    try:
        return features_from_arrays(x, **columns)
    except EvaluationError as error:
        raise DataError(f"{path}: {error}") from error


def load_rows(path: Path, *, role: str) -> Any:
    """The features of a file alone, [n, D] floating-point, in the order of its rows; see `load_features`.

    Raises:
        DataError: see there.
    """
    arrays, _ = _read(path, role, wanted=("features",))
    return _features(arrays["features"], path)


def _read(path: Path, role: str | None, wanted: Sequence[str] = _ARRAYS) -> tuple[Mapping[str, Any], str]:
    """Arrays by our names, and that of the features in the file; those that are not ours are not even read."""
    if path.suffix.lower() not in FEATURE_SUFFIXES:
        raise DataError(f"{path}: not a feature file; expected a name that ends in {', '.join(FEATURE_SUFFIXES)}")
    try:
        if path.suffix.lower() == ".safetensors":
            return _read_safetensors(path), "features"
        if path.suffix.lower() == ".npy":
            return {"features": read_npy(path)}, "features"
        if path.suffix.lower() == ".mat":
            return read_mat(path, role)
        return read_npz(path, wanted=wanted, mapped=("features",)), "features"
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, DamagedArrayError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _rows(x: Any, which: NDArray[np.intp]) -> Any:
    """Some rows of features, without a copy where they are consecutive."""
    if len(which) and which[-1] - which[0] == len(which) - 1:
        return x[int(which[0]) : int(which[-1]) + 1]
    return x[which]


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_utf8(path)
    open_input(path).close()
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path}: cannot be read, cut short or damaged ({error})") from error
    return {name: tensor if name == "features" else _plain(tensor, name, path) for name, tensor in tensors.items()}


def _plain(tensor: Any, name: str, path: Path) -> NDArray[Any]:
    """A column as NumPy has it, which knows no bfloat16 and the like."""
    array: NDArray[Any]
    try:
        array = tensor.numpy()
    except TypeError as error:
        if name in _LABELS:
            found = str(tensor.dtype).removeprefix("torch.")
            raise DataError(f"{path}: array {name!r}: labels must be integers, found {found}") from error
        array = tensor.float().numpy()
    return array


def _features(x: Any, path: Path) -> Any:
    floating = x.dtype.kind == "f" if isinstance(x, np.ndarray) else x.is_floating_point()
    if not floating:
        raise DataError(f"{path}: array 'features' is {x.dtype}; expected floating-point numbers")
    if x.ndim != 2:
        raise DataError(f"{path}: array 'features' has shape {tuple(x.shape)}; expected two dimensions, (rows, D)")
    if isinstance(x, np.ndarray) and not (x.dtype == np.float32 and x.dtype.isnative and x.flags.c_contiguous):
        needed, there = 4 * x.size, memory_limit()
        if needed > there:
            raise DataError(
                f"{path}: features {x.dtype}{x.shape} must be converted, which takes {needed / 2**30:.1f} GiB of the "
                f"machine's {there / 2**30:.1f}; save them as float32, row by row, and they are read where they lie"
            )
    return x


def _column(array: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    """A column [n] from a file's array, which may be [n, 1] or [1, n]."""
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise DataError(f"{path}: array {name!r} has shape {array.shape}; expected one dimension, (rows,)")
    kinds = "U" if name == "keys" else "iuf"
    if array.dtype.kind not in kinds:
        expected = "text" if name == "keys" else "numbers"
        raise DataError(f"{path}: array {name!r} is {array.dtype}; expected {expected}")
    if name in _LABELS:
        return _labels(array, name, path)
    return array


def _labels(array: NDArray[Any], name: str, path: Path) -> NDArray[np.int64]:
    """Labels as integers, where the file's numbers are such."""
    if array.dtype.kind == "f":
        if not np.array_equal(array, np.round(array)):  # as NaN is not equal to itself
            raise DataError(f"{path}: array {name!r} holds numbers that are not whole; expected integers")
        # From here on neighbouring integers are one and the same float, so two persons may have become one.
        end = 2 ** (np.finfo(array.dtype).nmant + 1)
        if np.any(np.abs(array) >= end):
            raise DataError(
                f"{path}: array {name!r} is {array.dtype}, which cannot tell integers from {end} on apart, and holds "
                f"{np.abs(array).max():.0f}; save it as int64"
            )
        return array.astype(np.int64)
    try:
        return as_int64(array, name)
    except ValueError as error:
        raise DataError(f"{path}: array {error}") from error


def _joined(
    own: Mapping[str, NDArray[Any]], table: Mapping[str, NDArray[Any]], path: Path, table_path: Path
) -> dict[str, NDArray[Any]]:
    for name in sorted(set(own) & set(table)):
        if not np.array_equal(own[name], table[name]):
            raise DataError(f"{path}: array {name!r} differs from the column of {table_path}; leave one of them out")
    return {**own, **table}
