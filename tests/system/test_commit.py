"""Images made of what containers have changed, and the list of those changes."""

import io
import json
import random
import tarfile
import uuid

import pytest

pytestmark = pytest.mark.machines('host')
# What may differ between kernels or architectures; the rest is the same everywhere.
BOTH = pytest.mark.machines('host', 'vm')

CHANGES = '''
set -e
mkdir /new /new/sub
echo one > /new/a
ln /new/a /new/b
ln -s a /new/link
mknod /new/device c 1 3
mkfifo /new/pipe
chmod 4755 /new/a
chown 12:34 /new/sub
echo more >> /etc/passwd
chmod 0700 /tmp
rm /etc/group
dd if=/dev/zero of=/new/holes bs=1 count=1 seek=8388607 2>/dev/null
'''


@pytest.fixture
def changed(engine):
    """A container that has changed much, and has ended."""
    name = f'c{uuid.uuid4().hex[:8]}'
    engine.wherry('run', '--name', name, '--network', 'none', engine.busybox, 'sh', '-c', CHANGES).ok()
    yield name
    engine.wherry('rm', '-f', name)


@pytest.fixture
def image(engine):
    """A name for an image, which is removed afterwards."""
    name = f'made{uuid.uuid4().hex[:8]}:1'
    yield name
    engine.wherry('rmi', '-f', name)


def inspect_image(engine, name):
    return json.loads(engine.wherry('inspect', name).ok().out)[0]


def run(engine, image, script):
    return engine.wherry('run', '--rm', '--network', 'none', image, 'sh', '-c', script).ok().out


@BOTH
def test_diff(engine, changed):
    lines = engine.wherry('diff', changed).ok().out.splitlines()
    assert lines == ['C /etc', 'D /etc/group', 'C /etc/passwd', 'A /new', 'A /new/a', 'A /new/b',
                     'A /new/device', 'A /new/holes', 'A /new/link', 'A /new/pipe', 'A /new/sub', 'C /tmp']


def test_diff_by_docker(engine, changed, docker_major):
    del docker_major
    assert sorted(engine.docker('diff', changed).ok().out.splitlines()) == \
        sorted(engine.wherry('diff', changed).ok().out.splitlines())


def test_diff_of_nothing(engine):
    engine.wherry('create', '--name', 'idle', engine.busybox).ok()
    assert engine.wherry('diff', 'idle').ok().out == ''
    engine.wherry('start', 'idle').ok()
    engine.wait_exited('idle')
    assert engine.wherry('diff', 'idle').ok().out == ''
    assert 'No such container: none' in engine.wherry('diff', 'none').fails(1).err


@BOTH
def test_commit_keeps_everything(engine, changed, image):
    engine.wherry('commit', '-m', 'why', '-a', 'me', changed, image).ok()
    out = run(engine, image, 'cd /new; stat -c "%n %a %u:%g %h %F %s" a b sub link device pipe holes; '
                             'stat -c %a /tmp; tail -n1 /etc/passwd; cat a; readlink link; ls /etc/group 2>&1; '
                             '[ a -ef b ] && echo same')
    assert out.splitlines() == [
        'a 4755 0:0 2 regular file 4', 'b 4755 0:0 2 regular file 4', out.splitlines()[2],
        'link 777 0:0 1 symbolic link 1', 'device 644 0:0 1 character special file 0', 'pipe 644 0:0 1 fifo 0',
        'holes 644 0:0 1 regular file 8388608', '700', 'more', 'one', 'a',
        'ls: /etc/group: No such file or directory', 'same']
    assert out.splitlines()[2].startswith('sub 755 12:34 2 directory')
    detail = inspect_image(engine, image)
    assert detail['Author'] == 'me' and detail['Comment'] == 'why'


def test_commit_again_gives_the_same_layer(engine, changed, image):
    first = inspect_image(engine, engine.wherry('commit', changed).ok().out.strip())
    second = inspect_image(engine, engine.wherry('commit', changed, image).ok().out.strip())
    assert first['RootFS'] == second['RootFS'] and first['Id'] != second['Id']
    engine.wherry('rmi', first['Id']).ok()


@BOTH
def test_commit_of_renamed_directories(engine, image):
    """The upper directory has neither what was in them nor the content of a file whose mode changed."""
    name = f'c{uuid.uuid4().hex[:8]}'
    engine.wherry('run', '--name', name, '--network', 'none', engine.busybox, 'sh', '-c',
                  'mv /etc /moved; mkdir /etc; echo x > /etc/only; '
                  'chmod 700 /bin/busybox').ok()
    listed = engine.wherry('diff', name).ok().out.splitlines()
    assert 'C /etc' in listed and 'D /etc/passwd' in listed and 'A /moved/passwd' in listed
    engine.wherry('commit', name, image).ok()
    engine.wherry('rm', name).ok()
    assert 'passwd' not in run(engine, image, 'ls /etc')
    assert run(engine, image, 'head -c4 /moved/passwd; cat /etc/only; /bin/busybox echo runs') == 'rootx\nruns\n'


# What there is below /t, with what a layer keeps; overlayfs does not count the links of directories.
LIST = 'cd /t && find . | sort | while read -r f; do stat -c "%n %f %u:%g" "$f"; [ -L "$f" ] && readlink "$f"; ' \
       '[ -f "$f" ] && [ ! -L "$f" ] && stat -c %h "$f" && cat "$f"; done; true'


def random_changes(seed):
    """Shell commands on a small tree, most of which fail or hit what others made."""
    rng = random.Random(seed)
    names = ['/t/' + '/'.join(rng.choice('abc') for _ in range(depth)) for depth in (1, 1, 2, 2, 3)]
    lines = []
    for number in range(60):
        one, two = rng.choice(names), rng.choice(names)
        lines.append(rng.choice([
            f'mkdir -p {one}', f'mkdir {one}', f'rm -rf {one}', f'rmdir {one}', f'echo {number} > {one}',
            f'echo {number} >> {one}', f'mv {one} {two}', f'mv -T {one} {two}', f'ln {one} {two}', f'ln -s {two} {one}',
            f'chmod {rng.choice(["700", "755", "1777"])} {one}', f'chown {number}:3 {one}', f'cp -a {one} {two}',
            f'rm -rf {one} && mkdir {one}', f'mknod {one} c 1 3']))
    return 'mkdir -p /t\n' + '\n'.join(f'{line} 2>/dev/null' for line in lines) + '\n'


@pytest.mark.parametrize('seed', range(4))
def test_random_changes(engine, seed, image):
    """Three containers, each from the image of the one before, as they were when they ended."""
    base = engine.busybox
    for step in range(3):
        name = f'c{uuid.uuid4().hex[:8]}'
        script = random_changes(seed * 10 + step) + LIST
        before = engine.wherry('run', '--name', name, '--network', 'none', base, 'sh', '-c', script).ok().out
        base = f'{image}{step}'
        engine.wherry('commit', name, base).ok()
        engine.wherry('rm', name).ok()
        assert run(engine, base, LIST) == before
    engine.wherry('rmi', '-f', *(f'{image}{step}' for step in range(3))).ok()


@pytest.mark.machines('host')
@pytest.mark.parametrize('tier', ['A2', 'B'])
def test_commit_in_other_tiers(new_engine, registry, tier):
    engine = new_engine(new_engine.trust(registry.name) + f'[store]\ntier = {tier}\n')
    engine.login(registry.name)
    busybox = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', busybox).ok()
    engine.wherry('run', '--name', 'cc', '--network', 'none', busybox, 'sh', '-c', CHANGES + 'mv /bin /usr/bin2').ok()
    listed = engine.wherry('diff', 'cc').ok().out.splitlines()
    assert 'A /usr/bin2/busybox' in listed and 'D /etc/group' in listed
    engine.wherry('commit', 'cc', 'made').ok()
    script = '/usr/bin2/busybox stat -c "%a %s" /new/a /new/holes'
    out = engine.wherry('run', '--rm', '--network', 'none', 'made', '/usr/bin2/busybox', 'sh', '-c', script).ok().out
    assert out == '4755 4\n644 8388608\n'
    engine.remove_containers()


def test_changes(engine, changed, image):
    engine.wherry('commit', '-c', 'CMD ["sh", "-c", "echo $WHO $(pwd)"]', '--change', 'ENV WHO=you', '-c', 'WORKDIR /new',
                  '-c', 'EXPOSE 80', '-c', 'LABEL a=b', '-c', 'USER 12', changed, image).ok()
    assert engine.wherry('run', '--rm', '--network', 'none', image).ok().out == 'you /new\n'
    config = inspect_image(engine, image)['Config']
    assert config['ExposedPorts'] == {'80/tcp': {}} and config['Labels'] == {'a': 'b'} and config['User'] == '12'


@pytest.mark.parametrize('change, message', [
    ('FROM x', 'from is not a valid change command'),
    ('RUN x', 'run is not a valid change command'),
    ('NONSENSE', 'unknown instruction: NONSENSE'),
    ('CMD', 'CMD requires'),
    ('EXPOSE 99999', '99999'),
])
def test_bad_changes(engine, changed, change, message):
    before = engine.images()
    result = engine.wherry('commit', '-c', change, changed)
    if change == 'CMD':  # means no command
        engine.wherry('rmi', result.ok().out.strip()).ok()
        return
    assert message in result.fails(1).err
    assert engine.images() == before


def test_bad_names(engine, changed):
    assert 'No such container: none' in engine.wherry('commit', 'none').fails(1).err
    assert 'BAD' in engine.wherry('commit', changed, 'BAD NAME').fails(1).err


@BOTH
def test_commit_of_a_running_container(engine, image):
    identity = engine.run_detached(engine.busybox, 'sh', '-c', 'while :; do echo x >> /log; sleep 0.01; done')
    engine.machine.wait_for(lambda: 'A /log' in engine.wherry('diff', identity).ok().out, 'no change')
    engine.wherry('commit', identity, image).ok()
    assert engine.state(identity)['Status'] == 'running'
    assert run(engine, image, 'head -n1 /log') == 'x\n'


def test_commit_by_docker(engine, changed, image, docker_major):
    del docker_major
    identity = engine.docker('commit', '-m', 'why', '-c', 'CMD ["id"]', changed, image).ok().out.strip()
    assert identity == inspect_image(engine, image)['Id']
    assert 'why' in engine.wherry('inspect', image).ok().out


def test_the_layer_is_a_layer(engine, changed, image, tmp_path):
    """As others read it: whiteouts, hard links, and nothing of what the runtime made."""
    del tmp_path
    engine.wherry('commit', changed, image).ok()
    path = f'{engine.dir}/saved.tar'
    engine.wherry('save', '-o', path, image).ok()
    data = engine.machine.read(path)
    engine.machine.remove(path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        layers = json.load(archive.extractfile('manifest.json'))[0]['Layers']
        with tarfile.open(fileobj=archive.extractfile(layers[-1])) as layer:
            names = layer.getnames()
            assert layer.getmember('new/b').islnk() and layer.getmember('new/holes').issparse()
    assert names == ['etc', 'etc/.wh.group', 'etc/passwd', 'new', 'new/a', 'new/b', 'new/device', 'new/holes',
                     'new/link', 'new/pipe', 'new/sub', 'tmp']
