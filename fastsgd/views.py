"""HTML for notebooks: facts and tables without a style of their own; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A heading and a table of two columns."""
    rows = "".join(f"<tr><th style='text-align:left'>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in pairs)
    return f"<div><b>{escape(title)}</b><table>{rows}</table></div>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a header."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def text(title: str, content: str) -> str:
    """A heading and a text as it is."""
    return f"<div><b>{escape(title)}</b><pre>{escape(content)}</pre></div>"
