"""Files out of containers and into them: cp, export, import."""

import contextlib
import io
import json
import pathlib
import tarfile
import urllib.parse

import pytest

from harness import oci
from harness.unix_http import UnixConnection
from outcome import one_clear_error

pytestmark = pytest.mark.machines('host')

STATES = ['running', 'created', 'ended']


@pytest.fixture(params=STATES)
def box(request, engine):
    """A container in each state."""
    if request.param == 'created':
        engine.wherry('create', '--name', 'box', '--network', 'none', engine.busybox, 'sleep', '1000').ok()
    else:
        engine.run_detached('--name', 'box', engine.busybox, 'sleep', '1000')
    if request.param == 'ended':
        engine.wherry('stop', '-t', '0', 'box').ok()
    return 'box'


@pytest.fixture
def running(engine):
    engine.run_detached('--name', 'box', engine.busybox, 'sleep', '1000')
    return 'box'


@pytest.fixture(params=['wherry', 'docker'])
def copy(request, engine, docker_major):
    assert docker_major
    return lambda *words: getattr(engine, request.param)('cp', *words)


def tree(path):
    """Every path below a directory, with the content of files."""
    path = pathlib.Path(path)
    return {str(one.relative_to(path)): one.read_text() if one.is_file() else None
            for one in sorted(path.rglob('*'))}


@pytest.fixture
def here(tmp_path):
    (tmp_path / 'in/sub').mkdir(parents=True)
    (tmp_path / 'in/a').write_text('content of a\n')
    (tmp_path / 'in/sub/b').write_text('content of b\n')
    (tmp_path / 'out').mkdir()
    return tmp_path


def test_there_and_back(engine, box, copy, here):
    copy(here / 'in/a', f'{box}:/tmp').ok()                  # into a directory
    copy(here / 'in/a', f'{box}:/tmp/renamed').ok()          # under another name
    copy(here / 'in', f'{box}:/root/new').ok()               # a directory that is not there
    copy(here / 'in', f'{box}:/root').ok()                   # into one that is
    copy(f'{here}/in/.', f'{box}:/tmp').ok()                 # what is in it
    copy(f'{box}:/tmp/renamed', here / 'out/file').ok()
    copy(f'{box}:/tmp/renamed', here / 'out').ok()
    copy(f'{box}:/root', here / 'out').ok()
    copy(f'{box}:/root/new', here / 'fresh').ok()
    copy(f'{box}:/root/in/.', here / 'in').ok()
    a, b = 'content of a\n', 'content of b\n'
    assert tree(here / 'out') == {
        'file': a, 'renamed': a, 'root': None, 'root/in': None, 'root/in/a': a, 'root/in/sub': None,
        'root/in/sub/b': b, 'root/new': None, 'root/new/a': a, 'root/new/sub': None, 'root/new/sub/b': b}
    assert tree(here / 'fresh') == tree(here / 'in') == {'a': a, 'sub': None, 'sub/b': b}
    if engine.state(box)['Status'] != 'running':
        engine.wherry('start', box).ok()
    assert engine.wherry('exec', box, 'cat', '/tmp/a', '/tmp/renamed', '/root/new/sub/b').ok().out == a + a + b


def test_nothing_is_said_to_have_run(engine, here):
    engine.wherry('create', '--name', 'box', '--network', 'none', engine.busybox, 'cat', '/tmp/a').ok()
    engine.wherry('cp', here / 'in/a', 'box:/tmp').ok()
    engine.stop()
    engine.machine.shell(f'rm -rf {engine.rundir}/c')  # as after a restart of the machine
    engine.start()
    assert engine.state('box')['Status'] == 'created'
    assert engine.wherry('start', '-a', 'box').ok().out == 'content of a\n'


def test_archives(engine, box, here):
    out = engine.wherry('cp', f'{box}:/etc/passwd', '-').ok().raw_out
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        assert archive.getnames() == ['passwd']
    data = oci.tar([oci.entry('x/y', data=b'from a pipe\n')])
    engine.wherry('cp', '-', f'{box}:/tmp', input=data).ok()
    engine.wherry('cp', f'{box}:/tmp/x/y', here / 'out').ok()
    assert tree(here / 'out') == {'y': 'from a pipe\n'}


@pytest.fixture
def host_dir(tmp_path):
    (tmp_path / 'host/inner').mkdir(parents=True)
    (tmp_path / 'host/one').write_text('of the host\n')
    return tmp_path / 'host'


@pytest.fixture(params=STATES)
def mounted(request, engine, host_dir):
    """A container with volumes and binds in each state; the image has none of the places but /etc and /root."""
    options = ['--name', 'box', '--network', 'none', '-v', 'kept:/data/deep', '-v', f'{host_dir}:/host', '-v', 'etc:/etc',
               '-v', f'{host_dir}/inner:/data/deep/inner', '-v', f'{host_dir}:/ro:ro', '-v', f'{host_dir}/one:/root/file',
               '--tmpfs', '/tmp', engine.busybox, 'sleep', '1000']
    if request.param == 'created':
        engine.wherry('create', *options).ok()
    else:
        engine.run_detached(*options)
    if request.param == 'ended':
        engine.wherry('stop', '-t', '0', 'box').ok()
    yield request.param
    engine.wherry('rm', '-f', 'box').ok()
    engine.wherry('volume', 'rm', 'kept', 'etc').ok()


def test_volumes_and_binds(engine, mounted, copy, host_dir, here):
    volume = pathlib.Path(f'{engine.root}/volumes/kept/_data')
    copy(here / 'in/a', 'box:/data/deep/a').ok()
    copy(here / 'in', 'box:/host').ok()
    copy(here / 'in/a', 'box:/data/deep/inner/a').ok()
    one_clear_error(copy(here / 'in/a', 'box:/root/file'), 'file.*something is mounted there')
    a, b = 'content of a\n', 'content of b\n'
    assert tree(volume) == {'a': a, 'inner': None}
    assert tree(host_dir) == {'in': None, 'in/a': a, 'in/sub': None, 'in/sub/b': b, 'inner': None, 'inner/a': a, 'one': 'of the host\n'}
    copy('box:/data', here / 'out').ok()
    copy('box:/root/file', here / 'out').ok()
    copy('box:/ro/in/sub/.', here / 'out').ok()
    assert tree(here / 'out') == {'data': None, 'data/deep': None, 'data/deep/a': a, 'data/deep/inner': None,
                                  'data/deep/inner/a': a, 'file': 'of the host\n', 'b': b}
    one_clear_error(copy(here / 'in/a', 'box:/ro/new'), 'read-only|Read-only')
    assert not (host_dir / 'new').exists()
    with open('/proc/self/mounts', encoding='utf-8') as mounts:
        assert str(host_dir) not in mounts.read()
    if mounted != 'running':
        engine.wherry('start', 'box').ok()
    assert engine.wherry('exec', 'box', 'cat', '/data/deep/a', '/root/file', '/etc/passwd').ok().out.startswith(
        f'{a}of the host\nroot:')


def test_a_volume_that_waits_to_be_filled(engine, copy, here):
    """It has the image's content when files come out of it, and when one comes in."""
    engine.wherry('create', '--name', 'box', '--network', 'none', '-v', 'etc:/etc', engine.busybox, 'ls', '/etc').ok()
    volume = pathlib.Path(f'{engine.root}/volumes/etc/_data')
    copy('box:/etc/passwd', here / 'out').ok()
    assert (here / 'out/passwd').read_text().startswith('root:') and not any(volume.iterdir())
    copy(here / 'in/a', 'box:/etc/a').ok()
    assert (volume / 'a').exists() and (volume / 'passwd').exists() and not (volume.parent / 'filling').exists()
    assert {'a', 'passwd'} <= set(engine.wherry('start', '-a', 'box').ok().out.split())
    engine.wherry('rm', 'box').ok()
    engine.wherry('volume', 'rm', 'etc').ok()


def test_links_in_volumes_stay_inside(engine, copy, here, tmp_path):
    """A link is the container's wherever it lies, and what a volume is mounted on as well."""
    secret = tmp_path / 'secret'
    secret.write_text('secret')
    engine.wherry('run', '--name', 'box', '--network', 'none', '-v', 'kept:/data', engine.busybox, 'sh', '-c',
                  f'ln -s {secret} /data/file; ln -s / /data/top; ln -s ../../../../../../../../{tmp_path} /data/up').ok()
    for path in ('/data/file/', f'/data/top{secret}', '/data/up/secret'):
        one_clear_error(copy(f'box:{path}', here / 'out'), 'Could not find the file')
    copy('box:/data/top/etc/passwd', here / 'out').ok()
    assert tree(here / 'out')['passwd'].startswith('root:')
    copy(here / 'in/a', 'box:/data/top/data/../root/a').ok()
    copy('box:/root/a', here / 'out').ok()
    engine.wherry('rm', 'box').ok()
    engine.wherry('volume', 'rm', 'kept').ok()
    assert secret.read_text() == 'secret'


def test_a_bind_without_a_source(engine, copy, here, tmp_path):
    """As at a start: -v makes it, --mount does not."""
    engine.wherry('create', '--name', 'box', '--network', 'none', '-v', f'{tmp_path}/made:/made', engine.busybox).ok()
    copy(here / 'in/a', 'box:/made/a').ok()
    assert tree(tmp_path / 'made') == {'a': 'content of a\n'}
    engine.wherry('rm', 'box').ok()
    (tmp_path / 'gone').mkdir()
    engine.wherry('create', '--name', 'box', '--network', 'none', '--mount', f'type=bind,source={tmp_path}/gone,target=/gone',
                  engine.busybox).ok()
    (tmp_path / 'gone').rmdir()
    one_clear_error(copy(here / 'in/a', 'box:/gone/a'), 'bind source path does not exist|Could not find')
    engine.wherry('rm', 'box').ok()


@pytest.mark.parametrize('words, pattern', [
    (['box:/no/such', '{here}'], 'Could not find the file'),
    (['{here}/in', 'box:/no/such/place'], 'Could not find the file'),
    (['{here}/in', 'box:/etc/passwd'], 'directory'),
    (['{here}/in/a', 'box:/new/'], 'does not exist|Could not find'),
    (['box:/etc', '{here}/in/a'], 'directory'),
    (['{here}/none', 'box:/tmp'], 'No such file'),
    (['box:/a', 'box:/b'], 'between containers'),
    (['{here}/a', '{here}/b'], 'CONTAINER:PATH'),
    (['nobody:/etc', '{here}'], 'No such container'),
])
def test_what_cannot_be(engine, running, here, words, pattern):
    assert running
    one_clear_error(engine.wherry('cp', *[word.format(here=here) for word in words]), pattern)


def test_read_only_root(engine, here):
    engine.run_detached('--name', 'box', '--read-only', '--tmpfs', '/tmp', '-v', '/data', engine.busybox, 'sleep', '1000')
    one_clear_error(engine.wherry('cp', here / 'in/a', 'box:/etc'), 'read-only|Read-only')
    engine.wherry('stop', '-t', '0', 'box').ok()
    one_clear_error(engine.wherry('cp', here / 'in/a', 'box:/etc'), 'read-only')
    engine.wherry('cp', here / 'in/a', 'box:/data').ok()


# Hostile archives and hostile containers

def put(engine, path, data, **query):
    text = urllib.parse.urlencode({'path': path, **query})
    with contextlib.closing(UnixConnection(engine.socket)) as connection:
        connection.request('PUT', f'/containers/box/archive?{text}', data, {'Content-Type': 'application/x-tar'})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def link(name, target, kind=tarfile.SYMTYPE):
    return oci.entry(name, kind=kind, linkname=str(target))


def test_archive_that_leads_out(engine, box, tmp_path):
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'victim').write_text('safe')
    up = '../' * 20
    for entries in (
            [oci.entry(f'{up}{outside}/victim', data=b'hit')],
            [oci.entry(f'{outside}/victim', data=b'hit')],
            [link('way', outside), oci.entry('way/victim', data=b'hit')],
            [link('way', up + str(outside)), oci.entry('way/victim', data=b'hit')],
            [link('hard', f'{up}{outside}/victim', tarfile.LNKTYPE), oci.entry('hard', data=b'hit')],
            [link('way', '/proc/self/root'), oci.entry(f'way{outside}/victim', data=b'hit')],
            [link('way', f'/proc/1/cwd{outside}'), oci.entry('way/victim', data=b'hit')]):
        status, _ = put(engine, '/tmp', oci.tar(entries))
        assert status in (200, 400, 404, 500)
        assert (outside / 'victim').read_text() == 'safe'
        assert [one.name for one in outside.iterdir()] == ['victim']
    assert put(engine, '/tmp', b'no archive' * 100)[0] == 400
    assert put(engine, '/etc/passwd', oci.tar([]))[0] == 400
    assert put(engine, '', oci.tar([]))[0] == 400


def test_directories_are_not_replaced_when_asked(engine, running):
    assert running
    over = oci.tar([oci.entry('etc', data=b'a file\n')])
    assert put(engine, '/', over, noOverwriteDirNonDir='true')[0] == 400
    assert engine.wherry('exec', 'box', 'test', '-d', '/etc').code == 0


def test_links_in_the_container_stay_inside(engine, running, tmp_path):
    """A container that swaps a directory for a link while files are copied into it and out of it."""
    assert running
    secret = tmp_path / 'secret'
    secret.mkdir()
    (secret / 'a').write_text('secret')
    engine.wherry('exec', '-d', 'box', 'sh', '-c',
                  f'mkdir -p /w/d {secret}; echo mine > /w/d/a; echo inside > {secret}/a; cd /w; while :; do '
                  f'mv d e; ln -s {secret} d; rm d; mv e d; done').ok()
    data = oci.tar([oci.entry(f'd/f{i}', data=b'hit') for i in range(50)])
    for _ in range(20):
        put(engine, '/w', data)
        out = engine.wherry('cp', 'box:/w/d/a', '-')
        assert b'secret' not in out.raw_out
    assert tree(secret) == {'a': 'secret'}


def test_what_comes_out_has_no_power(engine, running, here):
    assert running
    engine.wherry('exec', 'box', 'sh', '-c',
                  'mkdir /evil; cp /bin/busybox /evil/root; chmod 4755 /evil/root; '
                  f'ln -s {here}/in /evil/way; mkfifo /evil/pipe').ok()
    engine.wherry('cp', 'box:/evil', here / 'out').ok()
    assert (here / 'out/evil/root').stat().st_mode & 0o7777 == 0o755
    assert (here / 'out/evil/way').is_symlink()
    engine.wherry('exec', 'box', 'mknod', '/evil/disk', 'b', '7', '99')
    result = engine.wherry('cp', 'box:/evil', here / 'out')
    assert not (here / 'out/evil/disk').exists(), str(result)


def test_clients_that_stall(engine, running, here):
    """They take what there is of places for archives, and nothing else."""
    assert running
    with contextlib.ExitStack() as stack:
        def stall():
            connection = stack.enter_context(contextlib.closing(UnixConnection(engine.socket)))
            connection.putrequest('PUT', '/containers/box/archive?path=/tmp')
            connection.putheader('Transfer-Encoding', 'chunked')
            connection.endheaders()

        for _ in range(6):
            stall()

        def full():
            """One that was asked here may have had the place of one that was to stall."""
            refused = engine.wherry('cp', 'box:/etc/passwd', '-').code == 1
            if not refused:
                stall()
            return refused
        engine.machine.wait_for(full, 'more than six archives at a time', 10)
        one_clear_error(engine.wherry('cp', 'box:/etc/passwd', '-'), 'try again later')
        engine.wherry('stop', '-t', '0', 'box').ok()
        engine.wherry('start', 'box').ok()

    def free():
        return engine.wherry('cp', 'box:/etc/passwd', here / 'out').code == 0
    engine.machine.wait_for(free, 'places are not given back', 10)


def test_owners_and_modes(engine, running, docker_major):
    assert running and docker_major
    data = oci.tar([oci.entry('file', data=b'x', uid=1234, gid=4321, mode=0o640),
                    oci.entry('dir', kind=tarfile.DIRTYPE, uid=12, gid=13, mode=0o2750)])
    engine.docker('cp', '-', 'box:/tmp', input=data).ok()
    out = engine.wherry('exec', 'box', 'stat', '-c', '%u %g %a', '/tmp/file', '/tmp/dir').ok().out
    assert out.splitlines() == ['1234 4321 640', '12 13 2750']
    engine.docker('cp', '-a', '-', 'box:/tmp', input=data).ok()
    out = engine.wherry('exec', 'box', 'stat', '-c', '%u %g', '/tmp/file').ok().out
    assert out.splitlines() == ['0 0']


# export and import

def test_export(engine, box, tmp_path):
    if engine.state(box)['Status'] == 'running':
        engine.wherry('exec', box, 'sh', '-c', 'echo new > /made; rm -r /root').ok()
    engine.wherry('export', '-o', tmp_path / 'all.tar', box).ok()
    with tarfile.open(tmp_path / 'all.tar') as archive:
        names = archive.getnames()
        assert 'bin/busybox' in names and 'etc/passwd' in names
        assert [name for name in names if name.startswith(('proc/', 'sys/', 'dev/'))] == []
        if 'made' in names:
            assert archive.extractfile('made').read() == b'new\n' and 'root' not in names


def test_export_and_import(fresh_engine, registry, tmp_path, docker_major):
    assert docker_major
    engine = fresh_engine
    engine.login(registry.name)
    engine.wherry('run', '--name', 'box', '--network', 'none', f'{registry.name}/busybox', 'sh', '-c',
                  'echo kept > /made').ok()
    engine.wherry('export', '-o', tmp_path / 'all.tar', 'box').ok()
    identity = engine.wherry('import', '-c', 'CMD ["cat", "/made"]', '-c', 'ENV A=b', '-m', 'why',
                             tmp_path / 'all.tar', 'imported:1').ok().out.strip()
    image = engine.inspect('imported:1')
    assert image['Id'] == identity
    assert image['Config']['Cmd'] == ['cat', '/made'] and 'A=b' in image['Config']['Env']
    assert engine.wherry('run', '--rm', '--network', 'none', 'imported:1').ok().out == 'kept\n'
    with open(tmp_path / 'all.tar', 'rb') as archive:
        out = engine.docker('import', '-', 'imported:2', input=archive.read()).ok().out.strip()
    assert out.startswith('sha256:')
    engine.wherry('import', tmp_path / 'none.tar').fails(1, 'No such file')
    (tmp_path / 'bad.tar').write_bytes(b'no archive' * 1000)
    one_clear_error(engine.wherry('import', tmp_path / 'bad.tar'), 'tar|archive|header')
    one_clear_error(engine.wherry('import', '-c', 'RUN true', tmp_path / 'all.tar'), 'not a valid change')
    assert json.loads(engine.wherry('images', '--format', 'json').ok().out.splitlines()[0])
