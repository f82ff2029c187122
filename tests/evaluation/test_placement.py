"""Where features are compared; a device that torch tells from the CPU stands in for one with memory of its own."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation.strategies import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.test_engines import WAYS, assert_same, run

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.errors import EvaluationError
from crbench.evaluation import evaluate_part, placement
from crbench.evaluation.placement import default_budget, placed
from crbench.evaluation.shards import Shard, merge
from crbench.ranking.streaming import RowStream

CPU, OTHER, CUDA = torch.device("cpu"), torch.device("cpu:0"), torch.device("cuda:1")


@pytest.fixture
def features():
    x = np.arange(12, dtype=np.float32).reshape(6, 2) + 1
    return features_from_arrays(x, [1, 2, 1, 2, 1, 2])


def on_a_small_device(case, **options):
    """The result of an evaluation on a device that holds no features."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "_device", lambda name, devices: OTHER)
        patch.setattr(placement, "_free", lambda device: 0)
        return run(case, **options)


@settings(max_examples=80)
@given(cases(), st.sampled_from(WAYS), st.sampled_from([None, 1 << 20]))
def test_features_that_a_device_does_not_hold_are_brought_there_tile_by_tile(case, way, memory):
    assert_same(on_a_small_device(case, memory_budget=memory, **way), run(case, engine="reference"))


def test_a_tile_is_prefetched_while_the_one_before_it_is_counted(monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = (features_from_arrays(rng.normal(size=(n, 64)), np.arange(n) % 40) for n in (40, 9000))
    case = SimpleNamespace(query=query, gallery=gallery, protocol=EvalProtocol.of(shot="multi"))
    whole = run(case)
    log = []

    def logged(name):
        original = getattr(RowStream, name)

        def method(self, index, prefix):
            log.append((name, index, threading.current_thread() is threading.main_thread()))
            return original(self, index, prefix)

        monkeypatch.setattr(RowStream, name, method)

    for name in ("prefetch", "fetch", "_ready"):
        logged(name)
    assert_same(on_a_small_device(case, precision="fp32"), whole)
    tiles = [index for name, index, _ in log if name == "prefetch"]
    order = [name for name, index, _ in log if name != "_ready" and any(index is tile for tile in tiles)]
    assert order == ["prefetch", "prefetch", "fetch", "prefetch", "fetch", "fetch"]
    assert [main for name, index, main in log if name == "_ready" and any(index is tile for tile in tiles)] == [
        False
    ] * 3


@pytest.mark.parametrize("index", [slice(1, 4), torch.tensor([3, 0])])
@pytest.mark.parametrize("prefix", [1, 2])
@pytest.mark.parametrize("where", [CPU, OTHER])
def test_a_stream_gives_the_rows_that_are_asked_for(features, index, prefix, where):
    stream = RowStream(features.x, where)
    wanted = features.x[index][:, :prefix]
    assert torch.equal(stream.fetch(index, prefix), wanted)
    stream.prefetch(torch.tensor([5, 4]), prefix)
    stream.prefetch(index, prefix)
    assert torch.equal(stream.fetch(slice(0, 1), prefix), features.x[:1, :prefix])  # not prefetched
    assert torch.equal(stream.fetch(index, prefix), wanted)
    assert torch.equal(stream.fetch(index, prefix), wanted)


def test_features_stay_where_they_are_only_where_a_device_does_not_hold_them(features, monkeypatch):
    monkeypatch.setattr(placement, "_device", lambda name, devices: CUDA)
    monkeypatch.setattr(placement, "_free", lambda device: 191)  # both sides take 96 bytes
    query, gallery, device = placed(features, features, "cuda:1", stay=True)
    assert (query.x.device, gallery.x.device, device) == (CPU, CPU, CUDA)
    moved = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, where: moved.append(where) or self)
    placed(features, features, "cuda:1", stay=False)
    monkeypatch.setattr(placement, "_free", lambda device: 192)
    placed(features, features, "cuda:1", stay=True)
    assert moved == [CUDA] * 4


def test_a_device_that_cannot_be_used_is_refused(features):
    with pytest.raises(EvaluationError, match=r"device 'nowhere' cannot be used \(.*\); expected cpu, cuda or cuda:N"):
        evaluate(features, features, device="nowhere")
    with pytest.raises(EvaluationError, match="cannot be compared on device 'meta'; expected cpu, cuda or cuda:N"):
        evaluate(features, features, device="meta")


def test_a_part_is_scored_on_the_device_too(features):
    protocol = EvalProtocol.of(shot="multi", same_camera="keep")
    part = evaluate_part(features, features, protocol, shard=Shard(1, 1), device="cpu")
    assert merge([part]).scores["mAP"] == evaluate(features, features, protocol).scores["mAP"]


def test_the_memory_budget_follows_the_device(monkeypatch):
    for threads, budget in ((1, 80 << 20), (2, 80 << 20), (16, 640 << 20)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert default_budget(CPU) == budget
    properties = {CUDA: SimpleNamespace(total_memory=64 << 30)}
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    assert default_budget(CUDA) == 4 << 30
