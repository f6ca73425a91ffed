"""The quadratic recursion for one replicate, row by row, in exact arithmetic rounded where the kernel rounds."""

from collections.abc import Sequence

import numpy as np
from reference_normal import fma, normals


def advance(
    delta: Sequence[float],
    lam: Sequence[float],
    factor: np.ndarray,
    sizes: Sequence[float],
    seed: int,
    replicate: int,
    first: int,
) -> list[float]:
    """Delta after the steps first, first + 1, ...: Delta <- Delta + eta (C z - lam Delta)."""
    state = list(delta)
    for k, eta in enumerate(sizes):
        z = normals(seed, "noise", replicate, first + k, len(state))
        moved = []
        for i, x in enumerate(state):
            drift = -lam[i] * x
            for j in range(i + 1):
                if factor[i, j] != 0.0:
                    drift = fma(factor[i, j], z[j], drift)
            moved.append(fma(eta, drift, x))
        state = moved
    return state
