"""The protocols that every MLR data set offers, from the few rules in which they differ."""

from __future__ import annotations

from crbench.api import EvalProtocol, ImageRules, ScoringRules, SplitRules


def mlr_protocols(mlr: EvalProtocol, vpfa_code: EvalProtocol) -> dict[str, EvalProtocol]:
    """All protocols of an MLR data set by name, the default ``mlr`` first.

    Args:
        mlr: the data set's reading of the MLR setting (SING, AAAI 2018; LRAR, TIP 2023).
        vpfa_code: what VPFA's public scripts make of it.
    """
    pro = (2, 3, 4, 5, 6, 7)
    # LRAR section V-F: trained on {2, 4, 8}, tested on one rate between them. One rate, an exact gallery and official
    # identities leave nothing to draw, so that more than one trial would only repeat the first.
    trials = 1 if mlr.split.identities == "official" else mlr.split.trials
    unseen = mlr.changed(name="mlr-unseen", train_rates=(2, 4, 8), query_rates=(3,), trials=trials)
    rows = [
        mlr,
        mlr.changed(name="mlrpro", train_rates=pro, query_rates=pro),
        unseen,
        unseen.changed(name="mlr-unseen-6", query_rates=(6,)),
        vpfa_code,
    ]
    return {protocol.name: protocol for protocol in rows}


def market_vpfa_code() -> EvalProtocol:
    """What VPFA's script for Market-1501 does, on official folders: one random LR camera per identity in each folder.

    Identities with one camera in a folder stay HR there; every image passes the JPEG encoder; the query is the
    official one, most of it in HR. Scores by the rules of the TransReID code that the script feeds.
    """
    return EvalProtocol(
        name="mlr-vpfa-code",
        split=SplitRules(trials=1, query="official", lr_camera="per-id-and-folder", distractors="keep"),
        images=ImageRules(kernel="lanczos", encoder="jpeg:75", encode_hr=True, flip=True),
        scoring=ScoringRules(shot="multi", distance="euclidean"),
    )


def official_protocols() -> dict[str, EvalProtocol]:
    """Plain HR evaluation by the official lists: multi-shot, distractors kept, junk dropped, one trial."""
    return {
        "standard": EvalProtocol(
            name="standard",
            split=SplitRules(
                trials=1, query="official", lr_camera="none", train_rates=(), query_rates=(), distractors="keep"
            ),
            scoring=ScoringRules(shot="multi"),
        )
    }


def plain(mlr: EvalProtocol) -> dict[str, EvalProtocol]:
    """Plain HR evaluation on the identities and cameras of an MLR protocol: its upper bound, image by image."""
    return {"standard": mlr.changed(name="standard", train_rates=(), query_rates=())}


def own_protocols(drawn: tuple[int, int] | None, *, cameras: bool, rated: bool) -> dict[str, EvalProtocol]:
    """The protocols of a folder of the user's, the default first.

    ``native``, where some images are LR as they are stored, shrinks nothing; ``standard``, where none is, neither.

    Args:
        drawn: how many training and test identities are drawn; None = the folder gives train, query and gallery.
        cameras: it is known which camera took an image.
        rated: some images are LR as they are stored.
    """
    split = SplitRules(
        identities="official" if drawn is None else f"random:{drawn[0]}/{drawn[1]}",
        query="official" if drawn is None else "lr-camera",
        lr_camera="per-id",
    )
    mlr = EvalProtocol(split=split, scoring=ScoringRules(same_camera="ignore" if cameras else "keep"))
    code = mlr.changed(name="mlr-vpfa-code", encoder="png", shot="single:mc:1", distance="euclidean", flip=True)
    trials = 1 if drawn is None else split.trials
    plain_rules = mlr.changed(
        name="native" if rated else "standard", train_rates=(), query_rates=(), shot="multi", trials=trials
    )
    found = mlr_protocols(mlr, code)
    own = {plain_rules.name: plain_rules}
    return own | found if rated else found | own
