"""The rules behind a result, and the digests that follow from them: computed from the record itself, never believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from crbench.protocol.hashing import digest
from crbench.protocol.rules import asked_rules, describe_rules, fingerprint_rules

if TYPE_CHECKING:
    from crbench.protocol import EvalProtocol


def plain(content: Any) -> Any:
    """`content` as JSON gives it back (tuples become lists), so that a record equals its re-read file.

    Raises:
        TypeError: JSON cannot hold it.
        ValueError: a number that is not finite.
    """
    return json.loads(json.dumps(content, allow_nan=False))


@attrs.frozen(kw_only=True)
class ProtocolFacts:
    """The rules: name, `EvalProtocol.flat`, its readable line and its fingerprint; see `of`."""

    name: str
    rules: Mapping[str, Any] = attrs.field(converter=plain)
    describe: str
    fingerprint: str

    @classmethod
    def of(cls, protocol: EvalProtocol) -> ProtocolFacts:
        """The facts of a protocol."""
        return cls(
            name=protocol.name,
            rules=protocol.flat(),
            describe=protocol.describe(),
            fingerprint=protocol.fingerprint(),
        )


def block_fingerprint(dataset: str, rules: Mapping[str, Any], limit: int | None, evaluation_version: int) -> str:
    """12 hex digits that results of one block of a leaderboard share: data set, rules, limit, evaluation version.

    Which trials they cover, and on which images, is theirs: see `crbench.results.TrialScores`.

    Args:
        rules: all fields of the protocol, see `ProtocolFacts.rules`.
        limit: identities that the trials were cut down to; None = all.
    """
    content = {"dataset": dataset, "rules": asked_rules(rules), "limit": limit, "version": evaluation_version}
    return digest(content)


def check_rules(facts: ProtocolFacts, evaluation_version: int, rate_source: str) -> None:
    """Refuse a protocol whose line, fingerprint, name or source of rates do not follow from its rules.

    Raises:
        ValueError: such a field, with what was given and what the rules give.
    """
    try:
        line = describe_rules(facts.rules, evaluation_version)
    except ValueError as error:
        raise ValueError(f"protocol.rules: {error}") from error
    for name, given, own in (
        ("protocol.name", facts.name, facts.rules.get("name")),
        ("protocol.describe", facts.describe, line),
        ("protocol.fingerprint", facts.fingerprint, fingerprint_rules(facts.rules, evaluation_version)),
        ("rate_source", rate_source, facts.rules.get("rate_source")),
    ):
        if given != own:
            raise ValueError(f"{name}: {given!r} does not follow from protocol.rules, which give {own!r}")
