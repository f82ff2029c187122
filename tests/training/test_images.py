"""Images in memory and read ahead are the same; readers' errors come through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crbench.api.context import RunContext
from crbench.data.preprocess import Preprocess
from crbench.errors import DataError
from crbench.training.images import Images


def batches(problem: Any, budget: int) -> list[torch.Tensor]:
    source = Images(problem.rows, problem.read, Preprocess(size=(20, 10)), run=RunContext(), budget=budget)
    order = [np.array([5, 0, 5]), np.array([1, 2, 3]), *([np.array([7, 8, 9])] * 8)]
    return list(source.batches(order))


def test_read_ahead_gives_what_memory_gives(problem: Any) -> None:
    kept, streamed = batches(problem, 1 << 30), batches(problem, 0)
    assert len(kept) == len(streamed) == 10
    assert all(torch.equal(one, other) for one, other in zip(kept, streamed, strict=True))


def test_images_have_the_input_size_and_the_order_asked_for(problem: Any) -> None:
    first = batches(problem, 1 << 30)[0]
    resized = problem.read(problem.rows.row(5)).resize((10, 20), Image.Resampling.BILINEAR)
    assert first.shape == (3, 20, 10, 3)
    assert np.array_equal(first[0].numpy(), np.asarray(resized))
    assert torch.equal(first[0], first[2])


def test_within_the_budget_each_image_is_read_once(problem: Any) -> None:
    reads: list[str] = []

    def read(row: Any) -> Image.Image:
        reads.append(row.key)
        return problem.read(row)

    source = Images(problem.rows, read, problem.preprocess, run=RunContext())
    for _ in range(2):
        list(source.batches([np.arange(4), np.arange(4)]))
    assert sorted(reads) == sorted(problem.rows.keys)


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_an_unreadable_image_stops_with_its_own_error(problem: Any, budget: int) -> None:
    def read(row: Any) -> Image.Image:
        if row.key == "3":
            raise DataError("3.png is truncated")
        return problem.read(row)

    with pytest.raises(DataError, match=r"3\.png is truncated"):
        list(Images(problem.rows, read, problem.preprocess, run=RunContext(), budget=budget).batches([np.arange(8)]))
