"""What a user asks for by name."""

from __future__ import annotations

import attrs


@attrs.frozen
class Request:
    """What a user asks for: ``name``, ``name/preset``, ``name:argument`` or ``name/preset:argument``.

    Example:
        >>> Request.parse("onnx:nets/a.onnx")
        Request(name='onnx', preset='', argument='nets/a.onnx')
        >>> Request.parse("vpfa/paper").preset
        'paper'
    """

    name: str
    preset: str = ""
    argument: str = ""

    @classmethod
    def parse(cls, text: str) -> Request:
        """The parts of `text`; those that are not there are empty."""
        head, _, argument = text.partition(":")
        name, _, preset = head.partition("/")
        return cls(name=name, preset=preset, argument=argument)
