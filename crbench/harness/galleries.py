"""Which gallery each query is compared with: the same for all, or one for each rate of the queries."""

from __future__ import annotations

from crbench.api.interfaces import Backbone, GalleryByRate, Precomputed
from crbench.records import Samples, Split


def query_galleries(backbone: Backbone | Precomputed, split: Split) -> list[tuple[Samples, Samples]]:
    """Pairs of query rows and the gallery rows that these are compared with; every query is in one of them.

    Example:
        >>> from crbench.testing import RandomBackbone
        >>> rows = Samples(keys=["a", "b"], pids=[1, 1], rates=[2, 3])
        >>> split = Split(train=rows.take(slice(0)), query=rows, gallery=rows.at_rate(1))
        >>> len(query_galleries(RandomBackbone(), split))
        1
    """
    query, gallery = split.query, split.gallery
    if not isinstance(backbone, GalleryByRate):
        return [(query, gallery)]
    rates = [(domain.rate, mask) for domain, mask in query.domains()]
    galleries = [backbone.gallery_for(gallery, rate) for rate, _ in rates]
    if all(own is gallery for own in galleries):
        return [(query, gallery)]
    return [(query.take(mask), own) for (_, mask), own in zip(rates, galleries, strict=True)]
