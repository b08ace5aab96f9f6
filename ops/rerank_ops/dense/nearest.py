"""Exact search: the nearest of many vectors by inner product, in blocks, so that they may lie on the disk. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
_BLOCK = 8_192


def nearest(
    queries: Vectors,
    vectors: Vectors,
    rows: npt.NDArray[np.int64],
    k: int,
    *,
    block: int = _BLOCK,
    tell: Callable[[int], object] = lambda searched: None,
) -> list[list[tuple[int, float]]]:
    """Return for each query the `k` best places in `rows` with their scores, best first; of equals the earlier place.

    `queries` has shape [queries, width]; `rows` are those of `vectors`, shape [any, width], that are searched. `tell`
    is called with the number of places searched.
    """
    best: list[list[tuple[int, float]]] = [[] for _ in queries]
    for start in range(0, len(rows), block):
        # A gather copies the block into memory; a view of a mapped file would be read page by page in the product.
        found = queries @ np.asarray(vectors[rows[start : start + block]], dtype=np.float32).T
        for place, scores in enumerate(found):
            best[place] = _merged(best[place], scores, start, k)
        tell(min(start + block, len(rows)))
    return best


def _merged(
    best: list[tuple[int, float]], scores: npt.NDArray[np.float32], start: int, k: int
) -> list[tuple[int, float]]:
    least = best[-1][1] if len(best) == k else -np.inf
    if k < len(scores):
        # All that equal the k-th stay, so that the order of places, not the partition, chooses between equals.
        least = max(least, float(np.partition(scores, -k)[-k]))
    kept = np.flatnonzero(scores >= least)
    both = [*best, *((start + int(place), float(scores[place])) for place in kept)]
    return sorted(both, key=lambda hit: (-hit[1], hit[0]))[:k]
