"""`ScoringRules`: how features become scores. Only these count for features from elsewhere (`crbench evaluate`)."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from attrs import validators as v

from crbench.protocol.declare import RuleGroup, rule
from crbench.protocol.parse import Reranking, parse_camera_rules, parse_reranking, parse_shot, spell_camera_rules


def _one_camera_spelling(text: Any) -> Any:
    try:
        return spell_camera_rules(parse_camera_rules(text))
    except ValueError:
        return text  # the validator refuses it


def _one_reranking_spelling(text: Any) -> Any:
    try:
        return str(parse_reranking(text) or "none")
    except ValueError as error:
        raise ValueError(f"protocol.rerank: {error.args[0]}") from error


@attrs.frozen(kw_only=True)
class ScoringRules(RuleGroup):
    """Rules that turn features into scores.

    Raises:
        ValueError: a value out of range, or rules that exclude each other; the message names the rule.
    """

    title: ClassVar[str] = (
        "Scoring: from features to scores (also for `crbench evaluate`, whose `shot` is `multi` by default)"
    )

    shot: str = rule(
        "shot",
        "single:exact",
        "gallery: all images, the expectation over one random image per identity, or the mean over N such draws",
        values="multi, single:exact, single:mc:N",
        parse=parse_shot,
    )
    junk: str = rule(
        "junk",
        "drop",
        "gallery images of pid -1 are never counted, or counted as distractors",
        values=("drop", "keep"),
    )
    same_camera: str = rule(
        "cam",
        "ignore",
        "gallery images of the query's person from the query's own camera are left out or kept",
        values=("ignore", "keep"),
    )
    ties: str = rule(
        "tie",
        "pessimistic",
        "a negative at exactly the distance of a positive counts as nearer, or as farther",
        values=("pessimistic", "optimistic"),
    )
    ap: str = rule(
        "ap",
        "step",
        "average precision as the mean precision at each positive, or by the trapezoid rule",
        values=("step", "trapezoid"),
    )
    ap_gallery: str = rule(
        "apg",
        "drawn",
        "what AP and INP of a single-shot protocol refer to: the drawn gallery (then neither is given), or all valid "
        "gallery images, beside a single-shot CMC",
        values=("drawn", "all"),
    )
    unmatched: str = rule(
        "un",
        "ignore",
        "queries without a match do not count, or count with zero in every mean",
        values=("ignore", "zero"),
    )
    normalise: str = rule("norm", "l2", "features are L2-normalised or not", values=("l2", "none"))
    distance: str = rule(
        "d",
        "cosine",
        "distance of two features",
        values="cosine, euclidean, sqeuclidean, or the name of a plugin's",
        validator=v.min_len(1),
    )
    ignored_cameras: str = rule(
        "igc",
        "none",
        "gallery cameras that are left out, whoever is seen, for queries of a camera: `3:2` for SYSU-MM01, where "
        "queries of camera 3 and gallery images of camera 2 are of one place; `3:2,6:1+2` for several",
        values="none, QUERY:GALLERY[+GALLERY...][,...]",
        parse=parse_camera_rules,
        option=True,
        converter=_one_camera_spelling,
    )
    rerank: str = rule(
        "rr",
        "none",
        "distances are re-ranked by k-reciprocal encoding (Zhong et al., CVPR 2017) with these parameters; with all "
        "gallery images only",
        values="none, k1=20,k2=6,lambda=0.3",
        option=True,
        converter=_one_reranking_spelling,
    )

    def __attrs_post_init__(self) -> None:
        if self.rerank != "none" and not self.multi_shot:
            raise ValueError(
                f"protocol.rerank: one gallery image per person (shot={self.shot}) has no neighbours to confirm it; "
                "set shot=multi or rerank=none"
            )

    @property
    def multi_shot(self) -> bool:
        """Whether a person may have several gallery images; only then do mAP and mINP mean what they say."""
        return self.shot == "multi"

    @property
    def draws(self) -> int | None:
        """How many single-shot galleries are drawn; None where none is."""
        return parse_shot(self.shot)

    @property
    def ignored(self) -> dict[int, tuple[int, ...]]:
        """Gallery cameras that are left out for queries of a camera, by that camera."""
        return parse_camera_rules(self.ignored_cameras)

    @property
    def reranking(self) -> Reranking | None:
        """The parameters of `rerank`, if any."""
        return parse_reranking(self.rerank)
