"""Opening a user's file, and the words for why it cannot be done."""

from difflib import get_close_matches
from pathlib import Path


def why_unreadable(path: Path) -> str | None:
    """Why a path cannot be read as a file, with a remedy; None if it can.  E.g. `is not there; did you mean H.npy?`"""
    try:
        if path.is_dir():
            return "is a folder; give a file"
        if path.exists() and not path.is_file():
            return "is a pipe, socket or device; give a file on disk"  # opening a pipe would wait for its writer
        with path.open("rb") as file:
            file.read(1)  # some files open and fail then
            return None
    except FileNotFoundError:
        return f"is not there; {_nearby(path)}"
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        return f"cannot be read ({reason}); give a file that can be read"


def _nearby(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
    except (OSError, ValueError):
        return f"nor is the folder {path.parent}"
    file, _, array = path.name.rpartition(":")
    if array and file in names:
        return f"give {file} alone, of which all arrays are taken"
    near = get_close_matches(path.name, [name for name in names if Path(name).suffix == path.suffix] or names, 1)
    return f"did you mean {near[0]}?" if near else "names are relative to the folder of the spec"


def reason_of(error: Exception) -> str:
    """The message of an exception on one line, cut to 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def text_of(raw: bytes) -> str:
    """UTF-8 text, with or without a byte order mark. ValueError: `is not UTF-8 text (<which byte, where>)`."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        place = f"byte 0x{raw[error.start]:02x} at line {line}, byte {column}"
        raise ValueError(f"is not UTF-8 text ({place})") from None
