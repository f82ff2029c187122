"""What ``crbench evaluate`` is given: features from files, and what to say of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crbench.protocol.declare import rule_names
from crbench.protocol.presets import CONVENTIONS, OWN_FEATURES

if TYPE_CHECKING:
    from crbench.evaluation.copies import Overlap
    from crbench.files.feature_files import Loaded
    from crbench.protocol import EvalProtocol
    from crbench.records import Features, Samples

RULES = rule_names(type(OWN_FEATURES.scoring))
"""Rules that play a role for given features."""


def sides(
    query: Path,
    gallery: tuple[Path, ...],
    meta_file: Path | None,
    fprs: Sequence[float] = (),
    *,
    in_parts: bool = False,
) -> tuple[Loaded, Features | Sequence[Features]]:
    """What the files hold; a gallery of several files is read when its turn comes.

    Args:
        in_parts: so is one of one file.

    Raises:
        ConfigError: an option that needs the gallery in one file.
        DataError: see `crbench.files.feature_files.load_features`.
    """
    from crbench.errors import ConfigError
    from crbench.files.feature_files import load_sides
    from crbench.files.gallery_files import load_query_and_shards
    from crbench.files.table import load_meta

    if len(gallery) == 1 and not in_parts:
        queries, items = load_sides(query, gallery[0], meta=None if meta_file is None else load_meta(meta_file))
        return queries, items.features
    for option, value, instead in (
        ("--meta", meta_file, "put a CSV file of the same name beside each npy file"),
        ("--fpr", fprs, "pairs are counted over the whole gallery at once"),
    ):
        if value:
            raise ConfigError(f"{option} goes with a gallery in one file, not in {len(gallery)}; {instead}")
    return load_query_and_shards(query, gallery)


def notes(
    query: Samples, overlap: Overlap, protocol: EvalProtocol, settings: tuple[str, ...], tool: str | None
) -> list[str]:
    """Lines about rules that were taken by default, and about features that look like a mistake.

    Args:
        overlap: of the queries with the whole gallery.
    """
    rules = protocol.scoring
    asked = {text.partition("=")[0].partition(".")[2] for text in settings}
    of_tool = [name for name in RULES if tool and name in CONVENTIONS[tool] and name not in asked]
    by_default = [name for name in RULES if name not in asked and name not in of_tool]
    found = [
        f"{whose}: {', '.join(f'{name}={getattr(rules, name)}' for name in names)}"
        for whose, names in ((f"rules of {tool}", of_tool), ("defaults taken", by_default))
        if names
    ]
    own, copies = int(overlap.own.sum()), int(overlap.copied.sum())
    if own:
        found.append(f"{own} queries are in the gallery too, as the same image; they do not meet themselves")
    if copies:
        found.append(f"{copies} queries have a match with the very same features: is the query itself in the gallery?")
    sides = [("query", (query.camids == -1).all()), ("gallery", overlap.unknown_cameras)]
    if (roles := [role for role, missing in sides if missing]) and rules.same_camera == "ignore":
        found.append(f"cameras of the {' and '.join(roles)} are unknown, so the same-camera rule removes nothing")
    return found
