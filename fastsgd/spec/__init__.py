"""What to run: `load_spec` makes a checked, frozen `Spec` from a TOML file or from tables."""

from fastsgd.spec.files import STORED
from fastsgd.spec.load import load_spec
from fastsgd.spec.model import Spec

__all__ = ["STORED", "Spec", "load_spec"]
