"""Pulling what has changed: images in the form zstd:chunked as real tools make them."""

import json
import random
import re

import pytest

from engine import REGISTRY
from harness import chunked, faulty, oci
from harness import registry as registries
from harness.counting import CountingProxy

pytestmark = pytest.mark.machines('host')

WHOLE = 'is fetched whole instead of by its parts'
CHANGED = (3, 57, 120, 121, 122, 260, 299)
LARGE = 'large'


def _text(source, size):
    words = [bytes(source.choices(b'etaoinshrdlu', k=source.randint(2, 9))) for _ in range(400)]
    return b' '.join(source.choices(words, k=size // 6))[:size]


def _files(version):
    """name -> content: 300 of all sizes, a large one, and one that is moved."""
    files = {}
    for number in range(300):
        salt = version if number in CHANGED else 'v1'
        source = random.Random(f'{number} {salt}')
        files[f'usr/share/{number}'] = _text(source, source.choice((60, 400, 3000, 20000, 90000)))
    files['usr/' + LARGE] = _text(random.Random('large'), 3_000_000)
    files[f'usr/lib/{version}/moved'] = _text(random.Random('moved'), 400_000)
    files['usr/zeros'] = bytes(2_000_000) + b'end'
    if version == 'v2':
        files['usr/added'] = _text(random.Random('added'), 50_000)
    return files


def _archive(version):
    long_name = 'usr/' + 'deep/' * 30 + 'name'
    entries = [oci.entry('usr', oci.tarfile.DIRTYPE), oci.entry('usr/empty')]
    entries += [oci.entry(name, data=data) for name, data in _files(version).items()]
    entries += [oci.entry('usr/link', oci.tarfile.LNKTYPE, linkname='usr/large'),
                oci.entry('usr/soft', oci.tarfile.SYMTYPE, linkname='large'),
                oci.entry('usr/.wh.gone'), oci.entry(long_name, data=version.encode()),
                oci.entry('usr/attributed', data=b'x' * 700,
                          pax_headers={'SCHILY.xattr.user.colour': 'blue'})]
    return oci.tar(entries)


@pytest.fixture(scope='session', name='plain')
def plain_images(machine):
    """version -> the image as it was built."""
    return {version: oci.image([oci.layer(_archive(version))], machine.arch)
            for version in ('v1', 'v2')}


@pytest.fixture(scope='session', name='images')
def chunked_images(plain):
    """version -> the image as a present skopeo pushes it."""
    images = {version: chunked.convert(image, 'new') for version, image in plain.items()}
    for image in images.values():
        assert any(name.endswith('tarsplit-position') for name in chunked.annotations(image))
    return images


def _changed_bytes(images):
    """The compressed size of the files that v2 has and v1 has not."""
    known = {entry.get('digest') for entry in chunked.toc(images['v1'])['entries']}
    return sum(entry['endOffset'] - entry['offset']
               for entry in chunked.toc(images['v2'])['entries']
               if entry['type'] == 'reg' and entry.get('size') and entry['digest'] not in known)


def _index(engine, image):
    """What the store has of the image's layer: the bytes of its index."""
    name = image.parts[1].diff_id.split(':')[1]
    return engine.machine.shell(f'sha256sum < {engine.root}/store/layer/{name}.idx').out


@pytest.fixture(scope='session', name='whole_index')
def index_of_a_whole_pull(machine, wherry_program, plain):
    """The index of v2's layer, pulled the ordinary way."""
    from conftest import Starter  # pylint: disable=import-outside-toplevel
    starter = Starter(machine, wherry_program)
    with faulty.FaultyRegistry() as server:
        name = f'{REGISTRY}:{server.port}'
        server.add('thing', 'v2', plain['v2'])
        engine = starter(f'[registry "{name}"]\ninsecure = true\n')
        engine.wherry('pull', f'{name}/thing:v2').ok()
        value = _index(engine, plain['v2'])
    starter.close()
    return value


@pytest.fixture(name='updated')
def engine_with_v1(fresh_engine, faulty_registry, images):
    """An engine that has v1; its `update` pulls the given image in place of v2."""
    faulty_registry.add('thing', 'v1', images['v1'])
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing:v1').ok()

    def update(image):
        faulty_registry.add('thing', 'v2', image)
        return fresh_engine.wherry('pull', f'{faulty_registry.name}/thing:v2')

    fresh_engine.update = update
    return fresh_engine


def test_update_from_a_real_registry_fetches_what_changed(new_engine, images, whole_index):
    server = registries.Registry()
    try:
        client = server.client()
        for version, image in images.items():
            client.push('thing', version, image)
        with CountingProxy(server.port) as proxy:
            name = f'{REGISTRY}:{proxy.port}'
            engine = new_engine(f'[registry "{name}"]\ninsecure = true\n')
            engine.wherry('pull', f'{name}/thing:v1').ok()
            assert proxy.bytes > images['v1'].parts[1].size
            proxy.reset()
            engine.wherry('pull', f'{name}/thing:v2').ok()
            described = len(chunked.part(images['v2'], 'manifest') +
                            chunked.part(images['v2'], 'tarsplit'))
            small = images['v2'].size + images['v2'].parts[0].size + 8192  # and heads of answers
            changed = _changed_bytes(images)
            print(f'{proxy.bytes} bytes on {proxy.connections} connections: changed {changed}, '
                  f'table and tar-split {described}, blob {images["v2"].parts[1].size}')
            assert proxy.bytes <= 1.15 * changed + described + small
            assert proxy.connections <= 2
            assert WHOLE not in engine.log()
            assert _index(engine, images['v2']) == whole_index
            engine.wherry('rmi', f'{name}/thing:v1').ok()
            assert _index(engine, images['v2']) == whole_index
    finally:
        server.close()


def test_known_content_is_neither_fetched_nor_written_again(updated, faulty_registry, images,
                                                             whole_index):
    before = set(updated.store_files())
    updated.update(images['v2']).ok()
    new = [path for path in updated.store_files() if path not in before and '/obj/' in path]
    assert 0 < len(new) <= len(CHANGED) + 2, 'the changed files, one added, one with the version'
    blob = images['v2'].parts[1]
    asked = faulty_registry.seen(f'GET .*/blobs/{blob.digest}')
    assert all(re.fullmatch(r'bytes=\d+-\d+', request.headers.get('Range', ''))
               for request in asked), 'only single ranges'
    assert _index(updated, images['v2']) == whole_index


def test_first_pull_is_whole(fresh_engine, faulty_registry, images):
    faulty_registry.add('thing', 'v1', images['v1'])
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing:v1').ok()
    asked = faulty_registry.seen(f'GET .*/blobs/{images["v1"].parts[1].digest}')
    assert [request.headers.get('Range') for request in asked] == [None]


def test_layer_without_tar_split_is_whole(updated, faulty_registry):
    files = [oci.entry(name, data=data) for name, data in _files('v2').items()
             if len(data) < 100_000]
    # That skopeo leaves out what follows the end marker, which changes the diffID.
    tar = oci.tar(files)
    tar = tar[:(len(tar.rstrip(b'\0')) + 511) // 512 * 512 + 1024]
    old = chunked.convert(oci.image([oci.layer(tar)], updated.machine.arch), 'old')
    assert not any(name.endswith('tarsplit-position') for name in chunked.annotations(old))
    updated.update(old).ok()
    asked = faulty_registry.seen(f'GET .*/blobs/{old.parts[1].digest}')
    assert [request.headers.get('Range') for request in asked] == [None]


def test_old_prefix_with_tar_split(updated, faulty_registry, images, whole_index):
    old = images['v2']
    text = old.data.replace(b'io.github.containers.', b'io.containers.')
    updated.update(oci.Blob(old.media_type, text, parts=old.parts)).ok()
    asked = faulty_registry.seen(f'GET .*/blobs/{old.parts[1].digest}')
    assert all('Range' in request.headers for request in asked)
    assert _index(updated, old) == whole_index


def test_progress_counts_what_is_fetched(updated, faulty_registry, images):
    faulty_registry.add('thing', 'v2', images['v2'])
    process = updated.start_wherry('pull', f'{faulty_registry.name}/thing:v2', tty=(24, 100))
    assert process.wait(60) == 0
    assert b'Pull complete' in process.out


# A registry that does not give ranges, or wrong ones

def _wrong_range(handler, answer):
    handler.headers.replace_header('Range', 'bytes=40-99')
    handler.answer(answer)


def _flipped(handler, answer):
    first = int(re.match(r'bytes=(\d+)', handler.headers['Range'])[1])
    faulty_byte = answer.body[first + 30] ^ 1
    answer.body = answer.body[:first + 30] + bytes([faulty_byte]) + answer.body[first + 31:]
    handler.answer(answer)


def _endless_range(handler, answer):
    first = re.match(r'bytes=(\d+)', handler.headers['Range'])[1]
    handler.headers.replace_header('Range', f'bytes={first}-')
    handler.answer(answer)


def _later(action):
    """Does as it should once, for the table of contents."""
    def act(handler, answer):
        if act.first:
            act.first = False
            handler.answer(answer)
        else:
            action(handler, answer)
    act.first = True
    return act


@pytest.mark.parametrize('action, times', [
    (faulty.no_range(), 99), (_later(faulty.no_range()), 99), (_wrong_range, 1),
    (_later(_wrong_range), 2), (_flipped, 1), (_later(_flipped), 2), (_endless_range, 1),
    (_later(_endless_range), 2), (faulty.status(416), 1), (_later(faulty.status(416)), 2),
], ids=['ignored', 'ignored later', 'wrong', 'wrong later', 'damaged', 'damaged later', 'longer',
        'longer later', 'refused', 'refused later'])
def test_bad_ranges_end_in_a_whole_pull(updated, faulty_registry, images, whole_index, action,
                                        times):
    blob = images['v2'].parts[1]
    faulty_registry.fault(f'GET .*/blobs/{blob.digest}', action, times=times)
    updated.update(images['v2']).ok()
    assert updated.log().count(WHOLE) == 1
    assert _index(updated, images['v2']) == whole_index


def test_whole_answer_to_a_range_is_used_and_not_asked_for_again(updated, faulty_registry, images):
    blob = images['v2'].parts[1]
    faulty_registry.fault(f'GET .*/blobs/{blob.digest}', faulty.no_range())
    updated.update(images['v2']).ok()
    assert len(faulty_registry.seen(f'GET .*/blobs/{blob.digest}')) == 1


def test_lost_connections_within_ranges(updated, faulty_registry, images, whole_index):
    blob = images['v2'].parts[1]
    faulty_registry.fault(f'GET .*/blobs/{blob.digest}', faulty.cut(1500), times=3)
    updated.update(images['v2']).ok()
    assert WHOLE not in updated.log()
    assert _index(updated, images['v2']) == whole_index


# Tables of contents and tar-splits that are not true

def _entries(image, change):
    value = chunked.toc(image)
    files = [entry for entry in value['entries'] if entry['type'] == 'reg' and entry.get('size')]
    change(value, {entry['name']: entry for entry in files})
    return chunked.rewrite(image, toc_text=oci.to_json(value))


def _update_entry(name, **fields):
    return lambda image: _entries(image, lambda _, files: files[name].update(fields))


def _digest_of_another_file(image):
    def change(_, files):
        pairs = {}
        for entry in files.values():
            pairs.setdefault(entry['size'], []).append(entry)
        known, other = next(pair for pair in pairs.values() if len(pair) > 1)[:2]
        other['digest'] = known['digest']
    return _entries(image, change)


def _cut_frame(image):
    def change(_, files):
        files['usr/added']['endOffset'] -= 20
    return _entries(image, change)


def _overlap(image):
    def change(_, files):
        files['usr/added']['offset'] = files['usr/large']['offset']
    return _entries(image, change)


def _padded(image):
    """A table of contents of 100 MiB."""
    text = json.dumps({**chunked.toc(image), 'padding': 'x' * (100 << 20)}).encode()
    return chunked.rewrite(image, toc_text=text)


def _split(change):
    def act(image):
        lines = chunked.split_lines(image)
        return chunked.rewrite(image, split_text=b'\n'.join(change(lines)) + b'\n')
    return act


def _other_header(lines):
    at = next(i for i, line in enumerate(lines) if b'"type":2' in line)
    value = json.loads(lines[at])
    value['payload'] = 'AAAA' + value['payload'][4:]
    return [*lines[:at], json.dumps(value).encode(), *lines[at + 1:]]


LIES = {
    'digest of another file': _digest_of_another_file,
    'size': _update_entry('usr/added', size=49_999),
    'huge size': _update_entry('usr/added', size=1 << 60),
    'negative size': _update_entry('usr/added', size=-1),
    'offset beyond the blob': _update_entry('usr/added', offset=1 << 40, endOffset=1 << 41),
    'end before the beginning': _update_entry('usr/added', endOffset=5),
    'no digest': _update_entry('usr/added', digest=''),
    'no end': _update_entry('usr/added', endOffset=0),
    'overlap': _overlap,
    'cut frame': _cut_frame,
    'another version': lambda image: _entries(image, lambda value, _: value.update(version=2)),
    'no entries': lambda image: _entries(image, lambda value, _: value.update(entries=[])),
    'not JSON': lambda image: chunked.rewrite(image, toc_text=b'[1, 2'),
    'checksum': lambda image: chunked.annotate(image, manifest_checksum='sha256:' + 64 * '0'),
    'position': lambda image: chunked.annotate(image, manifest_position='0:100:1000:1'),
    'position beyond the blob':
        lambda image: chunked.annotate(image, manifest_position=f'{1 << 40}:100:1000:1'),
    'unpacked size': lambda image: chunked.annotate(
        image, manifest_position=re.sub(r':\d+:1$', ':100:1',
                                        chunked.annotations(image)[
                                            'io.github.containers.zstd-chunked.manifest-position'])),
    'tar-split header': _split(_other_header),
    'tar-split shortened': _split(lambda lines: lines[:-4]),
    'tar-split empty': _split(lambda lines: []),
    'tar-split not JSON': _split(lambda lines: [b'{"type":7}', *lines]),
}


@pytest.mark.parametrize('lie', LIES.values(), ids=LIES)
def test_lies_end_in_a_whole_pull(updated, images, whole_index, lie):
    updated.update(lie(images['v2'])).ok()
    assert updated.log().count(WHOLE) == 1
    assert _index(updated, images['v2']) == whole_index


def test_unknown_type_of_table_is_whole(updated, faulty_registry, images):
    image = images['v2']
    name = 'io.github.containers.zstd-chunked.manifest-position'
    other = chunked.annotate(image, manifest_position=chunked.annotations(image)[name][:-1] + '2')
    updated.update(other).ok()
    asked = faulty_registry.seen(f'GET .*/blobs/{image.parts[1].digest}')
    assert [request.headers.get('Range') for request in asked] == [None]


def test_large_table_of_contents_takes_no_memory(updated, images, whole_index):
    before = _peak_memory(updated)
    updated.update(_padded(images['v2'])).ok()
    assert WHOLE not in updated.log()
    assert _index(updated, images['v2']) == whole_index
    assert _peak_memory(updated) - before < 20 << 10


def _peak_memory(engine):
    text = engine.machine.shell(f'grep VmHWM /proc/{engine.pid}/status').out
    return int(text.split()[1])
