"""Makes or goes on with a run and prints every acknowledged commit; the tests kill it."""

import json
import sys
from pathlib import Path

import store_standin as standin

from fastsgd import store


def acknowledge(progress: store.Progress) -> None:
    print(json.dumps(progress.document()), flush=True)


def main(path: Path) -> None:
    print("started", flush=True)
    writer = store.open_writer(path) if path.exists() else standin.create(path, 200, ("a", "b"))
    with writer:
        standin.advance(writer, commits_inside=True, acknowledge=acknowledge)
    print("ended", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
