"""The longest chain, against all chains that there are."""

from __future__ import annotations

import itertools
from graphlib import CycleError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.prediction.chain import longest_chain


@st.composite
def graphs(draw):
    """Weights in whole seconds, so that sums are exact, and needs that lead to earlier nodes only."""
    count = draw(st.integers(0, 7))
    names = [f"n{number}" for number in draw(st.permutations(range(count)))]
    weights = {name: float(draw(st.integers(0, 9))) for name in names}
    needs = {name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) for at, name in enumerate(names) if at}
    return weights, needs


def _chains(needs, node):
    """All chains that end with a node."""
    before = [chain for one in needs.get(node, ()) for chain in _chains(needs, one)]
    return [(*chain, node) for chain in before] or [(node,)]


@given(graphs())
def test_it_is_the_heaviest_of_all_chains(graph):
    weights, needs = graph
    seconds, chain = longest_chain(weights, needs)
    every = [chain for node in weights for chain in _chains(needs, node)]
    assert seconds == max((sum(weights[node] for node in one) for one in every), default=0.0)
    assert seconds == sum(weights[node] for node in chain)
    assert all(one in needs[other] for one, other in itertools.pairwise(chain))


@given(graphs())
def test_it_is_no_longer_than_one_process_needs_and_no_shorter_than_any_step(graph):
    weights, needs = graph
    seconds, _ = longest_chain(weights, needs)
    assert max(weights.values(), default=0.0) <= seconds <= sum(weights.values())


def test_a_circle_is_refused():
    with pytest.raises(CycleError):
        longest_chain({"a": 1.0, "b": 1.0}, {"a": ["b"], "b": ["a"]})
