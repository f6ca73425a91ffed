"""Reads a run: also one that is being written, as of its last commit, without ever standing in the writer's way."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import views
from fastsgd.errors import InputError, RunError
from fastsgd.store import opened as files
from fastsgd.store.checksum import damaged_waves, place_of
from fastsgd.store.format import LAYOUT, Node, Progress
from fastsgd.store.merge import covariance, merge_nodes
from fastsgd.store.raw import RawFile, crc32
from fastsgd.store.record import FINAL_SEQUENCE
from fastsgd.store.slots import NodePool
from fastsgd.store.static import static_sum

if TYPE_CHECKING:
    from fastsgd.spec import Spec

RETRIES = 20


def open_run(path: str | os.PathLike[str]) -> "Run":
    """A run file as of its last commit.

    Raises:
        InputError: no such file, or not a readable run (one line saying why).
    """
    return Run(Path(path))


class Run:
    """A stored run, read only. Each access opens the file, copies what it needs and closes it at once.

    Attributes:
        path: the file. identity: of the spec. stream_version: of the random numbers.
        arms: names of the arms. steps: int64[S]. coordinates: d names.
        replicates: rows planned; first_replicate: number of the replicate in row 0.
        spans: (first replicate, how many) of each piece of the rows; more than one only after a merge with gaps.
        progress: as of the last commit when this was opened. finished: whether results are there.
        sealed: finished with nothing left to tidy up; a run that is finished and not sealed should be opened for
            writing once.
    """

    def __init__(self, path: Path):
        self.path = path
        with files.opened(path) as file:
            self._made = files.structure(path, file)
            self._texts = {name: files.text(file, name) for name in ("spec", LAYOUT)}
            attrs = self._made.attrs
            self._provenance = attrs["provenance"] if "provenance" in attrs else files.text(file, "provenance")
            self.identity, self.stream_version = str(attrs["identity"]), attrs["stream_version"]
        raw = RawFile(path)
        try:
            found = files.records(raw, self._made.extents)
            self.steps: NDArray[np.int64] = raw.read(self._made.extents["step"])
        finally:
            raw.close()
        self._record, self._sound = found[0], False
        self.sizes = self._made.sizes
        self.arms = list(self.sizes.arms)
        self.coordinates = list(self.sizes.coordinates)
        self.replicates, self.first_replicate = self.sizes.replicates, self.sizes.first_replicate
        self.spans = list(self.sizes.spans or [(self.first_replicate, self.replicates)])
        self.progress: Progress = self._record.progress
        self.finished = bool(self._record.results)
        self.sealed = len(found) == 2 and all(r.sequence == FINAL_SEQUENCE for r in found)
        self.note = self._record.note

    def __repr__(self) -> str:
        done = self.progress.replicates_done
        return f"Run({str(self.path)!r}, {done} of {self.replicates} replicates, arms {', '.join(self.arms)})"

    def _repr_html_(self) -> str:
        done, arms = self.progress.replicates_done, ", ".join(self.arms)
        state = "finished" if self.finished else "unfinished"
        pairs = [
            ("file", str(self.path)), ("identity", self.identity), ("state", state),
            ("replicates", f"{done} of {self.replicates}"), ("arms", arms), ("dimension", str(len(self.coordinates))),
            ("recorded steps", f"{len(self.steps)}, the last {self.steps[-1]}"),
        ]  # fmt: skip
        return views.facts(f"Run {self.document['name']}", pairs)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The stored spec as JSON values; arrays are named by their SHA-256."""
        self._check_static()
        return self._json(self._texts["spec"], "spec")

    @cached_property
    def spec(self) -> "Spec":
        """The spec, rebuilt from the file alone."""
        from fastsgd.spec import Spec

        return Spec.from_document(self.document, self.arrays())

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """How the file was made, after the schema of tskit."""
        return self._json(self._provenance, "provenance")

    def _json(self, text: str, name: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.path} is damaged: its {name} is no JSON") from error
        if not isinstance(found, dict):
            raise RunError(f"{self.path} is damaged: its {name} is no JSON object")
        return found

    def _check_static(self) -> None:
        """RunError if what never changes is not what the run was made with: spec, layout, problem, steps; looked at once."""
        if self._sound:
            return
        places = {name: self._made.extents[name] for name in self.names("static")}
        with self._raw() as raw:
            found = static_sum(raw, self._made.attrs, self._texts, places)
        if found != self._record.structure:
            raise RunError(
                f"{self.path} is damaged: checksum of the structure differs; its numbers cannot be relied on "
                "(`fastsgd verify` tells more)"
            )
        self._sound = True

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """SHA-256 -> array of every array that the spec took from a file."""
        self._check_static()
        names = [name for name in self._made.extents if name.startswith("arrays/")]
        return dict(zip((n.removeprefix("arrays/") for n in names), self._read(*names), strict=True))

    def risk(self, arm: str | None = None) -> NDArray[np.float64]:
        """float64[R_done, S]: risk of each replicate of the completed waves at each recorded step."""
        return self.rows("risk", arm)

    def final(self, arm: str | None = None) -> NDArray[np.float64]:
        """float64[R_done, d]: theta - theta* at the last recorded step."""
        return self.rows("final", arm)

    def diverged_at(self, arm: str | None = None) -> NDArray[np.int64]:
        """int64[R_done]: step at which a replicate diverged, -1 if it did not."""
        return self.rows("diverged_at", arm)

    def trajectories(self, arm: str | None = None, most: int | None = None) -> NDArray[np.float64]:
        """float64[K_done, S, d]: theta - theta* of the first replicates at recorded steps; K is 0 if none are kept.

        most: read no more than the first so many.
        """
        if not self.sizes.trajectories:
            return np.empty((0, self.sizes.steps, len(self.coordinates)))
        return self.rows("trajectory", arm, stop=most)

    def rows(self, name: str, arm: str | None = None, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows of the completed waves of any replicate dataset, extras too, or rows `start` to `stop` of them.

        Raises:
            RunError: a wave with one of these rows fails its checksum.
        """
        self._kind(name, "replicate")
        index = self._index(arm)
        place = self._made.extents[name]
        place = place.at(index) if name in self._made.by_arm else place
        with self._raw() as raw:
            wave, done = self.sizes.wave, min(self.progress.replicates_done, place.shape[0])
            start = min(start, done)
            stop = done if stop is None else max(start, min(stop, done))
            first, last = start // wave * wave, min(-(-stop // wave) * wave, done)
            found = raw.read(place.rows(first, max(first, last)))
            sums = self._made.extents[place_of(name)].at(index)
            if bad := damaged_waves(raw, sums, wave, found, place.shape[0], first):
                raise RunError(f"{self.path} is damaged: checksum of {name} differs at row {bad[0] * wave} and after")
        return found[start - first : stop - first]

    def names(self, kind: str) -> list[str]:
        """Datasets of a kind: `replicate` (rows), `result`, `static`."""
        return [name for name, found in self._made.kinds.items() if found == kind]

    def moments(self, arm: str | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """count int64[S], mean float64[S, d] and covariance float64[S, d, d] (divisor count - 1) over replicates.

        Of an unfinished run: over those that the last commit has, which can differ between steps. Where fewer than two
        are counted the covariance is NaN.
        """
        if self.finished:
            return self.result("count", arm), self.result("mean", arm), self.result("covariance", arm)
        index = self._index(arm)
        count, mean, m2 = self._merged(index)
        s = self.sizes.steps
        return count[:s], mean[:s], covariance(count[:s], m2[:s])

    def averages(self, arm: str | None = None) -> tuple[int, NDArray[np.float64], NDArray[np.float64]] | None:
        """Time averages: samples counted (all replicates), mean float64[d] and second moment about 0 float64[d, d] of
        theta - theta*. Of an unfinished run: over its completed waves. None if the run takes none.
        """
        if "average_count" not in self._made.kinds:
            return None
        if self.finished:
            found = [self.result(f"average_{name}", arm) for name in ("count", "mean", "second_moment")]
            return int(found[0]), found[1], found[2]
        count, mean, m2 = (part[-1] for part in self._merged(self._index(arm)))
        centred = covariance(np.array([2]), m2[None])[0]  # the divisor is 1
        return int(count), mean, centred / max(int(count), 1) + np.outer(mean, mean)

    def _merged(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        return merge_nodes(self.nodes(), index, self.sizes.columns or self.sizes.steps, len(self.coordinates))

    def result(self, name: str, arm: str | None = None) -> NDArray[Any]:
        """Any result of a finished run, extras too; InputError if it is not finished."""
        array, index = self._result(name), self._index(arm)
        return array[index] if name in self._made.by_arm else array

    def _result(self, name: str) -> NDArray[Any]:
        self._kind(name, "result")
        if not self.finished:
            raise InputError(f"{self.path} is not finished; run it again to go on")
        (array,) = self._read(name)
        if crc32(array) != self._record.results.get(name):
            raise RunError(f"{self.path} is damaged: checksum of {name} differs")
        return array

    def dims(self, name: str) -> tuple[str, ...]:
        """Names of the axes of a dataset."""
        return self._made.dims[name]

    def whole(self, name: str) -> NDArray[Any]:
        """A `static` dataset or, of a finished run, a `result`, of all arms together."""
        if self._made.kinds.get(name) != "static":
            return self._result(name)
        self._check_static()
        return self._read(name)[0]

    def problem(self, arm: str | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of the problem: hessian, noise, metric [d, d], optimum [d], pool_features and the like."""
        skip = {"step", "replicate", "trajectory_replicate", "step_size"}
        names = [n for n, kind in self._made.kinds.items() if kind == "static" and "/" not in n and n not in skip]
        self._check_static()
        index, arrays = self._index(arm), self._read(*names)  # the file is opened once for all
        return {name: a[index] if name in self._made.by_arm else a for name, a in zip(names, arrays, strict=True)}

    def step_sizes(self, arm: str | None = None) -> NDArray[np.float64]:
        """float64[S]: the step size at each recorded step."""
        return self._of_arm("step_size", arm)

    def _of_arm(self, name: str, arm: str | None) -> NDArray[Any]:
        index, array = self._index(arm), self.whole(name)
        return array[index] if name in self._made.by_arm else array

    def _read(self, *names: str) -> list[NDArray[Any]]:
        with self._raw() as raw:
            return [raw.read(self._made.extents[name]) for name in names]

    def nodes(self) -> list[Node]:
        """Moment nodes of the newest commit; a writer may replace them meanwhile, then the next commit is read."""
        with self._raw() as raw:
            pool = NodePool(raw, self._made.extents)
            record, error = self._record, RunError(f"{self.path} changes too fast to be read")
            for _ in range(RETRIES):
                try:
                    return [pool.read(place) for place in record.nodes]
                except RunError as damage:
                    newer = files.records(raw, self._made.extents)[0]
                    if newer.sequence == record.sequence:
                        raise
                    record, error = newer, damage
            raise error

    @contextmanager
    def _raw(self) -> Iterator[RawFile]:
        """The file's bytes, if it is still the same run; they are read past HDF5 so that they are never stale."""
        raw = RawFile(self.path)
        try:
            if files.records(raw, self._made.extents)[0].structure != self._record.structure:
                raise RunError(f"{self.path} was replaced by another run; open it again")
            yield raw
        finally:
            raw.close()

    def _index(self, arm: str | None) -> int:
        if arm is None and len(self.arms) == 1:
            return 0
        if arm not in self.arms:
            got = "none was given" if arm is None else f"got {arm!r}"
            raise InputError(f"arm must be one of {', '.join(self.arms)}, {got}")
        return self.arms.index(arm)

    def _kind(self, name: str, kind: str) -> None:
        if self._made.kinds.get(name) != kind:
            names = ", ".join(self.names(kind))
            raise InputError(f"{self.path} has no {kind} dataset {name!r}; it has {names}")
