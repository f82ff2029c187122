"""Plugins that answer anything: what a stranger's code may return or raise, in place of what it should."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from fakes import Hard
from hypothesis import strategies as st

from crbench.api.entry import Entry
from crbench.api.metric import Metric
from crbench.data.preprocess import Preprocess
from crbench.errors import DataError
from crbench.records import Encoded
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.testing import RandomBackbone

DEFAULTS = {"backbone": "known"}
OWNER = Owner(plugin="fuzz", distribution="strangers", version="1")


class Evil:
    """Whatever is asked of it fails."""

    def __getattr__(self, name):
        raise SystemExit("no attributes today")

    def __repr__(self):
        raise ArithmeticError("no text today")

    def __len__(self):
        raise SystemExit("no length today")

    def __bool__(self):
        raise ArithmeticError("neither")


class SilentError(Exception):
    """An error that cannot be printed."""

    def __str__(self):
        raise ArithmeticError("no text today")


class Tame(torch.Tensor):
    """A tensor that could answer as it likes."""


OTHERS = {
    "None": lambda: None,
    "7": lambda: 7,
    "10^40": lambda: 10**40,
    "nan": lambda: float("nan"),
    "text": lambda: "\x1b[31m\n" * 9,
    "bytes": lambda: b"\0",
    "list": lambda: [1, [2]],
    "mapping": lambda: {"x": None},
    "evil": Evil,
    "class": lambda: Evil,
    "generator": lambda: (number for number in range(3)),
    "function": lambda: len,
    "objects": lambda: np.array([None, Evil], dtype=object),
    "scalar": lambda: torch.tensor(1.0),
    "features": lambda: torch.zeros(3, 4),
}
"""What is of no use anywhere."""

ERRORS = [ArithmeticError, SystemExit, MemoryError, RecursionError, StopIteration, KeyError, DataError, SilentError]


@attrs.frozen
class Answer:
    """How a plugin answers: a change of what would be right.

    Attributes:
        text: names it, for whoever reads of a failure.
        sound: None: the answer may be taken or refused; else whether it must be.
        exact: it changes neither cosines nor the number of columns.
    """

    text: str
    change: object = attrs.field(repr=False)
    sound: bool | None = False
    exact: bool = False

    def __call__(self, right):
        return self.change(right)


def _raising(error):
    def change(_):
        raise error

    return change


nothing_right = (
    st.sampled_from(sorted(OTHERS)).map(lambda name: Answer(name, lambda _: OTHERS[name]()))
    | st.builds(
        lambda kind, text: Answer(f"{kind.__name__}({text!r})", _raising(kind(text))),
        st.sampled_from(ERRORS),
        st.text(max_size=5) | st.sampled_from(["two\nlines", "\x1b[31mred", "\u202eRTL", "\ud800"]),
    )
    | st.sampled_from([28, 13, 12]).map(lambda number: Answer(f"OSError {number}", _raising(OSError(number, "no"))))
)
"""Answers that must be refused, whatever was asked."""


def _spoiled(x, place, value):
    x = x.clone()
    # of the first rows, as the last ones of a batch may only fill it up
    x.view(-1)[place % x[:8].numel()] = value
    return x


SOUND = {
    "as it is": lambda x: x,
    "every second column": lambda x: torch.stack([x, x + 1], dim=2)[..., 0],
    "column by column": lambda x: x.t().contiguous().t(),
    "a parameter": lambda x: torch.nn.Parameter(x, requires_grad=False),
    "large": lambda x: x * 2.0**100,
    "small": lambda x: x * 2.0**-100,
    "moved": lambda x: x + 3,
    "rounded": lambda x: (4 * x).round(),
    "twice": lambda x: torch.cat([x, x], dim=1),
    "one column less": lambda x: x[:, 1:],
}
EXACT = ("as it is", "every second column", "column by column", "a parameter", "large", "small")
UNSOUND = {
    "float64": lambda x: x.double(),
    "float16": lambda x: x.half(),
    "integers": lambda x: x.int(),
    "complex": lambda x: x.to(torch.complex64),
    "one dimension": lambda x: x[:, 0],
    "three dimensions": lambda x: x[..., None],
    "a row less": lambda x: x[1:],
    "a row more": lambda x: torch.cat([x, x[:1]]),
    "no columns": lambda x: x[:, :0],
    "gradient": lambda x: x.clone().requires_grad_(),
    "sparse": lambda x: x.to_sparse(),
    "subclass": lambda x: x.as_subclass(Tame),
    "numpy": lambda x: x.numpy(),
    "lists": lambda x: x.tolist(),
    "meta": lambda x: x.to("meta"),
    "zeros": lambda x: 0 * x,
    "centred": lambda x: x - x.mean(dim=0),
    "noise": lambda x: x + torch.rand_like(x),
}


def _named(changes, sound):
    return st.sampled_from(sorted(changes)).map(lambda name: Answer(name, changes[name], sound, name in EXACT))


features = (
    _named(SOUND, sound=True)
    | _named(UNSOUND, sound=False)
    | st.builds(
        lambda place, value: Answer(f"{value} at {place}", lambda x: _spoiled(x, place, value)),
        st.integers(0, 10_000),
        st.sampled_from([np.nan, np.inf, -np.inf]),
    )
)
"""Changes of features f32[n, D] that tell whether they must be taken."""

VALUES = {
    "as they are": lambda values: values,
    "float32": lambda values: values.astype(np.float32),
    "float16": lambda values: values.astype(np.float16),
    "big end first": lambda values: values.astype(">f8"),
    "integers": lambda values: (8 * values).astype(np.int64),
    "booleans": lambda values: values > 0.5,
    "objects": lambda values: values.astype(object),
    "text": lambda values: values.astype(str),
    "complex": lambda values: values + 1j,
    "huge": lambda values: [10**400] * len(values),
    "tensor": torch.from_numpy,
    "list": lambda values: values.tolist(),
    "backwards in memory": lambda values: values[::-1].copy()[::-1],
    "column by column": np.asfortranarray,
    "masked": lambda values: np.ma.masked_less(values, 0.5),
    "shorter": lambda values: values[:-1],
    "longer": lambda values: np.concatenate([values, values]),
    "another axis": lambda values: values[..., None],
    "one number": lambda values: values.flat[0],
    "nan": lambda values: values * np.nan,
    "negative": lambda values: -values,
    "infinite": lambda values: np.where(values == values.flat[0], np.inf, values),
}
numbers = st.sampled_from(sorted(VALUES)).map(lambda name: Answer(name, VALUES[name], None))
"""Changes of an array of numbers; what it then holds says what the score is."""


class Stranger:
    """One plugin of each kind, which answer as they are told.

    Attributes:
        answers: by stage, see `ask`.
        right: by stage, what would have been right the last time.
    """

    def __init__(self):
        self.answers, self.right = {}, {}

    def ask(self, stage, right):
        """What the plugin gives in place of `right`."""
        self.right[stage] = right
        return self.answers[stage](right) if stage in self.answers else right

    def registered(self):
        """What the plugin offers."""
        offered = [
            ("aligner", Entry("fuzz", lambda: _Aligner(self))),
            ("backbone", Entry("fuzz", lambda *, weights=None, device: self.ask("build", _Backbone(stranger=self)))),
            ("backbone", Entry("known", lambda *, weights=None, device: Known())),
            ("dataset", Entry("fuzz", lambda: self.ask("build", _Dataset(stranger=self)), defaults=DEFAULTS)),
            ("distance", Entry("fuzz", lambda: self._distance)),
            ("metric", Metric("fuzz-score", self._score, default=False)),
        ]
        return tuple(Registered(kind, entry, OWNER) for kind, entry in offered)

    def _distance(self, query, gallery):
        return self.ask("distance", distances(query, gallery))

    def _score(self, ranks, starts, candidates):
        return self.ask("score", 1 / ranks[starts[:-1].clip(max=len(ranks) - 1)])


@attrs.frozen
class Known:
    """Features that are there already: of an image by its name."""

    dim: int = 8

    def lookup(self, rows):
        return Encoded(x=known(rows))


def known(rows):
    """Features f32[n, 8] of images, at any rate: those of one person resemble each other."""
    return torch.tensor(
        np.stack(
            [
                np.random.default_rng(int(pid)).normal(size=8)
                + np.random.default_rng([int(part) for part in key.split("_")]).normal(size=8)
                for pid, key in zip(rows.pids, rows.keys, strict=True)
            ]
        ),
        dtype=torch.float32,
    )


def distances(query, gallery):
    return (query.x[:, None] - gallery.x).double().abs().sum(dim=2).numpy()


@attrs.frozen
class _Aligner:
    stranger: Stranger

    def fit(self, train, *, run):
        def transform(feats):
            return self.stranger.ask("transform", attrs.evolve(feats, x=self.stranger.ask("features", feats.x)))

        return self.stranger.ask("fit", transform)


@attrs.frozen
class _Backbone(RandomBackbone):
    stranger: Stranger = None
    preprocess: Preprocess = attrs.field(factory=lambda: Preprocess(size=(32, 16)))

    def extract(self, batch):
        x = super().extract(batch).x
        return self.stranger.ask("extract", Encoded(x=self.stranger.ask("features", x)))


@attrs.frozen
class _Dataset(Hard):
    stranger: Stranger = None

    def split(self, protocol, index, *, root):
        return self.stranger.ask("split", super().split(protocol, index, root=root))

    def read(self, key, *, root):
        return self.stranger.ask("read", super().read(key, root=root))

    def digests(self, keys, *, root):
        return self.stranger.ask("digests", super().digests(keys, root=root))
