"""The log of a disk's writes as QEMU's blklogwrites keeps it (the format of Linux' dm-log-writes), and
the disks a power cut can leave.

A write stands in the log when the disk has taken it, not when it is durable: durable is what comes
before a flush that has completed. Of the writes since then a cut keeps any subset, in pieces of a
page. Their order needs no variation: two pieces of different places commute, and of two for the same
place the disk never puts the older over the newer.
"""

import dataclasses
import mmap
import struct

MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
PAGE = 4096


@dataclasses.dataclass(frozen=True)
class Entry:
    """One request: `size` bytes at `offset`; `at` is where its data lies in the log, -1 without data."""
    offset: int
    size: int
    flags: int
    at: int


class Log:
    """A log of writes in a file."""

    def __init__(self, path):
        with open(path, 'rb') as handle:
            self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, _, sector = struct.unpack_from('<QQQI', self._map, 0)
        if (magic, version) != (MAGIC, 1):
            raise ValueError(f'{path} is not a log of writes, or its machine never flushed')
        self.entries = list(self._entries(sector))

    def _entries(self, sector):
        """All that are there completely; the count in the head is that of the last flush."""
        at = sector
        while at + sector <= len(self._map):
            place, count, flags, more = struct.unpack_from('<QQQQ', self._map, at)
            at += sector + more
            if flags & ~(FLUSH | FUA | DISCARD | MARK) or not (count or flags):
                break
            size = 0 if flags & (DISCARD | MARK) else count * sector
            if at + size > len(self._map):
                break
            yield Entry(place * sector, count * sector, flags, at if size else -1)
            at += size

    def data(self, entry):
        return self._map[entry.at:entry.at + entry.size] if entry.at >= 0 else b''

    def apply(self, entry, disk):
        if entry.at >= 0:
            disk[entry.offset:entry.offset + entry.size] = self.data(entry)

    def flushes(self):
        """Positions right after each completed flush."""
        return [i + 1 for i, entry in enumerate(self.entries) if entry.flags & (FLUSH | FUA)]


@dataclasses.dataclass(frozen=True)
class Cut:
    """A power cut after the first `position` entries. `seed` None: all of them are on the disk; else
    it decides which of those after the last flush are. `window`: that many writes before the cut are
    taken for not flushed, whatever was flushed (a disk that lies)."""
    position: int
    seed: int | None = None
    window: int = 0

    def __str__(self):
        kind = 'in order' if self.seed is None else f'subset {self.seed}'
        return f'cut at write {self.position}, {kind}' + (f', window {self.window}' if self.window else '')


def choose(pieces, random):
    """A subset of the pieces that were not flushed, by one of several tempers."""
    temper = random.randrange(6)
    if not pieces:
        return pieces
    if temper == 0:
        return []
    if temper == 1:  # all but one
        lost = random.randrange(len(pieces))
        return pieces[:lost] + pieces[lost + 1:]
    if temper == 2:  # the newest alone
        return pieces[-random.randint(1, min(4, len(pieces))):]
    chance = (0.1, 0.5, 0.9)[temper - 3]
    return [piece for piece in pieces if random.random() < chance]


class Replay:
    """Makes the disks of cuts whose positions do not decrease."""

    def __init__(self, base, log):
        self._log = log
        self._durable = bytearray(base)
        self._next = 0  # first entry that is not in _durable
        self._flush = 0

    def disk(self, cut, random):
        """The content of the disk; `random` serves cuts with a seed."""
        entries = self._log.entries
        limit = cut.position - cut.window
        for i in range(self._flush, cut.position):
            if entries[i].flags & (FLUSH | FUA):
                self._flush = i + 1
        durable = max(self._next, min(self._flush, limit) if cut.window else self._flush)
        for entry in entries[self._next:durable]:
            self._log.apply(entry, self._durable)
        self._next = durable
        pending = entries[durable:cut.position]
        disk = bytearray(self._durable)
        if cut.seed is None:
            for entry in pending:
                self._log.apply(entry, disk)
            return disk
        pieces = [(entry, start) for entry in pending if entry.at >= 0
                  for start in range(0, entry.size, PAGE)]
        for entry, start in choose(pieces, random):
            end = min(start + PAGE, entry.size)
            disk[entry.offset + start:entry.offset + end] = self._log.data(entry)[start:end]
        return disk
