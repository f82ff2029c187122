"""Names of plugins as users write them, split into their parts."""

from __future__ import annotations

import attrs


@attrs.frozen
class Request:
    """What a user asks for: ``name``, ``name/preset``, ``name:argument`` or ``name/preset:argument``.

    Before the name may stand whose it is, as in ``distribution::name``, where two distributions offer one.

    Example:
        >>> Request.parse("onnx:nets/a.onnx")
        Request(name='onnx', preset='', argument='nets/a.onnx', distribution='')
        >>> Request.parse("vpfa/paper").preset
        'paper'
        >>> Request.parse("their-methods::vpfa/paper").owned_name
        'their-methods::vpfa'
    """

    name: str
    preset: str = ""
    argument: str = ""
    distribution: str = ""

    @classmethod
    def parse(cls, text: str) -> Request:
        """The parts of `text`; those that are not there are empty."""
        owner, double, rest = text.partition("::")
        if not double or not owner or ":" in owner or "/" in owner:  # these begin an argument or a preset
            owner, rest = "", text
        head, _, argument = rest.partition(":")
        name, _, preset = head.partition("/")
        return cls(name=name, preset=preset, argument=argument, distribution=owner)

    @property
    def owned_name(self) -> str:
        """The name, after its distribution where that is given."""
        return f"{self.distribution}::{self.name}" if self.distribution else self.name
