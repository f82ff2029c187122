"""`folder:PATH`: every layout, the splits drawn from it, its card and digests, and what is wrong with a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import attrs
import builders
import numpy as np
import PIL.Image
import pytest
from crbench_mlr.own.dataset import OwnFolder
from crbench_mlr.own.listing import numbered
from crbench_mlr.own.near_copies import Look, near_copies
from crbench_mlr.own.pattern import Pattern
from hypothesis import given
from hypothesis import strategies as st

from crbench import RunSpec, run
from crbench.cli import invoke
from crbench.errors import ComparisonError, ConfigError, DataError
from crbench.images.export import export
from crbench.registry.resolve import resolve
from crbench.testing import checks_for

PEOPLE = ("ann", "bob", "cem", "dana", "eve", "zoë")
ANYWHERE = Path("/no/data/root")


def save_all(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        builders.image(name).save(path)
    return folder


def by_person(folder: Path) -> OwnFolder:
    return OwnFolder(save_all(folder, [f"{name}/{n}.png" for name in PEOPLE for n in range(4)]))


def by_name(folder: Path) -> OwnFolder:
    names = [f"{name}_{camera}_{n}.png" for name in PEOPLE for camera in ("door", "hall") for n in range(2)]
    return OwnFolder(save_all(folder, names), pattern="{pid}_{camid}_{any}")


def roles() -> Iterable[tuple[str, str]]:
    for at, name in enumerate(PEOPLE):
        for role in ("train",) if at % 2 else ("query", "gallery"):
            yield role, name


def by_role(folder: Path) -> OwnFolder:
    return OwnFolder(save_all(folder, [f"{role}/{name}/{n}.png" for role, name in roles() for n in range(2)]))


def market(folder: Path) -> OwnFolder:
    return OwnFolder(builders.build_market1501(folder, "market"))


def by_manifest(folder: Path) -> OwnFolder:
    lines = ["path,pid,camid,role,rate,comment"]
    for number, (role, name) in enumerate((role, name) for role, name in roles() for _ in range(2)):
        lines.append(f"{number}.png,{name},{number % 2},{role},{2 if role == 'query' else 1},blurred")
    save_all(folder, [f"{number}.png" for number in range(len(lines) - 1)])
    (folder / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    return OwnFolder(folder)


def by_tracklet(folder: Path, *, cameras: bool = True) -> OwnFolder:
    """Two tracklets of each person, of two and three images, and an image by itself; heights differ within each."""
    lines = ["path,pid,camid,group,height"]
    for name, camera, number in product(PEOPLE, (1, 2), range(3)):
        group = f"{name}-{camera}" if number < 1 + camera else ""
        lines.append(f"{name}_{camera}_{number}.png,{name},{camera if cameras else ''},{group},{250 + number}")
    save_all(folder, [line.partition(",")[0] for line in lines[1:]])
    (folder / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    return OwnFolder(folder)


LAYOUTS = (by_tracklet, by_person, by_name, by_role, market, by_manifest)
Build = Callable[[Path], OwnFolder]


@pytest.mark.parametrize("check", checks_for("dataset"), ids=str)
@pytest.mark.parametrize("build", LAYOUTS)
def test_every_layout_keeps_the_contract(build: Build, check: Any, tmp_path: Path) -> None:
    folder = build(tmp_path)
    check(lambda: built_again(folder), root=ANYWHERE)


def built_again(folder: OwnFolder) -> OwnFolder:
    return OwnFolder(folder.path, pattern=folder.pattern, manifest=folder.manifest)


@pytest.mark.parametrize("build", LAYOUTS)
def test_each_has_all_protocols_whose_splits_keep_people_apart(build: Build, tmp_path: Path) -> None:
    folder = build(tmp_path)
    names = {"mlr", "mlrpro", "mlr-unseen", "mlr-unseen-6", "mlr-vpfa-code"}
    assert names < folder.protocols.keys()
    for protocol in folder.protocols.values():
        split = folder.split(protocol, 0, root=ANYWHERE)
        assert not np.intersect1d(split.train.pids, np.concatenate([split.query.pids, split.gallery.pids])).size
        assert not np.intersect1d(split.query.keys, split.gallery.keys).size
        if protocol.split.query_rates:
            assert set(split.query.rates.tolist()) <= set(protocol.split.query_rates)


def test_the_default_protocol_is_mlr_unless_images_are_lr_already(tmp_path: Path) -> None:
    assert next(iter(by_person(tmp_path / "a").protocols)) == "mlr"
    given_rates = by_manifest(tmp_path / "b")
    assert next(iter(given_rates.protocols)) == "native"
    split = given_rates.split(given_rates.protocols["native"], 0, root=ANYWHERE)
    assert split.query.rates.tolist() == split.query.native_rates.tolist() == [2.0] * len(split.query)
    drawn = given_rates.split(given_rates.protocols["mlrpro"], 0, root=ANYWHERE).query
    assert np.all(drawn.rates >= drawn.native_rates)


def test_without_cameras_halves_of_each_persons_images_are_drawn_anew(tmp_path: Path, caplog: Any) -> None:
    folder = by_person(tmp_path)
    mlr = folder.protocols["mlr"]
    assert mlr.scoring.same_camera == "keep"
    splits = [folder.split(mlr, trial, root=ANYWHERE) for trial in range(mlr.split.trials)]
    assert caplog.messages == [
        f"{tmp_path}: nothing says which camera took an image, so none is left out as of the query's camera"
    ]
    for split in splits:
        assert set(split.query.camids.tolist()) == set(split.gallery.camids.tolist()) == {-1}
        assert np.unique(split.query.pids, return_counts=True)[1].tolist() == [2, 2, 2]
        assert np.unique(split.gallery.pids, return_counts=True)[1].tolist() == [2, 2, 2]
    assert len({split.checksum for split in splits}) == len(splits)


def test_with_cameras_the_lr_camera_is_one_of_them(tmp_path: Path) -> None:
    folder = by_name(tmp_path)
    assert folder.protocols["mlr"].scoring.same_camera == "ignore"
    split = folder.split(folder.protocols["mlr"], 0, root=ANYWHERE)
    for pid in np.unique(split.query.pids):
        (camera,) = set(split.query.camids[split.query.pids == pid].tolist())
        assert camera not in split.gallery.camids[split.gallery.pids == pid]


def test_given_roles_are_the_split(tmp_path: Path) -> None:
    folder = by_role(tmp_path)
    split = folder.split(folder.protocols["mlr"], 3, root=ANYWHERE)
    for role in ("train", "query", "gallery"):
        keys = getattr(split, role).keys.tolist()
        assert keys == sorted(f"{where}/{name}/{n}.png" for where, name in roles() if where == role for n in range(2))


def test_market_style_folders_read_as_market1501_does(tmp_path: Path) -> None:
    from crbench_mlr import market1501

    folder = market(tmp_path)
    own = folder.split(folder.protocols["standard"], 0, root=ANYWHERE)
    dataset = market1501.standard()
    theirs = dataset.split(dataset.protocols["standard"], 0, root=folder.path)
    for role in ("train", "query"):
        mine, other = getattr(own, role), getattr(theirs, role)
        assert mine.keys.tolist() == other.keys.tolist()
        assert (mine.pids.tolist(), mine.camids.tolist()) == (other.pids.tolist(), other.camids.tolist())
    assert -1 not in own.gallery.pids[own.gallery.pids > 0]


def test_splits_and_digests_follow_the_content_not_the_place(tmp_path: Path) -> None:
    first = by_name(tmp_path / "first")
    shutil.copytree(first.path, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "notes.txt").write_text("taken in spring")
    (tmp_path / "elsewhere" / ".DS_Store").write_bytes(b"\0")
    second = OwnFolder(tmp_path / "elsewhere", pattern=first.pattern)
    named = {
        key: resolve("dataset", f"folder:{one.path}", {"pattern": one.pattern})
        for key, one in (("first", first), ("second", second))
    }
    assert named["first"].identity() == named["second"].identity()
    assert named["first"].public_name == named["second"].public_name
    assert str(tmp_path) not in str((named["first"].public_name, named["first"].public_parameters))
    assert first.info.name == second.info.name
    checksums = [one.split(one.protocols["mlr"], 2, root=ANYWHERE).checksum for one in (first, second)]
    assert checksums[0] == checksums[1]
    builders.image("another").save(second.path / "ann_door_0.png")
    again = resolve("dataset", f"folder:{second.path}", {"pattern": first.pattern})
    assert again.public_name != named["first"].public_name
    assert OwnFolder(second.path, pattern=first.pattern).info.name == first.info.name


def test_results_written_into_the_folder_change_nothing(tmp_path: Path) -> None:
    folder = by_person(tmp_path)
    before = OwnFolder.content_sha256(path=folder.path)
    (tmp_path / "results" / "a").mkdir(parents=True)
    (tmp_path / "results" / "a" / "one.json").write_text("{}")
    assert OwnFolder.content_sha256(path=folder.path) == before


def test_an_image_that_cannot_be_opened_is_skipped_where_that_is_asked_for(tmp_path: Path) -> None:
    """A link to nothing and a FIFO have no bytes to digest, which stopped a run that had just said to skip them."""
    folder = by_name(tmp_path / "images")
    spec = RunSpec(
        dataset=(f"folder:{folder.path}",),
        backbone=("random",),
        trial=0,
        output=tmp_path / "results",
        cache_dir=tmp_path / "cache",
        set={"dataset.pattern": folder.pattern},
        on_bad_image="skip",
    )
    (folder.path / "ann_door_9.png").symlink_to("nowhere.png")
    os.mkfifo(folder.path / "bob_door_9.png")
    (found,) = run(spec)
    assert (found.status, found.data.folder) == ("ok", "images")
    with pytest.raises(DataError, match=r"(ann|bob)_door_9\.png: "):
        run(attrs.evolve(spec, on_bad_image="error"))


def test_an_exported_split_is_a_folder(tmp_path: Path) -> None:
    from crbench.images.export import export

    source = by_name(tmp_path / "a")
    split = export(source, source.protocols["mlr"], 0, root=ANYWHERE, output=tmp_path / "b")
    again = OwnFolder(tmp_path / "b")
    found = again.split(again.protocols["native"], 0, root=ANYWHERE)
    for role in ("query", "gallery"):
        mine, other = getattr(found, role), getattr(split, role)
        assert sorted(mine.rates.tolist()) == sorted(other.rates.tolist())
        assert sorted(mine.camids.tolist()) == sorted(other.camids.tolist())
    assert len(found.train) == 4 * len(split.train)  # three LR copies of each


def test_the_card_counts_and_finds_copies(tmp_path: Path) -> None:
    save_all(tmp_path, [f"{name}/{n}.png" for name in PEOPLE for n in range(2)])
    shutil.copy(tmp_path / "ann/0.png", tmp_path / "ann/copy.png")
    photograph = builders.image("ann/1.png", (4, 8)).resize((64, 128), PIL.Image.Resampling.BICUBIC)
    photograph.save(tmp_path / "ann" / "photograph.png")
    photograph.save(tmp_path / "bob" / "encoded.jpg", quality=85)
    photograph.resize((60, 120)).save(tmp_path / "cem" / "smaller.png")
    (tmp_path / "dana" / "notes.txt").write_text("")
    found = OwnFolder(tmp_path).verify(root=ANYWHERE)
    assert found.ok
    assert found.found == {"images": 16, "identities": 6, "cameras": 0}
    assert found.duplicate == ("ann/copy.png = ann/0.png",)
    assert found.near == (
        "ann/photograph.png ~ bob/encoded.jpg",
        "ann/photograph.png ~ cem/smaller.png",
        "bob/encoded.jpg ~ cem/smaller.png",
    )
    assert found.extra == (str(tmp_path / "dana/notes.txt"),)
    assert found.card["exact duplicates"] == 1
    assert found.card["near copies"].startswith("3 pairs, 3 of two persons (difference hash within 3 of 64 bits")
    assert found.card["height in pixels"] == "32 to 128, median 32"
    assert found.card["cameras"].startswith("not known")


def test_verify_names_what_cannot_be_read(tmp_path: Path) -> None:
    folder = by_manifest(tmp_path)
    (tmp_path / "1.png").write_bytes(b"no image")
    (tmp_path / "2.png").unlink()
    found = OwnFolder(tmp_path).verify(root=ANYWHERE)
    assert found.missing == ("2.png",)
    (unreadable,) = found.unreadable
    assert str(tmp_path / "1.png") in unreadable
    assert not found.ok
    assert folder.verify(root=ANYWHERE).unreadable


@given(st.lists(st.integers(0, 4), min_size=2, max_size=8))
def test_near_copies_are_all_pairs_within_the_measure(kinds: list[int]) -> None:
    looks = {f"{at:02d}": Look.of(builders.image(str(kind))) for at, kind in enumerate(kinds)}
    expected = [(a, b) for a in looks for b in looks if a < b and kinds[int(a)] == kinds[int(b)]]
    assert list(near_copies(looks)) == expected


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_numbers_of_names_are_distinct_and_do_not_depend_on_order(names: set[str]) -> None:
    found = numbered(names)
    assert found.keys() == names
    assert len(set(found.values())) == len(names)
    assert min(found.values()) >= 1
    assert found == numbered(sorted(names, reverse=True))


def test_whole_numbers_keep_their_value() -> None:
    assert numbered(["0002", "10"]) == {"0002": 2, "10": 10}
    assert numbered(["2", "02"]) == {"02": 1, "2": 2}
    assert numbered(["0", "5"]) == {"0": 1, "5": 2}
    assert numbered(["-1", "0000", "5"], junk=True, distractors=True) == {"-1": -1, "0000": 0, "5": 5}


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("{pid}_{camid}_{any}", "ann_2_0001.jpg", ("ann", "2")),
        ("{pid}_{camid}_{any}", "week/ann_2_.jpg", ("ann", "2")),
        ("{pid}_{camid}_{any}", "ann_2.jpg", None),
        ("{pid}_c{camid}s{any}", "0002_c12s1_000451_03.jpg", ("0002", "12")),
        ("{camid}/{pid}/{any}", "door/ann lee/1.b.jpg", ("ann lee", "door")),
        ("{pid}/{any}", "1.jpg", None),
        ("{pid}.v{any}", "ann.v1.png", ("ann", "")),
    ],
)
def test_patterns(text: str, path: str, expected: tuple[str, str] | None) -> None:
    assert Pattern(text).match(path) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{camid}_{any}", "needs {pid} once"),
        ("{pid}_{pid}", "needs {pid} once"),
        ("{pid}{any}", "nothing between two placeholders"),
        ("{person}_{any}", r"holds {person}; known: {pid}, {camid}, {any}"),
        ("{pid}_{cam}", r"holds {cam}; did you mean {camid}\?"),
    ],
)
def test_patterns_that_are_none(text: str, message: str, tmp_path: Path) -> None:
    by_person(tmp_path)
    asked = resolve("dataset", f"folder:{tmp_path}", {"pattern": text})
    with pytest.raises(ConfigError, match=message):
        asked.build()


def refused(folder: Path, **parameters: Any) -> str:
    """The message, which is one line."""

    def use() -> None:
        one = OwnFolder(folder, **parameters)
        one.split(next(iter(one.protocols.values())), 0, root=ANYWHERE)
        one.digests(one.listing.index.rows.keys, root=ANYWHERE)

    with pytest.raises(DataError) as caught:
        use()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_folders_that_say_too_little(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no images; expected files .jpg, .jpeg, .png or .bmp, found no file at all" in refused(empty)
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.webp").write_bytes(b"")
    (other / "b.webp").write_bytes(b"")
    assert refused(other).endswith("found 2 of .webp")
    flat = save_all(tmp_path / "flat", ["ann_1.png", "bob_1.png"])
    assert "nothing says who is seen; make a folder for each person, or say how names" in refused(flat)
    assert "no image is named like {pid}-{any}; the first is ann_1.png" in refused(flat, pattern="{pid}-{any}")
    assert "only 1 of at least 4 persons (ann), read as a folder for each person; two are trained on" in refused(
        save_all(tmp_path / "one", ["ann/1.png", "ann/2.png"])
    )
    lone = save_all(tmp_path / "lone", [f"{name}/1.png" for name in PEOPLE])
    assert "0 of 6 persons with two images; expected at least 2" in refused(lone)
    assert "not a folder" in refused(flat / "ann_1.png")
    no_query = by_role(tmp_path / "roles").path
    shutil.rmtree(no_query / "query")
    (no_query / "query").mkdir()
    assert "no query images of a person" in refused(no_query)


def test_one_camera_is_no_camera(tmp_path: Path) -> None:
    names = [f"{name}_1_{n}.png" for name in PEOPLE for n in range(2)]
    folder = save_all(tmp_path, names)
    message = refused(folder, pattern="{pid}_{camid}_{any}")
    assert "all images are of camera 1, so no query has a match; leave the camera out" in message
    assert OwnFolder(folder, pattern="{pid}_1_{any}").protocols


def test_odd_files(tmp_path: Path) -> None:
    folder = by_person(tmp_path).path
    (folder / "ann" / "back").symlink_to(folder)
    assert refused(folder).endswith("a link that leads back to a folder above it; remove the link")
    (folder / "ann" / "back").unlink()
    (folder / "ann" / "pipe.png").unlink(missing_ok=True)
    os.mkfifo(folder / "ann" / "pipe.png")
    assert "pipe.png: a FIFO, a socket or a device" in refused(folder)
    (folder / "ann" / "pipe.png").unlink()
    (folder / "ann" / "gone.png").symlink_to(folder / "nowhere")
    assert "gone.png: cannot be opened: No such file" in refused(folder)
    (folder / "ann" / "gone.png").unlink()
    (folder / "ann" / "self.png").symlink_to(folder / "ann" / "self.png")
    assert "self.png: cannot be opened: Too many levels" in refused(folder)
    (folder / "ann" / "self.png").unlink()
    linked = tmp_path.parent / f"{tmp_path.name}-linked"
    linked.symlink_to(folder)
    assert OwnFolder(linked).split(OwnFolder(folder).protocols["mlr"], 0, root=ANYWHERE)
    try:
        (folder / os.fsdecode(b"j\xe9")).mkdir()
    except OSError:
        return  # a file system that holds no such name
    builders.image("x").save(folder / os.fsdecode(b"j\xe9") / "1.png")
    assert "the name is not UTF-8; rename the file or folder" in refused(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pid\nann\n", "no column 'path'; expected at least path (or key) and pid, found pid"),
        (
            "Path,pid\n0.png,ann\n",
            "no column 'path'; expected at least path (or key) and pid, found Path, pid, so write",
        ),
        ("path;pid\n0.png;ann\n", "its cells are separated by semicolons; expected commas, or tabs in a file .tsv"),
        ("path\tpid\n0.png\tann\n", "its cells are separated by tabs; expected commas"),
        ("path,pid,group\n0.png,ann,0.png\n", "line 2, column 'group': '0.png' is the path of an image"),
        ("path,pid,group\n0.png,ann,t\n1.png,bob,t\n", "line 3, column 'pid': 'bob', but line 2 of the same group 't'"),
        ("path,pid,camid,group\n0.png,a,1,t\n1.png,a,2,t\n", "line 3, column 'camid': '2', but line 2 of the same"),
        ("path,pid,rate,group\n0.png,a,1,t\n1.png,a,2,t\n", "line 3, column 'rate': 2.0, but line 2 of the same"),
        ("path,pid\n../0.png,ann\n", "line 2, path '../0.png': expected a path below the folder"),
        ("path,pid\n/0.png,ann\n", "line 2, path '/0.png': expected a path below the folder"),
        ("path,pid\n0.png,\n", "line 2, no pid"),
        ("path,pid,role\n0.png,ann,test\n", "line 2, column 'role': 'test' is not one of train, query, gallery"),
        ("path,pid\n0.png,ann\n0.png,bob\n", "line 3, '0.png' is listed again in the same role"),
        ("path,pid,rate\n0.png,ann,0.5\n", "line 2, column 'rate': 0.5 is not between 1 and"),
        ("path,pid,rate\n0.png,ann,nan\n", "line 2, column 'rate': 'nan' is not a number"),
        ("path,pid,rate,height\n0.png,ann,2,128\n", "columns 'rate' and 'height' both say"),
        ("path,pid\nnone.png,ann\n", "none of its 1 files is there"),
        ("path,pid,camid\n0.png,ann,1\n1.png,ann,\n", "no camera, though others have one"),
        ("path,pid,role\n0.png,ann,query\n1.png,ann,\n", "no role, though others have one"),
    ],
)
def test_manifests_that_contradict_themselves(content: str, message: str, tmp_path: Path) -> None:
    save_all(tmp_path, ["0.png", "1.png"])
    (tmp_path / "manifest.csv").write_text(content)
    assert message in refused(tmp_path)


def test_a_manifest_may_be_named_and_lie_deeper(tmp_path: Path) -> None:
    folder = by_manifest(tmp_path / "lists").path
    (folder / "manifest.csv").rename(folder / "april.csv")
    assert OwnFolder(tmp_path, manifest="lists/april.csv").listing.has_roles
    assert "there is no such manifest" in refused(tmp_path, manifest="may.csv")


def test_heights_become_rates(tmp_path: Path) -> None:
    names = [f"{name}{n}" for name in PEOPLE for n in range(2)]
    save_all(tmp_path, [f"{name}.png" for name in names])
    lines = [f"{name}.png,{name[:-1]},{(256, 64)[int(name[-1])]}" for name in names]
    (tmp_path / "manifest.csv").write_text("\n".join(["key,pid,height", *lines]), encoding="utf-8")
    assert set(OwnFolder(tmp_path).listing.index.rows.rates.tolist()) == {1.0, 4.0}
    assert set(OwnFolder(tmp_path, full_height=128).listing.index.rows.rates.tolist()) == {1.0, 2.0}


def test_images_that_names_leave_out_are_counted(tmp_path: Path) -> None:
    folder = by_name(tmp_path)
    assert "images left out" not in folder.verify(root=ANYWHERE).card
    builders.image("x").save(tmp_path / "unnamed.png")
    again = OwnFolder(tmp_path, pattern=folder.pattern)
    notes = again.split(again.protocols["mlr"], 0, root=ANYWHERE).notes
    assert notes["images that names or lists leave out"] == 1
    assert again.verify(root=ANYWHERE).card["images left out"].startswith("1 of 25, ")


def test_images_that_a_list_names_in_vain_are_counted(tmp_path: Path) -> None:
    folder = by_manifest(tmp_path).path
    (folder / "1.png").unlink()
    again = OwnFolder(folder)
    assert again.split(again.protocols["mlr"], 0, root=ANYWHERE).notes["listed images that are not there"] == 1


def test_names_that_are_alike_are_pointed_out(tmp_path: Path) -> None:
    assert "names that are alike" not in by_name(tmp_path).verify(root=ANYWHERE).card
    names = ["Ann_door_1", "ann_Door_1", "zoe\u0308_hall_1", "zo\u00eb_door_9"]
    save_all(tmp_path, [f"{name}.png" for name in names])
    shown = OwnFolder(tmp_path, pattern="{pid}_{camid}_{any}").verify(root=ANYWHERE).card["names that are alike"]
    assert shown == "Ann and ann, zoe\u0308 and zo\u00eb, Door and door; they count as different"


def test_numbers_with_and_without_zeros_before_them_are_pointed_out(tmp_path: Path) -> None:
    save_all(tmp_path, [f"{pid}_{camera}_1.png" for pid in ("0002", "2", "0000", "0", "5") for camera in ("1", "01")])
    shown = OwnFolder(tmp_path, pattern="{pid}_{camid}_{any}").verify(root=ANYWHERE).card["names that are alike"]
    assert shown == "0 and 0000, 0002 and 2, 01 and 1; they count as different"


@pytest.mark.parametrize("build", [by_role, by_manifest, market])
def test_who_is_trained_on_and_tested_is_named(build: Build, tmp_path: Path) -> None:
    folder = build(tmp_path).path
    if build is by_manifest:
        table = folder / "manifest.csv"
        table.write_text(table.read_text(encoding="utf-8").replace(",bob,", ",ann,"), encoding="utf-8")
        name = "ann"
    else:
        train, query = ("bounding_box_train", "query") if build is market else ("train", "query")
        image = next(
            path
            for path in sorted((folder / query).rglob("*"))
            if path.suffix in (".jpg", ".png") and path.name[0] != "."
        )
        name = image.name.partition("_")[0] if build is market else image.parent.name
        copy = folder / train / image.relative_to(folder / query)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(image, copy)
    with pytest.raises(ComparisonError, match=rf"1 of the persons to train on \({name}\) are in query or gallery"):
        OwnFolder(folder)


@pytest.mark.parametrize("cameras", [True, False])
def test_a_tracklet_stays_whole_and_has_one_rate(cameras: bool, tmp_path: Path) -> None:
    folder = by_tracklet(tmp_path, cameras=cameras)
    seen = set()
    for protocol, trial in product(("mlr", "standard"), range(3)):
        split = folder.split(folder.protocols[protocol], trial, root=ANYWHERE)
        assert split.train.groups is None
        for rows in (split.query, split.gallery):
            items, of = rows.items()  # which refuses a group of several rates
            assert np.isin(np.bincount(of), (1, 2, 3)).all()
            for item in np.unique(of):
                name = items.keys[item].split("_")
                whole = [n for n in range(3) if n < 1 + int(name[1])] if name[2] == "0.png" else [int(name[2][0])]
                assert np.bincount(of)[item] == len(whole)
            seen |= set(rows.rates.tolist())
    assert seen == {1.0, 2.0, 3.0, 4.0}


def test_a_name_in_query_and_gallery_is_two_tracklets_with_rates_of_their_own(tmp_path: Path) -> None:
    lines = ["path,pid,role,group,height"]
    for name, role, number in product(("ann", "bob", "cem"), ("query", "gallery"), range(2)):
        lines.append(f"{name}_{role}_{number}.png,{name},{role},{name}-1,{64 if role == 'query' else 250}")
    lines.append("dan.png,dan,train,,256")
    save_all(tmp_path, [line.partition(",")[0] for line in lines[1:]])
    (tmp_path / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    folder = OwnFolder(tmp_path)
    split = folder.split(folder.protocols["native"], 0, root=ANYWHERE)
    assert (set(split.query.rates.tolist()), set(split.gallery.rates.tolist())) == ({4.0}, {1.0})
    for name in ("mlr", "native"):
        export(folder, folder.protocols[name], 0, root=ANYWHERE, output=tmp_path / f"out-{name}")
        again = OwnFolder(tmp_path / f"out-{name}")
        ranked = again.split(again.protocols["native"], 0, root=ANYWHERE).ranked
        assert (len(ranked.query), len(ranked.gallery)) == (3, 3)


def in_two_roles(folder: Path, *, cameras: bool) -> OwnFolder:
    """Two tracklets of two images of each person in the gallery, one of which is asked for, too."""
    lines = ["path,pid,camid,role,group"]
    for name, camera, number in product(("ann", "bob", "cem"), (1, 2), range(2)):
        row = f"{name}_{camera}_{number}.png,{name},{camera if cameras else ''}"
        lines += [f"{row},{role},{name}-{camera}" for role in ("query", "gallery")[camera - 1 :]]
    lines.append(f"dan.png,dan,{1 if cameras else ''},train,")
    save_all(folder, sorted({line.partition(",")[0] for line in lines[1:]}))
    (folder / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    return OwnFolder(folder)


def test_an_image_of_two_roles_is_one_on_the_card_and_no_copy_of_itself(tmp_path: Path) -> None:
    found = in_two_roles(tmp_path, cameras=True).verify(root=ANYWHERE)
    assert found.duplicate == ()
    assert found.card["exact duplicates"] == 0
    assert found.card["images per person"] == "1 to 4, median 4"
    assert found.card["tracklets"] == "10, of 1 to 2, median 2 images"


@pytest.mark.parametrize("cameras", [True, False])
def test_an_export_says_where_a_query_would_find_its_own_image(
    cameras: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_two_roles(tmp_path / "a", cameras=cameras)
    assert invoke(["data", "export", f"folder:{tmp_path / 'a'}", "-o", str(tmp_path / "b")]) == 0
    note = "6 of 6 query images are in the gallery, too"
    assert (note in capsys.readouterr().err) is not cameras
    assert (note in (tmp_path / "b" / "protocol.txt").read_text(encoding="utf-8")) is not cameras


def test_a_sweep_says_where_queries_stay_as_they_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRBENCH_CACHE", str(tmp_path / "cache"))
    folder = by_manifest(tmp_path / "people").path  # whose queries are stored at rate 2
    words = ["sweep", "--dataset", f"folder:{folder}", "--protocol", "mlr", "--backbone", "random", "-q"]
    assert invoke([*words, "--rates", "1,2,3", "-o", str(tmp_path / "results")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "shown at every rate, but for those that are stored at a higher one: at x1 they are as they are stored." in told
    )
    assert invoke([*words, "--rates", "2-3", "-o", str(tmp_path / "results")]) == 0
    assert "every query is shown at every rate." in capsys.readouterr().out


def test_a_column_of_groups_changes_lists_and_content(tmp_path: Path) -> None:
    def made(name: str, column: Callable[[str], str]) -> OwnFolder:
        folder = by_tracklet(tmp_path / name).path
        rows = [line.split(",") for line in (folder / "manifest.csv").read_text(encoding="utf-8").splitlines()[1:]]
        lines = [",".join([*row[:3], column(row[3])]) for row in rows]
        (folder / "manifest.csv").write_text("\n".join(["path,pid,camid,group", *lines]), encoding="utf-8")
        return OwnFolder(folder)

    pooled, other, apart, none = (
        made(name, column)
        for name, column in (
            ("a", lambda g: g),
            ("b", lambda g: g and f"{g}x"),
            ("c", lambda g: ""),
            ("d", lambda g: ""),
        )
    )
    checksums = [f.split(f.protocols["standard"], 0, root=ANYWHERE).checksum for f in (pooled, other, apart, none)]
    assert len({pooled.listing.content_sha256, other.listing.content_sha256, apart.listing.content_sha256}) == 3
    assert len(set(checksums)) == 3
    assert checksums[2] == checksums[3]


def test_an_export_keeps_tracklets(tmp_path: Path) -> None:
    folder = by_tracklet(tmp_path / "a")
    mlr = folder.protocols["mlr"]
    export(folder, mlr, 0, root=ANYWHERE, output=tmp_path / "b")
    again = OwnFolder(tmp_path / "b")
    assert next(iter(again.protocols)) == "native"
    before, after = (f.split(p, 0, root=ANYWHERE) for f, p in ((folder, mlr), (again, again.protocols["native"])))
    for role in ("query", "gallery"):
        sizes = [sorted(np.bincount(getattr(split, role).items()[1]).tolist()) for split in (before, after)]
        assert sizes[0] == sizes[1]
    assert len(after.ranked.query) < len(after.query)
