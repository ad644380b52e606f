"""The module's flash memory, kept in one file, or only as long as its object lives.

Every write replaces the file as a whole (temporary file, fsync, rename, fsync of the folder), so power
may be cut at any instant and what is read back is the state before or after that write, nothing between.
What belongs together across several writes is the business of the code above.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec


class FlashUnreadableError(Exception):
    """The state file exists and is not a module's flash."""


class _Image(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    regions: dict[str, bytes]


_FORMAT = 1


class Flash:
    """Named regions of bytes. A region that was never written, or was erased, reads as empty.

    `on_write(n, done)` is called before (False) and after (True) the n-th write of this object, counted
    from 1: where a test cuts the power. Without a path there is no file.
    Raises FlashUnreadableError for a file that is something else.
    """

    def __init__(self, path: Path | None, on_write: Callable[[int, bool], None] | None = None) -> None:
        self._path = path
        self._on_write = on_write or (lambda _count, _done: None)
        self._regions = _load(path) if path else {}
        self.writes = 0

    def read(self, region: str) -> bytes:
        return self._regions.get(region, b"")

    def write(self, region: str, content: bytes) -> None:
        """Replace one region; nothing happens where it already reads so."""
        if self.read(region) == content:
            return
        self.writes += 1
        self._on_write(self.writes, False)
        kept = {name: held for name, held in self._regions.items() if name != region}
        regions = {**kept, region: content} if content else kept
        if self._path is not None:
            _replace(self._path, msgspec.json.encode(_Image(_FORMAT, regions)))
        self._regions = regions
        self._on_write(self.writes, True)

    def erase(self, region: str) -> None:
        self.write(region, b"")


def _load(path: Path) -> dict[str, bytes]:
    try:
        image = msgspec.json.decode(path.read_bytes(), type=_Image)
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as failure:
        raise FlashUnreadableError(f"{path} is not the state of a simulated module") from failure
    if image.format != _FORMAT:
        raise FlashUnreadableError(f"{path} has format {image.format}, this program reads {_FORMAT}")
    return image.regions


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    # The slots hold private keys and passphrases: nobody but the owner reads them.
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
