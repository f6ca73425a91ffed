"""The quadratic recursion: bits against the slow reference, and what they must not depend on."""

import numba
import numpy as np
import pytest
from fastsgd.kernels.philox import PURPOSE_NOISE, PURPOSE_SINGLE, PURPOSE_START
from fastsgd.kernels.quadratic import add_normals, advance_quadratic, pack, panels
from reference_normal import normals
from reference_quadratic import advance as slow

U = np.uint64
SEED = 20261123


def factors(d, arms=1, seed=0):
    """Lower triangular factors [arms, d, d]."""
    rng = np.random.default_rng(seed)
    roots = rng.standard_normal((arms, d, d))
    return np.linalg.cholesky(roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d))


def advance(delta, lam, factor, sizes, first_replicate=0, first_step=0, seed=SEED, purpose=PURPOSE_NOISE):
    """Run the kernel on a copy; sizes [K] or [A, K]."""
    out = np.array(delta, dtype=np.float64)
    coefficients, starts = pack(factor)
    sizes = np.ascontiguousarray(np.broadcast_to(sizes, (len(out), np.shape(sizes)[-1])))
    minus = np.ascontiguousarray(np.broadcast_to(-lam, (len(out), len(lam))))
    args = (U(seed), purpose, U(first_replicate), U(first_step))
    assert advance_quadratic(minus, coefficients, starts, sizes, *args, out) == 0
    return out


@pytest.mark.parametrize("d", range(1, 90))
def test_panels_cover_every_dimension(d):
    assert sum(panels(d)) == d
    tall = max(panels(200))
    low = [height for height in panels(d) if height < tall]
    assert sum(low) < tall
    assert panels(d) == low + [tall] * (d // tall)


@pytest.mark.parametrize("purpose", [PURPOSE_NOISE, PURPOSE_SINGLE])
@pytest.mark.parametrize("d", [1, 2, 3, 7, 8, 13, 16])
def test_bits_equal_reference(d, purpose):
    rng = np.random.default_rng(d)
    lam, factor = rng.uniform(0.5, 3, d), factors(d)
    start = rng.standard_normal((1, 19, d))
    sizes = np.array([0.1, 0.05, 0.2])
    got = advance(start, lam, factor, sizes, 2**32 - 3, 2**32 - 1, purpose=purpose)
    for r in (0, 2, 15, 18):
        at = (SEED, 2**32 - 3 + r, 2**32 - 1)
        expected = slow(start[0, r], lam, factor[0], sizes, *at, single=purpose == PURPOSE_SINGLE)
        assert got[0, r].tolist() == expected


def test_arms_where_the_upper_half_of_a_replicate_number_changes():
    d, arms, first = 3, 2, 2**32 - 5
    lam, factor, sizes = np.linspace(1, 2, d), factors(d, arms), np.array([0.1, 0.2])
    start = np.random.default_rng(4).standard_normal((arms, 12, d))
    got = advance(start, lam, factor, sizes, first_replicate=first)
    for a in range(arms):
        for r in (4, 5, 11):
            assert got[a, r].tolist() == slow(start[a, r], lam, factor[a], sizes, SEED, first + r, 0)


def test_diagonal_and_gapped_factors_equal_reference():
    d = 21
    factor = np.diag(np.arange(1.0, d + 1))
    factor[17, 3] = 0.5
    lam, sizes = np.linspace(1, 2, d), np.array([0.1, 0.1])
    start = np.full((1, 3, d), 0.25)
    got = advance(start, lam, factor[None], sizes)
    assert got[0, 1].tolist() == slow(start[0, 1], lam, factor, sizes, SEED, 1, 0)
    full = np.tril(np.ones((d, d)))
    assert len(pack(factor[None])[0][0]) < 0.8 * len(pack(full[None])[0][0])
    assert len(pack(np.eye(d)[None])[0][0]) <= max(panels(d)) * d


def test_one_replicate_is_the_same_alone_and_among_a_thousand():
    d = 10
    lam, factor, sizes = np.linspace(1, 5, d), factors(d), np.full(40, 0.05)
    crowd = advance(np.zeros((1, 1000, d)), lam, factor, sizes)
    for r in (0, 7, 999):
        alone = advance(np.zeros((1, 1, d)), lam, factor, sizes, first_replicate=r)
        assert alone[0, 0].tobytes() == crowd[0, r].tobytes()


@pytest.mark.parametrize("purpose", [PURPOSE_NOISE, PURPOSE_SINGLE])
def test_threads_and_segments_leave_the_bits(purpose):
    d = 14
    lam, factor, sizes = np.linspace(1, 5, d), factors(d, arms=2), np.geomspace(0.1, 0.01, 30)
    start = np.random.default_rng(3).standard_normal((2, 77, d))
    numba.set_num_threads(1)
    one = advance(start, lam, factor, sizes, purpose=purpose)
    numba.set_num_threads(2)
    two = advance(start, lam, factor, sizes, purpose=purpose)
    cut = start
    for a, b in ((0, 1), (1, 13), (13, 30)):
        cut = advance(cut, lam, factor, sizes[a:b], first_step=a, purpose=purpose)
    assert one.tobytes() == two.tobytes() == cut.tobytes()


@pytest.mark.parametrize("purpose", [PURPOSE_NOISE, PURPOSE_SINGLE])
def test_arms_share_their_draws(purpose):
    d = 9
    lam, factor, sizes = np.linspace(1, 5, d), factors(d, arms=2), np.full(6, 0.1)
    both = advance(np.zeros((2, 20, d)), lam, factor, sizes, purpose=purpose)
    for arm in range(2):
        alone = advance(np.zeros((1, 20, d)), lam, factor[arm : arm + 1], sizes, purpose=purpose)
        assert alone[0].tobytes() == both[arm].tobytes()


def test_a_change_of_any_input_changes_the_result():
    """Control for the equalities above."""
    d = 5
    lam, factor, sizes = np.linspace(1, 5, d), factors(d), np.full(4, 0.1)
    base = advance(np.zeros((1, 3, d)), lam, factor, sizes)
    assert (advance(np.zeros((1, 3, d)), lam, factor, sizes, seed=SEED + 1) != base).all()
    assert (advance(np.zeros((1, 3, d)), lam, factor, sizes, first_step=1) != base).all()
    assert (advance(np.zeros((1, 3, d)), lam, factor, sizes, first_replicate=1) != base).all()
    assert (advance(np.zeros((1, 3, d)), lam, factor, sizes, purpose=PURPOSE_SINGLE) != base).all()
    assert (base[0, 0] != base[0, 1]).all()


def test_add_normals_adds_exactly_the_factor_times_the_normals_of_step_zero():
    d = 6
    factor = np.diag(np.full(d, 2.0))
    delta = np.zeros((1, 5, d))
    add_normals(factor[None], SEED, PURPOSE_START, 100, delta)
    assert delta[0, 3].tolist() == [2.0 * z for z in normals(SEED, "start", 103, 0, d)]


def test_moments_follow_the_recursion():
    """Mean and covariance after K steps against the exact recursion, and a control with another step size."""
    d, replicates, steps = 4, 40_000, 12
    lam, factor, eta = np.array([0.5, 1.0, 2.0, 4.0]), factors(d), 0.2
    x = advance(np.ones((1, replicates, d)), lam, factor, np.full(steps, eta))[0]

    def zscores(eta):
        decay = 1 - eta * lam
        mean, cov = np.ones(d), np.zeros((d, d))
        for _ in range(steps):
            mean, cov = decay * mean, decay[:, None] * cov * decay + eta**2 * factor[0] @ factor[0].T
        scale = np.sqrt(np.diag(cov))
        mean_z = (x.mean(axis=0) - mean) / scale * np.sqrt(replicates)
        error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / replicates)
        return np.concatenate([mean_z, ((np.cov(x.T) - cov) / error).ravel()])

    assert np.abs(zscores(eta)).max() < 5
    assert np.abs(zscores(1.03 * eta)).max() > 5
