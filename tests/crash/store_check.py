"""Reads a store by its description (docs/store.md), independent of the product, and says what is wrong."""

import dataclasses
import hashlib
import json
import os
import pathlib
import stat
import struct
import zlib

PRIVATE = ('VERSION', 'LOCK', 'clean', 'factory-damage', 'obj', 'layer', 'tree', 'img', 'refs', 'txn', 'resume', 'quarantine')
RESUME = ('headers', 'objects', 'part', *(f'checkpoint.{slot}' for slot in range(4)))


class Damage(Exception):
    """Something does not read back as it must."""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@dataclasses.dataclass
class State:
    """What a store says it has, and what is wrong with it."""
    images: dict = dataclasses.field(default_factory=dict)   # manifest digest (hex) -> diffIDs
    refs: dict = dataclasses.field(default_factory=dict)     # name -> manifest digest (hex)
    prints: dict = dataclasses.field(default_factory=dict)   # derived file -> what it contains
    problems: list = dataclasses.field(default_factory=list)


class Bytes:
    """A reader of numbers."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def var(self):
        value = shift = 0
        while True:
            if self.at >= len(self.data):
                raise Damage('ends in the middle of a number')
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Damage('ends too early')
        self.at += count
        return self.data[self.at - count:self.at]


def read_checked(path, kind):
    """The body of a file that begins with its kind and checksum."""
    head, _, body = path.read_bytes().partition(b'\n')
    if head.decode(errors='replace') != f'{kind} 1 sha256:{sha256(body)}':
        raise Damage(f'{path.name}: the checksum is wrong')
    return body


def read_record(path):
    """The diffIDs of a commit record."""
    body = read_checked(path, 'wherry-image')
    head, _, rest = body.partition(b'\n\n')
    pairs = [line.split(' ', 1) for line in head.decode().splitlines()]
    sizes = {key: int(value) for key, value in pairs if key in ('manifest', 'config')}
    if len(rest) != sum(sizes.values()) or sha256(rest[:sizes['manifest']]) != path.name:
        raise Damage(f'record {path.name}: its manifest is another one')
    config = json.loads(rest[sizes['manifest']:])
    layers = [value.split()[0].removeprefix('sha256:') for key, value in pairs if key == 'layer']
    if config['rootfs']['diff_ids'] != ['sha256:' + layer for layer in layers]:
        raise Damage(f'record {path.name}: its layers are not those of the configuration')
    return layers


def read_index(path):
    """The (digest, size) of all objects of a layer."""
    data = path.read_bytes()
    body, end = data[:-32], data[-32:]
    if body[:8] != b'wherryL1' or hashlib.sha256(body).digest() != end or body[8:40].hex() != path.stem:
        raise Damage(f'{path.name}: damaged')
    count = struct.unpack_from('<I', body, 52)[0]
    return [(body[at:at + 32].hex(), struct.unpack_from('<Q', body, at + 32)[0])
            for at in range(56, 56 + 40 * count, 40)]


def chain_id(layers):
    chain = layers[0]
    for layer in layers[1:]:
        chain = sha256(f'sha256:{chain} sha256:{layer}'.encode())
    return chain


def fingerprint(root):
    """A digest of a directory's names, metadata and contents.

    Not of its own time: no container sees it, and f2fs changes it when the directory moves.
    """
    lines = []
    for path in [root, *sorted(root.rglob('*'))]:
        info = path.lstat()
        content = ''
        if stat.S_ISREG(info.st_mode):
            content = sha256(path.read_bytes())
        elif stat.S_ISLNK(info.st_mode):
            content = os.readlink(path)
        time = 0 if path == root else info.st_mtime_ns // 1000000000
        size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
        lines.append(f'{path.relative_to(root)} {info.st_mode:o} {info.st_uid} {info.st_gid} '
                     f'{time} {size} {info.st_rdev} {content}')
    return sha256('\n'.join(lines).encode())


class Checker:
    """Checks one store; `known` remembers what derived files contained when they were surely whole."""

    def __init__(self, store, known=None):
        self._store = pathlib.Path(store)
        self._known = known or {}
        self._objects = {}
        self.state = State()

    def _wrong(self, text):
        self.state.problems.append(text)

    def _names(self, directory):
        path = self._store / directory
        return sorted(os.listdir(path)) if path.is_dir() else []

    def run(self):
        """The state of the store while nothing is going on in it."""
        try:
            self._records()
            needed = self._layers()
            self._leftovers(needed)
        except (Damage, OSError, ValueError, KeyError, IndexError, zlib.error, struct.error) as error:
            self._wrong(f'{type(error).__name__}: {error}')
        return self.state

    def _records(self):
        for name in self._names('img'):
            self.state.images[name] = read_record(self._store / 'img' / name)
        refs = self._store / 'refs'
        if refs.exists():
            for line in read_checked(refs, 'wherry-refs').decode().splitlines():
                digest, name = line.split(' ', 1)
                self.state.refs[name] = digest.removeprefix('sha256:')
        for name, digest in self.state.refs.items():
            if digest not in self.state.images:
                self._wrong(f'the name {name} leads to an image that is not there')

    def _layers(self):
        """Checks every needed layer; returns the names of the objects they have."""
        needed = set()
        for layer in sorted({layer for layers in self.state.images.values() for layer in layers}):
            objects = read_index(self._store / 'layer' / f'{layer}.idx')
            for digest, size in objects:
                self._object(digest, size)
            needed.update(digest for digest, _ in objects)
            archive = self._archive(layer, objects)
            if archive != layer:
                self._wrong(f'layer {layer} reads back as {archive}')
        return needed

    def _object(self, digest, size):
        if digest not in self._objects:
            path = self._store / 'obj' / digest[:1] / digest[1:]
            data = path.read_bytes() if path.is_file() else None
            if data is None:
                self._wrong(f'object {digest} is missing')
            elif len(data) != size or sha256(data) != digest:
                self._wrong(f'object {digest} has {len(data)} bytes of other content, not its {size}')
            self._objects[digest] = data or b''

    def _archive(self, layer, objects):
        """The digest of the archive of a layer, put together again."""
        packed = (self._store / 'layer' / f'{layer}.tar').read_bytes()
        parts = Bytes(zlib.decompress(packed, 31))
        hasher = hashlib.sha256()
        while parts.at < len(parts.data):
            head = parts.var()
            if head & 1 == 0:
                hasher.update(parts.take(head >> 1))
            else:
                offset, size = parts.var(), parts.var()
                hasher.update(self._objects[objects[head >> 1][0]][offset:offset + size])
        return hasher.hexdigest()

    def _leftovers(self, needed):
        """Whatever no image needs must be gone, and what is derived must be what it was."""
        layers = {layer for layers in self.state.images.values() for layer in layers}
        chains = {chain_id(layers) for layers in self.state.images.values() if layers}
        for name in self._names('layer'):
            stem, _, kind = name.partition('.')
            if stem not in (chains if kind == 'erofs' else layers if kind in ('idx', 'tar') else ()):
                self._wrong(f'garbage: layer/{name}')
            elif kind == 'erofs':
                self._same(f'layer/{name}', sha256((self._store / 'layer' / name).read_bytes()))
        for name in self._names('tree'):
            if name not in layers:
                self._wrong(f'garbage: tree/{name}')
            else:
                self._same(f'tree/{name}', fingerprint(self._store / 'tree' / name))
        needed = needed | self._interrupted(layers)
        for group in self._names('obj'):
            for name in self._names(f'obj/{group}'):
                if group + name not in needed:
                    self._wrong(f'garbage: obj/{group}/{name}')
        for name in self._names('txn'):
            self._wrong(f'garbage: txn/{name}')
        for name in self._names('quarantine'):
            self._wrong(f'set aside as damaged: {name}')
        for name in self._names('.'):
            if name not in PRIVATE:
                self._wrong(f'garbage: {name}')

    def _interrupted(self, layers):
        """The objects that interrupted pulls have logged; they may be damaged, but not stay for complete layers."""
        objects = set()
        for layer in self._names('resume'):
            if layer in layers:
                self._wrong(f'garbage: resume/{layer}')
            for attempt in self._names(f'resume/{layer}'):
                for name in self._names(f'resume/{layer}/{attempt}'):
                    if name not in RESUME:
                        self._wrong(f'garbage: resume/{layer}/{attempt}/{name}')
                log = self._store / 'resume' / layer / attempt / 'objects'
                data = log.read_bytes() if log.is_file() else b''
                objects.update(data[at:at + 32].hex() for at in range(0, len(data) - 39, 40))
        return objects

    def _same(self, name, content):
        self.state.prints[name] = content
        if self._known.get(name, content) != content:
            self._wrong(f'{name} is not what it was when the image was committed')


def check(store, known=None):
    return Checker(store, known).run()
