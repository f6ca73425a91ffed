"""z values are standard normal and nominal 95 % intervals cover 95 %, over 2000 independent small runs of each kind.

`scripts/verify statistics` has all kinds, with those that take minutes.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from verification.statistics import CONTROL, CONTROLS, ENOUGH, KINDS, LONG, calibrate

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LONG])
def test_two_thousand_runs_of_a_kind(kind, tmp_path):
    found = calibrate(kind, ENOUGH, tmp_path, seed=20261123)
    assert len(found.z) >= 2000
    assert found.problems() == []
    # Control: the same runs against predictions for another step size or batch.
    assert calibrate(kind, 250, tmp_path, 20261123, [CONTROLS.get(kind, CONTROL)]).problems()
