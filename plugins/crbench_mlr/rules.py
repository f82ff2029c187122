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
