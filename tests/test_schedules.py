"""Step sizes: exactly rounded values, ranges, errors."""

from types import SimpleNamespace

import mpmath as mp
import numpy as np
import pytest

from fastsgd import schedules


@pytest.mark.parametrize("exponent", [1.0, 0.5, 0.51, 2 / 3, 0.75, 0.999, 1e-3])
@pytest.mark.parametrize("offset", [1e-3, 1.0, 100.0, 12345.678])
def test_power_is_rounded_from_the_exact_power(exponent, offset):
    mp.mp.dps = 60
    k = np.array([0, 1, 2, 3, 10, 12345, 10**9, 2**48])
    got = schedules.Schedule(schedule="power", size=1.7, offset=offset, exponent=exponent)(k)
    for value, step in zip(got, k, strict=True):
        base = mp.mpf(float(step) + offset)
        assert value == 1.7 / float(base ** mp.mpf(exponent))


def test_constant_and_ranges():
    sizes = schedules.step_sizes("constant", 0.25, 0.0, 1.0, 3, 7)
    assert sizes.dtype == np.float64 and np.array_equal(sizes, np.full(4, 0.25))
    power = schedules.Schedule(schedule="power", size=2.0, offset=3.0, exponent=0.6)
    whole = power.sizes(0, 50)
    assert np.array_equal(whole, np.concatenate([power.sizes(0, 17), power.sizes(17, 50)]))
    assert power.largest() == whole[0] and np.all(np.diff(whole) < 0)
    assert power.sizes(5, 5).size == 0 and not power.constant


def test_from_spec():
    step = SimpleNamespace(schedule="power", size=1, offset=100, exponent=1)
    assert np.array_equal(schedules.from_spec(step).sizes(0, 3), 1 / np.array([100.0, 101.0, 102.0]))
    assert schedules.from_spec(SimpleNamespace(schedule="constant", size=0.5)).largest() == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "cosine", "size": 1.0}, "one of constant, power, got 'cosine'"),
        ({"schedule": "constant", "size": 0.0}, "step.size must be > 0, got 0.0"),
        ({"schedule": "power", "size": 1.0}, "step.offset must be > 0, got 0.0"),
        ({"schedule": "power", "size": 1.0, "offset": 1.0, "exponent": 1.5}, r"step.exponent must be in \(0, 1\]"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        schedules.Schedule(**arguments)
