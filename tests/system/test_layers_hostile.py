"""Layers made to do harm, and layers with everything a proper archive may hold."""

import dataclasses
import gzip
import subprocess
import tarfile
import threading

import pytest

from harness import oci
from harness.oci import entry
from images import recipes, reference

pytestmark = pytest.mark.machines('host')

DIR, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def busybox_layer(arch):
    image = reference.load('busybox')['latest']
    return image.parts[recipes.ARCHES.index(arch)].parts[1]


def add_image(engine, server, *tars, base=True):
    """Serves an image of these archives on top of busybox; returns its name."""
    arch = engine.machine.arch
    layers = [busybox_layer(arch)] if base else []
    layers += [tar if isinstance(tar, oci.Blob) else oci.layer(tar) for tar in tars]
    server.add('thing', 'latest', oci.image(layers, arch, Cmd=['sh']))
    return f'{server.name}/thing'


def run(engine, name, script, *options):
    return engine.wherry('run', '--rm', *options, name, 'sh', '-c', script)


# Archives that must be refused, or unpacked without reaching outside

@dataclasses.dataclass
class Attack:
    """`entries`: made with the path of a canary directory on the host, which must not change."""
    entries: object
    refused: bool = False   # whether the pull has to fail; else it may, but must do no harm


ATTACKS = {
    'name with ..': Attack(lambda c: [entry('../../../../../../../../' + c[1:] + '/new', data=b'x')],
                           True),
    'name with .. inside': Attack(lambda c: [entry('a', DIR), entry('a/../../evil', data=b'x')], True),
    'name is ..': Attack(lambda c: [entry('..', DIR, mode=0o777)], True),
    'absolute name': Attack(lambda c: [entry(c + '/new', data=b'x')]),
    'absolute name with ..': Attack(lambda c: [entry('/..' + c + '/new', data=b'x')], True),
    'link out, then a file through it': Attack(
        lambda c: [entry('out', LINK, linkname=c), entry('out/new', data=b'x')]),
    'link to /, then a file through it': Attack(
        lambda c: [entry('out', LINK, linkname='/'), entry('out' + c + '/new', data=b'x')]),
    'relative link out, then a file through it': Attack(
        lambda c: [entry('out', LINK, linkname='../' * 20 + c[1:]), entry('out/new', data=b'x')]),
    'chain of links': Attack(
        lambda c: [entry('a', LINK, linkname='b'), entry('b', LINK, linkname=c),
                   entry('a/new', data=b'x')]),
    'directory replaced by a link': Attack(
        lambda c: [entry('d', DIR), entry('d', LINK, linkname=c), entry('d/new', data=b'x')]),
    'hard link to a file outside': Attack(
        lambda c: [entry('h', HARD, linkname=c + '/kept'), entry('h', data=b'overwritten')]),
    'hard link with ..': Attack(
        lambda c: [entry('h', HARD, linkname='../' * 20 + c[1:] + '/kept')], True),
    'hard link through a link': Attack(
        lambda c: [entry('out', LINK, linkname=c), entry('h', HARD, linkname='out/kept'),
                   entry('h', data=b'overwritten')]),
    'hard link to a link, then written': Attack(
        lambda c: [entry('l', LINK, linkname=c + '/kept'), entry('h', HARD, linkname='l'),
                   entry('h', data=b'overwritten')]),
    'file through a link to a file': Attack(
        lambda c: [entry('l', LINK, linkname=c + '/kept'), entry('l', data=b'overwritten')]),
    'mode through a link': Attack(
        lambda c: [entry('l', LINK, linkname=c), entry('l/', DIR, mode=0o777)]),
    'whiteout with ..': Attack(lambda c: [entry('.wh...', data=b'')]),
    'whiteout with a path out': Attack(
        lambda c: [entry('../' * 20 + c[1:] + '/.wh.kept', data=b'')], True),
    'whiteout through a link': Attack(
        lambda c: [entry('out', LINK, linkname=c), entry('out/.wh.kept', data=b'')]),
    'opaque through a link': Attack(
        lambda c: [entry('out', LINK, linkname=c), entry('out/.wh..wh..opq', data=b'')]),
    'whiteout of nothing': Attack(lambda c: [entry('.wh.', data=b'')]),
    'whiteout of .': Attack(lambda c: [entry('.wh..', data=b'')]),
    'empty name': Attack(lambda c: [entry('', data=b'x')]),
    'name /': Attack(lambda c: [entry('/', DIR, mode=0o777), entry('/', LINK, linkname=c)]),
    'root as a link': Attack(lambda c: [entry('./', LINK, linkname=c), entry('new', data=b'x')]),
    'root as a file': Attack(lambda c: [entry('.', data=b'x')]),
    'name ends in /.': Attack(lambda c: [entry('d/.', DIR, mode=0o755), entry('d/./.', DIR)]),
    'file name ends in /.': Attack(lambda c: [entry('d', DIR), entry('d/f/.', data=b'x')]),
    'name with NUL': Attack(lambda c: [entry('a\0b', data=b'x', pax_headers={'path': 'a\0b'})]),
    'very long name': Attack(lambda c: [entry('x' * 300, data=b'x')]),
    'very deep name': Attack(lambda c: [entry('d/' * 3000 + 'f', data=b'x')]),
    'block device': Attack(lambda c: [entry('disk', tarfile.BLKTYPE, devmajor=254, devminor=0)]),
    'negative owner': Attack(lambda c: [entry('f', data=b'x', uid=-2, gid=-2)]),
    'huge owner': Attack(lambda c: [entry('f', data=b'x', uid=1 << 40, gid=1 << 40)]),
    'trusted attribute': Attack(lambda c: [entry('f', data=b'x', pax_headers={
        'SCHILY.xattr.trusted.overlay.redirect': '/etc'})]),
    'overlay opaque attribute': Attack(lambda c: [entry('bin', DIR, pax_headers={
        'SCHILY.xattr.trusted.overlay.opaque': 'y'})]),
    'time before 1970': Attack(lambda c: [entry('f', data=b'x', mtime=-1000000)]),
    'time far in the future': Attack(lambda c: [entry('f', data=b'x', mtime=1 << 40)]),
    'unknown entry type': Attack(lambda c: [entry('f', b'Z')]),
    'file below a file': Attack(lambda c: [entry('f', data=b'x'), entry('f/g', data=b'y')]),
}


@pytest.mark.parametrize('name', ATTACKS)
def test_hostile_archive(fresh_engine, faulty_registry, name):
    engine, attack = fresh_engine, ATTACKS[name]
    canary = engine.machine.temporary_directory() + '/canary'
    engine.machine.shell(f'mkdir {canary} && echo kept >{canary}/kept').ok()
    listing = f'ls -lan --full-time {canary}; cat {canary}/kept; stat -c "%a %u %h" {canary} /'
    before = engine.machine.shell(listing).ok().out
    # Python writes some of these names only when they are given as they are
    image = add_image(engine, faulty_registry, oci.tar(attack.entries(canary), tarfile.GNU_FORMAT
                                                       if name == 'negative owner' else
                                                       tarfile.PAX_FORMAT))
    result = engine.wherry('pull', image)
    assert engine.machine.shell(listing).ok().out == before
    if attack.refused:
        result.fails(1)
    if result.code != 0:
        assert len(result.err.strip().splitlines()) == 1, str(result)
        assert engine.images() == []
    else:
        outcome = run(engine, image, 'echo fine; ls -la / >/dev/null')
        assert outcome.out == 'fine\n' or outcome.code in (125, 126, 127), str(outcome)
        assert engine.machine.shell(listing).ok().out == before
        engine.wherry('rmi', image).ok()
        assert engine.machine.shell(listing).ok().out == before
    engine.machine.remove(canary)


def test_attributes_of_the_overlay_do_not_come_from_images(fresh_engine, faulty_registry):
    """A layer that claims to be opaque by attribute must not hide the layers below."""
    name = add_image(fresh_engine, faulty_registry, oci.tar(
        [entry('etc', DIR, pax_headers={'SCHILY.xattr.trusted.overlay.opaque': 'y'}),
         entry('home', DIR, pax_headers={'SCHILY.xattr.trusted.overlay.redirect': '/bin'})]))
    result = fresh_engine.wherry('pull', name)
    if result.code == 0:
        out = run(fresh_engine, name, 'ls /etc/passwd; ls -d /home/tester').ok().out
        assert out.split() == ['/etc/passwd', '/home/tester']


def test_mounts_do_not_follow_links_of_the_image(fresh_engine, faulty_registry):
    engine = fresh_engine
    outside = engine.machine.temporary_directory() + '/outside'
    source = engine.machine.temporary_directory() + '/source'
    engine.machine.shell(f'mkdir {outside} {source}; echo volume >{source}/f').ok()
    name = add_image(engine, faulty_registry, oci.tar(
        [entry('lure', LINK, linkname=outside), entry('up', LINK, linkname='../' * 20 + outside[1:])]))
    for point in ('/lure/inner', '/up/inner', '/lure'):
        run(engine, name, 'true', '-v', f'{source}:{point}')
        run(engine, name, 'true', '--tmpfs', point)
    run(engine, name, 'true', '-w', '/lure/made')
    assert engine.machine.shell(f'find {outside} -mindepth 1').out == ''


@pytest.mark.parametrize('place', ['dev', 'proc', 'sys', 'etc'])
def test_links_in_place_of_system_directories(fresh_engine, faulty_registry, place):
    """The image brings /dev, /proc, ... as a link to the host's: refused, or kept inside."""
    engine = fresh_engine
    outside = engine.machine.temporary_directory() + '/outside'
    engine.machine.shell(f'mkdir {outside}').ok()
    name = add_image(engine, faulty_registry, oci.tar(
        [entry(f'.wh.{place}', data=b'')]), oci.tar([entry(place, LINK, linkname=outside)]))
    engine.wherry('pull', name).ok()
    run(engine, name, 'ls /')
    assert engine.machine.shell(f'find {outside} -mindepth 1').out == ''
    own = engine.machine.shell('ls -ld /dev /proc /sys /etc').ok().out
    assert own.count('\nd') == 3 and own.startswith('d')


# Too much

def zeros(megabytes, packer):
    """A packed archive of one file of zeros, without ever having it whole in memory."""
    header = entry('zeros')[0]
    header.size = megabytes << 20
    with subprocess.Popen(packer, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        def feed():
            process.stdin.write(header.tobuf(tarfile.GNU_FORMAT))
            for _ in range(megabytes):
                process.stdin.write(bytes(1 << 20))
            process.stdin.write(bytes(1024))
            process.stdin.close()

        thread = threading.Thread(target=feed)
        thread.start()
        data = process.stdout.read()
        thread.join()
    return data


BOMBS = {
    'gzip beyond the size limit': ('gzip', ['gzip', '-9'], 300, 'max-layer-size = 64m'),
    'zstd beyond the size limit': ('zstd', ['zstd', '-q', '-c'], 300, 'max-layer-size = 64m'),
    'zstd beyond the usual ratio': ('zstd', ['zstd', '-q', '-c'], 2000, ''),
}


@pytest.mark.parametrize('name', BOMBS)
def test_decompression_bomb(new_engine, faulty_registry, name):
    """Refused long before its end, and what was written of it is gone."""
    kind, packer, megabytes, limit = BOMBS[name]
    engine = new_engine(new_engine.trust(faulty_registry.name) + f'[store]\n{limit}\n')
    bomb = oci.Blob(oci.OCI[kind], zeros(megabytes, packer), 'sha256:' + '0' * 64)
    image = add_image(engine, faulty_registry, bomb)
    engine.wherry('pull', image, timeout=60).fails(1, 'size|large|limit|expan|more than|bomb')
    assert engine.images() == []
    used = engine.machine.shell(f'du -sk {engine.root} | cut -f1').ok().out
    assert int(used) < 20000, f'{used} kB of it are left'


def many(count):
    """An archive of many empty files."""
    head = bytearray(entry('00000000')[0].tobuf(tarfile.USTAR_FORMAT))
    head[148:156] = b' ' * 8
    rest = sum(head) - sum(head[0:8])
    out = bytearray(512 * (count + 2))
    for i in range(count):
        name = b'%08d' % i
        head[0:8] = name
        head[148:156] = b'%06o\0 ' % (rest + sum(name))
        out[512 * i:512 * i + 512] = head
    return bytes(out)


def test_a_million_entries(new_engine, faulty_registry):
    """More entries than a layer may have: one error, and all of it is removed."""
    engine = new_engine(new_engine.trust(faulty_registry.name) +
                        '[store]\nmax-layer-entries = 20000\n')
    name = add_image(engine, faulty_registry, many(1000000), base=False)
    engine.wherry('pull', name, timeout=120).fails(1, 'entries|too many')
    assert engine.images() == []
    left = engine.machine.shell(f'find {engine.root}/store | wc -l').ok().out
    assert int(left) < 20, f'{left} files and directories of it are left'


@pytest.mark.parametrize('fault', ['cut header', 'cut data', 'bad checksum', 'no end', 'garbage',
                                   'size beyond the end'])
def test_damaged_archive(fresh_engine, faulty_registry, fault):
    good = oci.tar([entry('a', data=b'x' * 2000), entry('b', data=b'y' * 2000)], tarfile.GNU_FORMAT)
    bad = {
        'cut header': good[:300],
        'cut data': good[:1024],
        'bad checksum': good[:150] + b'9' + good[151:],
        'no end': good[:512 + 2048],
        'garbage': b'\1\2\3\4' * 1000,
        'size beyond the end': good[:124] + b'77777777777\0' + good[136:],
    }[fault]
    name = add_image(fresh_engine, faulty_registry, bad, base=False)
    result = fresh_engine.wherry('pull', name)
    if fault == 'no end':  # complete entries without the two zero blocks are common
        result.ok()
        return
    result.fails(1)
    assert len(result.err.strip().splitlines()) == 1, str(result)
    assert fresh_engine.images() == []


# What must come out right

@pytest.mark.machines('host', 'vm')
@pytest.mark.parametrize('compression', ['gzip', 'zstd', 'none'])
def test_everything_an_archive_may_hold(fresh_engine, faulty_registry, compression):
    long_name = 'long-' + 'n' * 200 + '/' + 'm' * 200
    capability = b'\x01\x00\x00\x02\x00\x20\x00\x00' + bytes(12)  # cap_net_raw+ep
    lower = [
        entry('t', DIR, mode=0o1777), entry('t/file', data=b'data', mode=0o4755, uid=12, gid=34),
        entry('t/hard', HARD, linkname='t/file'), entry('t/soft', LINK, linkname='file'),
        entry('t/dangling', LINK, linkname='/no/such'), entry('t/fifo', tarfile.FIFOTYPE, mode=0o600),
        entry('t/null', tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        entry('t/empty', data=b''), entry('t/owned', DIR, uid=1234, gid=1235, mode=0o2750),
        entry(long_name.split('/')[0], DIR), entry(long_name, data=b'long'),
        entry('t/ünï', data=b'utf8'), entry('t/big-owner', data=b'', uid=3000000, gid=3000001),
        entry('t/cap', data=b'x', pax_headers={
            'SCHILY.xattr.security.capability': capability.decode('latin-1'),
            'SCHILY.xattr.user.note': 'hello'}),
        entry('t/time', data=b'', mtime=1234567890),
        entry('t/twice', data=b'first'), entry('t/twice', data=b'second'),
        entry('no/parents/listed', data=b'deep'),
    ]
    name = add_image(fresh_engine, faulty_registry,
                     oci.layer(oci.tar(lower, tarfile.PAX_FORMAT), compression))
    script = f'''
        stat -c '%a %u %g %h' /t/file; stat -c %i /t/file /t/hard | uniq | wc -l
        readlink /t/soft; readlink /t/dangling; stat -c '%F %a' /t/fifo; stat -c '%F %t %T' /t/null
        stat -c %s /t/empty; stat -c '%a %u %g' /t/owned; cat /{long_name}; echo; cat /t/ünï; echo
        stat -c '%u %g' /t/big-owner; stat -c %Y /t/time; cat /t/twice; echo
        cat /no/parents/listed; echo; stat -c %a /t'''
    out = run(fresh_engine, name, script).ok().out.splitlines()
    assert out == ['4755 12 34 2', '1', 'file', '/no/such', 'fifo 600', 'character special file 1 3',
                   '0', '2750 1234 1235', 'long', 'utf8', '3000000 3000001', '1234567890', 'second',
                   'deep', '1777']


@pytest.mark.machines('host', 'vm')
def test_whiteouts_and_opaque_directories(fresh_engine, faulty_registry):
    lower = oci.tar([entry('w', DIR), entry('w/gone', data=b'1'), entry('w/kept', data=b'2'),
                     entry('o', DIR), entry('o/hidden', data=b'3'), entry('o/sub', DIR),
                     entry('o/sub/f', data=b'4'), entry('d', DIR), entry('d/f', data=b'5'),
                     entry('r', DIR), entry('r/old', data=b'6'), entry('f', data=b'7')])
    upper = oci.tar([entry('w', DIR), entry('w/.wh.gone'), entry('o', DIR), entry('o/.wh..wh..opq'),
                     entry('o/new', data=b'8'), entry('.wh.d'),
                     entry('f', DIR), entry('f/now-a-directory', data=b'9')])
    third = oci.tar([entry('d', DIR), entry('d/other', data=b'10'), entry('.wh.r'),
                     entry('o/late', data=b'11')])
    name = add_image(fresh_engine, faulty_registry, lower, upper, third)
    out = run(fresh_engine, name, 'cd /; ls w; echo -; ls o; echo -; ls d; echo -; ls -d r 2>/dev/null;'
                                  'echo -; ls f').ok().out
    assert out == 'kept\n-\nlate\nnew\n-\nother\n-\n-\nnow-a-directory\n'


@pytest.mark.machines('host', 'vm')
def test_opaque_marker_after_its_files_keeps_them(fresh_engine, faulty_registry):
    """The marker hides what is below, never what its own layer brings, wherever it stands."""
    lower = oci.tar([entry('o', DIR), entry('o/below', data=b'1')])
    upper = oci.tar([entry('o', DIR), entry('o/own', data=b'2'), entry('o/.wh..wh..opq')])
    name = add_image(fresh_engine, faulty_registry, lower, upper)
    assert run(fresh_engine, name, 'ls /o').ok().out == 'own\n'


@pytest.mark.machines('host', 'vm')
def test_whiteout_and_file_in_one_layer(fresh_engine, faulty_registry):
    lower = oci.tar([entry('d', DIR), entry('d/x', data=b'old')])
    upper = oci.tar([entry('d', DIR), entry('d/.wh.x'), entry('d/x', data=b'new')])
    name = add_image(fresh_engine, faulty_registry, lower, upper)
    out = run(fresh_engine, name, 'cat /d/x')
    assert out.out == 'new' or out.code != 0, str(out)


def test_sparse_files(fresh_engine, faulty_registry, tmp_path):
    """GNU tar's forms of sparse files, made by GNU tar."""
    source = tmp_path / 'sparse'
    with open(source, 'wb') as handle:
        handle.seek(5 << 20)
        handle.write(b'middle')
        handle.truncate(9 << 20)
    expected = subprocess.run(['sha256sum', source], check=True, capture_output=True,
                              text=True).stdout.split()[0]
    for arguments in (['--format=gnu'], ['--format=pax', '--sparse-version=0.0'],
                      ['--format=pax', '--sparse-version=0.1'],
                      ['--format=pax', '--sparse-version=1.0']):
        data = subprocess.run(['tar', '-c', '-S', *arguments, '-C', tmp_path, 'sparse'], check=True,
                              capture_output=True).stdout
        assert len(data) < 1 << 20
        name = add_image(fresh_engine, faulty_registry, data)
        out = run(fresh_engine, name, 'stat -c %s /sparse; sha256sum /sparse; du -k /sparse')
        lines = out.ok().out.split()
        assert lines[0] == str(9 << 20) and lines[1] == expected, arguments
        fresh_engine.wherry('rmi', '-f', name).ok()


@pytest.mark.parametrize('form', ['gnu', 'pax', 'ustar', 'v7'])
def test_formats_of_gnu_tar(fresh_engine, faulty_registry, tmp_path, form):
    tree = tmp_path / 'tree'
    deep = tree / ('a' * 40) / ('b' * 40)
    if form in ('gnu', 'pax'):
        deep = deep / ('c' * 100) / ('d' * 120)
    deep.mkdir(parents=True)
    (deep / 'file').write_text('content', encoding='utf-8')
    (tree / 'link').symlink_to('x' * 90)
    data = subprocess.run(['tar', '-c', f'--format={form}', '-C', tmp_path, 'tree'], check=True,
                          capture_output=True).stdout
    name = add_image(fresh_engine, faulty_registry, data)
    out = run(fresh_engine, name, f'cat /{(deep / "file").relative_to(tmp_path)}; readlink /tree/link')
    assert out.ok().out == 'content' + 'x' * 90 + '\n'


def test_gzip_of_several_members(fresh_engine, faulty_registry):
    """Parallel compressors write several gzip members: all belong to the layer."""
    tar = oci.tar([entry('f', data=b'x' * 100000), entry('g', data=b'end')])
    blob = oci.Blob(oci.OCI['gzip'], gzip.compress(tar[:50000], mtime=0) +
                    gzip.compress(tar[50000:], mtime=0), oci.digest_of(tar))
    name = add_image(fresh_engine, faulty_registry, blob)
    assert run(fresh_engine, name, 'wc -c </f; cat /g').ok().out.split() == ['100000', 'end']


def test_compression_is_told_by_the_content(fresh_engine, faulty_registry):
    """A gzip layer that is declared as plain tar, as some tools push it."""
    tar = oci.tar([entry('f', data=b'x')])
    blob = oci.Blob(oci.OCI['none'], oci.compress(tar, 'gzip'), oci.digest_of(tar))
    name = add_image(fresh_engine, faulty_registry, blob)
    assert run(fresh_engine, name, 'cat /f').ok().out == 'x'


def test_layer_without_entries(fresh_engine, faulty_registry):
    name = add_image(fresh_engine, faulty_registry, bytes(1024))
    run(fresh_engine, name, 'true').ok()


def test_image_of_many_layers(fresh_engine, faulty_registry):
    tars = [oci.tar([entry(f'layer{i}', data=b'%d' % i)]) for i in range(120)]
    name = add_image(fresh_engine, faulty_registry, *tars)
    out = run(fresh_engine, name, 'ls / | grep -c layer; cat /layer119').ok().out
    assert out == '120\n119'
