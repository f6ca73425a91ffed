"""TOML in and out. Reading gives plain dictionaries or one line with the position; writing is canonical and minimal."""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from fastsgd.errors import SpecError
from fastsgd.spec.overrides import join_key
from fastsgd.spec.reading import text_of, why_unreadable

LARGEST = 16 * 2**20
AT = re.compile(r"\s*\(at (line \d+, column \d+|end of document)\)")


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        SpecError: one line with the place: missing, a folder, too large, not UTF-8, not TOML.
    """
    if reason := why_unreadable(path):
        raise SpecError(f"{path} {reason.replace('names are relative to the folder of the spec', 'give a TOML file')}")
    if path.stat().st_size > LARGEST:
        raise SpecError(f"{path} is too large for a spec ({path.stat().st_size} bytes); give a TOML file")
    try:
        text = text_of(path.read_bytes())
    except ValueError as error:
        raise SpecError(f"{path} {error}; give a TOML file saved as UTF-8") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, Any]:
    """The tables of a TOML text; `name` begins the line of an error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = match[1] if (match := AT.search(message)) else "an unknown place"
        what = " ".join(AT.sub("", message).split())
        raise SpecError(f"{name} is not TOML at {place} ({what[:1].lower() + what[1:]}); mend the line") from None
    except RecursionError:
        raise SpecError(f"{name} is not a spec (nested too deeply); give a TOML file") from None
    except ValueError as error:
        raise SpecError(f"{name} is not TOML ({' '.join(str(error).split())}); mend the value") from None


def value(item: Any) -> str:
    """One TOML value on one line; floats keep every bit."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(item, (int, float)):
        return repr(item)
    if isinstance(item, (date, time)):  # also a datetime
        return item.isoformat()
    if isinstance(item, Mapping):
        pairs = ", ".join(f"{join_key([key])} = {value(below)}" for key, below in item.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return f"[{', '.join(value(below) for below in item)}]"


def dumps(document: Mapping[str, Any]) -> str:
    """A TOML text: values first, then a section a table; tables below are inline, those of `arms` are sections."""
    lines = [f"{join_key([key])} = {value(item)}" for key, item in document.items() if not isinstance(item, Mapping)]
    for key, item in document.items():
        if not isinstance(item, Mapping):
            continue
        named = key == "arms"
        sections = {(key, name): below for name, below in item.items()} if named else {(key,): item}
        for parts, table in sections.items():
            lines += ["", f"[{join_key(parts)}]"]
            lines += [f"{join_key([name])} = {value(below)}" for name, below in table.items()]
    return "\n".join(lines) + "\n"
