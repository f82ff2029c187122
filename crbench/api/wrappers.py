"""Names of tensors without what training codes put before them, such as ``module.`` or ``backbone.``."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from crbench.errors import DataError

KEYS = ("state_dict", "model_state_dict", "model")
"""Under these, training codes store the tensors beside other things."""

COMPILED = "_orig_mod."
"""What `torch.compile` puts into names, wherever a compiled module stands."""

PREFIXES = ("module.", "model.", "backbone.")
"""What else is put before names: by data parallelism, Lightning, and codes with a head beside the network."""

_log = logging.getLogger("crbench")


def opened(content: object) -> object:
    """What lies under `KEYS`, one in the other or not; `content` itself where nothing does."""
    while isinstance(content, Mapping):
        inside = next((content[key] for key in KEYS if isinstance(content.get(key), Mapping)), None)
        if inside is None:
            break
        content = inside
    return content


def unwrapped(tensors: Mapping[str, Tensor], wanted: Collection[str] | None, path: Path) -> dict[str, Tensor]:
    """The tensors by the names of a network; the log says which prefix was taken off, once for each file.

    Args:
        tensors: as a file names them.
        wanted: names of the network. The prefix under which most of them lie is taken off. What lies outside of
            ``model.`` or ``backbone.`` is no part of the network, but of what it was trained in: it is left out, and
            the log names it. None = not known, so only ``module.`` is taken off, where it is before every name.
        path: names the file in messages.

    Raises:
        DataError: two prefixes fit alike, so the file holds two networks.
    """
    plain = {name.replace(COMPILED, ""): tensor for name, tensor in tensors.items()}
    taken = COMPILED if plain.keys() != tensors.keys() else ""
    prefix = _common(plain) if wanted is None else _best(plain, wanted, path)
    inside = {name.removeprefix(prefix): tensor for name, tensor in plain.items() if name.startswith(prefix)}
    outside = {name: tensor for name, tensor in plain.items() if not name.startswith(prefix)}
    if not set(PREFIXES[1:]).isdisjoint(_parts(prefix)):
        left, outside = tuple(sorted(outside)), {}
    else:
        left = ()
    if taken or prefix:
        _say(path, " and ".join(part for part in (taken, prefix) if part), left)
    return {**inside, **outside}


def _best(tensors: Mapping[str, Tensor], wanted: Collection[str], path: Path) -> str:
    """The prefix under which most wanted names lie; the shortest of none where none does."""
    known = set(wanted)
    fits: Counter[str] = Counter()
    for name in tensors:
        prefix = ""
        while name.removeprefix(prefix) not in known and (part := _first(name.removeprefix(prefix))):
            prefix += part
        if name.removeprefix(prefix) in known:
            fits[prefix] += 1
    if not fits:
        return ""
    (prefix, count), *others = fits.most_common()
    if others and others[0][1] == count:
        raise DataError(
            f"weights {path}: the file holds two networks that fit, with names after {prefix!r} and {others[0][0]!r}; "
            "save the one that is meant alone"
        )
    return prefix


def _common(tensors: Mapping[str, Tensor]) -> str:
    whole, prefix = PREFIXES[0], ""
    while all(name.startswith(prefix + whole) for name in tensors):
        prefix += whole
    return prefix


def _parts(prefix: str) -> set[str]:
    return {f"{part}." for part in prefix.split(".") if part}


def _first(name: str) -> str:
    return next((part for part in PREFIXES if name.startswith(part)), "")


@functools.cache  # a file is read anew for every trial
def _say(path: Path, taken: str, left: tuple[str, ...]) -> None:
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    outside = f"; left out, as outside of it: {', '.join(left[:3])}{more}" if left else ""
    _log.info("weights %s: names are read without %s%s", path, taken, outside)
