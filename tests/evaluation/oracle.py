"""The textbook evaluation, written apart from the package: sort the whole gallery, walk down the list."""

from __future__ import annotations

import itertools

import numpy as np

from crbench.protocol import EvalProtocol
from crbench.records import Samples

ENTRIES = 50
"""Of a CMC curve."""


def distance_matrix(query, gallery, protocol: EvalProtocol):
    """f64[q, g] of a plain loop; exact, and so free of the order of summation, for small integers without norms."""
    q_dims = [query.x.shape[1]] * len(query) if query.dims is None else query.dims
    g_dims = [gallery.x.shape[1]] * len(gallery) if gallery.dims is None else gallery.dims
    found = np.empty((len(query), len(gallery)))
    for i, j in itertools.product(range(len(query)), range(len(gallery))):
        prefix = min(q_dims[i], g_dims[j])
        a, b = query.x[i, :prefix].double().numpy(), gallery.x[j, :prefix].double().numpy()
        if protocol.scoring.distance == "cosine":
            found[i, j] = 1 - a @ b / np.sqrt((a @ a) * (b @ b))
        else:
            found[i, j] = ((a - b) ** 2).sum()
    return found


def valid_items(query: Samples, gallery: Samples, protocol: EvalProtocol, i: int):
    """bool[g], what may appear in the list of query i."""
    valid = np.ones(len(gallery), dtype=bool)
    if protocol.scoring.junk == "drop":
        valid &= gallery.pids != -1
    if protocol.scoring.same_camera == "ignore" and query.camids[i] != -1:
        valid &= ~((gallery.pids == query.pids[i]) & (gallery.camids == query.camids[i]))
    if query.named and gallery.named:
        valid &= ~((gallery.pids == query.pids[i]) & (gallery.keys == query.keys[i]))
    for pair in [] if protocol.scoring.ignored_cameras == "none" else protocol.scoring.ignored_cameras.split(","):
        asking, hidden = pair.split(":")
        if query.camids[i] == int(asking):
            valid &= ~np.isin(gallery.camids, [int(camera) for camera in hidden.split("+")])
    return valid


def ranked_hits(distances, positive, *, ties: str):
    """bool[g], hit or miss down the sorted list; at equal distance misses first if ties are pessimistic."""
    last = positive if ties == "pessimistic" else ~positive
    return positive[np.lexsort((last, distances))]


def average_precision(hits, rule: str) -> float:
    """AP of a list of hits and misses."""
    total, found = 0.0, 0
    for place, hit in enumerate(hits):
        if hit:
            before = found / place if place else 1.0
            found += 1
            now = found / (place + 1)
            total += now if rule == "step" else (before + now) / 2
    return total / found


def multi_shot(query: Samples, gallery: Samples, distances, protocol: EvalProtocol):
    """CMC, AP and INP per query; NaN without a match."""
    cmc, ap, inp = np.full((len(query), ENTRIES), np.nan), np.full(len(query), np.nan), np.full(len(query), np.nan)
    for i in range(len(query)):
        valid = valid_items(query, gallery, protocol, i)
        positive = gallery.pids[valid] == query.pids[i]
        if positive.any():
            hits = ranked_hits(distances[i, valid], positive, ties=protocol.scoring.ties)
            places = np.flatnonzero(hits)
            cmc[i] = np.arange(ENTRIES) >= places[0]
            ap[i] = average_precision(hits, protocol.scoring.ap)
            inp[i] = len(places) / (places[-1] + 1)
    return cmc, ap, inp


def all_draws(query: Samples, gallery: Samples, distances, protocol: EvalProtocol, i: int):
    """CMC f64[50] of query i, averaged over every gallery with one valid image per identity."""
    valid = np.flatnonzero(valid_items(query, gallery, protocol, i))
    strangers = [[j] for j in valid if gallery.pids[j] < 0 or (gallery.pids[j] == 0 and 0 not in query.pids)]
    alone = {j for (j,) in strangers}
    known = [j for j in valid if j not in alone]
    people = [[j for j in known if gallery.pids[j] == pid] for pid in np.unique(gallery.pids[known])]
    curves = []
    for drawn in itertools.product(*people, *strangers):
        drawn = np.array(drawn)
        hits = ranked_hits(distances[i, drawn], gallery.pids[drawn] == query.pids[i], ties=protocol.scoring.ties)
        curves.append(np.arange(ENTRIES) >= np.flatnonzero(hits)[0])
    return np.mean(curves, axis=0)
