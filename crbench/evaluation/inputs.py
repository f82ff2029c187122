"""From what a user gives to `RankInputs`: converted once, or refused with one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.arrays import to_features, to_integers, to_torch
from crbench.errors import EvaluationError
from crbench.evaluation.gallery import MAX_ROWS
from crbench.evaluation.placement import placed
from crbench.protocol import EvalProtocol
from crbench.ranking.distance import DISTANCES
from crbench.ranking.interface import RankInputs, RankRows
from crbench.records import Features

if TYPE_CHECKING:
    import torch

    from crbench.api.interfaces import Distance

_CHUNK = 1 << 22
"""Elements checked in one go."""

_MAX_COLUMNS = 1 << 20
"""Longest feature; the error bounds of the fast engines hold up to here."""


def checked(
    query: Features, gallery: Features, protocol: EvalProtocol, distance: Distance | None, device: str | None = None
) -> RankInputs:
    """The inputs of an evaluation, checked and placed.

    Args:
        distance: replaces the protocol's; see `crbench.evaluation.custom_distance.with_distance`.
        device: where to compare; None = on the CUDA device of either side, else on the CPU.

    Raises:
        EvaluationError: see `crbench.evaluation.evaluate`.
    """
    if distance is None and protocol.scoring.distance not in DISTANCES:
        raise EvaluationError(
            f"unknown distance {protocol.scoring.distance!r}; known: {', '.join(DISTANCES)} "
            "(or pass the distance itself)"
        )
    query, gallery = _converted(query, gallery, by_plugin=distance is not None)
    query, gallery, where = placed(query, gallery, device, stay=distance is None and protocol.scoring.reranking is None)
    _check_labels(query, gallery)
    query_dims, gallery_dims = _dims(query, "query"), _dims(gallery, "gallery")
    unit = protocol.scoring.normalise == "l2" or protocol.scoring.distance == "cosine"
    needs_direction = distance is None and unit
    from crbench.ranking.norms import row_norms  # with torch, which takes seconds to import

    query_norms, gallery_norms = row_norms(query.x), row_norms(gallery.x)
    _check_values(query, query_norms, query_dims, "query", int(gallery_dims.min()) if needs_direction else None)
    _check_values(gallery, gallery_norms, gallery_dims, "gallery", int(query_dims.min()) if needs_direction else None)
    return RankInputs(
        query=RankRows(query.x, query.rows.pids, query_dims, query_norms),
        gallery=RankRows(gallery.x, gallery.rows.pids, gallery_dims, gallery_norms),
        device=where,
        unit=unit,
        dot=protocol.scoring.distance == "cosine",
        pessimistic=protocol.scoring.ties == "pessimistic",
    )


def _converted(query: Features, gallery: Features, *, by_plugin: bool) -> tuple[Features, Features]:
    """Both sides as tensors of one dtype: float32, or float64 where float32 would change either."""
    for role, feats in (("query", query), ("gallery", gallery)):
        if len(feats) == 0:
            raise EvaluationError(f"the {role} is empty; expected at least one row")
        if len(feats) > MAX_ROWS:
            raise EvaluationError(f"the {role} has {len(feats)} rows; expected at most {MAX_ROWS}")
    sides = [(to_torch if by_plugin else to_features)(feats.x) for feats in (query, gallery)]
    if len({x.dtype for x in sides}) > 1:
        sides = [x.double() for x in sides]
    query, gallery = (attrs.evolve(feats, x=x) for feats, x in zip((query, gallery), sides, strict=True))
    columns = query.x.shape[1]
    if columns != gallery.x.shape[1]:
        raise EvaluationError(
            f"query features have {columns} columns, gallery features {gallery.x.shape[1]}; expected equal lengths"
        )
    if not 1 <= columns <= _MAX_COLUMNS:
        raise EvaluationError(f"features have {columns} columns; expected 1 to {_MAX_COLUMNS}")
    return query, gallery


def _check_labels(query: Features, gallery: Features) -> None:
    for role, feats, least in (("query", query, 0), ("gallery", gallery, -1)):
        wrong = np.flatnonzero(feats.rows.pids < least)
        if len(wrong):
            raise EvaluationError(
                f"{role} row {wrong[0]} has pid {feats.rows.pids[wrong[0]]}; expected {least} or more"
                + (" (-1 = junk)" if least else "")
            )


def _dims(feats: Features, role: str) -> NDArray[np.int64]:
    columns = feats.x.shape[1]
    if feats.dims is None:
        return np.full(len(feats), columns, dtype=np.int64)
    dims = to_integers(feats.dims, f"{role} dims")
    wrong = np.flatnonzero((dims < 1) | (dims > columns))
    if len(wrong):
        raise EvaluationError(f"{role} row {wrong[0]} has dims {dims[wrong[0]]}; expected 1 to {columns}")
    return dims


def _check_values(
    feats: Features, norms: torch.Tensor, dims: NDArray[np.int64], role: str, shortest: int | None
) -> None:
    """Refuse values that are not finite and, unless `shortest` is None, rows without a direction.

    Args:
        norms: f64[n], of whole rows.
        shortest: dims of the other side's shortest row; no row may be zero in so many columns.
    """
    rows = max(1, _CHUNK // feats.x.shape[1])
    whole = shortest == feats.x.shape[1] and bool((dims == shortest).all())
    for start in range(0, len(feats), rows):
        some = slice(start, start + rows)
        if not bool((norms[some] < np.inf).all()):  # The bad values may be in columns that do not count.
            _check_finite(feats, dims, role, some)
        if shortest is not None and not (whole and bool((norms[some] > 0).all())):
            _check_nonzero(feats, np.minimum(dims, shortest), role, some)


def _check_finite(feats: Features, dims: NDArray[np.int64], role: str, rows: slice) -> None:
    counted = _leading(feats.x, dims, rows)
    wrong = (counted & ~feats.x[rows].isfinite()).any(dim=1).nonzero()
    if len(wrong):
        row = rows.start + int(wrong[0])
        raise EvaluationError(
            f"{role} row {row} ({feats.rows.keys[row]}) holds NaN or infinite features; "
            "expected finite numbers in the range of float32"
        )


def _check_nonzero(feats: Features, dims: NDArray[np.int64], role: str, rows: slice) -> None:
    counted = _leading(feats.x, dims, rows)
    wrong = (~(counted & (feats.x[rows] != 0)).any(dim=1)).nonzero()
    if len(wrong):
        row = rows.start + int(wrong[0])
        raise EvaluationError(
            f"{role} row {row} ({feats.rows.keys[row]}) is zero in its first {dims[row]} columns, so it has no "
            "direction; mend the features or evaluate with normalise=none and distance=euclidean"
        )


def _leading(x: torch.Tensor, dims: NDArray[np.int64], rows: slice) -> torch.Tensor:
    """bool[r, D] or bool[r, 1], which columns of these rows count."""
    import torch

    ends = torch.from_numpy(dims[rows]).to(x.device)
    if bool((ends == x.shape[1]).all()):
        return torch.ones(len(ends), 1, dtype=torch.bool, device=x.device)
    return torch.arange(x.shape[1], device=x.device) < ends[:, None]
