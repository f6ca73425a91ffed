"""Wrong designs of a user's own: each is refused before the run, with one line that says what is wrong and where."""

import pytest
import user_designs
from user_designs import tables

from fastsgd.cli.entry import exit_code
from fastsgd.errors import SpecError
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

CODE = """
@njit
def beyond(n, b, stream, indices):
    for i in range(b):
        indices[i] = below(stream, n + 1)

@njit
def negative(n, b, stream, indices):
    for i in range(b):
        indices[i] = below(stream, n) - 1

@njit
def longer(n, b, stream, indices):
    for i in range(b + 1):
        indices[i] = i

@njit
def rarely(n, b, stream, indices):               # plain Python does not see it in 64 batches
    subset(stream, n, b, indices)
    if uniform(stream) < 0.001:
        indices[0] = n

@njit
def unwritten(n, b, stream, indices):
    for i in range(b - 1):
        indices[i] = below(stream, n)

@njit
def too_many(n, b, stream, indices):
    subset(stream, n, b, indices)
    return b + 1

@njit
def last_left_out(n, b, stream, indices):
    for i in range(b):
        indices[i] = below(stream, n - 1)

@njit
def tilted(n, b, stream, indices):               # the second half 3 % more often
    for i in range(b):
        k = below(stream, n)
        indices[i] = k if k >= n // 2 or uniform(stream) < 0.97 else k + n // 2

@njit
def twice_as_heavy(n, b, stream, indices, weights):
    subset(stream, n, b, indices)
    for i in range(b):
        weights[i] = 2.0 / b

@njit
def by_size(n, b, stream, indices):              # a random size, and weights 1/b all the same
    size = b + below(stream, 2)
    subset(stream, n, size, indices)
    return size

@njit
def again(n, b, stream, indices):
    for i in range(b):
        indices[i] = below(stream, n)

@njit
def words(n, b, stream, indices):
    indices[0] = "one"

@njit
def of_numpy(n, b, stream, indices):
    for i in range(b):
        indices[i] = np.random.randint(0, n)

@njit
def three(n, b, stream):
    return b

@njit
def fractions(n, b, stream, indices):
    subset(stream, n, b, indices)
    return float(b)

def fails(n, b):
    return np.full(n, b / m)

def some(n, b):
    return np.r_[0.0, np.full(n - 1, b / (n - 1))]

distinct = fastsgd.OwnDesign(again, distinct=True)
overlong = fastsgd.OwnDesign(by_size, largest=lambda n, b: b + 1)
claims = fastsgd.OwnDesign(simple, inclusion=lambda n, b: np.full(n, b / n) * np.where(np.arange(n) == 7, 0.9, 1.0))
half_claimed = fastsgd.OwnDesign(simple, joint=simple_joint)
no_diagonal = fastsgd.OwnDesign(simple, inclusion=simple_chances, joint=lambda n, b: np.full((n, n), 0.009))
asymmetric = fastsgd.OwnDesign(simple, covariance=lambda g, b: np.array([[1.0, 0.5], [0.0, 1.0]]))
misshapen = fastsgd.OwnDesign(simple, covariance=lambda g, b: np.ones(2))
replaced = fastsgd.OwnDesign(simple, covariance=lambda g, b: np.cov(g.T, bias=True) / b)
failing = fastsgd.OwnDesign(simple, inclusion=fails)
never = fastsgd.OwnDesign(simple, inclusion=some)
thing = 7
"""
WRONG = {
    "beyond": r"must write indices from 0 to 59, got one out of range",
    "negative": r"must write indices from 0 to 59, got one out of range",
    "longer": r"IndexError: .* in line \d+ \(indices has 6 places: the batch, or OwnDesign.largest\)",
    "rarely": r"must write indices from 0 to 59, got one out of range in a batch before the run",
    "unwritten": r"must write indices from 0 to 59, got one out of range",
    "too_many": r"must return a size from 0 to 6 \(or OwnDesign.largest\), got another",
    "last_left_out": r"without bias, got sample 59 of 60 \(counted from 0\) with a mean weight of 0 \+- .*not 1/n = 0.0166667",
    "tilted": r"must give a mean gradient that is the pool's, got one that is off by .* in coordinate \d",
    "twice_as_heavy": r"without bias, got sample .* of 0.03\d* .* not 1/n",
    "overlong": r"without bias, got sample",
    "distinct": r"must not draw a sample twice into a batch \(OwnDesign.distinct says so\), got \d+ of 65536",
    "words": r"must name a draw function that Numba compiles, got",
    "of_numpy": r"must draw from its stream alone, got two batches from the same random numbers that differ",
    "three": r"must name a function \(n, b, stream, indices\), .* got 3 arguments",
    "fractions": r"must return the size of a batch, or nothing if it is b, got float",
    "claims": r"chances that OwnDesign.inclusion says, got sample 7 of 60 .* in 0.09\d* \+- .* of the batches, not 0.09 ",
    "half_claimed": r"OwnDesign.joint needs inclusion",
    "no_diagonal": r"pi_ii = pi_i, got joint\[0, 0\] = 0.009 and inclusion\[0\] = 0.1",
    "asymmetric": r"must have a symmetric covariance",
    "misshapen": r"OwnDesign.covariance return finite numbers of shape \[2, 2\], got shape \[2\]",
    "replaced": r"the covariance that it says, got .* in row \d, column \d \(counted from 0\) where its batches have",
    "failing": r"got NameError in OwnDesign.inclusion: name 'm' is not defined in line \d+",
    "never": r"inclusion chances above 0 and up to 1, got 0 for sample 0",
    "nothing": r"cannot be used: the file has no function or OwnDesign nothing; its compiled .* are: again, asymmetric, beyond",
    "thing": r"cannot be used: the file has thing, which is a int",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return user_designs.make(tmp_path_factory.mktemp("wrong"), CODE)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line(folder, name):
    with pytest.raises(SpecError, match=rf"^sampling\.design .*{WRONG[name]}") as caught:
        load_spec(tables(folder, name))
    assert len(caught.value.lines) == 1 and len(caught.value.lines[0]) < 400


@pytest.mark.parametrize("name", ["simple", "systematic", "horvitz", "chances", "learnt", "right"])
def test_what_is_right_is_not_refused(folder, name):
    for batch in (1, 2, 6):
        load_spec(tables(folder, name, batch=batch))


def test_keys_and_problems_that_do_not_go_with_it(folder):
    for changes, said in (
        (
            {"parameters": [1.0]},
            r"sampling\.parameters needs a draw function \(n, b, stream, params, indices, weights\)",
        ),
        ({"uniform": 0.1}, r'sampling\.uniform has no use with sampling\.design = ".*simple"'),
        ({"pilot": 3}, r"sampling\.pilot must be"),
    ):
        with pytest.raises(SpecError, match=said):
            load_spec(tables(folder, "simple", **changes))
    with pytest.raises(SpecError, match=r"sampling\.parameters has no use"):
        load_spec(tables(folder, "simple", parameters=[1.0], design="with-replacement"))
    fresh = tables(folder, "simple")
    fresh["problem"] = {
        "kind": "newsvendor", "dimension": 1, "cost": 1.0, "price": 2.0, "demand": {"mean": 4.0, "deviation": 1.0},
    }  # fmt: skip
    with pytest.raises(SpecError, match=r"has no pool to draw from"):
        load_spec(fresh)
    missing = tables(folder, "simple", design=str(folder / "gone.py") + ":simple")
    with pytest.raises(SpecError, match=r"gone.py is not there"):
        load_spec(missing)


def test_exit_code_and_nothing_begun(folder, tmp_path, capsys):
    spec = tmp_path / "wrong.toml"
    text = load_spec(tables(folder, "simple")).to_toml().replace(":simple", ":tilted")
    spec.write_text(text)
    assert exit_code(["run", str(spec)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "that is the pool's" in said and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]
