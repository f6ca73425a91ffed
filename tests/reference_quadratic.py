"""The quadratic recursion for one replicate, row by row, in exact arithmetic rounded where the kernel rounds."""

from collections.abc import Sequence

import numpy as np
import reference_normal
import reference_normal_single
from reference_normal import fma


def advance(
    delta: Sequence[float],
    lam: Sequence[float],
    factor: np.ndarray,
    sizes: Sequence[float],
    seed: int,
    replicate: int,
    first: int,
    single: bool = False,
) -> list[float]:
    """Delta after the steps first, first + 1, ...: Delta <- Delta + eta (C z - lam Delta); z in single precision if wanted."""
    normals = (reference_normal_single if single else reference_normal).normals
    state = list(delta)
    for k, eta in enumerate(sizes):
        z = normals(seed, "single" if single else "noise", replicate, first + k, len(state))
        moved = []
        for i, x in enumerate(state):
            drift = -lam[i] * x
            for j in range(i + 1):
                if factor[i, j] != 0.0:
                    drift = fma(factor[i, j], z[j], drift)
            moved.append(fma(eta, drift, x))
        state = moved
    return state
