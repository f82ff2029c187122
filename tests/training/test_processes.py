"""Several processes that train together on the CPU."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import attrs
import pytest
import shared_trainings
import torch

from crbench.api.context import RunContext
from crbench.errors import ConfigError, CrbenchError, DataError
from crbench.training import launch as launching
from crbench.training.launch import check_processes, launch

LOGGER = logging.getLogger("crbench.tests")


def kept(folder: Path, rank: int) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    found: tuple[dict[str, torch.Tensor], list[dict[str, Any]]] = torch.load(folder / f"{rank}.pt")
    return found


def test_two_processes_with_half_batches_are_one_with_whole_batches(tmp_path: Path) -> None:
    """Up to the order of float32 sums: 2**-24 each, some dozens of them in a row."""
    tolerance = 1e-6
    start, _ = shared_trainings.tiny_training(RunContext(), recipe=attrs.evolve(shared_trainings.RECIPE, lr=1e-12))
    objective, history = shared_trainings.tiny_training(RunContext())
    launch(2, "cpu", shared_trainings.train_and_keep, tmp_path, logger=LOGGER)
    for rank in (0, 1):
        state, epochs = kept(tmp_path, rank)
        for name, expected in objective.state_dict().items():
            assert torch.allclose(state[name], expected, rtol=tolerance, atol=tolerance), name
        assert [epoch["loss"] for epoch in epochs] == pytest.approx([e.loss for e in history], rel=tolerance)
        assert [epoch["images"] for epoch in epochs] == [epoch.images for epoch in history]
        for name in ("model.1.weight", "classifier.weight", "center_loss.centers"):
            assert (state[name] - start.state_dict()[name]).abs().max() > 100 * tolerance, f"{name} has not moved"


@pytest.mark.slow
def test_a_stopped_training_continues_with_the_same_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        launch(2, "cpu", shared_trainings.train_with_chance, whole, None, logger=LOGGER)
    assert caplog.text.count("said once") == 1
    assert caplog.text.count("epoch 2 of 4") == 1
    assert {path.name for path in whole.iterdir()} == {"0.pt", "1.pt", "checkpoint", "scored-0"}
    with pytest.raises(DataError, match=r"^the second process found a bad image$"):
        launch(2, "cpu", shared_trainings.train_with_chance, stopped, 2, logger=LOGGER)
    assert {path.name for path in stopped.iterdir()} == {"checkpoint", "scored-0"}
    caplog.clear()
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        launch(2, "cpu", shared_trainings.train_with_chance, stopped, None, logger=LOGGER)
    assert "continues after epoch 2 of 4" in caplog.text
    for (state, epochs), (other, others) in ((kept(whole, rank), kept(stopped, rank)) for rank in (0, 1)):
        assert all(torch.equal(state[name], other[name]) for name in state)
        assert [{**epoch, "seconds": 0} for epoch in epochs] == [{**epoch, "seconds": 0} for epoch in others]
    assert [epoch["scores"] for epoch in epochs] == [{"R1": number / 10} for number in (1, 2, 3, 4)]


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="ports are looked up in Linux's tables")
def test_no_stranger_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    launch(2, "cpu", shared_trainings.knock, tmp_path, logger=LOGGER)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert all(one["ports"] for one in found), "there are ports to knock at"
    assert [one["opened"] for one in found] == [[], []]
    assert [one["modes"] for one in found] == [[0o700], [0o700]]
    assert list(temporary.iterdir()) == [], "nothing is left"


def test_the_death_of_one_process_ends_all_with_one_line() -> None:
    with pytest.raises(CrbenchError, match=r"^a process of the training was killed \(SIGKILL\); is there memory"):
        launch(2, "cpu", shared_trainings.die, logger=LOGGER)


def test_what_cannot_be_started_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    check_processes(1, "cuda:1")
    check_processes(2, "cpu")
    with pytest.raises(ConfigError, match="processes: 0 is not a number from 1"):
        check_processes(0, "cpu")
    with pytest.raises(ConfigError, match="--device cuda:1 is one device; 2 processes need --device cuda or cpu"):
        check_processes(2, "cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="2 processes need as many CUDA devices; here are 1"):
        check_processes(2, "cuda")
    monkeypatch.setattr(launching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'crbench\[multi\]'"):
        check_processes(2, "cpu")
