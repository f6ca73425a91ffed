"""Own simulators written with whole arrays and parts of their parameters: on lanes, alone and in plain Python."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from reference_simulator import recursion

SEED, STEPS, ETA = 7, 6, 0.1


def triangular(theta, sample, params, out):
    d = theta.size
    C = params[2 * d :].reshape((d, d))
    demand = params[:d] + C @ sample.normals
    out[:] = np.where(demand > theta, -params[d : 2 * d] * 2.0, params[d : 2 * d])


def rows(theta, sample, params, out):
    d = len(theta)
    low, scale = -params[:d] + 0.25, params[d:-d][:d]
    C = params[2 * d :].reshape(-1, d)
    for j in range(d):
        out[j] = theta[j] - C[j] @ sample.normals + C[-1, : j + 1] @ sample.normals[: j + 1] + low[j] * scale[-1]


def loop(theta, sample, params, out):
    d = theta.size
    for j in range(d):
        demand = params[j]
        for k in range(j + 1):
            demand += params[2 * d + j * d + k] * sample.normals[k]
        if demand > theta[j]:
            out[j] = -params[d + j]
        else:
            out[j] = params[d + j]


def unbounded(theta, sample, params, out):
    """0 times infinity is not a number: no zero of the matrix may be left out where one is near."""
    d = theta.size
    C = params[2 * d :].reshape(d, d)
    product = C @ np.where(sample.normals > 1.0, np.inf, sample.normals)
    out[:] = np.where(np.abs(product) < 100.0, theta - product, 1.0)


def crowded(theta, sample, params, out):
    """More arrays than there is room for, and helpers of NumPy's for arrays of numbers."""
    d = theta.size
    kept = np.zeros(300)
    for i in range(40):
        more = np.zeros(300)
        more[i] = sample.normals[i % d]
        kept += more
    out[:] = params[:d] * theta - kept[:d] + np.sum(-params[:d])


def arguments(d):
    rng = np.random.default_rng(d)
    factor = np.tril(rng.normal(size=(d, d)))
    factor[d // 2] = 0.0
    return np.concatenate([rng.normal(size=2 * d), factor.ravel()])


def steppers(gradient, d):
    from fastsgd.kernels.own import SIMULATOR, Functions, make

    from fastsgd.problems.own import OwnStepper
    from fastsgd.problems.own_code import Code
    from fastsgd.problems.pilot import Pilot

    def made(lanes, batch, arms, design, coefficient):
        kernels = make(SIMULATOR, f"views {inspect.getsource(gradient)}", Functions(gradient), lanes)
        assert (kernels.lanes is not None) == lanes, kernels.reason
        pilot = Pilot(
            code=Code(gradient, None, None, "views", ""), kernels=kernels, params=arguments(d), samples=None,
            counts=np.array([d, 0, 0]), size=2,
        )  # fmt: skip
        arm = SimpleNamespace(batch=batch, draws=None, design=design, coefficient=coefficient)
        return OwnStepper(pilot, np.linspace(0.0, 1.0, d), [arm] * arms)

    return made


def ends(stepper, arms, d, replicates=19):
    delta = np.zeros((arms, replicates, d))
    stepper.advance(delta, np.full((arms, STEPS), ETA) / np.arange(1, arms + 1)[:, None], SEED, 3, 0)
    return delta


def in_python(gradient, d, batch, replicate):
    params = arguments(d)

    def add(theta, normals, uniforms, exponentials, total):
        out = np.zeros(d)
        gradient(np.array(theta), SimpleNamespace(normals=np.array(normals)), params, out)
        total[:] = [t + g for t, g in zip(total, out.tolist(), strict=True)]

    with np.errstate(invalid="ignore"):  # of `unbounded`
        return recursion(add, np.linspace(0.0, 1.0, d).tolist(), (d, 0, 0), SEED, replicate, STEPS, batch, ETA)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gradient", "d"), [(triangular, 2), (triangular, 13), (rows, 3), (loop, 5), (unbounded, 11), (crowded, 2)]
)
def test_views_of_arguments(gradient, d):
    made = steppers(gradient, d)
    for batch, arms, design, coefficient in (
        (1, 1, "fresh", None),
        (3, 1, "fresh", None),
        (70, 1, "fresh", None),
        (2, 2, "fresh", None),
        (4, 1, "antithetic", None),
        (2, 1, "control-variate", np.full((d, d), 0.1)),
    ):
        alone, beside = (ends(made(lanes, batch, arms, design, coefficient), arms, d) for lanes in (False, True))
        assert np.array_equal(alone, beside)
        if design == "fresh" and batch < 70:
            for r in (0, 18):
                # Products of NumPy's are added in other orders.
                expected = in_python(gradient, d, batch, 3 + r)
                assert np.allclose(beside[0, r], expected, rtol=0, atol=1e-12)
    found = ends(made(True, 1, 1, "fresh", None), 1, d)
    assert np.isfinite(found).all() and found.std() > 1e-3


def test_a_shape_that_does_not_fit_is_an_error():
    from fastsgd.kernels._jit import uncached
    from fastsgd.kernels.lane_views import part, reshaped, row

    @uncached
    def shaped(x, rows, columns):
        return reshaped(x, rows, columns).sum()

    @uncached
    def parts(x, begin, end, i):
        matrix = reshaped(x, 3, 4)
        return part(x, begin, end).sum(), part(x, begin, None).sum(), part(x, None, end).sum(), row(matrix, i).sum()

    x = np.arange(1.0, 13.0)
    for shape in ((3, 4), (-1, 6), (12, -1), (-2, 6)):
        assert shaped(x, *shape) == x.sum()
    for shape in ((3, 5), (-1, 5), (-2, -6), (0, -1)):
        with pytest.raises(ValueError, match=r"size|shape"):
            shaped(x, *shape)
    for begin, end, i in ((2, 5, 0), (-3, 20, -1), (9, 2, 2), (-40, -2, 1)):
        expected = x[begin:end].sum(), x[begin:].sum(), x[:end].sum(), x.reshape(3, 4)[i].sum()
        assert parts(x, begin, end, i) == expected
