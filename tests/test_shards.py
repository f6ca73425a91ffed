"""Shards: every replicate once, the same numbers as in one run."""

from itertools import pairwise

import numpy as np
import pytest
from small_runs import tables

import fastsgd
from fastsgd import shards
from fastsgd.errors import InputError


@pytest.mark.parametrize("replicates", [1, 64, 65, 700, 6400])
def test_parts_are_contiguous_blocks_and_even(replicates):
    blocks = -(-replicates // 64)
    for parts in {1, 2, 3, blocks} & set(range(1, blocks + 1)):
        found = [shards.rows_of(replicates, (i, parts)) for i in range(1, parts + 1)]
        assert found[0][0] == 0 and found[-1][0] + found[-1][1] == replicates
        assert all(a + n == b for (a, n), (b, _) in pairwise(found))
        assert all(first % 64 == 0 and n > 0 for first, n in found)
        sizes = [-(-n // 64) for _, n in found]
        assert max(sizes) - min(sizes) <= 1
    with pytest.raises(InputError, match=f"give N <= {blocks}"):
        shards.rows_of(replicates, (1, blocks + 1))


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2", "1.0/2"])
def test_bad_shards(text):
    with pytest.raises(InputError, match="shard must be I/N"):
        shards.parse(text)


def test_shards_hold_the_rows_of_the_whole_run(tmp_path):
    spec = tables(replicates=300, record__trajectories=100)
    whole = fastsgd.run(spec, tmp_path / "whole.h5")
    risk, final, kept = [], [], []
    for i in (1, 2, 3):
        part = fastsgd.run(spec, tmp_path / f"{i}.h5", shard=f"{i}/3")
        assert part.finished and part.first_replicate == 64 * [0, 1, 3][i - 1]
        assert part.identity == whole.identity and part.document == whole.document
        risk, final, kept = [*risk, part.risk()], [*final, part.final()], [*kept, part.trajectories()]
        count, mean, _ = part.moments()
        assert (count == part.replicates).all()
        np.testing.assert_allclose(mean[-1], part.final().mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(np.concatenate(risk), whole.risk())
    np.testing.assert_array_equal(np.concatenate(final), whole.final())
    np.testing.assert_array_equal(np.concatenate(kept), whole.trajectories())


def test_default_name_and_another_shard_of_the_same_file(tmp_path):
    spec = tmp_path / "here.toml"
    spec.write_text(fastsgd.load_spec(tables(replicates=130)).to_toml())
    run = fastsgd.run(spec, shard=(2, 2))
    assert run.path == tmp_path / "here.shard-2-of-2.h5"
    with pytest.raises(InputError, match=r"replicates 0 to 63 are wanted, .* has 64 to 129"):
        fastsgd.run(spec, run.path, shard=(1, 2))
    with pytest.raises(InputError, match=r"replicates 0 to 129 are wanted"):
        fastsgd.run(spec, run.path)
