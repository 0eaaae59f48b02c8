"""Images in the form zstd:chunked, as real versions of skopeo make them."""

import json
import pathlib
import subprocess
import tempfile

from . import debs, oci
from . import registry as registries

# Debian's release -> what its skopeo writes: trixie the present form with tar-split, bookworm the
# old annotations without.
SUITES = {'new': 'trixie', 'old': 'bookworm'}
# What that one does unasked needs a window above the store's limit.
LEVELS = {'new': (), 'old': ('--dest-compress-level', '3')}


def convert(image, kind):
    """The image as skopeo of `kind` pushes it with --dest-compress-format zstd:chunked."""
    server = registries.Registry()
    try:
        with tempfile.TemporaryDirectory(prefix='wherry-chunked.') as scratch:
            oci.save_layout(f'{scratch}/layout', {'latest': image})
            (pathlib.Path(scratch) / 'tmp').mkdir()
            subprocess.run(
                [*debs.tool_of(SUITES[kind], 'skopeo', 'skopeo'), '--insecure-policy',
                 '--tmpdir', f'{scratch}/tmp', 'copy', '-q', '-f', 'oci', '--dest-tls-verify=false',
                 '--dest-compress-format', 'zstd:chunked', *LEVELS[kind], f'oci:{scratch}/layout:latest',
                 f'docker://127.0.0.1:{server.port}/chunked:latest'], check=True, timeout=300)
        return _fetch(server)
    finally:
        server.close()


def _fetch(server):
    client = server.client()
    text = client.get('/v2/chunked/manifests/latest', Accept=oci.OCI['manifest'])
    value = json.loads(text)

    def blob(descriptor, diff_id=''):
        return oci.Blob(descriptor['mediaType'],
                        client.get(f'/v2/chunked/blobs/{descriptor["digest"]}'), diff_id)

    config = blob(value['config'])
    diff_ids = json.loads(config.data)['rootfs']['diff_ids']
    layers = [blob(*pair) for pair in zip(value['layers'], diff_ids)]
    return oci.Blob(value['mediaType'], text, parts=(config, *layers))


def annotations(image, layer=0):
    """The annotations of a layer in the image's manifest."""
    return json.loads(image.data)['layers'][layer].get('annotations', {})


def _position(image, name):
    """The numbers of an annotation of the image's one layer."""
    for key, value in annotations(image).items():
        if key.endswith(name):
            return [int(number) for number in value.split(':')]
    raise KeyError(name)


def _zstd(option, data):
    return subprocess.run(['zstd', '-q', '-c', option], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def part(image, name):
    """The compressed bytes of "manifest" (the table of contents) or "tarsplit"."""
    offset, size = _position(image, f'{name}-position')[:2]
    return image.parts[1].data[offset:offset + size]


def toc(image):
    """The table of contents as a value."""
    return json.loads(_zstd('-d', part(image, 'manifest')))


def split_lines(image):
    """The lines of the tar-split."""
    return _zstd('-d', part(image, 'tarsplit')).splitlines()


def annotate(image, **changed):
    """The image with other annotations, named by their last part."""
    value = json.loads(image.data)
    notes = value['layers'][0]['annotations']
    for name in list(notes):
        key = name.rsplit('.', 1)[1].replace('-', '_')
        notes[name] = changed.get(key, notes[name])
    return oci.Blob(image.media_type, oci.to_json(value), parts=image.parts)


def rewrite(image, toc_text=None, split_text=None):
    """The image with another table of contents or tar-split; the archive in it stays the same."""
    texts = [_zstd('-d', part(image, 'manifest')) if toc_text is None else toc_text,
             _zstd('-d', part(image, 'tarsplit')) if split_text is None else split_text]
    blob = image.parts[1].data[:_position(image, 'manifest-position')[0] - 8]
    places, packed = [], [_zstd('-3', text) for text in texts]
    for text, data in zip(texts, packed):
        blob += b'\x50\x2a\x4d\x18' + len(data).to_bytes(4, 'little')
        places.append(f'{len(blob)}:{len(data)}:{len(text)}')
        blob += data
    changed = annotate(image, manifest_position=places[0] + ':1', tarsplit_position=places[1],
                       manifest_checksum=oci.digest_of(packed[0]))
    layer = oci.Blob(image.parts[1].media_type, blob, image.parts[1].diff_id)
    value = json.loads(changed.data)
    value['layers'][0].update(digest=layer.digest, size=layer.size)
    return oci.Blob(image.media_type, oci.to_json(value), parts=(image.parts[0], layer))
