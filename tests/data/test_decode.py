"""Odd, damaged and hostile image files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crbench.data.decode import read_rgb, read_size
from crbench.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8)


def _png16(path: Path, values: np.ndarray, colour: int) -> None:
    """A 16-bit PNG, written chunk by chunk: Pillow cannot save 16-bit RGB."""
    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "PNG", "tiff"])
def test_rgb_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).save(path)
    image = read_rgb(path)
    assert image.mode == "RGB"
    assert np.array_equal(image, RGB)
    assert read_size(path) == (4, 6)


def test_16_bit_gray_keeps_the_high_byte(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 511], [512, 32768, 65279, 65535]])
    _png16(tmp_path / "a.png", values, colour=0)
    assert np.asarray(read_rgb(tmp_path / "a.png"))[..., 0].tolist() == [[0, 0, 1, 1], [2, 128, 254, 255]]


def test_16_bit_rgb_keeps_the_high_byte(tmp_path: Path) -> None:
    values = RGB.astype(np.int64) * 256 + 255
    _png16(tmp_path / "a.png", values, colour=2)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "P", "CMYK"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    stored = Image.fromarray(RGB).convert(mode)
    stored.save(path)
    image = read_rgb(path)
    assert image.mode == "RGB"
    assert np.array_equal(image, stored.convert("RGB"))


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path)
    red, green, blue = np.asarray(read_rgb(path)).reshape(-1, 3).mean(axis=0)
    assert red > 240
    assert max(green, blue) < 15


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    pixels = np.dstack([RGB, np.zeros((6, 4), dtype=np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), RGB)


def test_palette_with_transparent_bytes(tmp_path: Path) -> None:
    stored = Image.fromarray(RGB).quantize(8)
    stored.save(tmp_path / "a.png", transparency=bytes([0, 10, 20, 255, 255, 255, 255, 255]))
    assert np.array_equal(read_rgb(tmp_path / "a.png"), stored.convert("RGB"))


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, lambda a: np.rot90(a))],
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turn: object) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), turn(RGB))  # type: ignore[operator]


def _truncated(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


def _bomb() -> bytes:
    return _black(30000)


def _small_bomb() -> bytes:
    """Between Pillow's warning and its error."""
    return _black(10000)


def _black(side: int) -> bytes:
    """A square one-bit PNG, a few kilobytes."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    crc = zlib.crc32(b"IHDR" + header)
    body = zlib.compress(b"\0" * (side // 8 + 1) * side)
    data = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", crc) + data


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "empty file (0 bytes); expected an image"),
        ("text.jpg", b"this is not an image", "not an image that Pillow can read"),
        ("half.jpg", _truncated("JPEG"), "damaged or truncated image"),
        ("half.png", _truncated("PNG"), "damaged or truncated image"),
        ("half.bmp", _truncated("BMP"), "damaged or truncated image"),
        ("magic.png", b"\x89PNG\r\n\x1a\n", "image"),
        ("bomb.png", _bomb(), "decompression bomb"),
        ("small-bomb.png", _small_bomb(), "decompression bomb"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_rgb(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_where_pillow_only_warns(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_small_bomb())
    with pytest.raises(DataError, match="10000 x 10000 pixels, refused as a decompression bomb"):
        read_rgb(tmp_path / "a.png")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.jpg", tmp_path):
        with pytest.raises(DataError, match="cannot be opened"):
            read_rgb(path)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((3, 3), dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match="no agreed range"):
        read_rgb(tmp_path / "a.tiff")


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(read_rgb(tmp_path / "a.gif"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_any_cut_of_a_jpeg_is_a_data_error(tmp_path: Path, cut: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(buffer.getvalue()[:cut])
    with pytest.raises(DataError):
        read_rgb(path)
