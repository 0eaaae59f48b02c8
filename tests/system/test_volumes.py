"""Volumes: named, anonymous, filled from the image, shared, protected while in use, pruned."""

import json

import pytest


@pytest.fixture(autouse=True)
def clean(engine):
    yield
    engine.remove_containers()
    for name in engine.wherry('volume', 'ls', '-q').ok().out.split():
        engine.wherry('volume', 'rm', name).ok()
    assert engine.machine.shell(f'ls {engine.root}/volumes').out == ''


def run(engine, *args):
    return engine.wherry('run', '--rm', '--network', 'none', *args)


def test_outlives_its_container_and_is_shared(engine):
    run(engine, '-v', 'data:/data', engine.busybox, 'sh', '-c', 'echo kept >/data/file').ok()
    out = run(engine, '-v', 'data:/elsewhere:ro', engine.busybox, 'sh', '-c',
              'cat /elsewhere/file; echo x >/elsewhere/file || echo refused').ok().out
    assert out.splitlines() == ['kept', 'refused']
    first = engine.run_detached('-v', 'data:/data', engine.busybox, 'sleep', '1000')
    second = engine.run_detached('-v', 'data:/data', engine.busybox, 'sleep', '1000')
    engine.wherry('exec', first, 'sh', '-c', 'echo both >/data/both').ok()
    assert engine.wherry('exec', second, 'cat', '/data/both').ok().out == 'both\n'


@pytest.mark.machines('host')
def test_empty_one_is_filled_from_the_image(engine):
    """Content, modes, links and owner of the image's directory, once."""
    script = 'cd /etc && for f in $(find . -type f ! -name hosts ! -name hostname ! -name resolv.conf | sort); ' \
             'do md5sum $f; stat -c "%a %u %g %Y" $f; done'
    plain = run(engine, engine.busybox, 'sh', '-c', script).ok().out
    filled = run(engine, '-v', 'etc:/etc', engine.busybox, 'sh', '-c', script).ok().out
    assert filled == plain and plain
    run(engine, '-v', 'etc:/etc', engine.busybox, 'sh', '-c', 'rm -rf /etc/*; echo mine >/etc/mine').ok()
    assert run(engine, '-v', 'etc:/etc', engine.busybox, 'cat', '/etc/mine').ok().out == 'mine\n'
    assert engine.machine.shell(f'ls {engine.root}/volumes/etc').out.split() == ['_data', 'volume.json']
    run(engine, '-v', 'etc2:/etc:nocopy', engine.busybox, 'true').ok()
    assert engine.machine.shell(f'ls -A {engine.root}/volumes/etc2/_data').out.split() in \
        ([], ['hostname', 'hosts', 'resolv.conf'])


@pytest.mark.machines('host')
def test_containers_that_start_together_share_one_filling(engine):
    """All see the whole content of the image, and none fails because another copies."""
    clients = [engine.start_wherry('run', '--rm', '--network', 'none', '-v', 'bin:/bin', engine.busybox,
                                   '/bin/busybox', 'sh', '-c', 'test -x /bin/busybox && ls /bin/sh /bin/ls')
               for _ in range(6)]
    assert [client.wait(60) for client in clients] == [0] * 6, [client.err for client in clients]
    assert engine.machine.shell(f'ls {engine.root}/volumes/bin').out.split() == ['_data', 'volume.json']


@pytest.mark.machines('host')
def test_what_was_filled_by_half_is_filled_again(engine):
    engine.wherry('volume', 'create', 'etc').ok()
    place = f'{engine.root}/volumes/etc'
    engine.machine.shell(f'echo part >{place}/_data/passwd; touch {place}/filling')
    out = run(engine, '-v', 'etc:/etc', engine.busybox, 'cat', '/etc/passwd').ok().out
    assert 'root:' in out
    assert not engine.machine.exists(f'{place}/filling')


@pytest.mark.machines('host')
def test_anonymous_ones_go_with_rm(engine):
    run(engine, '-v', '/data', engine.busybox, 'touch', '/data/file').ok()
    engine.machine.wait_for(lambda: engine.wherry('volume', 'ls', '-q').ok().out == '', 'a volume is left')
    identity = engine.run_detached('--mount', 'type=volume,target=/data', engine.busybox, 'true')
    engine.wait_exited(identity)
    mount, = engine.inspect(identity)['Mounts']
    assert mount['Type'] == 'volume' and len(mount['Name']) == 64 and mount['Destination'] == '/data'
    engine.wherry('rm', identity).ok()
    assert engine.wherry('volume', 'ls', '-q').ok().out.split() == [mount['Name']]
    engine.wherry('volume', 'create', 'named').ok()
    pruned = engine.wherry('volume', 'prune', '-f').ok().out
    assert mount['Name'] in pruned and 'named' not in pruned
    assert 'named' in engine.wherry('volume', 'prune', '-a', '-f').ok().out
    identity = engine.run_detached('-v', '/data', engine.busybox, 'true')
    engine.wait_exited(identity)
    engine.wherry('rm', '-v', identity).ok()
    engine.machine.wait_for(lambda: engine.wherry('volume', 'ls', '-q').ok().out == '', 'a volume is left')


@pytest.mark.machines('host')
def test_in_use_is_protected(engine):
    identity = engine.run_detached('-v', 'data:/data', engine.busybox, 'true')
    engine.wait_exited(identity)
    engine.wherry('volume', 'rm', 'data').fails(1, f'volume is in use - .{identity}')
    engine.wherry('volume', 'prune', '-a', '-f').ok()
    assert engine.wherry('volume', 'ls', '-q').ok().out == 'data\n'


@pytest.mark.machines('host')
def test_bad_names_and_options(engine):
    engine.wherry('volume', 'create', '../x').fails(1, 'invalid characters')
    engine.wherry('volume', 'inspect', 'nothing').fails(1, 'no such volume')
    engine.wherry('volume', 'rm', 'nothing').fails(1, 'no such volume')
    engine.wherry('volume', 'rm', '-f', 'nothing').ok()
    run(engine, '-v', '../x:/data', engine.busybox, 'true').fails(125, 'invalid characters')
    run(engine, '-v', 'data:/a', '-v', 'data2:/a', engine.busybox, 'true').fails(125, 'Duplicate mount point')


@pytest.mark.machines('host')
def test_restart_of_the_daemon(engine):
    engine.wherry('volume', 'create', '--label', 'a=b', 'data').ok()
    engine.stop()
    engine.start()
    volume, = json.loads(engine.wherry('volume', 'inspect', 'data').ok().out)
    assert volume['Labels'] == {'a': 'b'} and volume['Mountpoint'].endswith('/volumes/data/_data')


@pytest.mark.machines('host')
def test_docker_cli(engine, docker_major):
    assert engine.docker('volume', 'create', '--label', 'x=1', 'data').ok().out == 'data\n'
    engine.docker('run', '--rm', '--network', 'none', '-v', 'data:/data', engine.busybox, 'touch',
                  '/data/file').ok()
    assert engine.docker('volume', 'ls', '-q', '--filter', 'label=x=1').ok().out == 'data\n'
    mountpoint = engine.docker('volume', 'inspect', '-f', '{{.Mountpoint}}', 'data').ok().out.strip()
    assert engine.machine.exists(f'{mountpoint}/file')
    assert 'data' in engine.docker('system', 'df', '-v').ok().out
    assert engine.docker('volume', 'rm', 'data').ok().out == 'data\n'
    assert engine.docker('container', 'prune', '-f').ok().out.startswith('Total reclaimed')


@pytest.mark.machines('host')
def test_container_prune(engine):
    ended = engine.run_detached(engine.busybox, 'true')
    engine.wait_exited(ended)
    running = engine.run_detached(engine.busybox, 'sleep', '1000')
    created = engine.wherry('create', '--label', 'keep=1', engine.busybox, 'true').ok().out.strip()
    out = engine.wherry('container', 'prune', '-f', '--filter', 'label!=keep').ok().out
    assert ended in out and running not in out and created not in out
    assert sorted(engine.containers()) == sorted([running, created])
