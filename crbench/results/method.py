"""What a result says of its method: backbone and aligner, their weights, and how images went through the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs import validators as v

from crbench.config.amp import AMP, Amp
from crbench.config.convert import LATER
from crbench.results.rules import plain
from crbench.results.scores import COUNT, SHA256


def own_name() -> Any:
    """A field for the name of a folder of the user's, without its path; it is no part of what decides a result."""
    name = v.optional(v.matches_re("[^/]+"))
    return attrs.field(default=None, eq=False, validator=name, metadata={LATER: True})


@attrs.frozen(kw_only=True)
class FittedOn:
    """Another data set, on whose training rows an aligner was fitted.

    Attributes:
        dataset, folder, parameters, changed, code_sha256: as of the data set of a result.
        protocol: whose split it is.
    """

    dataset: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict, converter=plain)
    changed: Mapping[str, Any] = attrs.field(factory=dict, converter=plain)
    protocol: str
    code_sha256: str | None = attrs.field(default=None, validator=v.optional(SHA256))
    folder: str | None = own_name()

    def deciding(self) -> dict[str, Any]:
        """Its fields by name, without the name of the folder, which decides no number."""
        return attrs.asdict(self, filter=lambda field, _: bool(field.eq))


@attrs.frozen(kw_only=True)
class Component:
    """A backbone or an aligner as it was used.

    Attributes:
        name, preset: as in ``NAME/preset``; None = the entry has no presets. The name may end in an argument
            (``timm:resnet50``), of a path its last part (``onnx:net.onnx``).
        parameters: all constructor parameters after presets and ``--set``; JSON values.
        changed: those that differ from the preset, or from the defaults where there is none.
        distribution, version: the package that registered it.
        code_sha256: of the source that it ran; None = not known.
        weights_sha256: of the weights that were used, loaded or trained, or of the file or folder that the argument
            names; None where there are none, or each trial has its own.
        trained: the weights were learned on the run's training rows rather than loaded.
        parameter_count: learned parameters; None = not known.
        transductive: what it does to one sample depends on the others that it is given with.
        macs: multiply-accumulate operations for one image or sample; None = not known.
        fitted_on: of an aligner that was fitted on another data set than the one that is evaluated on; else None.
    """

    name: str
    preset: str | None = None
    parameters: Mapping[str, Any] = attrs.field(factory=dict, converter=plain)
    changed: Mapping[str, Any] = attrs.field(factory=dict, converter=plain)
    distribution: str = "crbench"
    version: str
    code_sha256: str | None = attrs.field(default=None, validator=v.optional(SHA256))
    weights_sha256: str | None = attrs.field(default=None, validator=v.optional(SHA256))
    trained: bool = False
    parameter_count: int | None = attrs.field(default=None, validator=v.optional(COUNT))
    transductive: bool = False
    macs: int | None = attrs.field(default=None, validator=v.optional(COUNT))
    fitted_on: FittedOn | None = None


@attrs.frozen
class Method:
    """Backbone and aligner of a cell, and what a comparison by them takes.

    Attributes:
        columns: length of the features that are compared; the longest, where it varies. None = not known.
        gallery_passes: how often a gallery image goes through the backbone: once, or once for each of several rates.
            None = not known.
    """

    backbone: Component
    aligner: Component
    columns: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))
    gallery_passes: float | None = attrs.field(default=None, validator=v.optional(v.gt(0)))


@attrs.frozen(kw_only=True)
class WeightsFacts:
    """Where weights that a cell used come from.

    Attributes:
        sha256: of the file; trials name it, see `TrialScores`.
        origin: ``trained`` on the training rows of a trial, ``file``: given or released, or ``fitted``: of an aligner.
        known: what they were trained on is known, so that leakage was looked for.
        seed, device, threads: of the training; None = not known. Equal trainings may differ by them in last bits.
    """

    sha256: str = attrs.field(validator=SHA256)
    origin: Literal["trained", "file", "fitted"] = attrs.field(validator=v.in_(("trained", "file", "fitted")))
    known: bool
    seed: int | None = None
    device: str | None = None
    threads: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))


@attrs.frozen(kw_only=True)
class Extraction:
    """How images went through the network, beside the protocol: what features may depend on.

    Attributes:
        batch_size: images per network call.
        amp: arithmetic of the network: ``off`` (float32), or autocast to ``bf16`` or ``fp16``.
        compile: the network was compiled by ``torch.compile``.
    """

    batch_size: int = attrs.field(validator=v.ge(1))
    amp: Amp = attrs.field(default="off", validator=v.in_(AMP))
    compile: bool = False
