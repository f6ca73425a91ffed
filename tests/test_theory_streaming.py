"""Frequent Directions: certified bounds, order, merging, exactness at full rank."""

import numpy as np
import pytest

from fastsgd.theory.streaming import FrequentDirections


def stream(n=3000, d=40, seed=0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (rng.standard_normal((n, d)) * np.logspace(0, -2, d)) @ Q


def sketched(rows, rank, chunk):
    sketch = FrequentDirections(rows.shape[1], rank)
    for start in range(0, len(rows), chunk):
        sketch.update(rows[start : start + chunk])
    return sketch


@pytest.mark.parametrize("rank", [1, 4, 12, 40])
@pytest.mark.parametrize("chunk", [1, 97, 3000])
def test_error_is_within_the_certified_bound(rank, chunk):
    rows = stream()
    G = rows.T @ rows / len(rows)
    low = sketched(rows, rank, chunk).covariance()
    values = np.linalg.eigvalsh(G - low.dense())
    assert values[0] > -1e-12
    assert values[-1] <= low.error_bound * (1 + 1e-9) + 1e-12
    top = np.linalg.eigvalsh(G)[::-1]
    # |G - G_r|_F^2 of the rows over r, and the r-th direction cut off
    assert low.error_bound <= np.sum(top[rank:]) / rank + (top[rank] if rank < 40 else 0) + 1e-12
    assert low.diagonal == pytest.approx(np.diagonal(G), rel=1e-12)
    assert low.vectors.T @ low.vectors == pytest.approx(np.eye(rank), abs=1e-12)
    assert np.diagonal(low.dense(diagonal=True)) == pytest.approx(np.diagonal(G), rel=1e-10)


def test_full_rank_is_exact():
    rows = stream(d=12)
    low = sketched(rows, 12, 50).covariance()
    assert low.error_bound == 0.0
    assert low.dense() == pytest.approx(rows.T @ rows / len(rows), rel=1e-10, abs=1e-13)
    assert low.captured == pytest.approx(1)


def test_merged_sketches_keep_the_bound():
    rows = stream()
    parts = [sketched(part, 5, 64) for part in np.array_split(rows, 7)]
    whole = parts[0]
    for part in parts[1:]:
        whole.merge(part)
    low = whole.covariance()
    error = np.linalg.eigvalsh(rows.T @ rows / len(rows) - low.dense())
    assert low.count == len(rows)
    assert error[0] > -1e-12 and error[-1] <= low.error_bound * (1 + 1e-9)
    with pytest.raises(ValueError, match="one dimension and rank"):
        whole.merge(FrequentDirections(40, 6))


def test_the_bound_is_no_triviality():
    rows = stream()
    assert sketched(rows, 10, 100).covariance().error_bound < 0.1 * np.linalg.eigvalsh(rows.T @ rows / len(rows))[-1]


def test_an_empty_stream_has_no_covariance():
    with pytest.raises(ValueError, match="at least one vector"):
        FrequentDirections(3, 1).covariance()
