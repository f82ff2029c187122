"""The network gives the numbers of the public code, and each of its parts follows its written rule."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from crbench_transreid.configs import presets
from crbench_transreid.network import TransReID, jigsaw_order
from crbench_transreid.vit import ARCHITECTURES, grid, resize_position
from hypothesis import given
from hypothesis import strategies as st
from transreid_weights import TINY, filled, images

SIDE = {"side": 6}
FULL = {"stride": 12, "jpm": True}

# Six features of two images, evenly spaced, and the largest value, as a run of the public code gave them on a CPU in
# float32: depth 2, weights and images by the rule of transreid_weights.py, first and last camera (views 1 and 2 of 3).
GOLDEN: list[tuple[str, dict[str, Any], tuple[int, int], list[int], dict[str, tuple[list[float], float]]]] = [
    (
        "vit-base",
        {},
        (64, 32),
        [],
        {
            "before": ([1.772047, 0.353413, -1.724174, 1.11281, 0.929549, 0.198609], 3.86267),
            "after": ([1.138114, 0.768849, -2.632534, 0.685472, 1.350503, -1.190483], 4.30213),
        },
    ),
    (
        "vit-base",
        {**SIDE, "stride": 14},
        (64, 32),
        [0, 5],
        {
            "before": ([0.835779, 0.907231, -0.777004, 1.391814, -0.023378, 0.100337], 3.50978),
            "after": ([0.495259, 1.327971, -1.922174, 0.877041, 0.388448, -1.264185], 4.02187),
        },
    ),
    (
        "vit-base",
        {**SIDE, **FULL},
        (64, 32),
        [0, 5],
        {
            "before": ([-0.113119, -0.102792, 0.362172, 1.22226, 0.337348, 0.257817], 4.62172),
            "after": ([-0.156267, -0.300455, 0.36623, 0.760623, 0.006586, 0.268189], 5.57441),
        },
    ),
    (
        "vit-base",
        {**FULL, "side": 12, "shift": 8},
        (64, 64),
        [1, 11],
        {
            "before": ([0.398304, -0.134413, 0.25459, 0.096281, 0.364362, 0.094889], 3.73427),
            "after": ([0.194882, -0.322513, 0.265158, -0.012491, 0.02543, 0.115118], 4.11725),
        },
    ),
    (
        "vit-small",
        {},
        (64, 32),
        [],
        {
            "before": ([1.666517, -0.649187, 0.228058, 2.089457, -0.88353, 0.059408], 3.81796),
            "after": ([1.065656, -0.243356, -1.168397, 1.356053, -0.479944, -1.294881], 3.95545),
        },
    ),
    (
        "deit-small",
        {},
        (64, 32),
        [],
        {
            "before": ([-2.138497, -0.340151, -2.153037, 1.006504, -0.122344, -0.788481], 3.20042),
            "after": ([-1.546921, -0.79246, -1.761611, 0.612481, -0.553444, -0.383984], 3.58433),
        },
    ),
]


def tiny_network(**options: Any) -> TransReID:
    model = TransReID(TINY, (64, 32), **options)
    model.load_state_dict(filled(model.state_dict()))
    return model.eval()


@pytest.mark.parametrize(("name", "options", "size", "rows", "golden"), GOLDEN)
def test_features_are_those_of_the_public_code(
    name: str,
    options: dict[str, Any],
    size: tuple[int, int],
    rows: list[int],
    golden: dict[str, tuple[list[float], float]],
) -> None:
    model = TransReID(attrs.evolve(ARCHITECTURES[name], depth=2), size, **options).eval()
    model.load_state_dict(filled(model.state_dict()))
    with torch.inference_mode():
        side = model.base.sie_embed[rows, 0] if rows and model.base.sie_embed is not None else None
        features = dict(zip(("before", "after"), model(images(2, size), side), strict=True))
    for kind, (expected, largest) in golden.items():
        x = features[kind].flatten()
        tolerance = 2e-5 * largest
        assert x[:: len(x) // 6][:6].tolist() == pytest.approx(expected, rel=0, abs=tolerance)
        assert x.abs().max().item() == pytest.approx(largest, rel=0, abs=tolerance)


@pytest.mark.parametrize(
    ("preset", "count"),
    [
        ("market-vit-base", 87_093_736),
        ("market-vit-transreid", 103_590_376),
        ("market-vit-transreid-stride", 103_653_352),
    ],
)
def test_the_number_of_parameters_is_the_published_one(preset: str, count: int) -> None:
    chosen = presets()[preset]
    with torch.device("meta"):
        model = TransReID(
            ARCHITECTURES["vit-base"],
            (256, 128),
            stride=chosen.get("stride", 16),
            classes=751,
            side=6 if chosen.get("sie") == "camera" else 0,
            jpm=chosen.get("jpm", False),
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_the_keys_are_the_official_ones() -> None:
    keys = set(tiny_network(classes=3, side=6, jpm=True).state_dict())
    block = {
        f"{layer}.{kind}"
        for layer in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    }
    norm = {f"1.{kind}" for kind in ("weight", "bias")}
    expected = {"base.cls_token", "base.pos_embed", "base.sie_embed"}
    expected |= {f"base.{layer}.{kind}" for layer in ("patch_embed.proj", "norm", "fc") for kind in ("weight", "bias")}
    expected |= {f"base.blocks.{i}.{key}" for i in range(TINY.depth) for key in block}
    expected |= {f"{branch}.{key}" for branch in ("b1", "b2") for key in {f"0.{key}" for key in block} | norm}
    for name in ("", "_1", "_2", "_3", "_4"):
        neck = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        expected |= {f"bottleneck{name}.{key}" for key in neck} | {f"classifier{name}.weight"}
    assert keys == expected


def test_the_norms_have_their_published_epsilon() -> None:
    # too small a change for features of unit variance to show
    for module in tiny_network(jpm=True).modules():
        if isinstance(module, torch.nn.LayerNorm | torch.nn.BatchNorm1d):
            assert module.eps == (1e-6 if isinstance(module, torch.nn.LayerNorm) else 1e-5)


def test_side_information_is_added_to_all_tokens_times_the_coefficient() -> None:
    model = tiny_network(side=2, coefficient=3.0)
    model.base.blocks = torch.nn.ModuleList()
    model.base.norm = torch.nn.Identity()
    side = images(1, (1, 16)).flatten()[:16][None]
    plain = model.base(images(1, (64, 32)), torch.zeros(1, 16))
    moved = model.base(images(1, (64, 32)), side)
    torch.testing.assert_close(moved - plain, (3 * side[:, None]).expand(1, 9, 16))


def test_the_feature_is_global_then_local_quarters_divided_by_four() -> None:
    model = tiny_network(jpm=True, shift=3)
    order = jigsaw_order(8, shift=3)
    with torch.inference_mode():
        before, after = model(images(2, (64, 32)))
        tokens = model.base(images(2, (64, 32)))
        assert torch.allclose(before[:, :16], model.b1(tokens)[:, 0], atol=1e-5)
        assert torch.allclose(after[:, :16], model.bottleneck(before[:, :16]), atol=1e-5)
        for i in range(4):
            chosen = tokens[:, [0, *(1 + index for index in order[2 * i : 2 * i + 2])]]
            local = model.b2(chosen)[:, 0]
            columns = slice(16 * (i + 1), 16 * (i + 2))
            assert torch.allclose(before[:, columns], local / 4, atol=1e-5)
            assert torch.allclose(after[:, columns], model.get_submodule(f"bottleneck_{i + 1}")(local) / 4, atol=1e-5)


def test_the_jigsaw_order_of_the_public_code() -> None:
    assert jigsaw_order(7, shift=3) == [2, 6, 3, 0, 4, 1, 5, 0]
    assert jigsaw_order(6, shift=3) == [2, 5, 3, 0, 4, 1]


@given(count=st.integers(8, 40), shift=st.integers(1, 8))
def test_the_jigsaw_order_follows_the_written_rule(count: int, shift: int) -> None:
    rolled = [(index + shift - 1) % count for index in range(count)]
    extended = rolled + [rolled[-2]] * (count % 2)
    half = len(extended) // 2
    assert jigsaw_order(count, shift) == [extended[i // 2 + half * (i % 2)] for i in range(len(extended))]


def test_position_embeddings_are_resized_as_in_the_public_code() -> None:
    position = torch.arange(20, dtype=torch.float32).reshape(1, 10, 2)
    resized = resize_position(position, (4, 2))
    assert resized.shape == (1, 9, 2)
    assert resized[0, :, 0].tolist() == pytest.approx([0.0, 2.5, 5.5, 6.25, 9.25, 10.75, 13.75, 14.5, 17.5])
    with pytest.raises(ValueError, match="10 patches are not a square grid"):
        resize_position(torch.zeros(1, 11, 2), (4, 2))


@pytest.mark.parametrize(
    ("size", "stride", "shape"),
    [((256, 128), 16, (16, 8)), ((256, 128), 12, (21, 10)), ((256, 128), 11, (22, 11)), ((384, 128), 12, (31, 10))],
)
def test_patches_do_not_pad(size: tuple[int, int], stride: int, shape: tuple[int, int]) -> None:
    assert grid(size, stride) == shape


def test_side_information_that_the_network_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="takes no embedding"):
        tiny_network()(images(1, (64, 32)), torch.zeros(1, 16))
    with pytest.raises(ValueError, match="takes an embedding"):
        tiny_network(side=2)(images(1, (64, 32)))


def test_too_few_patches_for_the_jigsaw_are_refused() -> None:
    with pytest.raises(ValueError, match="2 x 1 patches are too few"):
        TransReID(TINY, (32, 16), jpm=True)
