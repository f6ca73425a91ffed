"""One process that analyses experiments: `python -m fastsgd.experiments.analyst`.

One request a line on stdin, one answer a line on stdout, both JSON.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from fastsgd import errors


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The result of one entry, or what went wrong."""
    from fastsgd.experiments.registry import entry
    from fastsgd.experiments.saved import finish
    from fastsgd.experiments.scale import stored

    try:
        found = entry(request["name"])
        runs = stored(found, request["runs"])
        return {"result": finish(found, runs, request["scale"], Path(request["folder"]))}
    except errors.FastsgdError as error:
        return {"error": str(error).splitlines(), "exit_code": error.exit_code}
    except Exception as error:
        if os.environ.get("FASTSGD_TRACEBACK", "") not in ("", "0"):
            traceback.print_exception(error)
        text = f"{request['name']}: {type(error).__name__}: {' '.join(str(error).split())}"
        return {"error": [text], "exit_code": 1}


def main() -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(100_000, 20, 100)  # figures are made of many small objects that live until the end
    # Only answers may go to stdout, whatever an analysis prints.
    out, sys.stdout = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"), sys.stderr

    for line in sys.stdin:
        try:
            print(json.dumps(answer(json.loads(line))), file=out, flush=True)
        except BrokenPipeError:  # who asked was killed
            os._exit(0)


if __name__ == "__main__":
    main()
