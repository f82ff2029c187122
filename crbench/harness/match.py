"""Step 1, a part: which aligner runs on which backbone. An aligner that names a backbone is one method with it."""

from __future__ import annotations

import attrs

from crbench.api.capabilities import MayLearnNothing, TakesAnyLength, VariesInLength
from crbench.api.entry import Entry
from crbench.api.interfaces import Aligner
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError, PluginError
from crbench.registry.discovery import installed
from crbench.registry.request import Request
from crbench.registry.resolve import Resolved
from crbench.registry.targets import load_target
from crbench.results import BASELINE


@attrs.frozen
class Chosen:
    """An aligner as the user named it.

    Attributes:
        aligner: NAME[/PRESET].
        partner: the backbone that it names, with the preset where only the partner has that; None = it runs on any.
    """

    aligner: str
    partner: str | None

    @classmethod
    def of(cls, text: str) -> Chosen:
        """What ``--aligner TEXT`` asks for.

        Raises:
            ConfigError: no such aligner.
        """
        parts = Request.parse(text)
        name, preset = parts.owned_name, parts.preset
        entry = installed().get("aligner", name).entry
        partner = entry.defaults.get("backbone")
        if partner and preset and preset not in entry.presets:
            return cls(aligner=name, partner=f"{partner}/{preset}")
        return cls(aligner=text, partner=partner)


def pair(spec: RunSpec, dataset: Entry, notes: list[str]) -> dict[str, list[str]]:
    """Aligners by backbone, both as NAME[/PRESET], in the order in which they run.

    An aligner that names a backbone runs on that one; where variants of it are given, on these. All other aligners run
    on the given backbones, or on those that the data set names. The baseline runs wherever one of the others does.

    Raises:
        ConfigError: a backbone is given on which no aligner could run, or no backbone is known.
    """
    requests = list(dict.fromkeys(Chosen.of(text) for text in spec.aligner))
    free = [request.aligner for request in requests if request.partner is None]
    if spec.baseline and free and BASELINE not in free:
        notes.append(f"aligner {BASELINE} (baseline, so that gains are seen)")
        free.insert(0, BASELINE)
    backbones = list(spec.backbone) or (_defaults(dataset, free, notes) if free else [])
    jobs: dict[str, list[str]] = {backbone: list(free) for backbone in backbones}
    for request in requests:
        if request.partner is None:
            continue
        for backbone in _partners(request, spec.backbone, bool(free), notes):
            jobs.setdefault(backbone, []).append(request.aligner)
    return {_preset(backbone, dataset, "backbone", notes): aligners for backbone, aligners in jobs.items() if aligners}


def with_preset(aligner: str, dataset: Entry, notes: list[str]) -> str:
    """An aligner with the preset that the data set prefers, unless one is given."""
    return _preset(aligner, dataset, "aligner", notes)


def check_lengths(backbone: Resolved, aligner: Resolved) -> None:
    """Refuse an aligner that needs one length on a backbone whose feature length varies.

    The backbone's class may be `VariesInLength`, the aligner's `TakesAnyLength`.

    Raises:
        ConfigError: they do not fit.
    """
    giving, taking = load_target(backbone.registered), load_target(aligner.registered)
    if not isinstance(giving, VariesInLength) or not giving.varies(backbone.values):
        return
    if isinstance(taking, TakesAnyLength) and taking.any_length:
        return
    raise ConfigError(
        f"aligner {aligner.name} needs features of one length, but those of backbone {backbone.name} follow the "
        "resolution; use a preset of the backbone with one length, e.g. lrar/no-val, or another aligner"
    )


def learns(aligner: Resolved) -> bool:
    """Whether the fit of an aligner looks at training features.

    Raises:
        PluginError: it says something else than yes or no.
    """
    made: Aligner = aligner.build()
    if not isinstance(made, MayLearnNothing):
        return True
    answer: object = made.learns
    if not isinstance(answer, bool):
        raise PluginError(f"{aligner.registered.owner} failed at learns: expected True or False, got {answer!r}")
    return answer


def _partners(request: Chosen, given: tuple[str, ...], others: bool, notes: list[str]) -> list[str]:
    """The backbones of an aligner that names one.

    Args:
        given: those that the user gave.
        others: the given ones serve other aligners too, so that none of them need fit this one.
    """
    partner = str(request.partner)
    name, preset = Request.parse(partner).name, Request.parse(partner).preset
    fitting = [other for other in given if Request.parse(other).name == name and (not preset or other == partner)]
    if not fitting and (others or not given):
        notes.append(f"backbone {partner} (of aligner {request.aligner})")
        return [partner]
    if not fitting:
        raise ConfigError(
            f"aligner {request.aligner} is one method with its backbone {partner} and does not run on "
            f"{', '.join(given)}; leave --backbone out or add {partner}"
        )
    return fitting


def _defaults(dataset: Entry, aligners: list[str], notes: list[str]) -> list[str]:
    """The backbones that the data set names for one of the aligners, on which all of them run; else its default."""
    keys = {name: f"backbone for {Request.parse(name).name}" for name in aligners}
    named = {name: dataset.defaults[key] for name, key in keys.items() if key in dataset.defaults}
    notes.extend(f"backbone {backbone} (of aligner {name} on {dataset.name})" for name, backbone in named.items())
    return list(dict.fromkeys(named.values())) or [_default(dataset, notes)]


def _default(dataset: Entry, notes: list[str]) -> str:
    backbone = dataset.defaults.get("backbone")
    if backbone is None:
        known = ", ".join(installed().names("backbone"))
        raise ConfigError(f"data set {dataset.name!r} names no default backbone; give --backbone, one of {known}")
    notes.append(f"backbone {backbone} (default of {dataset.name})")
    return backbone


def _preset(request: str, dataset: Entry, kind: str, notes: list[str]) -> str:
    preset = dataset.defaults.get(f"{kind}:{request}")
    if preset is None:
        return request
    notes.append(f"{kind} {request}/{preset} (default preset on {dataset.name})")
    return f"{request}/{preset}"
