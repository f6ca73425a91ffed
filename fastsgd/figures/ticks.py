"""Ticks of logarithmic axes as plain text, and no more of them than are read: a third of the time that a figure takes."""

from __future__ import annotations

import math
import re
from typing import Any

RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
POWER = re.compile(r"(?:(.+)\\times)?(\d+)\^\{(-?\d+)\}")
WIDE = 3.0  # powers of the base from which on an axis has ticks at powers alone
DECIMAL = (1e-4, 1e5)  # labels of a narrower axis between these are plain numbers


def plain(text: str) -> str:
    r"""A label of matplotlib's logarithmic formatter, $\mathdefault{2\times10^{-3}}$, with raised digits instead."""
    inner = text.removeprefix(r"$\mathdefault{").removesuffix("}$")
    found = POWER.fullmatch(inner)
    if found is None:
        return inner
    factor, base, exponent = found.groups()
    return ("" if factor is None else f"{factor}\u00d7") + base + exponent.translate(RAISED)


def plain_ticks(figure: Any) -> None:
    """Labels of all logarithmic axes as text, no small ticks on those over `WIDE` powers."""
    from matplotlib import ticker

    class Plain(ticker.LogFormatterSciNotation):
        narrow = False

        def __call__(self, x: float, pos: Any = None) -> str:
            text = plain(super().__call__(x, pos))
            return f"{x:.12g}" if text and self.narrow and DECIMAL[0] <= abs(x) < DECIMAL[1] else text

    for axis in (one for axes in figure.axes for one in (axes.xaxis, axes.yaxis) if one.get_scale() == "log"):
        base = axis.get_transform().base
        low, high = axis.get_view_interval()
        wide = math.log(high / low, base) >= WIDE
        for old, put in (
            (axis.get_major_formatter(), axis.set_major_formatter),
            (axis.get_minor_formatter(), axis.set_minor_formatter),
        ):
            if type(old) is ticker.LogFormatterSciNotation:
                new = Plain(base, labelOnlyBase=old.labelOnlyBase, minor_thresholds=old.minor_thresholds)
                new.narrow = not wide or base != 10
                put(new)
        if wide:
            axis.set_minor_locator(ticker.NullLocator())
