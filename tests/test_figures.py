"""Figures: what they show, in which files, and that the same run gives the same bytes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from front_standin import arm_spec, matrices, simulate

from fastsgd.errors import InputError
from fastsgd.figures import figure, plot
from fastsgd.figures.style import look

pytestmark = pytest.mark.slow

HESSIAN, NOISE = matrices(3)


@pytest.fixture(scope="module")
def run():
    start = SimpleNamespace(kind="point", value=1.0)
    arms = {"one $a$": arm_spec(start=start), "large": arm_spec(batch=8, start=start)}
    return simulate(arms, HESSIAN, dict.fromkeys(arms, NOISE), 300, [0, 1, 10, 100], seed=5)


@pytest.fixture(scope="module")
def sizes():
    """Arms that differ in their step size, taken as nonlinear."""
    arms = {f"eta {s}": arm_spec(kind="glm", size=s) for s in (0.2, 0.1, 0.05)}
    return simulate(arms, HESSIAN, dict.fromkeys(arms, NOISE), 300, [100, 200], seed=5)


def test_the_look_of_arms_differs_in_everything():
    looks = [look(i) for i in range(7)]
    for attribute in ("color", "marker", "line"):
        assert len({str(getattr(each, attribute)) for each in looks}) == 7
    assert len({str(look(i)) for i in range(49)}) == 49


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_same_run_gives_the_same_bytes(run, tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    assert plot(run, first) == [first]
    plot(run, second)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 5000


def test_risk_panels_show_measured_and_predicted(run):
    made = figure(run)
    top, below = made.axes
    assert "step" in below.get_xlabel()
    assert "risk" in top.get_ylabel()
    assert top.get_yscale() == "log"
    (lines, bars) = ([x for x in top.lines if len(x.get_xdata()) > 20], top.containers)
    assert len(lines) == len(bars) == 2
    np.testing.assert_allclose(bars[0][0].get_ydata(), run.risk("one $a$").mean(0)[1:])
    assert [text.get_text() for text in below.get_legend().get_texts()] == [r"one \$a\$", "large"]


def test_several_runs_stand_side_by_side(run, sizes):
    assert len(figure([run, sizes, run]).axes) == 6


def test_covariance_panels_have_a_marker_a_coordinate(run):
    top, _ = figure(run, kind="covariance").axes
    assert [len(bars[0].get_xdata()) for bars in top.containers] == [3, 3]


def test_step_size_panel_extrapolates_to_zero(sizes):
    (panel,) = figure(sizes, kind="step-size").axes
    positions = sorted(float(bars[0].get_xdata()[0]) for bars in panel.containers)
    assert positions == [0.0, 0.05, 0.1, 0.2]


def test_an_assumption_is_in_the_title(run):
    with pytest.raises(AttributeError):
        figure(run, assume=["step.size=0.1"])  # the stand-in's spec takes no overrides: the assumption got through


def test_what_cannot_be_drawn_is_one_line(run, tmp_path):
    with pytest.raises(InputError, match="no arms of different"):
        figure(run, kind="step-size")
    single = simulate({"main": arm_spec()}, HESSIAN, {"main": NOISE}, 1, [5, 9], seed=1)
    with pytest.raises(InputError, match="1 replicate"):
        figure(single, kind="covariance")
    with pytest.raises(InputError, match="kind must be one of"):
        figure(run, kind="pie")
    with pytest.raises(InputError, match="must end in"):
        plot(run, tmp_path / "x.docx")
    assert plot(run, tmp_path / "v0.1") == [tmp_path / "v0.1.png", tmp_path / "v0.1.pdf"]


def test_an_unstable_prediction_is_drawn_as_far_as_it_is_finite(run):
    specs = {arm: arm_spec(size=0.8) for arm in run.arms}
    far = replace(run, specs=specs, steps=np.array([0, 1, 10, 10**6]))
    for axes in figure(far).axes:
        for line in axes.lines:
            assert np.all(np.isfinite(np.asarray(line.get_ydata(), dtype=float)))


def test_no_variance_to_draw_is_one_line(run):
    silent = {arm: problem | {"noise": np.zeros((3, 3))} for arm, problem in run.problems.items()}
    with pytest.raises(InputError, match="no predicted variance"):
        figure(replace(run, problems=silent), kind="covariance")
