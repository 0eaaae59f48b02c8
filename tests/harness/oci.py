"""Images as data: layers, configurations, manifests and indexes, in OCI and in Docker's form."""

import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

EPOCH = 1700000000  # the time of everything in our images

OCI = {
    'config': 'application/vnd.oci.image.config.v1+json',
    'manifest': 'application/vnd.oci.image.manifest.v1+json',
    'index': 'application/vnd.oci.image.index.v1+json',
    'none': 'application/vnd.oci.image.layer.v1.tar',
    'gzip': 'application/vnd.oci.image.layer.v1.tar+gzip',
    'zstd': 'application/vnd.oci.image.layer.v1.tar+zstd',
}
DOCKER = {
    'config': 'application/vnd.docker.container.image.v1+json',
    'manifest': 'application/vnd.docker.distribution.manifest.v2+json',
    'index': 'application/vnd.docker.distribution.manifest.list.v2+json',
    'none': 'application/vnd.docker.image.rootfs.diff.tar',
    'gzip': 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    'zstd': 'application/vnd.docker.image.rootfs.diff.tar.zstd',
}


def digest_of(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def to_json(value):
    return json.dumps(value, sort_keys=True, separators=(',', ':')).encode()


@dataclasses.dataclass
class Blob:
    """Bytes with a media type. `diff_id` for layers; `parts` are the blobs it refers to."""
    media_type: str
    data: bytes
    diff_id: str = ''
    parts: tuple = ()

    def __post_init__(self):
        self.digest = digest_of(self.data)
        self.size = len(self.data)

    def descriptor(self, **more):
        return {'mediaType': self.media_type, 'digest': self.digest, 'size': self.size, **more}

    def all(self):
        """This blob and everything below it, parts first."""
        for part in self.parts:
            yield from part.all()
        yield self

    @property
    def is_manifest(self):
        return self.media_type in (OCI['manifest'], OCI['index'], DOCKER['manifest'],
                                   DOCKER['index'])


def compress(data, compression):
    """Compresses the same input to the same output every time."""
    if compression == 'none':
        return data
    if compression == 'gzip':
        return gzip.compress(data, 6, mtime=0)
    return subprocess.run(['zstd', '-q', '-c', '-10', '-T1'], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def layer(tar, compression='gzip', types=None):
    """A layer blob of an uncompressed tar archive."""
    return Blob((types or OCI)[compression], compress(tar, compression), digest_of(tar))


# Debian's names that the image specification has not, or that go with a variant.
PLATFORMS = {'arm64': ('arm64', 'v8'), 'armhf': ('arm', 'v7')}


def config(layers, arch='amd64', types=None, variant=None, **options):
    """The image configuration; `options` are fields of its "config" object (Cmd, Env, ...)."""
    arch, usual_variant = PLATFORMS.get(arch, (arch, None))
    variant = variant or usual_variant
    value = {
        'architecture': arch, 'os': 'linux', 'created': '2023-11-14T22:13:20Z',
        'config': {'Env': ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
                   **options},
        'rootfs': {'type': 'layers', 'diff_ids': [part.diff_id for part in layers]},
        'history': [{'created': '2023-11-14T22:13:20Z', 'created_by': 'tests/images'}
                    for _ in layers],
    }
    if variant:
        value['variant'] = variant
    return Blob((types or OCI)['config'], to_json(value))


def manifest(config_blob, layers, types=None):
    types = types or OCI
    value = {'schemaVersion': 2, 'mediaType': types['manifest'],
             'config': config_blob.descriptor(),
             'layers': [part.descriptor() for part in layers]}
    return Blob(types['manifest'], to_json(value), parts=(config_blob, *layers))


def image(layers, arch='amd64', types=None, **options):
    """A whole single-platform image: its manifest with all parts."""
    return manifest(config(layers, arch, types, **options), layers, types)


def platform(arch, variant=None):
    arch, usual_variant = PLATFORMS.get(arch, (arch, None))
    value = {'architecture': arch, 'os': 'linux'}
    if variant or usual_variant:
        value['variant'] = variant or usual_variant
    return value


def index(entries, types=None):
    """An index of (manifest, platform object) pairs."""
    types = types or OCI
    value = {'schemaVersion': 2, 'mediaType': types['index'],
             'manifests': [blob.descriptor(platform=place) for blob, place in entries]}
    return Blob(types['index'], to_json(value), parts=tuple(blob for blob, _ in entries))


# Tar archives

def entry(name, kind=tarfile.REGTYPE, data=b'', **fields):
    """A tar member with its content; `fields` are attributes of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o777 if kind == tarfile.SYMTYPE else 0o644
    info.mtime = EPOCH
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(entries, form=tarfile.PAX_FORMAT):
    """An archive with exactly these entries, in this order, names unchanged."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=form) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data) if info.size else None)
    return out.getvalue()


def tar_of_tree(root, skip=()):
    """A reproducible archive of a directory: sorted, fixed times, numeric owners."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT) as archive:
        inodes = {}
        for path in sorted(pathlib.Path(root).rglob('*')):
            name = str(path.relative_to(root))
            if name in skip:
                continue
            info = archive.gettarinfo(path, name)
            status = path.lstat()
            info.uname = info.gname = ''
            info.mtime = min(int(info.mtime), EPOCH)
            if info.islnk() or (status.st_nlink > 1 and info.isreg()):
                first = inodes.setdefault(status.st_ino, name)
                info.type = tarfile.REGTYPE if first == name else tarfile.LNKTYPE
                info.linkname = '' if first == name else first
                info.size = status.st_size if first == name else 0
            if info.isreg():
                with open(path, 'rb') as handle:
                    archive.addfile(info, handle)
            else:
                archive.addfile(info)
    return out.getvalue()


# OCI layouts on disk

def save_layout(directory, images):
    """Writes name -> Blob as an OCI layout."""
    directory = pathlib.Path(directory)
    blobs = directory / 'blobs/sha256'
    blobs.mkdir(parents=True)
    (directory / 'oci-layout').write_text('{"imageLayoutVersion":"1.0.0"}', encoding='utf-8')
    listed = []
    for name, top in images.items():
        for blob in top.all():
            target = blobs / blob.digest.split(':')[1]
            if not target.exists():
                target.write_bytes(blob.data)
        listed.append(top.descriptor(annotations={'org.opencontainers.image.ref.name': name}))
    value = {'schemaVersion': 2, 'mediaType': OCI['index'], 'manifests': listed}
    (directory / 'index.json').write_bytes(to_json(value))


def load_layout(directory):
    """Reads an OCI layout back as name -> Blob."""
    directory = pathlib.Path(directory)
    known = {}

    def load(descriptor, diff_id=''):
        key = descriptor['digest']
        if key not in known:
            data = (directory / 'blobs/sha256' / key.split(':')[1]).read_bytes()
            blob = Blob(descriptor['mediaType'], data, diff_id)
            if blob.is_manifest:
                blob.parts = tuple(_parts(json.loads(data), load))
            known[key] = blob
        return known[key]

    listed = json.loads((directory / 'index.json').read_bytes())['manifests']
    return {item['annotations']['org.opencontainers.image.ref.name']: load(item)
            for item in listed}


def _parts(value, load):
    if 'manifests' in value:
        for item in value['manifests']:
            yield load(item)
        return
    config_blob = load(value['config'])
    yield config_blob
    diff_ids = json.loads(config_blob.data)['rootfs']['diff_ids']
    for item, diff_id in zip(value['layers'], diff_ids):
        yield load(item, diff_id)


def convert(top, types, compression=None):
    """The same image in another manifest format or with its layers compressed differently."""
    if top.media_type in (OCI['index'], DOCKER['index']):
        places = [item['platform'] for item in json.loads(top.data)['manifests']]
        return index([(convert(part, types, compression), place)
                      for part, place in zip(top.parts, places)], types)
    old_config, *layers = top.parts
    changed = [layer(_plain(part), compression or _compression(part), types) for part in layers]
    return manifest(Blob(types['config'], old_config.data), changed, types)


def _compression(blob):
    for name in ('gzip', 'zstd'):
        if blob.media_type.endswith(name):
            return name
    return 'none'


def _plain(blob):
    kind = _compression(blob)
    if kind == 'gzip':
        return gzip.decompress(blob.data)
    if kind == 'zstd':
        return subprocess.run(['zstd', '-q', '-d', '-c'], input=blob.data, check=True,
                              stdout=subprocess.PIPE).stdout
    return blob.data
