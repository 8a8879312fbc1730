"""The split of examples into those to train on and those to test, which is fair to each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_split(
    labels: NDArray[np.int64], test_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of a (train, test) split that takes the same share of every class, each in mixed order.

    The test set gets ``round(test_fraction · count)`` examples of each class, but of two or more at least one, and
    never all. The same seed gives the same split.

    >>> import numpy as np
    >>> from minadder.data.split import stratified_split
    >>> train, test = stratified_split(np.array([0] * 10 + [1] * 5), test_fraction=0.2, seed=0)
    >>> len(train), len(test), sorted(np.concatenate([train, test])) == list(range(15))
    (12, 3, True)
    """
    rng = np.random.default_rng(seed)
    train, test = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        most = len(members) - 1
        cut = min(max(round(test_fraction * len(members)), 1), most)
        test.append(members[:cut])
        train.append(members[cut:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))
