"""Deltas between layers in the tar-diff format, made simply, and the documents that offer them."""

import io
import json
import os.path
import pathlib
import tarfile

from . import oci

DATA, OPEN, COPY, ADD, SEEK = range(5)

CONFIG = oci.Blob('application/vnd.redhat.delta.config.v1+json', b'{}')
DELTA = 'application/vnd.tar-diff'
PREFIX = 'io.github.containers.delta.'


def varint(value):
    out = b''
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def op(code, data):
    """One operation: `data` are its bytes, or the number it has in place of any."""
    if isinstance(data, int):
        return bytes([code]) + varint(data)
    return bytes([code]) + varint(len(data)) + data


def stream(*ops):
    return b'tardf1\n\0' + oci.compress(b''.join(ops), 'zstd')


def _files(tar):
    """Name -> (where its content begins, content) of the regular files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name: (member.offset_data, tar[member.offset_data:][:member.size])
                for member in archive if member.isreg() and member.size}


def between(old, new):
    """Copies what changed files have in common at their beginning and end."""
    known, ops, done = _files(old), [], 0
    for name, (offset, content) in _files(new).items():
        before = known.get(name, (0, b''))[1]
        head = len(os.path.commonprefix([before, content]))
        tail = len(os.path.commonprefix([before[head:][::-1], content[head:][::-1]]))
        ops += [op(DATA, new[done:offset]), op(OPEN, name.encode()), op(COPY, head),
                op(DATA, content[head:len(content) - tail]), op(SEEK, len(before) - tail),
                op(COPY, tail)] if before else []
        done = offset + len(content) if before else done
    return stream(*ops, op(DATA, new[done:]))


def manifest(target, deltas, **more):
    """The delta manifest for an image manifest: (from digest, to digest, delta) each; `more`: its other members."""
    blobs = [oci.Blob(DELTA, data) for _, _, data in deltas]
    layers = [blob.descriptor(annotations={PREFIX + 'from': from_, PREFIX + 'to': to})
              for (from_, to, _), blob in zip(deltas, blobs)]
    value = {'schemaVersion': 2, 'mediaType': oci.OCI['manifest'], 'config': CONFIG.descriptor(),
             'layers': layers, 'annotations': {PREFIX + 'target': target.digest}, **more}
    return oci.Blob(oci.OCI['manifest'], oci.to_json(value), parts=(CONFIG, *blobs))


def index(*entries):
    """What has the tag _deltaindex: (image manifest, its delta manifest) each."""
    value = {'schemaVersion': 2, 'mediaType': oci.OCI['index'],
             'manifests': [blob.descriptor(annotations={PREFIX + 'target': target.digest})
                           for target, blob in entries]}
    return oci.Blob(oci.OCI['index'], oci.to_json(value), parts=tuple(blob for _, blob in entries))


def referrers(*manifests):
    """A list of referrers, as registries give it: with the annotations of the manifests."""
    entries = [blob.descriptor(artifactType=CONFIG.media_type,
                               annotations=json.loads(blob.data).get('annotations', {})) for blob in manifests]
    return oci.Blob(oci.OCI['index'], oci.to_json(
        {'schemaVersion': 2, 'mediaType': oci.OCI['index'], 'manifests': entries}), parts=manifests)


def load(directory):
    """The index in a layout that `wherry delta create` has written."""
    directory = pathlib.Path(directory)

    def read(descriptor):
        data = (directory / 'blobs/sha256' / descriptor['digest'].split(':')[1]).read_bytes()
        below = []
        if descriptor['mediaType'] in (oci.OCI['index'], oci.OCI['manifest']):
            value = json.loads(data)
            below = value.get('manifests') or [value['config'], *value['layers']]
        return oci.Blob(descriptor['mediaType'], data, parts=tuple(read(part) for part in below))

    listed, = json.loads((directory / 'index.json').read_bytes())['manifests']
    assert listed['annotations'] == {'org.opencontainers.image.ref.name': '_deltaindex'}
    return read(listed)
