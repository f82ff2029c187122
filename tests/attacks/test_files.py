"""Files that mean harm: whichever command reads them, one line, the documented exit code, and nothing else happens."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
import zlib
from pathlib import Path

import builders
import numpy as np
import onnx
import pytest
import torch
from networks import save_onnx
from safetensors.numpy import save

from crbench import inputs
from crbench.cli import invoke

ROWS, PIDS = np.eye(3, 4, dtype=np.float32), np.array([1, 2, 3])
EVALUATE = ("evaluate", "--query", "{file}", "--gallery", "good.npz")
RUN = ("run", "--dataset", "mlr-synthetic", "--trial", "0", "--limit", "2")
WEIGHTS = (*RUN, "--weights", "{file}", "--backbone")
GOLDEN = Path(__file__).parents[1] / "golden" / "result-2.json"


class Evil:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("evil was here"),))


def torch_file(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def numpy_file(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return file.getvalue()


def objects():
    return numpy_file(np.array([[Evil()]], dtype=object))


def feature_archive():
    return archive(features=objects(), pids=numpy_file(PIDS))


def bare():
    return pickle.dumps(Evil())


def in_torch():
    return torch_file({"a": Evil()})


def in_old_torch():
    return torch_file({"a": Evil()}, _use_new_zipfile_serialization=False)


def part():
    return archive(facts=objects())


CODE = [
    ("q.npz", bare, EVALUATE),
    ("q.npz", feature_archive, EVALUATE),
    ("q.npy", objects, (*EVALUATE, "--meta", "rows.csv")),
    ("q.safetensors", bare, EVALUATE),
    *[
        ("w.pth", make, (*WEIGHTS, backbone))
        for make in (bare, in_torch, in_old_torch)
        for backbone in ("resnet-tiny", "osnet/x0_25", "transreid-tiny", "timm:test_vit")
    ],
    ("w.safetensors", bare, (*WEIGHTS, "resnet-tiny")),
    ("net.onnx", bare, (*RUN, "--backbone", "onnx:{file}")),
    ("net.pt", bare, (*RUN, "--backbone", "torchscript:{file}")),
    ("net.pt", in_torch, (*RUN, "--backbone", "torchscript:{file}")),
    ("mine/f.npz", feature_archive, (*RUN, "--backbone", "features:mine")),
    ("p.npz", part, ("merge", "{file}")),
    ("r.json", bare, ("leaderboard", "{file}")),
    ("b.json", bare, ("bench", "compare", "{file}", "{file}")),
]
"""A name, its content, and a command that reads it."""


def refused(capsys, arguments, code=3):
    """What a command says that ends by itself in one line."""
    assert invoke(list(arguments)) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert all(char == "\n" or char.isprintable() for char in shown.err), ascii(shown.err)
    (said,) = [line for line in shown.err.splitlines() if line.lower().startswith(("crbench: error", "error:"))]
    return said


def given(name, content, arguments):
    """Write a file, with good ones beside it; the command that reads it."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    np.savez("good.npz", features=ROWS, pids=PIDS)
    Path("rows.csv").write_text("pid\n1\n2\n3\n")
    return [argument.replace("{file}", name) for argument in arguments]


@pytest.mark.parametrize(("name", "make", "arguments"), CODE, ids=lambda value: getattr(value, "__name__", str(value)))
def test_no_file_runs_code(capsys, name, make, arguments):
    assert name in refused(capsys, given(name, make(), arguments))
    assert not Path("evil was here").exists()


def header(text, tail=b""):
    """A safetensors file."""
    return len(text).to_bytes(8, "little") + text + tail


def offsets(*pairs, dtype="F32", shape=(3, 4)):
    tensors = {f"t{i}": {"dtype": dtype, "shape": shape, "data_offsets": pair} for i, pair in enumerate(pairs)}
    return header(json.dumps(tensors).encode(), bytes(96))


TENSORS = {
    "a header of 2^63 bytes": (1 << 63).to_bytes(8, "little") + b"{}",
    "a header of 2^40 bytes": (1 << 40).to_bytes(8, "little") + b"{}",
    "overlapping": offsets((0, 48), (0, 48)),
    "a hole": offsets((0, 48), (56, 104)),
    "beyond the end": offsets((0, 1 << 40), shape=(1 << 19, 1 << 19)),
    "backwards": offsets((48, 0)),
    "negative": offsets((-48, 0)),
    "a shape that overflows": offsets((0, 48), shape=(1 << 62, 1 << 62)),
    "an unknown type": offsets((0, 48), dtype="F3"),
    "deep": header(b'{"a":' * 100_000),
    "the same name twice": header(
        b'{"features":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},'
        b'"features":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}',
        bytes(8),
    ),
}


@pytest.mark.parametrize("reader", ["features", "weights"])
@pytest.mark.parametrize("case", TENSORS)
def test_safetensors_that_lie_are_refused(capsys, case, reader):
    arguments = EVALUATE if reader == "features" else (*WEIGHTS, "resnet-tiny")
    assert "x.safetensors" in refused(capsys, given("x.safetensors", TENSORS[case], arguments))


def chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png(width, height, *more):
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + b"\x08\x02\0\0\0") + b"".join(more) + chunk(b"IEND", b"")


def pixels(count):
    return chunk(b"IDAT", zlib.compress(bytes(count), 9))


IMAGES = {
    "60000 x 60000 pixels": png(60_000, 60_000, pixels(1000)),
    "a text of 16 MiB": png(4, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 24), 9)), pixels(104)),
    "a PPM of 60000 x 60000": b"P6 60000 60000 255\n" + bytes(64),
    "a program": b"#!/bin/sh\ntouch 'evil was here'\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 8\n(evil) (w) file\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_that_are_bombs_or_programs_are_refused(capsys, tmp_path, case):
    builders.build_market1501(tmp_path / "data")
    image = sorted((tmp_path / "data").rglob("query/0*_c1*.jpg"))[0]
    image.write_bytes(IMAGES[case])
    arguments = ["run", "--dataset", "mlr-market1501", "--backbone", "resnet-tiny", "--set", "backbone.epochs=1"]
    assert image.name in refused(capsys, [*arguments, "--trial", "0"])
    assert not Path("evil was here").exists()


def inflated(count):
    """An archive whose features inflate to a thousand times its size."""
    return archive(features=numpy_file(np.zeros((count, 4), np.float32)), pids=numpy_file(np.zeros(count, int)))


def test_an_archive_that_inflates_beyond_the_memory_is_refused_before_it_is_read(capsys, monkeypatch):
    monkeypatch.setattr(inputs, "memory_limit", lambda: 1 << 27)
    said = refused(capsys, given("q.npz", inflated(9_000_000), EVALUATE))
    assert "it takes 0.1 GiB of memory, and there are 0.1" in said


DEEP = 200_000
DEEPLY_NESTED = [
    ("r.json", b"[" * DEEP, ("leaderboard", "{file}"), 3),
    ("r.json", b'{"schema_version": 2, "method": ' + b"[" * DEEP + b"]" * DEEP + b"}", ("leaderboard", "{file}"), 3),
    ("b.json", b'{"ceilings": ' * DEEP, ("bench", "compare", "{file}", "{file}"), 3),
    ("run.toml", b"a = " + b"[" * DEEP, ("run", "--config", "{file}"), 2),
    ("run.toml", b"a" + b".a" * 33_000 + b" = 1", ("run", "--config", "{file}"), 2),
    ("p.npz", archive(facts=numpy_file(np.array("[" * DEEP))), ("merge", "{file}"), 3),
    ("w.json", b"[" * DEEP, (*RUN, "--weights", "w.safetensors"), 3),
]


@pytest.mark.parametrize(("name", "content", "arguments", "code"), DEEPLY_NESTED, ids=lambda value: str(value)[:20])
def test_what_is_nested_too_deeply_is_refused(capsys, name, content, arguments, code):
    Path("w.safetensors").write_bytes(save({"a": ROWS}))
    assert name in refused(capsys, given(name, content, arguments), code)


def outside(file, secret):
    """An ONNX file whose weights are said to lie in another one."""
    save_onnx(file)
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=str(secret))
    file.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("how", ["relative", "absolute", "link"])
def test_a_network_reads_no_other_file(capsys, tmp_path, how):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(960))
    place = tmp_path / "net"
    place.mkdir()
    (place / "link.bin").symlink_to(secret)
    outside(place / "net.onnx", {"relative": "../secret.bin", "absolute": secret, "link": "link.bin"}[how])
    said = refused(capsys, [*RUN, "--backbone", "onnx:net/net.onnx"])
    assert "net.onnx: its weights lie in other files" in said


def test_images_are_not_exported_out_of_their_folder(capsys, tmp_path):
    builders.build_market1501(tmp_path / "data")
    folder = next((tmp_path / "data").rglob("query"))
    image = sorted(folder.glob("0*_c1*.jpg"))[0]
    (tmp_path / "secret").write_text("mine")
    image.unlink()
    image.symlink_to(tmp_path / "secret")
    export = ["data", "export", "mlr-market1501", "-o", str(tmp_path / "out")]
    assert image.name in refused(capsys, export)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "secret").read_text() == "mine"
