"""Makes the small run files of tests/files anew, with what they say: only for a new version of the format or of
the random numbers, under new names."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import kinds
from fastsgd.kernels import STREAM_VERSION

import fastsgd
from fastsgd import plan
from fastsgd.errors import StoppedEarly
from fastsgd.store.format import FORMAT_VERSION

HERE = Path(__file__).parent


def unfinished(spec, path):
    """A run that was stopped in its second wave."""
    kept, plan._LARGEST_WAVE = plan._LARGEST_WAVE, 64
    try:
        while True:
            try:
                fastsgd.run(spec, path, time_limit=0.0, threads=1)
            except StoppedEarly:
                progress = fastsgd.open_run(path).progress
                if progress.replicates_done and progress.wave_step:
                    return
    finally:
        plan._LARGEST_WAVE = kept


def content(run):
    """What must be read of it for ever."""
    return {
        "identity": run.identity, "finished": run.finished, "replicates_done": run.progress.replicates_done,
        "arms": {
            arm: {
                "risk_of_3": [repr(float(x)) for x in run.risk(arm)[3]], "count": run.moments(arm)[0].tolist(),
                "last_mean": [repr(float(x)) for x in run.moments(arm)[1][-1]],
            }
            for arm in run.arms
        },
    }  # fmt: skip


def main():
    place = HERE / "content.json"
    found = json.loads(place.read_text()) if place.exists() else {}
    for name in ("arms", "glm", "unfinished"):
        path = HERE / f"v{FORMAT_VERSION}-{STREAM_VERSION}-{name}.h5"
        spec = kinds.spec("quadratic" if name == "unfinished" else name, HERE)
        spec = spec | {"replicates": 150, "record": {"steps": [0, 3, 40], "trajectories": 5}}
        unfinished(spec, path) if name == "unfinished" else fastsgd.run(spec, path, threads=1)
        found[path.stem] = content(fastsgd.open_run(path))
    place.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
