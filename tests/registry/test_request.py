"""Names as users write them."""

from __future__ import annotations

import pytest

from crbench.registry.request import Request


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("vpfa", Request("vpfa")),
        ("vpfa/paper", Request("vpfa", "paper")),
        ("onnx:nets/a.onnx", Request("onnx", argument="nets/a.onnx")),
        ("one::vpfa", Request("vpfa", distribution="one")),
        ("one::vpfa/paper", Request("vpfa", "paper", distribution="one")),
        ("one::onnx:C:/a::b.onnx", Request("onnx", argument="C:/a::b.onnx", distribution="one")),
        ("onnx:a::b", Request("onnx", argument="a::b")),
        ("timm/x::y", Request("timm", "x", argument=":y")),
        ("::vpfa", Request("", argument=":vpfa")),
    ],
)
def test_parts(text: str, parts: Request) -> None:
    assert Request.parse(text) == parts
