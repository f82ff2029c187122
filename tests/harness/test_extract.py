"""From rows to features: pipeline, forward pass, table."""

from __future__ import annotations

import threading

import attrs
import numpy as np
import PIL.Image
import pytest
import torch
from builders import image

from crbench.api.context import RunContext
from crbench.cli.guard import Stopped
from crbench.data.preprocess import Preprocess, image_array
from crbench.errors import ConfigError, DataError, PluginError
from crbench.harness.extract.extractor import BatchTooLargeError, Extractor, auto_batch_size
from crbench.harness.extract.forward import Forward
from crbench.harness.extract.pipeline import AHEAD, Loaded, Pipeline, worker_count
from crbench.records import Encoded, Samples
from crbench.results import Extraction
from crbench.store.cache import Cache
from crbench.store.features import FeatureTable, row_ids
from crbench.testing import RandomBackbone

PREPROCESS = Preprocess(size=(32, 16))


def make_rows(count: int = 10) -> Samples:
    return Samples(keys=[f"{number:03d}" for number in range(count)], pids=np.arange(count))


def read(row):
    return image(row.key)


def extract(rows, backbone=None, table=None, **settings):
    """The features of rows in their order, through a table in memory."""
    table = table or FeatureTable(None)
    options = {"flip": False, "workers": 2, "read": read, **{k: v for k, v in settings.items() if k != "extraction"}}
    extraction = settings.get("extraction", Extraction(batch_size=4))
    ids = row_ids(rows, rows.keys)
    Extractor(backbone or RandomBackbone(), extraction=extraction, **options).fill(table, rows, ids, RunContext())
    return table.gather(ids, "cpu")


@pytest.mark.parametrize(("count", "workers"), [(1, 1), (8, 3), (10, 2), (29, 1), (29, 16)])
def test_batches_hold_every_image_once_in_order_and_have_one_shape(count, workers):
    rows = make_rows(count)
    pipeline = Pipeline(read, PREPROCESS, batch_size=4, device="cpu", workers=workers)
    batches = list(pipeline.batches(rows))
    assert {batch.images.shape for batch in batches} == {(4, 32, 16, 3)}
    shown = np.concatenate([batch.index[: batch.count] for batch in batches])
    assert shown.tolist() == list(range(count))
    for batch in batches:
        for number, pixels in zip(batch.index, batch.images.numpy(), strict=True):
            assert (pixels == image_array(read(rows.row(int(number))), PREPROCESS)).all()


def test_no_more_is_decoded_than_is_needed_soon_and_closing_stops_the_threads():
    seen = []
    before = threading.active_count()
    rows = make_rows(400)
    pipeline = Pipeline(
        lambda row: seen.append(row.key) or read(row), PREPROCESS, batch_size=4, device="cpu", workers=2
    )
    batches = pipeline.batches(rows)
    next(batches)
    batches.close()
    assert len(seen) <= 4 * (AHEAD + 1)
    assert threading.active_count() == before


def test_an_image_that_cannot_be_read_ends_the_extraction():
    def broken(row):
        if row.key == "007":
            raise DataError("007: damaged or truncated image")
        return read(row)

    with pytest.raises(DataError, match="007: damaged"):
        extract(make_rows(40), read=broken)


def test_features_do_not_depend_on_workers_or_batch_size():
    rows = make_rows(21)
    expected, _ = extract(rows, workers=1, extraction=Extraction(batch_size=1))
    for workers, size in ((2, 4), (5, 64)):
        x, _ = extract(rows, workers=workers, extraction=Extraction(batch_size=size))
        torch.testing.assert_close(x, expected)


def test_flipping_averages_both_images_and_keeps_a_symmetric_image():
    rows = make_rows(3)
    plain, _ = extract(rows)
    mirrored, _ = extract(rows, read=lambda row: read(row).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT))
    averaged, _ = extract(rows, flip=True)
    torch.testing.assert_close(averaged, (plain + mirrored) / 2)
    assert not torch.allclose(averaged, plain)


@attrs.frozen
class Lengths(RandomBackbone):
    """A backbone whose features vary in length with the camera."""

    def extract(self, batch):
        return Encoded(x=super().extract(batch).x, dims=torch.from_numpy(batch.camids.copy()))


def test_side_data_and_lengths_stay_with_their_rows():
    rows = attrs.evolve(make_rows(10), camids=np.arange(10) + 1)
    _, dims = extract(rows, Lengths())
    assert dims.tolist() == list(range(1, 11))


def test_chunks_are_written_while_the_rest_is_extracted(tmp_path, monkeypatch):
    monkeypatch.setattr("crbench.harness.extract.extractor.CHUNK_BATCHES", 2)
    table = FeatureTable.open(Cache(tmp_path), {"encoder": 1})
    x, _ = extract(make_rows(21), table=table)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    again, _ = extract(make_rows(21), table=FeatureTable.open(Cache(tmp_path), {"encoder": 1}), read=None)
    assert torch.equal(x, again)


def test_a_fault_of_the_data_keeps_all_features_before_it(tmp_path):
    def broken(row):
        if row.key >= "030":
            raise DataError(f"{row.key}: damaged")
        return read(row)

    with pytest.raises(DataError):
        extract(cameras(40), table=FeatureTable.open(Cache(tmp_path), {}), read=broken)
    assert kept(tmp_path, 40) == 28


def cameras(count):
    """Rows, each by a camera of its own."""
    return attrs.evolve(make_rows(count), camids=np.arange(count))


def kept(folder, count):
    """How many of so many rows have features in the cache."""
    rows = cameras(count)
    return count - len(FeatureTable.open(Cache(folder), {}).missing(row_ids(rows, rows.keys)))


@attrs.frozen
class Stopping(RandomBackbone):
    """A backbone that something ends at the images of camera 20."""

    error: BaseException = attrs.field(factory=RuntimeError)

    def extract(self, batch):
        if 20 in batch.camids:
            raise self.error
        return super().extract(batch)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (Stopped(15), Stopped),
        (RuntimeError("no luck"), PluginError),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), BatchTooLargeError),
    ],
    ids=["Ctrl-C", "SIGTERM", "plugin", "memory"],
)
@pytest.mark.parametrize("chunk", [1, 3, 32])
def test_whatever_ends_an_extraction_keeps_all_features_before_it(tmp_path, monkeypatch, error, raised, chunk):
    monkeypatch.setattr("crbench.harness.extract.extractor.CHUNK_BATCHES", chunk)
    with pytest.raises(raised):
        extract(cameras(40), Stopping(error=error), table=FeatureTable.open(Cache(tmp_path), {}))
    assert kept(tmp_path, 40) == 20
    again, _ = extract(cameras(40), table=FeatureTable.open(Cache(tmp_path), {}))
    assert torch.equal(again, extract(cameras(40))[0])


@attrs.frozen
class Infinite(RandomBackbone):
    """A backbone that gives features of images of camera 9 that are not finite."""

    def extract(self, batch):
        x = super().extract(batch).x
        x[torch.from_numpy(batch.camids == 9)] = float("inf")
        return Encoded(x=x, dims=torch.full((len(x),), 3))


def test_features_beside_one_that_is_not_finite_are_kept(tmp_path):
    with pytest.raises(PluginError, match="NaN or infinite features for 009"):
        extract(cameras(20), Infinite(), table=FeatureTable.open(Cache(tmp_path), {}))
    assert kept(tmp_path, 20) == 19


def test_an_interrupt_is_not_hidden_by_a_disk_that_is_full_too(monkeypatch):
    monkeypatch.setattr(FeatureTable, "add", lambda *_: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        extract(cameras(40), Stopping(error=KeyboardInterrupt()))


class Small:
    """A backbone with a torch network, to compile and to run in other arithmetic."""

    def __init__(self) -> None:
        self.dim, self.preprocess = 8, PREPROCESS
        self.seen: list[torch.dtype] = []
        generator = torch.Generator().manual_seed(0)
        self.model = torch.nn.Linear(3 * 32 * 16, 8)
        torch.nn.init.normal_(self.model.weight, generator=generator)
        torch.nn.init.zeros_(self.model.bias)

    def extract(self, batch):
        with torch.inference_mode():
            x = self.model(batch.inputs.flatten(1))
        self.seen.append(x.dtype)
        return Encoded(x=x.clone())


@pytest.mark.parametrize(("amp", "dtype"), [("off", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_amp_sets_the_arithmetic_and_features_stay_float32(amp, dtype):
    backbone = Small()
    exact, _ = extract(make_rows(), Small())
    x, _ = extract(make_rows(), backbone, extraction=Extraction(batch_size=4, amp=amp))
    assert set(backbone.seen) == {dtype}
    assert x.dtype == torch.float32
    assert torch.equal(x, exact) == (amp == "off")
    assert torch.nn.functional.cosine_similarity(x, exact).min() > 0.999


def test_compiling_goes_through_the_network_and_changes_nothing_else(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: calls.append(options))
    x, _ = extract(make_rows(), Small(), extraction=Extraction(batch_size=4, compile=True))
    assert calls == [{"dynamic": False}]
    # the linear layers of one of them may be oneDNN's
    torch.testing.assert_close(x, extract(make_rows(), Small())[0])


def test_what_cannot_be_compiled_is_said_in_one_line(monkeypatch):
    with pytest.raises(ConfigError, match="RandomBackbone has no torch network to compile; leave out --compile"):
        extract(make_rows(), extraction=Extraction(batch_size=4, compile=True))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: setattr(self, "forward", failing))
    with pytest.raises(ConfigError, match=r"torch\.compile failed \(no compiler\); leave out --compile"):
        extract(make_rows(), Small(), extraction=Extraction(batch_size=4, compile=True))


def failing(inputs):
    from torch._dynamo.exc import TorchDynamoException

    raise TorchDynamoException("no compiler\nand more")


@attrs.frozen
class Wrong(RandomBackbone):
    """A backbone that forgets a row."""

    def extract(self, batch):
        return Encoded(x=super().extract(batch).x[1:])


def test_a_wrong_shape_is_refused():
    with pytest.raises(PluginError, match=r"failed at extract: it gave features \(3, 16\); expected \(4, D\)"):
        extract(make_rows(), Wrong())


@attrs.frozen
class Saving(RandomBackbone):
    """A backbone that gives the same memory at every call, as one behind an output buffer does."""

    held: dict[tuple[int, ...], torch.Tensor] = attrs.field(factory=dict)

    def extract(self, batch):
        x = super().extract(batch).x
        return Encoded(x=self.held.setdefault(tuple(x.shape), torch.empty_like(x)).copy_(x))


class SavingCentred(Saving):
    """Subtracts the mean of the batch besides."""

    def extract(self, batch):
        x = super().extract(batch).x
        return Encoded(x=x.sub_(x.mean(dim=0)))


@pytest.mark.parametrize("flip", [False, True])
def test_a_backbone_may_use_the_memory_of_its_features_again(flip):
    rows = make_rows()
    expected, _ = extract(rows, flip=flip)
    assert torch.equal(extract(rows, Saving(), flip=flip)[0], expected)


def test_a_backbone_whose_memory_hides_that_it_depends_on_the_batch_is_refused():
    with pytest.raises(PluginError, match="the feature of an image depends on the others of its batch"):
        extract(make_rows(), SavingCentred())


@pytest.mark.parametrize(
    "noise",
    [lambda shape: torch.randn(shape), lambda shape: torch.from_numpy(np.random.normal(size=shape).astype("f4"))],
    ids=["torch", "numpy"],
)
def test_a_backbone_that_draws_for_each_call_is_refused(noise):
    """As one whose dropout was left on."""

    class Drawing(RandomBackbone):
        def extract(self, batch):
            x = super().extract(batch).x
            return Encoded(x=x + 0.01 * noise(x.shape))

    with pytest.raises(PluginError, match="the feature of an image depends on the others of its batch"):
        extract(make_rows(), Drawing())


class Answering(torch.Tensor):
    """A tensor that answers for itself."""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x.double(), "it gave float64 features; expected float32"),
        (lambda x: x.clone().requires_grad_(), "its features carry gradients"),
        (lambda x: x.to_sparse(), "it gave features of layout sparse_coo; expected a dense tensor"),
        (lambda x: x.as_subclass(Answering), "it gave a Answering; expected a torch tensor"),
        (lambda x: x.tolist(), "it gave a list; expected a torch tensor"),
    ],
)
@pytest.mark.parametrize("call", [1, 3])
def test_each_batch_of_features_must_be_what_the_contract_says(change, told, call):
    calls = []

    class Changing(RandomBackbone):
        def extract(self, batch):
            calls.append(batch)
            x = super().extract(batch).x
            return Encoded(x=change(x) if len(calls) >= call else x)

    with pytest.raises(PluginError, match=f"failed at extract: {told}"):
        extract(make_rows(), Changing())


@attrs.frozen
class Hungry(RandomBackbone):
    """A backbone whose device holds at most two images."""

    def extract(self, batch):
        if len(batch.inputs) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().extract(batch)


def test_a_batch_that_does_not_fit_is_named():
    with pytest.raises(BatchTooLargeError, match="out of memory on cpu with 4 images per batch; choose a smaller"):
        extract(make_rows(), Hungry())


def test_the_last_batch_is_filled_up_with_repeats_that_do_not_count():
    batch = Loaded(index=np.array([0, 1, 0, 1]), count=2, images=torch.zeros(4, 32, 16, 3, dtype=torch.uint8))
    x, dims = Forward(RandomBackbone(), Extraction(batch_size=4), flip=False, device="cpu")(batch, make_rows(2))
    assert x.shape == (2, 16)
    assert dims is None


def test_sizes_that_are_left_open():
    assert worker_count(3) == 3
    assert 1 <= worker_count(0) <= 16
    assert (auto_batch_size("cpu"), auto_batch_size("cuda:1"), auto_batch_size("xpu")) == (64, 256, 64)


@attrs.frozen
class Learned(RandomBackbone):
    """A backbone with a form for inference, which doubles all features here so that it is told apart."""

    form: object = None
    model: torch.nn.Module = attrs.field(factory=torch.nn.Identity)

    def for_inference(self):
        return Doubled() if self.form is None else self.form


class Doubled(RandomBackbone):
    def extract(self, batch):
        return Encoded(x=2 * super().extract(batch).x)


def test_the_form_for_inference_extracts_but_where_the_network_is_compiled():
    rows = make_rows()
    plain = extract(rows)[0]
    assert torch.equal(extract(rows, Learned())[0], 2 * plain)
    compiled = Extraction(batch_size=4, compile=True)
    assert torch.equal(extract(rows, Learned(), extraction=compiled)[0], plain)


@pytest.mark.parametrize(
    ("form", "told"), [(7, "for_inference gave int"), (RandomBackbone(dim=3), "for_inference gave RandomBackbone")]
)
def test_a_form_for_inference_that_is_none_fails_the_extraction(form, told):
    with pytest.raises(PluginError, match=f"failed at extract: {told}; expected the backbone in another form"):
        extract(make_rows(), Learned(form=form))
