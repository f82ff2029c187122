"""What decides a number, a feature, a fit and trained weights: each part of it changes its digest."""

from __future__ import annotations

from crbench.harness.run import run


def only(folder, pattern):
    """The name of the one file or folder that fits."""
    (path,) = folder.glob(pattern)
    return path.name


def test_digests_are_those_of_earlier_versions(spec, tmp_path):
    """A changed digest makes all users compute anew what they have, and tells comparable results apart."""
    (result,) = run(spec(aligner="shift", backbone="random", trial=0, device="cpu", baseline=False))
    assert result.cell_id == "d364e1ca98d7"
    assert result.fingerprint == "3d7f0f46ee66"
    assert result.data.checksum == "4a8169b5bd57"
    assert only(tmp_path / "cache" / "features", "*") == "9a11a65a59b5"
    assert only(tmp_path / "cache" / "transforms", "*") == "shift-8eb48bae8a04.safetensors"
    for backbone in ("learner", "learner-all"):
        run(spec(backbone=backbone, trial=0, device="cpu"))
    names = {path.name for path in (tmp_path / "weights" / "trained").glob("*.safetensors")}
    assert names == {"learner-3efb9ed2d112.safetensors", "learner-all-db1d8bc620cb.safetensors"}
