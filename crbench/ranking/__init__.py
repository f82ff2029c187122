"""Exact ranks: features, prefix lengths and tasks in, integers out.

For each positive of each query, an engine counts the gallery items that are ahead of it. Every score follows from these
integers (`crbench.metrics`). This package knows no camera, protocol, metric or plugin; `crbench.evaluation` turns a
protocol into tasks.

The definition is short: `distance` (float64 in a fixed order) and `reference` (one query at a time). Every other
engine gives the same integers, whatever its precision, device, threads and tile sizes. The idea, in three steps:

1. **Approximate.** A matrix product (GEMM) of normalised rows, in float32, bfloat16 or int8, gives a score for each
   pair of a query and a gallery item: the higher, the nearer.
2. **Bound.** Each score comes with a proven error bound. An item whose score is above that of a positive by more than
   the bound is certainly ahead, one below it by more than the bound certainly behind.
3. **Decide exactly.** The few pairs in between are computed again in float64, and what float64 sums cannot decide, by
   the definition.

Unlike a top-k search, nothing is sorted or kept per pair. The score matrix is cut into tiles that are counted as soon
as they are multiplied, while they are in the cache::

                       gallery (items that may be ahead of a positive)
                 chunk 1          chunk 2          chunk 3
              +----------------+----------------+---------
      block   |     panel 1    |                |            panel: rows of a tile that one thread
      of      |................|                |                   multiplies and counts at once
      queries |     panel 2    |    tile        |  ...
              |................|  (block x      |            tile:  a block of queries
              |     panel 3    |      chunk)    |                   x a chunk of the gallery
              +----------------+----------------+---------
      next    |                |                |
      block   |                |                |

Within one query, counting goes like this. Its positives P1, P2, P3 are sorted from the farthest to the nearest, each
with the bounds of its score. For each item it is enough to know how many of them it is ahead of::

      score   low  ------------------------------------------------------------>  high
                        [P1]             [P2]                  [P3]           [ ] = bounds of a positive
                 a              b               c       d
      ahead of   0              1         uncertain     2       positives

The result goes into a difference array: b adds one at P1, d one at P2. Summed up from the nearest positive to the
farthest, it tells how many items are ahead of each. c lies within the bounds of P2, so c against P2 is decided in
float64. Most items of a good ranking are like a, and one comparison shows that.

A map of the modules:

- `interface`: what an engine is given (`RankInputs`), asked (`RankTask`) and answers (`RankCounts`);
- `distance`, `reference`: the definition;
- `filter`: the three levels, their error bounds and their derivation; shared by the engine, re-ranking and `pooled`;
- `operands`: rows as they are multiplied, with their `norms`; `gemm`: products by precision, and their error bounds;
- `engine`: the tiled engine; `tiling` cuts its work, `block` compares a block of queries, `positives` sorts theirs;
- `backends`: how a tile is counted, by compiled loops (CPU), CUDA kernels or torch operations;
- `streaming`: rows that a device's memory does not hold; `threads`, `jit`: the CPU's threads and compiled loops;
- `rerank`: k-reciprocal re-ranking; `pooled`: counts over all pairs, for verification.
"""
