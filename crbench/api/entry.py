"""What a plugin offers: one `Entry` per backbone, aligner, data set or distance; scores are `crbench.api.metric`s."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

from crbench.records import NEEDS

API_VERSION = 3
"""Raised whenever a signature or a shape of `crbench.api.interfaces` changes; `Entry.api` must equal it."""

Kind = Literal["backbone", "aligner", "dataset", "distance", "metric"]
KINDS: tuple[Kind, ...] = ("backbone", "aligner", "dataset", "distance", "metric")

_BIBTEX = re.compile(r"@[a-zA-Z]+\{[^\s,{}]+,")
_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _kebab(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not _KEBAB.fullmatch(value):
        raise ValueError(f"entry name {value!r} is not kebab-case; expected letters a-z, digits and single hyphens")


def _known_needs(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple) or not set(value) <= set(NEEDS):
        raise ValueError(f"entry needs {value!r}; expected a tuple of {', '.join(map(repr, NEEDS))}, or ()")


def _packages(instance: object, attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for name in value:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"entry code {name!r} is not the name of a top-level package such as 'my_layers'")


def _bibtex(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or value.count("{") != value.count("}"):
        raise ValueError(f"entry bibtex {value!r} is no text with as many closing as opening braces")
    if bad := [entry for entry in bibtex_entries(value) if not _BIBTEX.match(entry)]:
        raise ValueError(f"entry bibtex {bad[0]!r} does not begin like '@article{{liu2025,'")


def bibtex_entries(text: str) -> list[str]:
    """The entries of a BibTeX text, each from its ``@`` at the start of a line.

    Example:
        >>> bibtex_entries("@misc{a, year=2024}\\n\\n@misc{b, year=2025}\\n")
        ['@misc{a, year=2024}', '@misc{b, year=2025}']
    """
    return [entry.strip() for entry in re.split(r"^(?=@)", text, flags=re.MULTILINE) if entry.strip()]


def check_target(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validator: a class or function, or a string that names one."""
    if not callable(value) and not (isinstance(value, str) and value.count(":") == 1):
        raise ValueError(f"entry target {value!r} is neither a class nor a string 'package.module:Class'")


@attrs.frozen
class Released:
    """Weights that the authors of a method give away; they are used once their file lies in the weights folder.

    Attributes:
        files: the names that the files usually have; ``*`` stands for any text.
        page: where they come from.

    Example:
        >>> Released(("osnet_x1_0_market*.pth",), "https://kaiyangzhou.github.io/deep-person-reid/MODEL_ZOO").files
        ('osnet_x1_0_market*.pth',)
    """

    files: tuple[str, ...] = attrs.field(validator=attrs.validators.min_len(1))
    page: str


@attrs.frozen
class Entry:
    """One thing that a plugin offers, as data.

    Attributes:
        name: kebab-case, unique among entries of its kind.
        target: a class or function, or ``"package.module:Class"``, loaded at first use (for what needs torch).
        summary: one line for ``crbench plugins``.
        source: paper or code that the entry follows.
        bibtex: what to cite when using it, as BibTeX; several entries may stand in one text. `crbench cite` prints it.
        api: the `API_VERSION` that it was written for.
        extra: name of the pip extra to suggest when importing `target` fails.
        defaults: partners that it names, for example ``{"backbone": "lrar"}`` of an aligner, or
            ``{"backbone": "resnet-tiny", "aligner:vpfa": "light"}`` of a data set (its preset for that aligner or
            ``backbone:NAME``; ``backbone for NAME``: the backbone that the paper of that aligner has there). An aligner
            that names a backbone runs on that backbone only.
        presets: named parameter sets, chosen as ``name/preset``; the first is the default.
        argument: the parameter that text after a colon fills: with ``"file"``, ``onnx:net.onnx`` is the entry ``onnx``
            with ``file=net.onnx``. A file or folder named like this must exist, and stands for the weights in results.
        train_rows: which training rows a trainable backbone wants: ``hr``, or ``all`` (their copies at the protocol's
            training rates and LR images as stored, too).
        test_parameters: names of parameters that training does not depend on; weights are shared between their values.
        needs: what an aligner's transform, or a distance, must see of test rows beside their rates: ``("camids",)`` or
            nothing; see `crbench.api.TestRows`.
        transductive: what an aligner's transform makes of a row, or a distance of two, may depend on the other rows.
            Without it, such a method is refused; with it, tables say so.
        released: weights of a backbone by preset (``""`` without presets), looked for where none are given.
        code: top-level packages, beside that of `target`, whose code decides what it gives, such as ``("my_layers",)``.
            A change in any file of these packages makes everything anew: features, fits, trained weights, results.
            Packages of others need not be named: a result records their versions.

    Example:
        >>> Entry("mean-shift", dict, source="baseline").name
        'mean-shift'
    """

    name: str = attrs.field(validator=_kebab)
    target: str | Callable[..., Any] = attrs.field(validator=check_target)
    summary: str = ""
    source: str = ""
    api: int = API_VERSION
    extra: str | None = None
    defaults: Mapping[str, str] = attrs.field(factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    argument: str | None = None
    train_rows: Literal["hr", "all"] = attrs.field(default="hr", validator=attrs.validators.in_(("hr", "all")))
    test_parameters: tuple[str, ...] = ()
    needs: tuple[str, ...] = attrs.field(default=(), validator=_known_needs)
    transductive: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    released: Mapping[str, Released] = attrs.field(factory=dict)
    code: tuple[str, ...] = attrs.field(default=(), validator=_packages)
    bibtex: str = attrs.field(default="", validator=_bibtex)
