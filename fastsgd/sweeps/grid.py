"""The cells of a sweep: the grid over the swept keys, a spec and a readable file name for each."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastsgd.errors import InputError, SpecError

if TYPE_CHECKING:
    from fastsgd.spec import Spec

LONGEST_VALUE = 40
LONGEST_NAME = 180


@dataclass(frozen=True)
class Cell:
    """One point of the grid: its value of each key, the stem of its file, and its spec (None where `error` is)."""

    values: dict[str, Any]
    name: str
    spec: Spec | None
    identity: str = ""
    error: str | None = None

    @property
    def file(self) -> str:
        return f"{self.name}.h5"


def parse_vary(texts: Sequence[str]) -> dict[str, list[Any]]:
    """`KEY=V1,V2` each, as key -> values; a value is TOML, or a bare word. InputError naming the wrong one."""
    from fastsgd.spec.overrides import parse_value, split_key

    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, listed = text.partition("=")
        parts = split_key(key.strip()) if equals else None
        if parts is None or not listed.strip():
            raise InputError(f"vary {text!r} is not KEY=V1,V2; write for example step.size=0.01,0.005")
        whole = parse_value(f"[{listed}]")
        inner = parse_value(listed)
        if isinstance(inner, list):
            values = inner
        elif isinstance(whole, list):
            values = whole
        else:
            values = [parse_value(part.strip()) for part in listed.split(",")]
        axes[".".join(parts)] = values
    return axes


def axes_of(spec: Spec, vary: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Key -> values of the spec's [sweep], with those of `vary` in their place or after them.

    Raises:
        InputError: nothing is swept, a list is empty or names a value twice, or a key cannot be swept.
    """
    from fastsgd.spec.load import plain

    axes = {**spec.sweep_axes, **{key: plain(list(values)) for key, values in vary.items()}}
    if not axes:
        raise InputError('nothing is swept; give the spec a [sweep] such as "step.size" = [0.01, 0.005], or --vary')
    lines = []
    for key, values in axes.items():
        if key.partition(".")[0] in ("sweep", "arms"):
            lines.append(f"sweep cannot vary {key}; vary keys of the spec itself")
        if not values:
            lines.append(f"sweep of {key} must have values, got an empty list")
        texts = [_text(value) for value in values]
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            lines.append(f"sweep of {key} names the value {twice} twice; remove one")
    if lines:
        raise InputError(lines)
    return axes


def cells_of(spec: Spec, axes: Mapping[str, Sequence[Any]], independent: bool) -> list[Cell]:
    """The cells of the grid, the last key running fastest; a cell whose spec has problems carries them as `error`.

    Args:
        spec: with its seed set; its own sweep is left out.
        independent: each cell gets a seed of its own, from the seed of `spec` and the cell's values.
    """
    keys = list(axes)
    points = [dict(zip(keys, point, strict=True)) for point in itertools.product(*axes.values())]
    names = _names(keys, points)
    spec = spec.without_sweep()
    return [_cell(spec, values, name, independent) for values, name in zip(points, names, strict=True)]


def _cell(spec: Spec, values: dict[str, Any], name: str, independent: bool) -> Cell:
    changes = dict(values)
    if independent and "seed" not in changes:
        changes["seed"] = own_seed(spec.seed or 0, values)
    try:
        found = spec.with_overrides(changes)
        return Cell(values, name, found, found.identity())
    except SpecError as error:
        return Cell(values, name, None, error="; ".join(error.lines))


def own_seed(seed: int, values: Mapping[str, Any]) -> int:
    """A cell's own 64-bit seed: the first 8 bytes of SHA-256 of the base seed and the cell's values (canonical JSON)."""
    text = json.dumps([seed, dict(values)], sort_keys=True, separators=(",", ":"), default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)  # dates


def _names(keys: Sequence[str], points: Sequence[Mapping[str, Any]]) -> list[str]:
    """A readable stem for each point, such as `size=0.01,batch=8`; different points have different stems."""
    last = [key.rpartition(".")[2] for key in keys]
    short = {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}
    names = [",".join(f"{short[key]}={_word(value)}" for key, value in point.items()) for point in points]
    counted = {name.lower(): 0 for name in names}
    for name in names:
        counted[name.lower()] += 1
    return [
        name if counted[name.lower()] == 1 and len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}~{_hash(point)}"
        for name, point in zip(names, points, strict=True)
    ]


def _word(value: Any) -> str:
    """A value as part of a file name."""
    text = value if isinstance(value, str) else _text(value)
    word = re.sub(r"[^A-Za-z0-9._+-]+", "-", text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        word = word.strip("-.") or "-"
    return word if len(word) <= LONGEST_VALUE else f"{word[: LONGEST_VALUE - 7]}~{_hash(value)}"


def _hash(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:6]


def cost(spec: Spec) -> float:
    """About how dear a cell is, in arbitrary units, to order cells by: replicate-steps times work a step."""
    problem = spec.problem
    dimension = getattr(problem, "dimension", None)
    if not isinstance(dimension, int):
        data = getattr(problem, "data", None)
        generated = getattr(data, "generate", None)
        dimension = getattr(generated, "dimension", None) or 30
        a_step: float = spec.sampling.batch * (dimension + 20)
    else:
        a_step = 10 * dimension + dimension**2 / 4
    return float(spec.replicates) * spec.horizon * max(len(spec.arms or ()), 1) * a_step
