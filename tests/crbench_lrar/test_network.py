"""Mechanism 2: masks by level, in every body, alone and in mixed batches."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from crbench_lrar.bodies import BODIES
from crbench_lrar.masks import ResolutionMasks
from crbench_lrar.network import LrarNetwork, Shape
from crbench_lrar.objective import Losses, LrarObjective
from crbench_lrar.pretrained import load_imagenet
from torch import Tensor

from crbench.errors import DataError
from crbench.training import TrainBatch, seeded

RATES = (4.0, 3.0, 2.0, 1.0)
CHANNELS = {
    "resnet-thin": [16, 32, 64, 128],
    "resnet50": [256, 512, 1024, 2048],
    "swin-b": [128, 256, 512, 1024],
    "swin-l": [192, 384, 768, 1536],
}
BLOCKS = {"resnet-thin": 4, "resnet50": 16, "swin-b": 24, "swin-l": 24}


def network(name: str = "resnet-thin", **shape: object) -> LrarNetwork:
    with seeded(0):
        return LrarNetwork(BODIES[name].build(), RATES, Shape(**shape))  # type: ignore[arg-type]


def inputs(count: int, size: tuple[int, int] = (32, 16), seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def batch(count: int = 8, size: tuple[int, int] = (32, 16)) -> TrainBatch:
    rates = torch.tensor(RATES).repeat(count)[:count]
    return TrainBatch(inputs(count, size), torch.arange(count) // 2, rates, torch.zeros(count, dtype=torch.int64))


def test_masks_follow_the_unit_and_scale_its_channels() -> None:
    masks = ResolutionMasks([2, 3], levels=4)
    maps = torch.ones(2, 3, 5, 7)
    levels = torch.tensor([1, 4])
    masked = masks(1, maps, levels, channels_last=False)
    assert torch.equal(masked[:, :, 0, 0], torch.sigmoid(masks.free[1])[[0, 3]])
    last = masks(1, maps.permute(0, 2, 3, 1), levels, channels_last=True)
    assert torch.equal(last.permute(0, 3, 1, 2), masked)


@pytest.mark.parametrize(("masks", "mean"), [("stages", 0.0), ("blocks", 3.0)])
def test_a_mixed_batch_equals_single_images(masks: str, mean: float) -> None:
    net = network(masks=masks, mask_mean=mean).eval()
    x, levels = inputs(8), torch.tensor([1, 2, 3, 4, 4, 3, 2, 1])
    with torch.inference_mode():
        features, codes = net(x, levels)
        single = [net(x[i : i + 1], levels[i : i + 1]) for i in range(8)]
    torch.testing.assert_close(features, torch.cat([feature for feature, _ in single]))
    assert torch.equal(codes, torch.cat([code for _, code in single]))
    assert not torch.allclose(features[0], net(x[:1], torch.tensor([4]))[0][0])


def test_a_level_trains_its_own_row_of_each_mask_only() -> None:
    objective = LrarObjective(network(), persons=4, losses=Losses())
    rows = batch()
    rows = TrainBatch(rows.inputs, rows.labels, torch.full((8,), 3.0), rows.camids)
    objective(rows)[0].backward()
    for mask in objective.network.masks.free:
        assert mask.grad is not None
        assert mask.grad[1].abs().sum() > 0
        assert mask.grad[[0, 2, 3]].abs().sum() == 0


def test_it_compiles_and_runs_under_autocast() -> None:
    net = network().eval()
    x, levels = inputs(4), torch.tensor([1, 2, 3, 4])
    with torch.no_grad():
        plain, _ = net(x, levels)
        compiled, _ = torch.compile(net, backend="eager", fullgraph=True)(x, levels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            lower, _ = net(x, levels)
    torch.testing.assert_close(compiled, plain)
    assert lower.dtype == torch.bfloat16
    torch.testing.assert_close(lower.float(), plain, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("kind", ["stages", "blocks"])
def test_units_have_the_channels_of_their_maps(name: str, kind: str) -> None:
    with torch.device("meta"):
        body = BODIES[name].build()
    channels = [unit.channels for unit in body.units(kind)]
    assert sorted(set(channels)) == CHANNELS[name]
    assert len(channels) == (4 if kind == "stages" else BLOCKS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin-b", "swin-l"])
@pytest.mark.parametrize("kind", ["stages", "blocks"])
def test_swin_trains_a_step(name: str, kind: str) -> None:
    net = network(name, masks=kind)
    assert net.dim == CHANNELS[name][-1]
    objective = LrarObjective(net, persons=2, losses=Losses())
    data = batch(4, BODIES[name].preprocess.size)
    objective(data)[0].backward()
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    before = [mask.detach().clone() for mask in net.masks.free]
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, net.masks.free, strict=True))


def test_the_last_map_of_resnet50_is_16x8() -> None:
    body = BODIES["resnet50"].build().eval()
    with torch.no_grad():
        maps = body.stem(inputs(1, (256, 128)))
        for unit in body.units("stages"):
            maps = unit.modules[0](maps)
    assert tuple(maps.shape) == (1, 2048, 16, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin-b", "resnet50"])
def test_timm_imagenet_files_load(name: str, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import timm

    model = {"swin-b": "swin_base_patch4_window7_224", "resnet50": "resnet50"}[name]
    with seeded(1):
        state = timm.create_model(model, pretrained=False).state_dict()
    architecture = BODIES[name]
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    body = architecture.build()
    with pytest.raises(DataError, match=r"are not in .*put there"):
        load_imagenet(body.network, name, architecture)
    file = next(file for file in architecture.imagenet if file.endswith(".safetensors"))
    safetensors.torch.save_file(dict(state), tmp_path / file)
    load_imagenet(body.network, name, architecture)
    own = body.network.state_dict()
    same = [key for key in own if key in state and own[key].shape == state[key].shape]
    assert len(same) >= len(own) - 2
    assert all(torch.equal(own[key], state[key]) for key in same)


def test_gumbel_chooses_a_prefix_and_passes_gradients() -> None:
    net = network(length="gumbel")
    levels = torch.tensor([1, 4, 4, 4])
    with seeded(0):
        _, codes = net.train()(inputs(4), levels)
    assert set(codes.sum(dim=1).int().tolist()) <= set(net.lengths.tolist())
    (codes * torch.arange(net.dim)).sum().backward()
    assert net.chooser is not None
    assert net.chooser.weight.grad.abs().sum() > 0
