"""Archives of all forms, and bad ones: one clear error each, and nothing is left behind."""

import json
import os
import random
import re
import socket
import subprocess

import pytest

from harness import archives, oci
from harness.archives import docker_file, docker_files, layout_files, old_docker_files, pack
from outcome import assert_clean, one_clear_error

pytestmark = pytest.mark.machines('host')

NAME = 'archive.test/thing:1'
REF = 'org.opencontainers.image.ref.name'
FULL = 'io.containerd.image.name'


def tar_of(name, size=3000):
    return oci.tar([oci.entry(name, data=random.Random(name).randbytes(size))])


def make_image(compression='none', names=('a', 'b'), arch='amd64', size=3000):
    return oci.image([oci.layer(tar_of(name, size), compression) for name in names], arch)


def loaded(engine, files, pattern=f'Loaded image: {NAME}\n'):
    """Loads an archive of these files; returns the details of its one image."""
    data = files if isinstance(files, bytes) else pack(files)
    out = engine.wherry('load', input=data).ok().out
    assert re.fullmatch(pattern, out), out
    return engine.inspect(NAME if NAME in out else out.split(': ')[1].strip())


def expect(detail, image):
    config, *layers = image.parts
    assert detail['Id'] == config.digest
    assert detail['RootFS']['Layers'] == [layer.diff_id for layer in layers]


# Forms

@pytest.mark.parametrize('first', [False, True])
def test_docker_archive(fresh_engine, first):
    image = make_image()
    expect(loaded(fresh_engine, docker_files(image, [NAME], first)), image)


def test_old_docker_archive_with_linked_layers(fresh_engine):
    image = make_image(names=('a', 'b', 'a'))
    expect(loaded(fresh_engine, old_docker_files(image, [NAME])), image)


def test_names_with_dots_in_front(fresh_engine):
    image = make_image()
    files = {f'./{name}': data for name, data in docker_files(image, [NAME]).items()}
    expect(loaded(fresh_engine, files), image)


@pytest.mark.parametrize('compression', ['none', 'gzip', 'zstd'])
@pytest.mark.parametrize('first', [False, True])
def test_layout(fresh_engine, compression, first):
    image = make_image(compression)
    files = layout_files((image, {REF: NAME}), first=first)
    expect(loaded(fresh_engine, files), image)


def test_entries_in_any_order(fresh_engine):
    image = make_image('gzip')
    files = list({**layout_files((image, {FULL: NAME, REF: '1'}))}.items())
    for seed in range(4):
        random.Random(seed).shuffle(files)
        expect(loaded(fresh_engine, dict(files)), image)
    assert len(fresh_engine.images()) == 1


def test_nested_index_for_this_machine(fresh_engine):
    images = {arch: make_image('gzip', arch=arch, names=('a', arch)) for arch in ('amd64', 'arm64')}
    index = oci.index([(image, oci.platform(arch)) for arch, image in images.items()])
    outer = oci.index([(index, oci.platform('amd64'))])
    detail = loaded(fresh_engine, layout_files((outer, {FULL: NAME})))
    expect(detail, images[fresh_engine.machine.arch])
    assert len([path for path in fresh_engine.store_files() if path.endswith('.idx')]) == 2


def test_index_with_the_content_of_one_platform(fresh_engine):
    images = {arch: make_image('gzip', arch=arch, names=('a', arch)) for arch in ('amd64', 'arm64')}
    index = oci.index([(image, oci.platform(arch)) for arch, image in images.items()])
    for arch, image in images.items():
        files = layout_files((index, {FULL: NAME}))
        for other in images.values():
            if other is not image:
                for blob in (other, other.parts[0], other.parts[2]):
                    del files[archives.path_of(blob)]
        expect(loaded(fresh_engine, files,
                      f'(The image .*\n)?Loaded image: {NAME}\n'), image)


def test_several_images(fresh_engine):
    one, two = make_image(names=('a',)), make_image(names=('a', 'b'))
    files = layout_files((one, {FULL: NAME}), (two, {REF: 'archive.test/two:2'}), (two, {REF: 'x'}))
    out = fresh_engine.wherry('load', input=pack(files)).ok().out
    assert out == f'Loaded image: {NAME}\nLoaded image: archive.test/two:2\n'
    assert set(fresh_engine.images()) == {one.parts[0].digest, two.parts[0].digest}


def test_a_bare_tag_is_no_name(fresh_engine):
    image = make_image()
    detail = loaded(fresh_engine, layout_files((image, {REF: 'latest'})), 'Loaded image ID: .*\n')
    expect(detail, image)
    assert detail['RepoTags'] == []


def test_a_name_moves_to_the_loaded_image(fresh_engine):
    one, two = make_image(names=('a',)), make_image(names=('b',))
    loaded(fresh_engine, docker_files(one, [NAME]))
    detail = loaded(fresh_engine, docker_files(two, [NAME]),
                    f'The image {NAME} already exists, renaming the old one with ID '
                    f'{one.parts[0].digest} to empty string\nLoaded image: {NAME}\n')
    expect(detail, two)


def test_an_image_that_was_pulled_gets_the_name(fresh_engine, faulty_registry):
    image = make_image('gzip', arch=fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').ok()
    expect(loaded(fresh_engine, docker_files(image, [NAME])), image)
    assert len(fresh_engine.images()) == 1


def test_what_layers_have_survives(fresh_engine, tmp_path):
    """Hard links, whiteouts, attributes, holes: the archives come out as they went in."""
    place = tmp_path / 'tree'
    place.mkdir()
    (place / 'file').write_bytes(b'content' * 1000)
    os.link(place / 'file', place / 'hard')
    (place / 'link').symlink_to('file')
    os.mknod(place / 'device', 0o20600, os.makedev(1, 3))
    os.setxattr(place / 'file', 'user.note', b'\x00binary')
    with open(place / 'holes', 'wb') as file:
        file.seek(1 << 20)
        file.write(b'x' * 5000)
        file.truncate(5 << 20)
    form = ['tar', '-C', place, '-c', '-S']
    tars = [subprocess.run([*form, *options, '.'], check=True, capture_output=True).stdout
            for options in (['--format=gnu'], ['--format=pax', '--xattrs'])]
    tars.append(oci.tar([oci.entry('.wh.file'), oci.entry('.wh..wh..opq')]))
    image = oci.image([oci.layer(tar, 'gzip') for tar in tars])
    expect(loaded(fresh_engine, layout_files((image, {FULL: NAME}))), image)
    saved = tmp_path / 'saved.tar'
    fresh_engine.wherry('save', '-o', saved, NAME).ok()
    with oci.tarfile.open(saved) as archive:
        for tar in tars:
            name = 'blobs/' + oci.digest_of(tar).replace(':', '/')
            assert archive.extractfile(name).read() == tar


# Bad archives

def without(files, *names):
    return {name: data for name, data in files.items() if name not in names}


def bad_docker(change):
    """An archive whose manifest.json has been changed."""
    image = make_image()
    files = docker_files(image, [NAME])
    listed = json.loads(files['manifest.json'])
    change(listed)
    files['manifest.json'] = json.dumps(listed).encode()
    return files


def wrong_blob(kind):
    """A layout where a blob is not what its name says."""
    image = make_image('gzip')
    blob = {'manifest': image, 'config': image.parts[0], 'layer': image.parts[1]}[kind]
    files = layout_files((image, {FULL: NAME}))
    other = make_image('gzip', names=('other', 'b'))
    files[archives.path_of(blob)] = \
        other.parts[1].data if kind == 'layer' else blob.data.replace(b'linux', b'Linux') + b' '
    return files


def wrong_diff_id():
    image = make_image()
    config, *layers = image.parts
    value = json.loads(config.data)
    value['rootfs']['diff_ids'].reverse()
    return oci.manifest(oci.Blob(oci.OCI['config'], oci.to_json(value)), layers)


def huge(name, size=5 << 20):
    image = make_image()
    files = docker_files(image, [NAME])
    key = name or image.parts[0].digest[7:] + '.json'
    files[key] = b'{"a":"' + b'x' * size + b'"}'
    return files


BAD = {
    'nothing': (lambda: b'', 'not an archive of images'),
    'no tar': (lambda: b'some text ' * 1000, 'not an archive of images'),
    'random bytes': (lambda: random.Random(1).randbytes(100000), 'not an archive of images'),
    'xz': (lambda: subprocess.run(['xz', '-c'], input=pack({}), check=True,
                                  capture_output=True).stdout, 'compressed with xz, .*not supported'),
    'a layer in bzip2': (lambda: docker_files(oci.image([oci.Blob(
        oci.OCI['none'], b'BZh91AY&SY' * 100, oci.digest_of(b'BZh91AY&SY' * 100))]), [NAME]),
                         'compressed with bzip2'),
    'a tar without images': (lambda: {'file': b'content'}, 'neither index.json nor manifest.json'),
    'an empty tar': (lambda: {}, 'neither index.json nor manifest.json'),
    'empty manifest.json': (lambda: {'manifest.json': b'[]'}, 'no images'),
    'empty index.json': (lambda: layout_files(), 'no images'),
    'manifest.json is no list': (lambda: {'manifest.json': b'{}'}, 'manifest.json.*list'),
    'manifest.json is no JSON': (lambda: {'manifest.json': b'[{]'}, 'manifest.json'),
    'manifest.json is text': (lambda: {'manifest.json': b'text'}, 'manifest.json.*neither'),
    'layer is a number': (lambda: bad_docker(lambda m: m[0].update(Layers=[7])), 'layer.*text'),
    'no Config': (lambda: bad_docker(lambda m: m[0].pop('Config')), 'Config'),
    'missing config': (lambda: bad_docker(lambda m: m[0].update(Config='no.json')),
                       'incomplete.*no.json'),
    'missing layer': (lambda: bad_docker(lambda m: m[0]['Layers'].__setitem__(1, 'no.tar')),
                      'incomplete.*no.tar'),
    'fewer layers': (lambda: bad_docker(lambda m: m[0]['Layers'].pop()), '2 layers.* 1'),
    'absolute layer': (lambda: bad_docker(lambda m: m[0]['Layers'].__setitem__(1, '/etc/passwd')),
                       '/etc/passwd.*no path inside'),
    'layer with ..': (lambda: bad_docker(lambda m: m[0]['Layers'].__setitem__(1, '../a.tar')),
                      r'\.\./a.tar.*no path inside'),
    'config with ..': (lambda: bad_docker(lambda m: m[0].update(Config='a/../../etc/passwd')),
                       'no path inside'),
    'config is a layer': (lambda: bad_docker(lambda m: m[0].update(Config=m[0]['Layers'][0])),
                          'not what it is named as'),
    'layer is the config': (
        lambda: bad_docker(lambda m: m[0].update(Layers=[m[0]['Config']] * 2)),
        'not what it is named as'),
    'bad tag': (lambda: bad_docker(lambda m: m[0].update(RepoTags=['a/UPPER:1'])), 'UPPER'),
    'tag is a digest': (lambda: bad_docker(lambda m: m[0].update(
        RepoTags=['x@sha256:' + '0' * 64])), 'no name'),
    'swapped layers': (lambda: bad_docker(lambda m: m[0]['Layers'].reverse()), 'diffID'),
    'wrong diffIDs in a layout': (lambda: layout_files((wrong_diff_id(), {FULL: NAME})), 'diffID'),
    'wrong digest of a layer': (lambda: wrong_blob('layer'), 'digest'),
    'wrong digest of a config': (lambda: wrong_blob('config'), 'digest'),
    'wrong digest of a manifest': (lambda: wrong_blob('manifest'), 'digest'),
    'missing manifest': (lambda: without(layout_files((make_image(), {})),
                                         archives.path_of(make_image())), 'incomplete'),
    'missing blob': (lambda: without(layout_files((make_image(), {})),
                                     archives.path_of(make_image().parts[2])), 'incomplete'),
    'huge manifest.json': (lambda: huge('manifest.json'), 'manifest.json.*at most'),
    'huge config': (lambda: huge(None), 'json.*at most'),
    'huge index.json': (lambda: huge('index.json'), 'index.json.*at most'),
    'JSON of many values': (lambda: {'manifest.json': b'[' + b'{},' * 200000 + b'{}]'},
                            'more than .* values'),
    'deep JSON': (lambda: {'manifest.json': b'[' * 5000}, 'manifest.json'),
    'much JSON': (lambda: {**{f'd{i}': b'{"a":"' + b'x' * 4194296 + b'"}' for i in range(4)},
                           **docker_files(make_image(), [NAME])}, 'more than .* of documents'),
    'many entries': (lambda: {f'f{i}': b'' for i in range(20001)}, 'more than 20000 entries'),
    'link out of the archive': (
        lambda: {**old_docker_files(make_image(), [NAME]), f'{1:064x}/layer.tar': '../../etc/x'},
        'leads out of the archive'),
    'absolute link': (
        lambda: {**old_docker_files(make_image(), [NAME]), f'{1:064x}/layer.tar': '/etc/passwd'},
        'leads out of the archive'),
    'link to itself': (
        lambda: {**old_docker_files(make_image(), [NAME]), f'{1:064x}/layer.tar': 'layer.tar'},
        'incomplete'),
    'hostile layer': (lambda: docker_files(oci.image([oci.layer(oci.tar(
        [oci.entry('../../out', data=b'x' * 1000)]), 'none')]), [NAME]), r'\.\.'),
    'second image is bad': (lambda: layout_files((make_image(), {}), (wrong_diff_id(), {})),
                            'diffID'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_archive(fresh_engine, name):
    make, pattern = BAD[name]
    data = make()
    result = fresh_engine.wherry('load', input=data if isinstance(data, bytes) else pack(data))
    one_clear_error(result, pattern)
    assert_clean(fresh_engine)


@pytest.mark.parametrize('compression', [None, 'gzip', 'zstd'])
def test_truncated_archive(fresh_engine, compression):
    data = pack(docker_files(make_image(), [NAME]))
    if compression:
        data = oci.compress(data, compression)
    for size in (100, 700, len(data) // 3, len(data) // 2, len(data) * 2 // 3):
        one_clear_error(fresh_engine.wherry('load', input=data[:size]),
                        'archive|too early|truncated|end')
        assert_clean(fresh_engine)


def test_docker_cli_shows_the_error(fresh_engine, docker_major):
    result = fresh_engine.docker('load', input=pack({'manifest.json': b'[]'})).fails(1, 'no images')
    assert result.out == ''
    fresh_engine.docker('save', 'no/such:1').fails(1, 'No such image: no/such:1')
    assert_clean(fresh_engine)


# Ends

def upload(engine, head, data):
    """A connection that has sent a part of a request."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(engine.socket)
    connection.sendall(head + data)
    return connection


def test_disconnect_in_the_middle(fresh_engine):
    data = pack(docker_files(make_image(size=1000000), [NAME]))
    head = b'POST /v1.47/images/load HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(data)
    for size in (0, 10000, 1500000):
        upload(fresh_engine, head, data[:size]).close()
    fresh_engine.machine.wait_for(
        lambda: fresh_engine.log().count('the client went away in the middle of the upload') == 3,
        'the daemon has not noticed')
    assert_clean(fresh_engine)
    loaded(fresh_engine, data)


def test_daemon_ends_in_the_middle_of_an_upload(fresh_engine):
    data = pack(docker_files(make_image(size=1000000), [NAME]))
    head = b'POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(data)
    connection = upload(fresh_engine, head, data[:1500000])
    fresh_engine.machine.wait_for(
        lambda: any('/txn/' in path for path in fresh_engine.store_files()), 'nothing has begun')
    fresh_engine.stop()
    connection.close()
    fresh_engine.start()
    assert_clean(fresh_engine)


def test_too_many_archives_at_once(fresh_engine):
    data = pack(docker_files(make_image(size=100000), [NAME]))
    head = b'POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(data)
    held = [upload(fresh_engine, head, data[:150000]) for _ in range(6)]
    fresh_engine.machine.wait_for(
        lambda: len(os.listdir(f'{fresh_engine.root}/store/txn')) == 6, 'they have not begun')
    one_clear_error(fresh_engine.wherry('load', input=data), 'more than 6')
    for connection in held:
        connection.close()
    fresh_engine.machine.wait_for(lambda: not os.listdir(f'{fresh_engine.root}/store/txn'),
                                  'they have not ended')
    loaded(fresh_engine, data)


def test_client_that_stops_reading_a_save(fresh_engine):
    loaded(fresh_engine, docker_files(make_image(size=3000000), [NAME]))
    connection = upload(fresh_engine, b'', f'GET /images/{NAME}/get HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
    assert connection.recv(100).startswith(b'HTTP/1.1 200')
    connection.close()
    fresh_engine.machine.wait_for(
        lambda: 'the client went away in the middle of the download' in fresh_engine.log(),
        'the daemon has not noticed')
    # Nothing holds the image any more.
    fresh_engine.wherry('rmi', NAME).ok()
    assert_clean(fresh_engine)


def test_disk_full(new_engine):
    engine = new_engine('[store]\nreserve = 0\n', start=False)
    engine.machine.shell(f'mkdir {engine.root} && '
                         f'mount -t tmpfs -o size=3m,mode=711 tmpfs {engine.root}').ok()
    try:
        engine.start()
        used = engine.machine.shell(f'df -k {engine.root} | tail -1').out.split()[2]
        big = pack(docker_files(make_image(size=4000000), [NAME]))
        one_clear_error(engine.wherry('load', input=big), 'space|full')
        assert_clean(engine)
        assert engine.machine.shell(f'df -k {engine.root} | tail -1').out.split()[2] == used
        loaded(engine, docker_files(make_image(), [NAME]))
        engine.stop()
    finally:
        if engine.running:
            engine.kill()
        engine.machine.shell(f'umount -l {engine.root}')


# The command line

def test_save_of_what_is_not_there(fresh_engine, tmp_path):
    file = tmp_path / 'out.tar'
    loaded(fresh_engine, docker_files(make_image(), [NAME]))
    one_clear_error(fresh_engine.wherry('save', 'no/such:1'), 'No such image: no/such:1')
    one_clear_error(fresh_engine.wherry('save', '-o', file, NAME, 'no/such'), 'No such image: no/such')
    one_clear_error(fresh_engine.wherry('save', 'UPPER'), 'UPPER')
    assert os.listdir(tmp_path) == []


def test_output_that_cannot_be_written(fresh_engine, tmp_path):
    loaded(fresh_engine, docker_files(make_image(size=300000), [NAME]))
    one_clear_error(fresh_engine.wherry('save', '-o', tmp_path / 'no/dir/x', NAME),
                    'cannot write .*no/dir/x.*No such file')
    one_clear_error(fresh_engine.wherry('save', '-o', tmp_path, NAME), 'is a directory')
    one_clear_error(fresh_engine.wherry('save', '-o', '/dev/full', NAME), '/dev/full.*space')
    small = tmp_path / 'small'
    small.mkdir()
    fresh_engine.machine.shell(f'mount -t tmpfs -o size=100k tmpfs {small}').ok()
    try:
        one_clear_error(fresh_engine.wherry('save', '-o', small / 'x', NAME), 'small/x.*space')
        assert os.listdir(small) == []
    finally:
        fresh_engine.machine.shell(f'umount {small}').ok()


def test_existing_file_is_replaced_when_complete(fresh_engine, tmp_path):
    file = tmp_path / 'out.tar'
    file.write_bytes(b'before')
    fresh_engine.wherry('save', '-o', file, NAME).fails(1)
    assert file.read_bytes() == b'before'
    loaded(fresh_engine, docker_files(make_image(), [NAME]))
    fresh_engine.wherry('save', '-o', file, NAME).ok()
    assert oci.tarfile.is_tarfile(file) and os.listdir(tmp_path) == ['out.tar']


def test_terminals(fresh_engine):
    for command in (['save', NAME], ['load']):
        process = fresh_engine.start_wherry(*command, tty=(24, 80))
        assert process.wait(20) == 1
        assert b'terminal' in process.out + process.err


def test_input_that_cannot_be_read(fresh_engine, tmp_path):
    one_clear_error(fresh_engine.wherry('load', '-i', tmp_path / 'no'), '/no.*No such file')
    one_clear_error(fresh_engine.wherry('load', '-i', tmp_path), 'directory')
    assert_clean(fresh_engine)
