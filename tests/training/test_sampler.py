"""PK batches."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crbench.training.sampler import PKSampler

counts_lists = st.lists(st.integers(1, 9), min_size=2, max_size=30)
small = st.integers(2, 8)


def labels_of(counts: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(len(counts)).permutation(labels)


@given(counts=counts_lists, identities=small, images=small, seed=st.integers(0, 2**32 - 1))
def test_each_batch_holds_p_persons_and_k_images_of_each(
    counts: list[int], identities: int, images: int, seed: int
) -> None:
    labels = labels_of(counts)
    sampler = PKSampler(labels, identities=identities, images=images, seed=seed)
    batches = sampler.epoch(0)
    assert len(batches) == sampler.steps
    for batch in batches:
        assert len(batch) == sampler.batch_size
        persons, drawn = np.unique(labels[batch], return_counts=True)
        assert len(persons) == min(identities, len(counts))
        assert (drawn == images).all()
        for group in batch.reshape(-1, images):
            assert len(np.unique(group)) == min(images, counts[labels[group[0]]])


@given(counts=counts_lists, identities=small, images=small, epoch=st.integers(0, 99))
def test_each_epoch_holds_every_person(counts: list[int], identities: int, images: int, epoch: int) -> None:
    labels = labels_of(counts)
    batches = PKSampler(labels, identities=identities, images=images, seed=3).epoch(epoch)
    assert set(labels[np.concatenate(batches)]) == set(range(len(counts)))


def test_an_epoch_of_equal_persons_holds_every_image_once() -> None:
    labels = np.repeat(np.arange(12), 8)
    drawn = np.concatenate(PKSampler(labels, identities=4, images=4, seed=0).epoch(5))
    assert sorted(drawn) == list(range(len(labels)))


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    labels = np.repeat(np.arange(6), 5)

    def drawn(seed: int, epoch: int) -> list[list[int]]:
        sampler = PKSampler(labels, identities=3, images=2, seed=seed)
        return [batch.tolist() for batch in sampler.epoch(epoch)]

    assert drawn(1, 4) == drawn(1, 4)
    assert drawn(1, 4) != drawn(2, 4)
    assert drawn(1, 4) != drawn(1, 5)
