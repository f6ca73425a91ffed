"""The paper as a catalogue of experiments: one file, one entry, from spec to verdict. README.md says how to add one."""

from fastsgd.experiments.base import Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.registry import entries, entry, names
from fastsgd.experiments.runner import Reproduction, reproduce

__all__ = ["Case", "Control", "Drawn", "Entry", "Part", "Reproduction", "Row", "entries", "entry", "names", "reproduce"]
