"""A spool's file: records appended, synced and read back, by proto/SPOOL.md.

Belongs to one thread, the sender's. It knows messages as lists of frames and nothing of what is in
them: `spool` decides what is kept, and `window` what rows are kept as.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Optional

MAGIC = b"RICHSPL\x01"
_HEAD = struct.Struct("<IIQ")
_CHECKED = struct.Struct("<Q")
#: A message has frames of at most 64 MiB, and rarely more than one of them.
PAYLOAD_MAX = 256 << 20
#: Of a message: 64 layers with three frames each, and three that they share.
FRAMES_MAX = 195
#: Buffers that one system call takes.
_IOV_MAX = 512
#: Of the file system a twentieth is left to others, or 1 GiB where that is less.
_FREE_PART = 20
_FREE_BYTES = 1 << 30

#: Device and inode of the files that this process has locked. A POSIX lock is the process's: it
#: would be given once more for a second descriptor, and be dropped when that is closed.
_ours: set[tuple[int, int]] = set()


class DamagedError(ValueError):
    """The file is none of this version; the text says what it is."""


class SpoolFile:
    """Records behind each other; the lock on the file says that its writer lives."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._sequence = 0
        self.size_bytes = 0  # of whole records

    @classmethod
    def create(cls, path: str) -> SpoolFile:
        """A new file, locked. Raises OSError; FileExistsError where there is one."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        file = cls(path, os.open(path, flags, 0o600))
        try:
            file._lock()
            file._write([MAGIC])
        except OSError:
            file.remove()
            raise
        return file

    @classmethod
    def open(cls, path: str) -> SpoolFile:
        """One that is there, locked, to be read and added to behind its last whole record.

        Raises BlockingIOError while its writer lives, DamagedError, or OSError.
        """
        if _key(os.stat(path)) in _ours:
            raise BlockingIOError(errno.EAGAIN, "a run of this process has it", path)
        file = cls(path, os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))
        try:
            file._lock()
            if os.pread(file._descriptor, len(MAGIC), 0) != MAGIC:
                raise DamagedError(f"{path} is no spool of this version")
            file.size_bytes = len(MAGIC)
            for _, end in file.records():
                file._sequence += 1
                file.size_bytes = end
        except (OSError, DamagedError):
            file.close()
            raise
        return file

    def _lock(self) -> None:
        """A POSIX lock: a forked child does not hold it on when this process is dead."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _ours.add(_key(os.fstat(self._descriptor)))

    def append(self, frames: Sequence[Any]) -> None:
        """Add one message. Raises OSError, and the file is as it was before."""
        views = [memoryview(frame).cast("B") for frame in frames]
        lengths = struct.pack(f"<{len(views) + 1}I", len(views), *(v.nbytes for v in views))
        checked = _CHECKED.pack(self._sequence + 1)
        sum_ = zlib.crc32(lengths, zlib.crc32(checked))
        for view in views:
            sum_ = zlib.crc32(view, sum_)
        n_bytes = len(lengths) + sum(view.nbytes for view in views)
        self._write([_HEAD.pack(n_bytes, sum_, self._sequence + 1), lengths, *views])
        self._sequence += 1

    def _write(self, parts: Sequence[Any]) -> None:
        waiting = [memoryview(part) for part in parts if len(part)]
        at = self.size_bytes
        try:
            while waiting:
                written = os.pwritev(self._descriptor, waiting[:_IOV_MAX], at)
                at += written
                while waiting and written >= waiting[0].nbytes:
                    written -= waiting.pop(0).nbytes
                if written:
                    waiting[0] = waiting[0][written:]
        except OSError:
            os.ftruncate(self._descriptor, self.size_bytes)
            raise
        self.size_bytes = at

    def sync(self) -> None:
        """All that was appended is on the disk. Raises OSError."""
        os.fdatasync(self._descriptor)

    def records(self, start: Optional[int] = None) -> Iterator[tuple[list[bytes], int]]:
        """From the first record, or one that begins at `start`: frames, and where it ends."""
        at = len(MAGIC) if start is None else start
        sequence: Optional[int] = 1 if start is None else None
        while True:
            record = self._read(at, sequence)
            if record is None:
                return
            frames, at, sequence = record
            yield frames, at
            sequence += 1

    def _read(self, at: int, sequence: Optional[int]) -> Optional[tuple[list[bytes], int, int]]:
        """The record there, its end and its sequence; None where the file ends, or is damaged."""
        head = os.pread(self._descriptor, _HEAD.size, at)
        if len(head) < _HEAD.size:
            return None
        n_bytes, sum_, found = _HEAD.unpack(head)
        n_left = os.fstat(self._descriptor).st_size - at - _HEAD.size
        if n_bytes > min(n_left, PAYLOAD_MAX) or sequence not in (None, found):
            return None
        payload = os.pread(self._descriptor, n_bytes, at + _HEAD.size)
        if len(payload) < n_bytes or zlib.crc32(payload, zlib.crc32(_CHECKED.pack(found))) != sum_:
            return None
        frames = _frames_of(payload)
        return None if frames is None else (frames, at + _HEAD.size + n_bytes, found)

    def remove(self) -> None:
        """The file has served. Raises OSError when it stays; it is let go of all the same."""
        try:
            os.unlink(self.path)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of it; it stays."""
        _ours.discard(_key(os.fstat(self._descriptor)))
        os.close(self._descriptor)

    @property
    def damaged_bytes(self) -> int:
        """What is in the file behind its last whole record; 0 for a record that was torn there."""
        n_bytes = os.fstat(self._descriptor).st_size - self.size_bytes
        head = os.pread(self._descriptor, _HEAD.size, self.size_bytes)
        if len(head) < _HEAD.size:
            return 0
        payload_bytes, _, sequence = _HEAD.unpack(head)
        began_well = sequence == self._sequence + 1 and payload_bytes <= PAYLOAD_MAX
        return 0 if began_well and n_bytes < _HEAD.size + payload_bytes else n_bytes

    def has_room(self, size_bytes: int) -> bool:
        """Whether the file system has so much to spare."""
        disk = os.fstatvfs(self._descriptor)
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        return not total or free - size_bytes >= min(total // _FREE_PART, _FREE_BYTES)


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _frames_of(payload: bytes) -> Optional[list[bytes]]:
    """The frames of a payload; None where their lengths are not its own."""
    if len(payload) < 4:
        return None
    (n,) = struct.unpack_from("<I", payload)
    at = 4 * (n + 1)
    if not 0 < n <= FRAMES_MAX or at > len(payload):
        return None
    frames = []
    for length in struct.unpack_from(f"<{n}I", payload, 4):
        frames.append(payload[at : at + length])
        at += length
    return frames if at == len(payload) else None
