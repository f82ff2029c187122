"""LR images, against hand-made numbers and the textbook formula of each kernel (not against Pillow itself)."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from crbench.data.degrade import blurred, degrade, lr_size, noisy, resample, through_codec
from crbench.protocol import KERNELS, Codec, ImageRules

RULES = ImageRules()


def _cubic(x: float, a: float = -0.5) -> float:
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


FORMULAS: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: 1.0 if -0.5 < x <= 0.5 else 0.0),
    "bilinear": (1.0, lambda x: max(0.0, 1 - abs(x))),
    "hamming": (1.0, lambda x: _sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0.0),
    "bicubic": (2.0, _cubic),
    "lanczos": (3.0, lambda x: _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0),
}
"""Support and weight of each kernel, in units of target pixels."""


_ONE = 2**22
"""Weights are fixed-point numbers of 22 bits."""


def _weights(size: int, target: int, kernel: str) -> NDArray[np.int64]:
    """[target, size]: how much each source pixel counts, the kernel widened by the scale; rows sum to `_ONE`."""
    support, weight = FORMULAS[kernel]
    scale = size / target
    reach = support * scale
    matrix = np.zeros((target, size))
    for row in range(target):
        centre = (row + 0.5) * scale
        first, last = max(0, int(centre - reach + 0.5)), min(size, int(centre + reach + 0.5))
        for column in range(first, last):
            matrix[row, column] = weight((column + 0.5 - centre) / scale)
    matrix /= matrix.sum(axis=1, keepdims=True)
    return (np.trunc(matrix * _ONE + np.copysign(0.5, matrix))).astype(np.int64)


def _reference(pixels: NDArray[np.uint8], target: tuple[int, int], kernel: str) -> NDArray[np.int64]:
    """Width first, then height, each rounded to 8 bits."""
    columns = np.einsum("tw,hwc->htc", _weights(pixels.shape[1], target[0], kernel), pixels.astype(np.int64))
    rows = np.einsum("th,hwc->twc", _weights(pixels.shape[0], target[1], kernel), _to_8_bits(columns))
    return _to_8_bits(rows)


def _to_8_bits(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip((sums + _ONE // 2) // _ONE, 0, 255)


def _image(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize("kernel", sorted(FORMULAS))
@pytest.mark.parametrize("rate", [2, 3, 4, 2.5])
def test_kernels_follow_their_formula(kernel: str, rate: float) -> None:
    image = _image(48, 128)
    shown = degrade(image, rate, attrs.evolve(RULES, kernel=kernel))
    expected = _reference(np.asarray(image), shown.size, kernel)
    assert shown.size == (int(48 / rate), int(128 / rate))
    assert np.array_equal(np.asarray(shown), expected)


@given(
    kernel=st.sampled_from(sorted(FORMULAS)),
    width=st.integers(1, 24),
    height=st.integers(1, 24),
    rate=st.sampled_from([2, 3, 4, 7]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_kernels_follow_their_formula_at_any_size(kernel: str, width: int, height: int, rate: int, seed: int) -> None:
    image = _image(width, height, seed)
    shown = degrade(image, rate, attrs.evolve(RULES, kernel=kernel))
    expected = _reference(np.asarray(image), shown.size, kernel)
    assert np.array_equal(np.asarray(shown), expected)


ROW = [0, 0, 80, 80, 160, 160, 240, 240]

GOLDEN = {
    # interior weights of rate 2 are (1, 3, 3, 1) / 8; the first pixel sees (3, 3, 1) / 7, the last (1, 3, 3) / 7
    "bilinear": [80 / 7, (0 + 3 * 80 + 3 * 80 + 160) / 8, (80 + 3 * 160 + 3 * 160 + 240) / 8, (160 + 6 * 240) / 7],
    "box": [0, 80, 160, 240],
    # the nearest centre of target pixel i is source pixel 2 i + 1
    "nearest": [0, 80, 160, 240],
}


def test_width_is_resampled_before_height_whatever_the_pillow() -> None:
    """Width first: 0 and (1 + 3) / 2 = 2, so 1. Height first, as Pillow 13 does, halves round up to 1 and 2, so 2."""
    image = Image.fromarray(np.array([[0, 0], [1, 3]], dtype=np.uint8))
    assert np.asarray(resample(image, (1, 1), "box")).tolist() == [[1]]


@pytest.mark.parametrize("kernel", sorted(GOLDEN))
def test_golden_row_by_hand(kernel: str) -> None:
    image = Image.fromarray(np.repeat(np.array([ROW], dtype=np.uint8)[:, :, None], 3, axis=2))
    shown = np.asarray(resample(image, (4, 1), kernel))
    expected = [round(value) for value in GOLDEN[kernel]]
    assert shown[0].tolist() == [[value] * 3 for value in expected]


def test_nearest_takes_the_pixel_under_the_centre() -> None:
    image = Image.fromarray(np.arange(27, dtype=np.uint8).reshape(3, 3, 3).repeat(3, axis=0).repeat(3, axis=1))
    shown = np.asarray(resample(image, (3, 3), "nearest"))
    assert np.array_equal(shown, np.arange(27).reshape(3, 3, 3))


def test_without_antialias_bilinear_sees_two_pixels_only() -> None:
    row = [0, 10, 200, 220, 40, 60, 7, 9]
    image = Image.fromarray(np.repeat(np.array([row, row], dtype=np.uint8)[:, :, None], 3, axis=2))
    shown = np.asarray(resample(image, (4, 1), "bilinear", antialias=False))
    assert shown[0, :, 0].tolist() == [5, 210, 50, 8]
    wide = resample(image, (2, 1), "bilinear", antialias=False)
    assert np.asarray(wide)[0, :, 0].tolist() == [105, 33]  # between pixels 1 and 2, and 5 and 6 (33.5)


def test_without_antialias_differs_from_with() -> None:
    image = _image(16, 16)
    sharp = attrs.evolve(RULES, antialias=False)
    assert not np.array_equal(degrade(image, 4, sharp), degrade(image, 4, RULES))


@pytest.mark.parametrize("kernel", ["box", "hamming", "lanczos"])
def test_kernels_that_always_antialias(kernel: str) -> None:
    with pytest.raises(ValueError, match="always antialiases"):
        resample(_image(8, 8), (4, 4), kernel, antialias=False)


@pytest.mark.parametrize(("rounding", "expected"), [("floor", (16, 42)), ("round", (16, 43)), ("ceil", (16, 43))])
def test_rounding(rounding: str, expected: tuple[int, int]) -> None:
    assert lr_size((48, 128), 3, rounding) == expected
    assert degrade(_image(48, 128), 3, attrs.evolve(RULES, rounding=rounding)).size == expected


@pytest.mark.parametrize(("rounding", "expected"), [("floor", 12), ("round", 13), ("ceil", 13)])
def test_halves_are_rounded_up(rounding: str, expected: int) -> None:
    assert lr_size((25, 50), 2, rounding)[0] == expected


@pytest.mark.parametrize("rounding", ["floor", "round", "ceil"])
def test_sizes_are_those_of_exact_fractions(rounding: str) -> None:
    """By whole numbers alone: rates of one decimal, and those of images that are stored at another whole rate."""
    rates = [(tenths, 10, 1) for tenths in range(11, 81)] + [(r, 1, n) for n in range(2, 9) for r in range(n + 1, 9)]
    for above, below, native in rates:
        factor = float(np.float32(above / below)) / float(np.float32(native))  # as rows have them
        num, den = above, below * native
        for side in range(1, 257):
            expected = {
                "floor": side * den // num,
                "ceil": -(-side * den // num),
                "round": (2 * side * den + num) // (2 * num),
            }[rounding]
            assert lr_size((side, 1), factor, rounding)[0] == max(1, expected), (side, above, den)


def test_an_image_stored_at_a_rate_is_shrunk_by_the_quotient() -> None:
    assert degrade(_image(50, 100), 5 / 3, RULES).size == (30, 60)
    assert degrade(_image(33, 110), float(np.float32(1.1)), RULES).size == (30, 100)
    assert degrade(image := _image(9, 9), 1 + 2**-23, RULES) is image


@given(st.integers(1, 300), st.integers(1, 300), st.floats(1.0, 50.0), st.sampled_from(["floor", "round", "ceil"]))
def test_lr_size_is_at_least_one_pixel(width: int, height: int, rate: float, rounding: str) -> None:
    small = lr_size((width, height), rate, rounding)
    assert 1 <= small[0] <= width
    assert 1 <= small[1] <= height


def test_rate_one_changes_nothing() -> None:
    image = _image(10, 20)
    assert np.array_equal(degrade(image, 1, RULES), image)


def test_uniform_image_stays_uniform_with_every_kernel() -> None:
    image = Image.new("RGB", (37, 91), (200, 3, 77))
    for kernel in KERNELS:
        shown = np.asarray(degrade(image, 3, attrs.evolve(RULES, kernel=kernel)))
        assert np.all(shown == (200, 3, 77))


def test_png_is_lossless_and_jpeg_is_not() -> None:
    image = _image(16, 32)
    plain = np.asarray(degrade(image, 2, RULES))
    assert np.array_equal(degrade(image, 2, attrs.evolve(RULES, encoder="png")), plain)
    jpeg = np.asarray(degrade(image, 2, attrs.evolve(RULES, encoder="jpeg:75")))
    assert jpeg.shape == plain.shape
    assert not np.array_equal(jpeg, plain)


def test_jpeg_writes_what_a_plain_save_writes() -> None:
    """Tools save with Pillow's defaults: quality 75, chroma 4:2:0."""
    image = _image(16, 32)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    with Image.open(buffer) as saved:
        assert np.array_equal(through_codec(image, Codec("jpeg", 75)), saved.convert("RGB"))


def test_hr_images_pass_the_codec_on_request_only() -> None:
    image = _image(16, 32)
    lossy = attrs.evolve(RULES, encoder="jpeg:75")
    assert np.array_equal(degrade(image, 1, lossy), image)
    assert not np.array_equal(degrade(image, 1, attrs.evolve(lossy, encode_hr=True)), image)


def test_degrade_leaves_its_input_alone() -> None:
    image = _image(16, 32)
    before = np.asarray(image).copy()
    degrade(image, 2, attrs.evolve(RULES, encoder="jpeg:75"))
    assert np.array_equal(image, before)


def test_an_image_may_be_resized_before_it_is_shrunk() -> None:
    image = _image(24, 64)
    rules = ImageRules(shrink_from="256x128")
    whole = resample(image, (128, 256), "bilinear")
    assert degrade(image, 4, rules).size == (32, 64)
    assert degrade(image, 4, rules).tobytes() == degrade(whole, 4, RULES).tobytes()
    assert degrade(image, 1, rules) is image, "HR images are as they are stored"


def test_what_is_resized_first_stays_nearer_to_its_hr_image() -> None:
    """From 64 x 24 to 256 x 128 and back by 2: hardly anything is lost; shrunk as it is stored, half of it is."""
    image = _image(24, 64)

    def loss(rules: ImageRules) -> float:
        shown = [resample(one, (128, 256), "bilinear") for one in (image, degrade(image, 2, rules))]
        return float(np.abs(np.subtract(*(np.asarray(one, dtype=float) for one in shown))).mean())

    assert loss(ImageRules(shrink_from="256x128")) < loss(RULES) / 2


def _grey(value: int, width: int = 64, height: int = 128) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), value, dtype=np.uint8))


def _pixels(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)


def test_steps_are_taken_in_the_order_that_is_stated() -> None:
    image = _image(48, 128)
    after = degrade(image, 2, ImageRules(degradation="jpeg:30"), "a")
    assert after.tobytes() == through_codec(degrade(image, 2, RULES), Codec("jpeg", 30)).tobytes()
    before = degrade(image, 2, ImageRules(degradation="jpeg:30,shrink"), "a")
    assert before.tobytes() == degrade(through_codec(image, Codec("jpeg", 30)), 2, RULES).tobytes()
    both = degrade(image, 2, ImageRules(degradation="blur:1,noise:3"), "a")
    assert both.tobytes() == noisy(blurred(degrade(image, 2, RULES), 1), 3, "a|x2").tobytes()
    turned = degrade(image, 2, ImageRules(degradation="noise:3,blur:1"), "a")
    assert turned.tobytes() != both.tobytes()


def test_the_codec_comes_last_and_hr_images_stay_as_they_are() -> None:
    image = _image(48, 128)
    rules = ImageRules(degradation="noise:8", encoder="jpeg:50")
    plain = degrade(image, 2, attrs.evolve(rules, encoder="none"), "a")
    assert degrade(image, 2, rules, "a").tobytes() == through_codec(plain, Codec("jpeg", 50)).tobytes()
    assert degrade(image, 1, rules, "a") is image


def test_a_blur_is_the_gaussian_of_its_deviation() -> None:
    """A white point spreads by the values of the density, which the textbook gives."""
    point = np.zeros((41, 41, 3), dtype=np.uint8)
    point[20, 20] = 255
    found = _pixels(blurred(Image.fromarray(point), 1.5))[:, :, 0]
    x = np.arange(-20, 21)
    line = np.exp(-(x**2) / (2 * 1.5**2))
    line /= line.sum()
    assert np.abs(found - 255 * np.outer(line, line)).max() <= 0.5 + 1e-6
    assert blurred(_grey(77), 3).tobytes() == _grey(77).tobytes(), "one colour stays, at the border, too"


@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_noise_is_normal_with_its_deviation(sigma: float) -> None:
    drawn = _pixels(noisy(_grey(128), sigma, "a")) - 128
    assert abs(drawn.mean()) < 5 * sigma / np.sqrt(drawn.size)
    assert drawn.std() == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.02)
    assert stats.kstest((drawn + np.random.default_rng(0).uniform(-0.5, 0.5, drawn.shape)).ravel() / sigma, "norm")[
        0
    ] < (0.02 if sigma > 5 else 0.05)


def test_noise_depends_on_image_and_rate_and_on_nothing_else() -> None:
    image, rules = _image(48, 128), ImageRules(degradation="noise:8")
    first = degrade(image, 2, rules, "a").tobytes()
    assert degrade(image, 2, rules, "a").tobytes() == first
    assert degrade(image, 2, rules, "b").tobytes() != first
    residues = [_pixels(degrade(_grey(128), rate, rules, "a"))[:30, :10] for rate in (2, 3)]
    assert abs(np.corrcoef(residues[0].ravel(), residues[1].ravel())[0, 1]) < 0.15, "drawn anew at each rate"
    assert hashlib.sha256(noisy(_grey(128, 4, 4), 8, "a|x2").tobytes()).hexdigest()[:12] == PINNED


PINNED = "b7f5f2da9d02"
"""Of noise that was drawn once: another machine or version must draw the same."""
