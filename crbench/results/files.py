"""Result records to JSON text and back."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import orjson

from crbench.config.convert import LATER, faults, strict_converter
from crbench.config.paths import evidence_root
from crbench.errors import DataError, SystemFaultError
from crbench.protocol.hashing import canonical
from crbench.results.evidence import find_evidence
from crbench.results.newer import put_back, set_apart
from crbench.results.records import SCHEMA_VERSION, Result
from crbench.results.search import read_each, read_text, result_files
from crbench.results.upgrade import upgraded

_log = logging.getLogger(__name__)

_SEAL = "content_sha256"
_SHOWN_FAULTS = 3
_ONLY_IN = {"result": "cell_id", "benchmark": "ceilings"}
"""A field by which one kind of record is told from the other, as people give one for the other."""

_FLOATS = ("trials", "metrics", "by_rate", "intervals")
"""Fields of a result that are most of it, and hold no integers of any size."""

_LARGE = 2.0**63

T = TypeVar("T")


def to_json(result: Result) -> str:
    """The text of a result file: ASCII, indented, keys sorted, one newline at the end.

    Without its line breaks it is the text of which `sealed` takes the digest, so that reading need not write it again.
    """
    content = _content(result)
    content = {**content, _SEAL: sealed(content)}
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def as_written(result: Result) -> Result:
    """The same result with the digest that its file has."""
    return attrs.evolve(result, content_sha256=sealed(_content(result))).read_from(result.origin, result.unknown)


def _content(result: Result) -> dict[str, Any]:
    content: dict[str, Any] = put_back(attrs.asdict(result, filter=_is_written), result.unknown)
    return content


def _is_written(field: attrs.Attribute[Any], value: Any) -> bool:
    """A file that lacks a field of `LATER` is written as it was read."""
    return field.init and not (value is None and field.metadata.get(LATER))


def sealed(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content of a result file, without the field that holds it: whoever edits the file breaks it."""
    kept = {name: value for name, value in content.items() if name != _SEAL}
    return hashlib.sha256(canonical(kept).encode()).hexdigest()


def _is_sealed(text: str, content: Mapping[str, Any], seal: str | None) -> bool:
    """Whether `seal` is the digest of the content of a file; any layout of the text will do.

    Writing the canonical text anew takes a third of the time of reading. The text of `to_json` becomes it by leaving
    out what the indentation added. If another layout comes out as something else, its digest is not the stated one.
    """
    compact = "".join(map(str.lstrip, text.split("\n"))).replace('": ', '":').replace(f'"{_SEAL}":"{seal}",', "", 1)
    return hashlib.sha256(compact.encode()).hexdigest() == seal or sealed(content) == seal


def from_json(text: str, origin: str) -> Result:
    """Read the text of a result file, of whatever schema version: see `crbench.results.upgrade` and `.newer`.

    Args:
        text: what `to_json` gave.
        origin: names the file in messages and in the result.

    Raises:
        DataError: see `read_record`; or the content is not what was written.
    """
    written = read_content(text, origin, kind="result")
    content = upgraded(written)
    version, unknown, sealed_file = stated_version(content), None, content is written
    if version is not None and version > SCHEMA_VERSION:
        content, unknown = set_apart(content, Result)
        try:
            result = structured(content, Result, origin, kind="result", version=version)
        except DataError as error:
            raise DataError(f"{error}; a newer crbench wrote it (schema version {version}): read it there") from error
    else:
        result = structured(content, Result, origin, kind="result", version=SCHEMA_VERSION)
    # a file of version 1 has no digest, unless somebody wrote one into it
    if (sealed_file or result.content_sha256 is not None) and not _is_sealed(text, written, result.content_sha256):
        raise DataError(
            f"{origin}: edited after it was written (content_sha256 is that of another content); restore the file, or "
            "run the cell again"
        )
    return result.read_from(origin, unknown)


def read_record(
    text: str, record: type[T], origin: str, *, kind: str, version: int, upgrade: Callable[[Any], Any] = lambda c: c
) -> T:
    """JSON text as a record of attrs, strictly.

    Args:
        record: has the field ``schema_version``.
        origin, kind: name the file and what it should be in messages.
        upgrade: content of an earlier schema version to this one; other content as it is.

    Raises:
        DataError: see `read_content` and `structured`.
    """
    return structured(upgrade(read_content(text, origin, kind=kind)), record, origin, kind=kind, version=version)


def read_content(text: str, origin: str, *, kind: str) -> Any:
    """JSON text as Python values.

    Raises:
        DataError: not JSON, or plainly another kind of file.
    """
    try:
        content = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: not valid JSON ({error}); a {kind} is one JSON object") from error
    for other, field in _ONLY_IN.items():
        if other != kind and isinstance(content, dict) and field in content:
            raise DataError(
                f"{origin}: a {other}, not a {kind}; `crbench leaderboard RESULT... --bench BENCHMARK` takes both"
            )
    return content


def _parsed(text: str) -> Any:
    """Python values of JSON text.

    orjson is twice as fast, but makes floats of integers beyond 64 bits. `json` reads them, and says best what is wrong
    with a text.
    """
    try:
        found = orjson.loads(text)
        named = {name: value for name, value in found.items() if name not in _FLOATS} if isinstance(found, dict) else {}
        if not _has_large_number(named):
            return found
    except ValueError:
        pass
    return json.loads(text, parse_constant=_refuse_constant)


def _has_large_number(value: Any) -> bool:
    """Whether a float may stand for an integer beyond 64 bits."""
    if isinstance(value, dict):
        return any(map(_has_large_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_number, value))
    return isinstance(value, float) and abs(value) >= _LARGE


def stated_version(content: Any) -> int | None:
    """The schema version that a file states; None = none that could be one."""
    stated = content.get("schema_version") if isinstance(content, dict) else None
    return stated if type(stated) is int else None


def structured(content: Any, record: type[T], origin: str, *, kind: str, version: int) -> T:
    """Content of this schema version as a record, strictly.

    Raises:
        DataError: of another version, or fields that are missing, unknown, of the wrong type or out of range; the
            message names the file and the fields.
    """
    from cattrs import BaseValidationError

    if stated_version(content) != version:
        stated = content.get("schema_version") if isinstance(content, dict) else None
        raise DataError(
            f"{origin}: not a crbench {kind} of schema version {version} or older (schema_version: {stated!r}); "
            f"give {kind} files or folders of them, and read those of a newer crbench with it"
        )
    try:
        return strict_converter(complete=True).structure(content, record)
    except (BaseValidationError, ValueError) as error:
        found = faults(error)
        more = f"; and {len(found) - _SHOWN_FAULTS} more" if len(found) > _SHOWN_FAULTS else ""
        raise DataError(f"{origin}: not a valid {kind}: {'; '.join(found[:_SHOWN_FAULTS])}{more}") from error


def load_results(paths: Iterable[str | Path], *, strict: bool = False) -> list[Result]:
    """Read result files. One line of warning tells of those that a newer crbench wrote.

    Args:
        paths: see `crbench.results.search.result_files`.
        strict: refuse folders that hold JSON files which are no results; by default these are left out, with a warning
            that lists them all. A file that `paths` name must be a result.

    Returns:
        The results, in the order of `paths` and sorted by path within a folder; a file named twice is read once.

    Raises:
        DataError: a path does not exist, or what must be a result cannot be read or is none.
    """
    results = with_evidence(read_each(result_files(paths), _load, strict=strict))
    newer = [result for result in results if result.schema_version > SCHEMA_VERSION]
    if newer:
        _log.warning(
            "%s: written by a newer crbench (schema version %d)%s; fields that this version does not know are kept and "
            "not used",
            newer[0].origin,
            newer[0].schema_version,
            f", as {len(newer) - 1} others" if len(newer) > 1 else "",
        )
    return results


def with_evidence(results: Iterable[Result]) -> list[Result]:
    """The same results with what was verified of them on this machine."""
    try:
        root = evidence_root()
    except SystemFaultError:  # no home folder
        return list(results)
    return [one.read_from(one.origin, one.unknown, find_evidence(one.content_sha256, root)) for one in results]


def _load(file: Path) -> Result:
    return from_json(read_text(file, "result"), str(file))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
