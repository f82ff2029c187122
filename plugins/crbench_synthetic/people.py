"""Who the pedestrians are: everything about a person that stays the same in all images."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench_synthetic.chance import Chance
from crbench_synthetic.fabrics import PATTERNS, Tile, emblem, weave

Colour = tuple[int, int, int]


class Material(IntEnum):
    """Numbers on the canvas; clothes and bags have three colours each, so the numbers after theirs are taken."""

    NOTHING = 0
    SKIN = 1
    HAIR = 2
    FEATURE = 3
    TOP = 4
    BOTTOM = 7
    BAG = 10
    SHOE = 13
    SOLE = 14
    HAT = 15
    BAND = 16
    INNER = 17
    SOCK = 18
    EMBLEM = 19
    STRAP = 20
    LIP = 21


SKINS: tuple[Colour, ...] = ((236, 196, 172), (222, 178, 146), (196, 146, 112), (150, 104, 76), (104, 70, 52))
HAIRS: tuple[Colour, ...] = ((30, 26, 26), (74, 50, 36), (128, 92, 56), (196, 162, 104), (150, 148, 146))
TOPS: tuple[Colour, ...] = (
    (40, 40, 44),
    (222, 222, 216),
    (128, 130, 134),
    (44, 56, 104),
    (168, 44, 46),
    (112, 152, 200),
    (60, 108, 76),
    (212, 180, 76),
    (206, 136, 158),
    (122, 88, 64),
)
TOP_WEIGHTS = (5, 4, 4, 4, 3, 3, 2, 2, 2, 2)
BOTTOMS: tuple[Colour, ...] = ((42, 42, 48), (58, 76, 118), (118, 116, 116), (176, 156, 124), (98, 78, 62))
BOTTOM_WEIGHTS = (5, 5, 3, 3, 2)
BAGS: tuple[Colour, ...] = ((36, 36, 38), (112, 72, 44), (150, 40, 44), (52, 72, 116), (196, 186, 160), (70, 98, 70))
SHOES: tuple[Colour, ...] = ((34, 32, 34), (220, 220, 216), (116, 76, 50), (150, 50, 48), (72, 88, 130))

HAIR_STYLES = ("short", "crop", "bald", "curly", "bob", "long", "tail", "bun")


@attrs.frozen(eq=False)
class Garment:
    """Three colours and the pattern in which they are woven."""

    colours: tuple[Colour, Colour, Colour]
    tile: Tile
    shift: tuple[int, int]


@attrs.frozen(eq=False)
class Person:
    """The lasting traits of a person; lengths are factors of a standard body unless said otherwise.

    Attributes:
        knee: height of the knees, as a part of body height from the crown.
        sleeve: ``long``, ``short`` or ``none``; `hem`: where the top ends, as a part of body height from the crown.
        cut: ``trousers``, ``shorts``, ``capri``, ``skirt`` or ``dress``; `flare`: how wide trouser legs are.
        front: what the chest shows: ``closed``, ``open`` (over an inner shirt), ``zip`` or ``collar``.
        emblem_place: ``none``, ``chest``, ``heart`` or ``back``.
        bag_kind: ``none``, ``backpack``, ``shoulder`` or ``hand``.
        panel: from this height downwards the top is plain in its second colour (2 = nowhere).
    """

    build: float
    shoulders: float
    hips: float
    knee: float
    head: float
    skin: Colour
    hair: Colour
    hair_style: str
    hat: str
    hat_colours: tuple[Colour, Colour]
    glasses: bool
    scarf: bool
    top: Garment
    sleeve: str
    hem: float
    front: str
    inner: Colour
    panel: float
    emblem: NDArray[np.uint8]
    emblem_place: str
    emblem_cell: float
    bottom: Garment
    cut: str
    flare: float
    side_stripe: bool
    shoe: tuple[Colour, Colour]
    boots: bool
    sock: Colour
    bag: Garment
    bag_kind: str
    bag_left: bool

    def palette(self) -> NDArray[np.float32]:
        """Colours by material number, f32[22, 3] in [0, 255]."""
        white = (224, 224, 220)
        mark = white if sum(self.top.colours[0]) < 360 else (40, 36, 52)
        colours: list[Colour] = [
            (0, 0, 0),
            *(self.skin, self.hair, _mixed(self.skin, (30, 20, 20), 0.75)),
            *(*self.top.colours, *self.bottom.colours, *self.bag.colours),
            *(*self.shoe, *self.hat_colours, self.inner, self.sock),
            *(mark, self.bag.colours[1], _mixed(self.skin, (120, 40, 36), 0.4)),
        ]
        return np.array(colours, dtype=np.float32)


def meet(stream: str, pid: int) -> Person:
    """The person with number `pid` of a data set; the same person whenever asked."""
    chance = Chance(f"{stream}|person", pid)
    return Person(**_body(chance), **_head(chance), **_clothes(chance), **_extras(chance))


def _shift(chance: Chance, colour: Colour, spread: int) -> Colour:
    """A colour near the given one, so that two people in navy need not wear the same navy."""
    red, green, blue = (min(max(c + chance.below(2 * spread + 1) - spread, 8), 246) for c in colour)
    return red, green, blue


def _mixed(colour: Colour, other: Colour, part: float) -> Colour:
    """`part` of the other colour in the first."""
    red, green, blue = (int(a + (b - a) * part) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _garment(
    chance: Chance, colours: tuple[Colour, ...], weights: tuple[int, ...], patterns: tuple[int, ...]
) -> Garment:
    ground = chance.pick(colours, weights)
    rest = [colour for colour in colours if colour != ground]
    contrast = chance.between(0.25, 0.75)
    second, third = (_mixed(ground, chance.pick(rest), contrast) for _ in range(2))
    pattern = chance.pick(PATTERNS, patterns)
    return Garment(
        colours=(_shift(chance, ground, 6), _shift(chance, second, 6), _shift(chance, third, 6)),
        tile=weave(pattern, chance),
        shift=(chance.below(18), chance.below(18)),
    )


def _body(chance: Chance) -> dict[str, Any]:
    slender = chance.between(-1.0, 1.0)
    return {
        "build": chance.between(0.86, 1.2),
        "shoulders": 1.0 + 0.09 * slender,
        "hips": 1.0 - 0.07 * slender,
        "knee": chance.between(0.72, 0.75),
        "head": chance.between(0.93, 1.07),
    }


def _head(chance: Chance) -> dict[str, Any]:
    return {
        "skin": _shift(chance, chance.pick(SKINS, (3, 4, 3, 2, 2)), 6),
        "hair": _shift(chance, chance.pick(HAIRS, (6, 5, 3, 2, 2)), 8),
        "hair_style": chance.pick(HAIR_STYLES, (5, 3, 1, 1, 3, 4, 3, 1)),
        "hat": chance.pick(("none", "cap", "beanie", "brim"), (82, 9, 6, 3)),
        "hat_colours": (_shift(chance, chance.pick(BAGS), 12), _shift(chance, chance.pick(SHOES), 12)),
        "glasses": chance.hit(18),
        "scarf": chance.hit(8),
    }


def _clothes(chance: Chance) -> dict[str, Any]:
    top = _garment(chance, TOPS, TOP_WEIGHTS, (26, 14, 8, 12, 9, 9, 7, 6, 9))
    cut = chance.pick(("trousers", "shorts", "capri", "skirt", "dress"), (11, 4, 2, 2, 2))
    return {
        "top": top,
        "sleeve": chance.pick(("long", "short", "none"), (5, 5, 1)),
        "hem": chance.pick((0.53, 0.56, 0.62, 0.70), (7, 5, 2, 1)),
        "front": chance.pick(("closed", "open", "zip", "collar"), (6, 3, 2, 3)),
        "inner": _shift(chance, chance.pick(TOPS), 10),
        "panel": chance.pick((2.0, 0.3, 0.38), (8, 1, 1)),
        "emblem": emblem(chance),
        "emblem_place": chance.pick(("none", "chest", "heart", "back"), (5, 4, 2, 3)),
        "emblem_cell": chance.pick((2.5, 3.5, 4.5)),
        "bottom": _garment(chance, BOTTOMS, BOTTOM_WEIGHTS, (62, 3, 8, 7, 7, 3, 2, 2, 6)),
        "cut": cut,
        "flare": chance.between(0.85, 1.35),
    }


def _extras(chance: Chance) -> dict[str, Any]:
    bag = _garment(chance, BAGS, (4, 3, 2, 2, 2, 2), (50, 10, 8, 8, 4, 6, 6, 4, 4))
    return {
        "side_stripe": chance.hit(14),
        "shoe": (_shift(chance, chance.pick(SHOES, (5, 5, 3, 2, 2)), 8), chance.pick(((225, 225, 222), (50, 46, 46)))),
        "boots": chance.hit(14),
        "sock": chance.pick(((226, 226, 222), (46, 46, 50), (150, 60, 60), (90, 110, 150)), (4, 4, 1, 1)),
        "bag": bag,
        "bag_kind": chance.pick(("none", "backpack", "shoulder", "hand"), (5, 4, 4, 3)),
        "bag_left": chance.hit(50),
    }
