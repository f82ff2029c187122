"""`RunSpec`: what a user asks one run to do, from options, TOML and ``--set``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import validators as v

from crbench.config.amp import AMP_REQUESTS, AmpRequest
from crbench.config.convert import convert
from crbench.config.home import expanded
from crbench.config.settings import flatten_settings
from crbench.config.units import parse_budget, parse_duration
from crbench.errors import ConfigError
from crbench.numerals import parse_integer
from crbench.wording import plain_fault, suggestion

_TRIALS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


def _strings(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _trials(value: Any) -> tuple[int, ...] | None:
    if value is None or isinstance(value, tuple):
        return value
    return parse_trials(value if isinstance(value, str) else ",".join(str(part) for part in _listed(value)))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, range)) else [value]


def _batch_size(value: Any) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    try:
        number = parse_integer(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"batch_size: {value!r} is neither auto nor a number of images from 1")
    return number


def _path(value: Any) -> Path | None:
    return None if value is None else expanded(value)


@attrs.frozen(kw_only=True)
class RunSpec:
    """One run: every combination of data set, backbone and aligner is a cell.

    Attributes:
        dataset, backbone, aligner: names, aligners and backbones with an optional preset (``vpfa/paper``). Without
            a backbone, the aligner's or data set's default is taken; without an aligner, ``none``.
        fit_on: data sets on whose training rows aligners are fitted, each in a cell of its own; by default the data set
            that is evaluated on. Its name stands for itself, too.
        protocol: name of one of the data set's protocols; its first by default.
        trial: trials to evaluate, e.g. ``"0-9"``; all by default.
        seed: start of everything random in training and fitting; draws of the protocol do not depend on it.
        device: ``auto``, or a torch device name.
        weights: weights of the backbone; see `crbench.registry.weight_files.find_weights`.
        weights_sha256: SHA-256 that the weights file must have, or at least its first 8 hex digits.
        set: changes by ``part.name``, e.g. ``{"aligner.hidden": 512, "protocol.kernel": "bicubic"}``.
        data_root, output, cache_dir: folders; see `data_root`, `cache_root`.
        limit: use only the first N identities of training and test; the result is not rankable.
        batch_size: images per network call, or ``auto``: 64 on a CPU, 256 on a CUDA device. Where the device's memory
            does not hold that many, it is halved.
        num_workers: threads that decode images; 0 = one per processor, at most 16.
        amp: arithmetic of the network in extraction: ``off`` (float32), autocast to ``bf16`` or ``fp16`` (slow
            on most CPUs), or ``auto``: measured once for each backbone and machine, see `crbench.harness.arithmetic`.
        compile: compile the network for extraction by ``torch.compile``.
        on_bad_image: ``error`` stops at an unreadable image, ``skip`` leaves it out and counts it.
        baseline: evaluate the aligner ``none`` too.
        bound: evaluate ``none`` on the same queries unshrunk too, so that tables say how much of the gap a row closes.
        cache: keep and reuse features and fitted transforms.
        outcomes: keep what became of each query in a file beside each result, see `crbench.results.outcomes`.
        hash_keys: keep hashes in place of the names of query images there.
        resume: take a finished result of the same cell from `output` instead of computing it again.
        engine: evaluation engine, ``auto`` by device.
        precision: of the evaluation's products, ``auto`` by engine; scores do not depend on it.
        cell_timeout: seconds after which a cell fails, so that a method that hangs does not hold up the others; a text
            may have a unit, ``15m``. It counts what belongs to one aligner: fit, transform and evaluation, not training
            and extraction of a backbone, which cells share. See `crbench.harness.time_limit` for what it cannot stop.
        metric: scores to give beside those that are always given, see `crbench.evaluate`.
        memory_budget: bytes that an evaluation uses on top of the features; a text may have a unit, ``512MB``. None: by
            device, see `crbench.evaluate`.

    Example:
        >>> RunSpec(dataset="mlr-synthetic", aligner="vpfa", trial="0-2").trial
        (0, 1, 2)
    """

    dataset: tuple[str, ...] = attrs.field(converter=_strings, validator=v.min_len(1))
    backbone: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    aligner: tuple[str, ...] = attrs.field(default=("none",), converter=_strings, validator=v.min_len(1))
    fit_on: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    protocol: str | None = None
    trial: tuple[int, ...] | None = attrs.field(default=None, converter=_trials)
    seed: int = attrs.field(default=0, validator=[v.ge(0), v.lt(2**32)])
    device: str = "auto"
    weights: Path | None = attrs.field(default=None, converter=_path)
    weights_sha256: str | None = None
    set: Mapping[str, Any] = attrs.field(factory=dict)
    data_root: Path | None = attrs.field(default=None, converter=_path)
    output: Path = attrs.field(default=Path("results"), converter=_path)
    cache_dir: Path | None = attrs.field(default=None, converter=_path)
    limit: int | None = attrs.field(default=None, validator=v.optional(v.ge(2)))
    batch_size: int | Literal["auto"] = attrs.field(default="auto", converter=_batch_size)
    num_workers: int = attrs.field(default=0, validator=v.ge(0))
    amp: AmpRequest = attrs.field(default="off", validator=v.in_(AMP_REQUESTS))
    compile: bool = False
    on_bad_image: str = attrs.field(default="error", validator=v.in_(("error", "skip")))
    baseline: bool = True
    bound: bool = False
    cache: bool = True
    outcomes: bool = True
    hash_keys: bool = False
    resume: bool = True
    engine: str = "auto"
    precision: str = "auto"
    cell_timeout: float | None = attrs.field(default=None, converter=attrs.converters.optional(parse_duration))
    metric: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    memory_budget: int | None = attrs.field(default=None, converter=attrs.converters.optional(parse_budget))


def parse_trials(text: str) -> tuple[int, ...]:
    """Trial numbers from ``3``, ``0-9`` or ``0,2,5-7``, sorted and distinct.

    Raises:
        ConfigError: the text is none of these.

    Example:
        >>> parse_trials("0,2,5-7")
        (0, 2, 5, 6, 7)
    """
    trials: set[int] = set()
    for part in text.split(","):
        match = _TRIALS.fullmatch(part.strip())
        first, last = (0, -1) if match is None else (int(match[1]), int(match[2] or match[1]))
        if last < first:
            raise ConfigError(f"trial: {text!r} is not a list of trials; expected e.g. 3, 0-9 or 0,2,5-7")
        trials.update(range(first, last + 1))
    return tuple(sorted(trials))


def build_spec(values: Mapping[str, Any], origin: str) -> RunSpec:
    """A `RunSpec` from plain values with its field names (``set`` may nest: ``{"aligner": {"hidden": 512}}``).

    Raises:
        ConfigError: unknown fields or bad values, all named at once with `origin`.
    """
    known = {field.name for field in attrs.fields(RunSpec)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{origin}: unknown {', '.join(unknown)}{suggestion(unknown[0], sorted(known))}")
    if "dataset" not in values:
        raise ConfigError(f"{origin}: no data set given; name one with --dataset, e.g. mlr-synthetic")
    attrs.resolve_types(RunSpec)
    for field in attrs.fields(RunSpec):
        if field.name in values and field.converter is None and field.name != "set":
            convert(values[field.name], field.type, f"{origin}: {field.name}")
    try:
        return RunSpec(**{**values, "set": flatten_settings(values.get("set", {}))})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{origin}: {plain_fault(error)}") from error
