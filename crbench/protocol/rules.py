"""`EvalProtocol`: every choice that changes a number, as data, with a fingerprint.

A rule is one attribute of one group: `SplitRules`, `ImageRules` or `ScoringRules`. All else follows from it: its part
of the fingerprint and of the line that describes a protocol, ``--set protocol.NAME=VALUE``, its row in
``docs/protocol.md``, its part of the keys of cached features and trained weights (`ImageRules`), and whether it counts
for given features (`ScoringRules`). Groups are for code. Users, files and fingerprints know the rules by name alone, so
no two groups share one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Self

import attrs
from attrs import validators as v

from crbench.protocol.declare import RuleGroup, rule_names
from crbench.protocol.hashing import digest
from crbench.protocol.images import ImageRules
from crbench.protocol.scoring import ScoringRules
from crbench.protocol.split import SplitRules
from crbench.wording import suggestion

EVALUATION_VERSION = 2
"""Raised when scores change for unchanged features and protocol; part of every fingerprint."""


@attrs.frozen(kw_only=True)
class EvalProtocol:
    """Rules that turn a data set into splits and a split into scores.

    The defaults are the ``mlr`` protocol for a data set with official identities and a fixed LR camera (the reading of
    SING, Jiao et al., AAAI 2018, and LRAR, Wu et al., TIP 2023).

    Attributes:
        name: names the set of rules.
        split, images, scoring: the rules, each explained where it is declared and, for users, in ``docs/protocol.md``.

    Raises:
        ValueError: a value out of range, or rules that exclude each other; the message names the rule.

    Example:
        >>> mlr = EvalProtocol()
        >>> mlr.fingerprint() == EvalProtocol(split=SplitRules(query_rates=[4, 3, 2])).fingerprint()
        True
        >>> mlr.fingerprint() == EvalProtocol(images=ImageRules(kernel="bicubic")).fingerprint()
        False
    """

    name: str = attrs.field(default="mlr", validator=v.min_len(1))
    split: SplitRules = attrs.field(factory=SplitRules, validator=v.instance_of(SplitRules))
    images: ImageRules = attrs.field(factory=ImageRules, validator=v.instance_of(ImageRules))
    scoring: ScoringRules = attrs.field(factory=ScoringRules, validator=v.instance_of(ScoringRules))

    @classmethod
    def of(cls, **rules: Any) -> Self:
        """A protocol from its name and rules, whatever their groups; what is not given has its default.

        Raises:
            TypeError: no such rule.
            ValueError: see the class.

        Example:
            >>> EvalProtocol.of(kernel="bicubic", shot="multi").images.kernel
            'bicubic'
        """
        return cls().changed(**rules)

    @property
    def groups(self) -> dict[str, RuleGroup]:
        """The groups of rules by attribute, in the order of lines and pages."""
        values = ((field.name, getattr(self, field.name)) for field in attrs.fields(type(self)))
        return {name: value for name, value in values if isinstance(value, RuleGroup)}

    def flat(self) -> dict[str, Any]:
        """Name and all rules by name, as JSON values; `of` reads them."""
        rules = [attrs.asdict(group) for group in self.groups.values()]
        return {"name": self.name} | {name: value for group in rules for name, value in group.items()}

    def changed(self, **rules: Any) -> Self:
        """The protocol with another name or other rules, whatever their groups.

        Raises:
            TypeError: no such rule.
            ValueError: see the class.
        """
        changes: dict[str, Any] = {"name": rules.pop("name")} if "name" in rules else {}
        for place, group in self.groups.items():
            own = {name: rules.pop(name) for name in rule_names(type(group)) if name in rules}
            changes[place] = attrs.evolve(group, **own)
        if rules:
            name = min(rules)
            raise TypeError(f"no rule of a protocol is called {name!r}{suggestion(name, sorted(self.flat()))}")
        return attrs.evolve(self, **changes)

    def describe(self) -> str:
        """All rules in one readable line, options only where they are asked for; equal lines mean equal rules."""
        return describe_rules(self.flat(), like=self)

    def fingerprint(self) -> str:
        """12 hex digits of SHA-256 over `EVALUATION_VERSION`, name and rules, options only where they are asked for."""
        return fingerprint_rules(self.flat(), like=self)


_USUAL = EvalProtocol()


def asked_rules(rules: Mapping[str, Any], like: EvalProtocol = _USUAL) -> dict[str, Any]:
    """Name and rules of a flat mapping, in the order of the record: options only where they are asked for.

    Args:
        rules: as `EvalProtocol.flat` gives them, or as a result file has them: rules that an earlier version did not
            have may be missing.
        like: a protocol with the same groups.

    Raises:
        ValueError: a rule that there is not.
    """
    known = _declared(*map(type, like.groups.values()))
    if unknown := sorted(rules.keys() - known.keys() - {"name"}):
        raise ValueError(f"unknown rule {unknown[0]!r}")
    own = {
        name: rules[name]
        for name, field in known.items()
        if name in rules and not (field.metadata["option"] and _is_default(rules[name], field.default))
    }
    return {"name": rules.get("name")} | own


def _is_default(value: Any, default: Any) -> bool:
    """Whether a value is the default, a list in a file as well as a tuple."""
    return bool((tuple(value) if isinstance(value, list) else value) == default)


def describe_rules(rules: Mapping[str, Any], version: int = EVALUATION_VERSION, like: EvalProtocol = _USUAL) -> str:
    """`EvalProtocol.describe` of a flat mapping and an evaluation version; see `asked_rules`."""
    asked, known = asked_rules(rules, like), _declared(*map(type, like.groups.values()))
    name = asked.pop("name")
    parts = [f"{known[name].metadata['short']}:{_plain_text(value)}" for name, value in asked.items()]
    return "|".join([f"p:{name}", *parts, f"v{version}"])


def fingerprint_rules(rules: Mapping[str, Any], version: int = EVALUATION_VERSION, like: EvalProtocol = _USUAL) -> str:
    """`EvalProtocol.fingerprint` of a flat mapping and an evaluation version; see `asked_rules`."""
    return digest({"protocol": asked_rules(rules, like), "version": version})


@functools.cache
def _declared(*groups: type[RuleGroup]) -> dict[str, attrs.Attribute[Any]]:
    """The rules by name, in the order of lines and pages."""
    return {field.name: field for group in groups for field in attrs.fields(group)}


def _plain_text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(f"{item:g}" for item in value) or "-"
    return str(int(value) if isinstance(value, bool) else value)
