"""A store of many images and objects, made by the product itself: archives of made-up files go to `wherry load`.

Each file has content of its own, longer than what is kept with the metadata, so each is an object.
One layer in eleven is shared by ten images.
"""

import hashlib
import io
import tarfile

from harness import oci

GROUP = 10  # images that share a layer
FILE_BYTES = 1100
PADDED = 1536
DIRECTORY = 100  # files in one


def _template(name, kind, size):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, size, oci.EPOCH
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return bytearray(info.tobuf(tarfile.USTAR_FORMAT))


def _seal(header):
    """Sets the checksum of a header whose name has been changed."""
    header[148:156] = b' ' * 8
    header[148:156] = b'%06o\0 ' % sum(header)
    return bytes(header)


def layer_archive(seed, files):
    """An archive of so many files that no archive of another seed has."""
    out = []
    name_at = len('0000/')
    for directory in range(-(-files // DIRECTORY)):
        head = f'{directory:04}/'
        out.append(_seal(_template(head, tarfile.DIRTYPE, 0)))
        file_header = _template(f'{head}00', tarfile.REGTYPE, FILE_BYTES)
        for number in range(min(DIRECTORY, files - directory * DIRECTORY)):
            file_header[name_at:name_at + 2] = b'%02d' % number
            out.append(_seal(file_header))
            out.append((b'%d %d %d ' % (seed, directory, number)).ljust(FILE_BYTES, b'.').ljust(PADDED, b'\0'))
    out.append(bytes(1024))
    return b''.join(out)


def _image_archive(name, arch, layers):
    """A docker-save archive of one image, in pieces."""
    diff_ids = ['sha256:' + hashlib.sha256(layer).hexdigest() for layer in layers]
    config = oci.to_json({'architecture': arch, 'os': 'linux', 'config': {'Env': [f'IMAGE={name}']},
                          'rootfs': {'type': 'layers', 'diff_ids': diff_ids}})
    paths = [f'{number}.tar' for number in range(len(layers))]
    files = {'config.json': config, 'manifest.json': oci.to_json(
        [{'Config': 'config.json', 'RepoTags': [name], 'Layers': paths}])}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for path, content in {**files, **dict(zip(paths, layers))}.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def image_name(number):
    return f'localhost/scale/{number}:1'


def fill(engine, arch, images, tags, objects, told=lambda done: None):
    """Fills the store of a running engine."""
    files = objects // (images + -(-images // GROUP))
    shared = b''
    for number in range(images):
        if number % GROUP == 0:
            shared = layer_archive(1_000_000 + number, files)
        archive = _image_archive(image_name(number), arch, [shared, layer_archive(number, files)])
        engine.wherry('load', '-q', input=archive, timeout=600).ok()
        told(number + 1)
    for number in range(tags - images):
        engine.wherry('tag', image_name(number % images), f'localhost/scale/{number}:2').ok()
