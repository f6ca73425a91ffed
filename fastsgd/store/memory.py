"""A file in memory that keeps only the pages written to."""

import io
from typing import Any

from fastsgd.store.format import PAGE


class SparseFile(io.RawIOBase):
    """What HDF5 builds a structure in: gigabytes of reserved data cost nothing, and no write of it can fail.

    A failing write inside HDF5 leaves objects that crash the interpreter at its end, so HDF5 never writes to a disk.

    Attributes:
        pages: page number -> its bytes. size: length of the file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[int, bytearray] = {}
        self.size = 0
        self._place = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def truncate(self, size: int | None = None) -> int:
        self.size = self._place if size is None else size
        for page in [page for page in self.pages if page * PAGE >= self.size]:
            del self.pages[page]
        if self.size % PAGE and self.size // PAGE in self.pages:
            self.pages[self.size // PAGE][self.size % PAGE :] = bytes(PAGE - self.size % PAGE)
        return self.size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._place))
        for page, start, stop, at in self._parts(count):
            view[at : at + stop - start] = self.pages.get(page, bytes(PAGE))[start:stop]
        self._place += count
        return count

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for page, start, stop, at in self._parts(len(view)):
            self.pages.setdefault(page, bytearray(PAGE))[start:stop] = view[at : at + stop - start]
        self._place += len(view)
        self.size = max(self.size, self._place)
        return len(view)

    def _parts(self, count: int) -> list[tuple[int, int, int, int]]:
        """(page, first byte in it, last, place in the buffer) of the next `count` bytes."""
        parts, at = [], 0
        while at < count:
            page, start = divmod(self._place + at, PAGE)
            stop = min(PAGE, start + count - at)
            parts.append((page, start, stop, at))
            at += stop - start
        return parts
