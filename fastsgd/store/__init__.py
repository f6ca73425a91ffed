"""The run file: one HDF5 file a run, safe against kills, one writer, any readers."""

from fastsgd.store.creation import create
from fastsgd.store.format import FORMAT_VERSION, Node, Progress
from fastsgd.store.reader import Run, open_run
from fastsgd.store.slots import Checkpoint
from fastsgd.store.writer import RunWriter, open_writer

__all__ = ["FORMAT_VERSION", "Checkpoint", "Node", "Progress", "Run", "RunWriter", "create", "open_run", "open_writer"]
