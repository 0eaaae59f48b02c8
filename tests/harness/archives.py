"""Archives of images as files: Docker's, old and new, and OCI layouts."""

import json

from . import oci


def pack(files):
    """A tar archive of name -> content; a text is the target of a symbolic link."""
    entries = []
    for name, content in files.items():
        if isinstance(content, str):
            entries.append(oci.entry(name, oci.tarfile.SYMTYPE, linkname=content))
        else:
            entries.append(oci.entry(name, data=content))
    return oci.tar(entries)


def path_of(blob):
    return 'blobs/' + blob.digest.replace(':', '/')


def docker_file(*images):
    """The content of manifest.json of (config path, tags, layer paths)."""
    return oci.to_json([{'Config': config, 'RepoTags': tags, 'Layers': layers}
                        for config, tags, layers in images])


def docker_files(image, tags, first=False):
    """The files of an archive as Docker 20 and podman write it; `first`: manifest.json is."""
    config, *layers = image.parts
    name = config.digest[7:] + '.json'
    paths = [f'{layer.diff_id[7:]}.tar' for layer in layers]
    top = {'manifest.json': docker_file((name, tags, paths))}
    files = {path: oci._plain(layer) for path, layer in zip(paths, layers)}
    files[name] = config.data
    return {**top, **files} if first else {**files, **top}


def old_docker_files(image, tags):
    """As Docker wrote it for years: a directory per layer, layers of equal content as links."""
    config, *layers = image.parts
    files, paths, seen = {}, [], {}
    for number, layer in enumerate(layers):
        name = f'{number:064x}'
        files[f'{name}/VERSION'] = b'1.0'
        files[f'{name}/json'] = oci.to_json({'id': name})
        first = seen.setdefault(layer.diff_id, name)
        files[f'{name}/layer.tar'] = \
            oci._plain(layer) if first == name else f'../{first}/layer.tar'
        paths.append(f'{name}/layer.tar')
    files[config.digest[7:] + '.json'] = config.data
    files['manifest.json'] = docker_file((config.digest[7:] + '.json', tags, paths))
    files['repositories'] = b'{}'
    return files


def layout_files(*images, first=False):
    """The files of an OCI layout of (image or index, annotations)."""
    files = {'oci-layout': b'{"imageLayoutVersion":"1.0.0"}'}
    for image, _ in images:
        files.update({path_of(blob): blob.data for blob in image.all()})
    listed = [image.descriptor(annotations=notes) if notes else image.descriptor()
              for image, notes in images]
    index = {'index.json': json.dumps({'schemaVersion': 2, 'manifests': listed}).encode()}
    return {**index, **files} if first else {**files, **index}
