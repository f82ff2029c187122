"""``--fit-on``: aligners that are fitted on another data set than the one that is evaluated on."""

from __future__ import annotations

import hashlib

import attrs
import numpy as np
import PIL.Image
import pytest
import torch
from crbench_baselines.procrustes import Procrustes
from fakes import Hard

from crbench.api import DatasetInfo, StoredImage
from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.api.pairing import TrainFeatures
from crbench.cli.run import spec_of
from crbench.data.degrade import degrade
from crbench.data.preprocess import Normaliser, image_array
from crbench.errors import ComparisonError, ConfigError
from crbench.harness import verify
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.leaderboard.build import build
from crbench.protocol import ImageRules
from crbench.records import Batch, Features, Samples, TestFeatures
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.report import render
from crbench.results.outcomes import read_outcomes
from crbench.testing import RandomBackbone

RULES = {"protocol.shot": "multi"}


@attrs.frozen(eq=False)
class Elsewhere(Hard):
    """Other people before other cameras: keys and numbers are those of ``tiny``, the images are not.

    Args:
        name: what it calls itself.
        shift: of the persons of the training rows; see `Twin`.
    """

    name: str = "elsewhere"
    tint: int = 90

    def __attrs_post_init__(self):
        object.__setattr__(self, "info", DatasetInfo(name=self.name, title="eight others, for tests"))

    def read(self, key, *, root):
        image = np.asarray(super().read(f"1{key}", root=root).image).astype(int)
        image[:, :, 0] = image[:, :, 0] // 2 + self.tint
        made = PIL.Image.fromarray(image.clip(0, 255).astype(np.uint8))
        return StoredImage(made, str(self.digests(np.array([key]), root=root)[0]))

    def digests(self, keys, *, root):
        return np.array([hashlib.sha256(f"{self.name} {self.tint} {key}".encode()).hexdigest() for key in keys])


@attrs.frozen(eq=False)
class Twin(Hard):
    """Calls itself ``tiny`` too, and trains on the persons of its test."""

    def split(self, protocol, index, *, root):
        split = super().split(protocol, index, root=root)
        test = Samples.concat([split.query.at_rate(1), split.gallery])
        return attrs.evolve(split, train=test, query=split.train.take(np.arange(2)), gallery=split.train)

    def digests(self, keys, *, root):
        return np.array([f"twin {key}" for key in keys])

    def read(self, key, *, root):
        return attrs.evolve(super().read(key, root=root), digest=f"twin {key}")


@attrs.frozen(eq=False)
class Copied(Twin):
    """Under another name the same images."""

    info: DatasetInfo = attrs.field(factory=lambda: DatasetInfo(name="copied", title="copies"))

    def digests(self, keys, *, root):
        return Hard().digests(keys, root=root)


@pytest.fixture(autouse=True)
def _others(offer):
    owner = Owner(plugin="fakes", distribution="crbench-fakes", version="1")
    made = {"elsewhere": Elsewhere, "twin": Twin, "copied": Copied}
    offer(*(Registered("dataset", Entry(name, one), owner) for name, one in made.items()))


def encoded(data: Hard, rows: Samples) -> Features:
    """Features of rows by the backbone ``random``, without the harness."""
    backbone = RandomBackbone()
    images = [data.read(key, root=None).image for key in rows.keys.tolist()]
    shrunk = [
        image if rate == 1 else degrade(image, rate, ImageRules())
        for image, rate in zip(images, rows.rates.tolist(), strict=True)
    ]
    inputs = Normaliser(backbone.preprocess, "cpu")(
        torch.from_numpy(np.stack([image_array(image, backbone.preprocess) for image in shrunk]))
    )
    return Features(backbone.extract(Batch(inputs, rows.rates, rows.camids)).x, rows)


def expected_ranks(data: Hard) -> list[int]:
    """Ranks of all matches of trial 0, query by query, with Procrustes fitted on the training rows of `data`."""
    split = Hard().split(Hard().protocols["mlr"], 0, root=None)
    train = data.split(data.protocols["mlr"], 0, root=None).train
    source = Samples.concat([train.at_rate(rate) for rate in (2.0, 3.0, 4.0)])
    fitted = Procrustes().fit(TrainFeatures(encoded(data, source), encoded(data, train)), run=RunContext())
    query, gallery = fitted(TestFeatures.of(encoded(Hard(), split.query))).x, encoded(Hard(), split.gallery).x
    found: list[int] = []
    for i, pid in enumerate(split.query.pids.tolist()):
        distances = -torch.nn.functional.cosine_similarity(query[i : i + 1].double(), gallery.double()).numpy()
        same = split.gallery.pids == pid
        valid = ~(same & (split.gallery.camids == split.query.camids[i]))
        matches, others = np.sort(distances[valid & same]), distances[valid & ~same]
        found += [int((others <= distance).sum()) + place for place, distance in enumerate(matches, 1)]
    return found


def test_own_other_and_none_stand_in_one_table(spec, tmp_path):
    none, own, other = run(
        spec(aligner="procrustes", fit_on=["tiny", "elsewhere"], trial=0, set=RULES, output=tmp_path / "results")
    )
    assert [one.method.aligner.fitted_on is None for one in (none, own, other)] == [True, True, False]
    assert none.fingerprint == own.fingerprint == other.fingerprint
    for result, data in ((own, Hard()), (other, Elsewhere())):
        (outcomes,) = read_outcomes(tmp_path / "results" / "tiny-mlr" / "random__procrustes", result)
        assert outcomes.outcomes.ranks.ranks.tolist() == expected_ranks(data)
    (block,) = build([none, own, other]).blocks
    assert sorted(row.aligner for row in block.rows) == ["none", "procrustes", "procrustes on elsewhere"]
    assert all(row.gain is not None for row in block.rows if not row.baseline)
    for form in ("table", "github", "latex", "csv", "html", "json"):
        assert "procrustes on elsewhere" in render([none, own, other], format=form), form


def test_what_it_is_fitted_on_decides_cell_and_fit(spec, tmp_path):
    def other(**changes):
        return run(spec(aligner="procrustes", fit_on="elsewhere", baseline=False, **changes))[0]

    first = other()
    again = other()
    assert again.cell_id == first.cell_id
    assert again.created == first.created, "taken from the output folder"
    moved = other(set={"partner.tint": 20})
    assert moved.cell_id != first.cell_id
    assert moved.trials[0].fitted != first.trials[0].fitted
    assert moved.trials[0].data == first.trials[0].data
    assert moved.method.aligner.fitted_on.changed == {"tint": 20}
    fresh = other(cache=False, resume=False)
    cached = other(resume=False)
    assert cached.timings["fit"].cached
    assert fresh.trials == cached.trials == first.trials


def test_its_command_and_what_it_states_of_itself_run_it_again(spec, tmp_path):
    asked = spec(aligner="procrustes", fit_on="elsewhere", baseline=False, set={"partner.tint": 20})
    (result,) = run(asked)
    by_command = spec_of(result.command)
    assert by_command.fit_on == ("elsewhere",)
    folders = {"output": tmp_path / "again", "cache_dir": tmp_path / "cache"}
    assert run(attrs.evolve(by_command, **folders))[0].cell_id == result.cell_id
    stated = verify.spec_of(result, output=tmp_path / "verified")
    assert run(attrs.evolve(stated, cache=False))[0].trials == result.trials


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("twin", r"show 4 identities and 0 images of the test in trial 0"),
        ("copied", r"show 0 identities and \d+ images"),
    ],
)
def test_people_of_the_test_are_refused(spec, name, words):
    with pytest.raises(ComparisonError, match=f"--fit-on {name}: its training rows {words}"):
        run(spec(aligner="ridge", fit_on=name))


def test_the_data_set_itself_is_no_other(spec):
    plan = make_plan(spec(aligner="ridge", fit_on="tiny"))
    assert [job.partner for job in plan.jobs] == [None]
    assert [aligner.name for aligner in plan.jobs[0].aligners] == ["none", "ridge"]


def test_what_learns_nothing_stays_with_its_own_data(spec):
    plan = make_plan(spec(aligner=["match-rate", "ridge"], fit_on="elsewhere"))
    assert [(job.partner is None, [one.name for one in job.aligners]) for job in plan.jobs] == [
        (True, ["none", "match-rate"]),
        (False, ["ridge"]),
    ]
    with pytest.raises(ConfigError, match="--fit-on elsewhere: none of the aligners learns anything"):
        make_plan(spec(aligner="match-rate", fit_on="elsewhere"))


def test_parameters_of_no_data_set_are_refused(spec):
    with pytest.raises(ConfigError, match=r"partner\.tint.*partner is the data set of --fit-on, and there is none"):
        make_plan(spec(aligner="ridge", set={"partner.tint": 1}))


def test_a_parameter_that_one_of_several_lacks_may_be_given_by_name(spec):
    def planned(**settings):
        return make_plan(spec(aligner="ridge", fit_on=["elsewhere", "market1501"], trial=0, set=settings))

    with pytest.raises(
        ConfigError, match=r"--fit-on market1501: .*no parameter 'tint'.*NAME\.X for the one of that name"
    ):
        planned(**{"partner.tint": 20})
    partners = [job.partner.dataset for job in planned(**{"elsewhere.tint": 20}).jobs if job.partner]
    assert [dataset.parameters.get("tint") for dataset in partners] == [20, None]


def test_trials_that_it_lacks_are_refused(spec, offer):
    owner = Owner(plugin="fakes", distribution="crbench-fakes", version="1")
    one = {name: rules.changed(trials=1) for name, rules in Hard().protocols.items()}
    offer(Registered("dataset", Entry("once", lambda: Elsewhere(protocols=one)), owner))
    with pytest.raises(ConfigError, match="--fit-on once: it has trial 0 only, not 1; give --trial 0"):
        make_plan(spec(aligner="ridge", fit_on="once"))
    assert make_plan(spec(aligner="ridge", fit_on="once", trial=0)).cells == 2


def test_given_features_cannot_be_fitted_elsewhere(spec, tmp_path):
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "all.npz", features=np.ones((1, 4), dtype=np.float32), keys=["1_0"], rates=[1.0])
    with pytest.raises(ConfigError, match=r"--fit-on: features:.* gives features of one data set"):
        run(spec(aligner="ridge", fit_on="elsewhere", backbone=f"features:{tmp_path / 'mine'}", baseline=False))


def test_a_dry_run_says_what_aligners_are_fitted_on(spec, capsys):
    from crbench.cli import invoke

    words = ["run", "--dataset", "tiny", "--aligner", "ridge", "--fit-on", "tiny", "--fit-on", "elsewhere", "--dry-run"]
    assert invoke(words) == 0
    lines = [line.split() for line in capsys.readouterr().out.partition("\n\n")[0].splitlines()]
    assert lines[0][-2:] == ["fitted", "on"]
    assert [line[-1] for line in lines[2:]] == ["tiny", "tiny", "elsewhere"]
