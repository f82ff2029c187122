"""`RunSpec`, the wish of one run, from options, TOML and ``--set``; and the folders that crbench uses."""

from __future__ import annotations

import os
import tomllib
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import attrs
import cattrs
import platformdirs
from attrs import validators as v

from crbench.budget import parse_budget
from crbench.errors import ConfigError
from crbench.protocols import EvalProtocol

PARTS = ("aligner", "backbone", "dataset", "protocol")
"""What ``--set PART.NAME=VALUE`` can change; a method's own name works in place of its kind."""


Amp = Literal["off", "bf16", "fp16"]
AMP = typing.get_args(Amp)


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
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"batch_size: {value!r} is neither auto nor a number of images from 1")
    return number


def _path(value: Any) -> Path | None:
    return None if value is None else Path(value).expanduser()


@attrs.frozen(kw_only=True)
class RunSpec:
    """One run: every combination of data set, backbone and aligner is a cell.

    Attributes:
        dataset, backbone, aligner: names, aligners and backbones with an optional preset (``vpfa/paper``). Without
            a backbone, the aligner's or data set's default is taken; without an aligner, ``none``.
        protocol: name of one of the data set's protocols; its first by default.
        trial: trials to evaluate, e.g. ``"0-9"``; all by default.
        seed: start of everything random in training and fitting; draws of the protocol do not depend on it.
        device: ``auto``, or a torch device name.
        weights: weights of the backbone; see `crbench.weights_lookup.find_weights`.
        weights_sha256: SHA-256 that the weights file must have, or at least its first 8 hex digits.
        set: changes by ``part.name``, e.g. ``{"aligner.hidden": 512, "protocol.kernel": "bicubic"}``.
        data_root, output, cache_dir: folders; see `data_root`, `cache_root`.
        limit: use only the first N identities of training and test; the result is not rankable.
        batch_size: images per network call, or ``auto``: 64 on a CPU, 256 on a CUDA device. Where the device's memory
            does not hold that many, it is halved.
        num_workers: threads that decode images; 0 = one per processor, at most 16.
        amp: arithmetic of the network in extraction: ``off`` (float32), or autocast to ``bf16`` or ``fp16``
            (slow on most CPUs).
        compile: compile the network for extraction by ``torch.compile``.
        on_bad_image: ``error`` stops at an unreadable picture, ``skip`` leaves it out and counts it.
        baseline: evaluate the aligner ``none`` beside the others.
        cache: keep and reuse features and fitted transforms.
        resume: take a finished result of the same cell from `output` instead of computing it again.
        engine: evaluation engine, ``auto`` by device.
        precision: of the evaluation's products, ``auto`` by engine; scores do not depend on it.
        memory_budget: bytes that an evaluation uses beside the features; a text may have a unit, ``512MB``. None: by
            device, see `crbench.evaluate`.

    Example:
        >>> RunSpec(dataset="mlr-synthetic", aligner="vpfa", trial="0-2").trial
        (0, 1, 2)
    """

    dataset: tuple[str, ...] = attrs.field(converter=_strings, validator=v.min_len(1))
    backbone: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    aligner: tuple[str, ...] = attrs.field(default=("none",), converter=_strings, validator=v.min_len(1))
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
    amp: Amp = attrs.field(default="off", validator=v.in_(AMP))
    compile: bool = False
    on_bad_image: str = attrs.field(default="error", validator=v.in_(("error", "skip")))
    baseline: bool = True
    cache: bool = True
    resume: bool = True
    engine: str = "auto"
    precision: str = "auto"
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
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise ConfigError(f"trial: {text!r} is not a list of trials; expected e.g. 3, 0-9 or 0,2,5-7")
        trials.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(trials))


def parse_setting(text: str) -> tuple[str, Any]:
    """``part.name=value`` as a pair; the value is read as TOML, or as text where it is not TOML.

    Example:
        >>> parse_setting("aligner.hidden=512"), parse_setting("protocol.kernel=bicubic")
        (('aligner.hidden', 512), ('protocol.kernel', 'bicubic'))
    """
    name, equals, value = text.partition("=")
    if not equals or name.count(".") != 1 or not all(name.split(".")):
        raise ConfigError(f"--set {text!r}: expected PART.NAME=VALUE with PART one of {', '.join(PARTS)} or a method")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def load_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: it does not exist or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path} is not TOML: {error}") from error


def build_spec(values: Mapping[str, Any], origin: str) -> RunSpec:
    """A `RunSpec` from plain values with its field names (``set`` may nest: ``{"aligner": {"hidden": 512}}``).

    Raises:
        ConfigError: unknown fields or bad values, all named at once with `origin`.
    """
    known = {field.name for field in attrs.fields(RunSpec)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{origin}: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    if "dataset" not in values:
        raise ConfigError(f"{origin}: no data set given; name one with --dataset, e.g. mlr-synthetic")
    attrs.resolve_types(RunSpec)
    for field in attrs.fields(RunSpec):
        if field.name in values and field.converter is None and field.name != "set":
            convert(values[field.name], field.type, f"{origin}: {field.name}")
    try:
        return RunSpec(**{**values, "set": flatten_settings(values.get("set", {}))})
    except (ValueError, TypeError) as error:
        text = str(error.args[0] if error.args else error).splitlines()[0]
        raise ConfigError(f"{origin}: {text}") from error


def flatten_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Changes by ``part.name``, from nested or flat ones.

    Example:
        >>> flatten_settings({"aligner": {"hidden": 512}, "protocol.kernel": "box"})
        {'aligner.hidden': 512, 'protocol.kernel': 'box'}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            flat[key] = value
    return flat


def convert(value: Any, wanted: Any, where: str) -> Any:
    """`value` as type `wanted`, without surprises: no text becomes a number, no 3.7 becomes 3.

    Raises:
        ConfigError: it is of another type; the message starts with `where`.
    """
    try:
        return value if wanted is Any else _converter().structure(value, wanted)
    except (cattrs.BaseValidationError, cattrs.StructureHandlerNotFoundError, ValueError, TypeError) as error:
        name = str(wanted).replace("typing.", "") if typing.get_args(wanted) else wanted.__name__
        raise ConfigError(f"{where} = {value!r} is not of type {name}") from error


def change_protocol(protocol: EvalProtocol, changes: Mapping[str, Any]) -> EvalProtocol:
    """`protocol` with fields changed.

    Raises:
        ConfigError: no such field, or a value that is out of range or of the wrong type.
    """
    attrs.resolve_types(EvalProtocol)
    fields = attrs.fields_dict(EvalProtocol)
    values = {}
    for key, value in changes.items():
        if key not in fields or key == "name":
            raise ConfigError(f"protocol has no field {key!r}; known: {', '.join(sorted(set(fields) - {'name'}))}")
        values[key] = convert(value, fields[key].type, f"protocol.{key}")
    try:
        return attrs.evolve(protocol, **values)
    except ValueError as error:
        raise ConfigError(str(error.args[0])) from error


def plain(value: Any) -> Any:
    """`value` as JSON can hold it (tuples become lists, records become dicts)."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return cattrs.unstructure(value)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, accepted in ((int, (int,)), (float, (int, float)), (str, (str,)), (bool, (bool,))):
        converter.register_structure_hook(kind, _strict(kind, accepted))
    converter.register_structure_hook(Path, _structure_path)
    literal: Any = typing.Literal
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is literal, _structure_literal)
    return converter


def _structure_literal(value: Any, kind: Any) -> Any:
    # Not cattrs' own hook, whose error has no class that all supported versions share.
    options = typing.get_args(kind)
    if not any(value == option and type(value) is type(option) for option in options):
        raise ValueError(f"{value!r} is not one of {options}")
    return value


def _structure_path(value: Any, _: Any) -> Path:
    if not isinstance(value, (str, Path)):
        raise TypeError(f"{value!r} is not a path")
    return Path(value).expanduser()


def _strict(kind: type, accepted: tuple[type, ...]) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{value!r} is not {kind.__name__}")
        return kind(value)

    return structure


@attrs.frozen
class Settings:
    """The user's own config file, ``config.toml`` in the platform's config folder."""

    data_root: str | None = None
    weights_root: str | None = None
    cache_root: str | None = None


def data_root(option: Path | None = None) -> Path:
    """Folder of the user's data sets: the option, ``CRBENCH_DATA``, the config file, or the platform's data folder."""
    return _folder(option, "CRBENCH_DATA", "data_root", platformdirs.user_data_path("crbench") / "data")


def weights_root(option: Path | None = None) -> Path:
    """Folder of weights: the option, ``CRBENCH_WEIGHTS``, the config file, or the platform's data folder."""
    return _folder(option, "CRBENCH_WEIGHTS", "weights_root", platformdirs.user_data_path("crbench") / "weights")


def cache_root(option: Path | None = None) -> Path:
    """Folder of cached features: the option, ``CRBENCH_CACHE``, the config file, or the platform's cache folder."""
    return _folder(option, "CRBENCH_CACHE", "cache_root", platformdirs.user_cache_path("crbench"))


def _folder(option: Path | None, variable: str, setting: str, default: Path) -> Path:
    chosen = option or os.environ.get(variable) or getattr(_settings(), setting) or default
    return Path(chosen).expanduser()


def _settings() -> Settings:
    path = platformdirs.user_config_path("crbench") / "config.toml"
    if not path.is_file():
        return Settings()
    try:
        return _converter().structure(load_toml(path), Settings)
    except cattrs.BaseValidationError as error:
        raise ConfigError(f"config {path}: {'; '.join(cattrs.transform_error(error))}") from error
