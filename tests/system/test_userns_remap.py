"""[containers] userns-remap: containers whose root is an ordinary user of the host, in one daemon with --userns=host."""

import io
import json
import re
import tarfile

import pytest

BASE = 300000
REMAP = f'[containers]\nuserns-remap = {BASE}:65536\n'
TIERS = ['auto', 'B']


@pytest.fixture(name='remapping', params=TIERS)
def fixture_remapping(request, new_engine, registry):
    """A daemon that maps, with busybox, by the best tier that works and by plain directories."""
    engine = new_engine(new_engine.trust(registry.name) + REMAP + f'[store]\ntier = {request.param}\n')
    engine.machine.reach(registry.port)
    engine.login(registry.name)
    engine.busybox = f'{registry.name}/busybox'
    engine.wherry('pull', engine.busybox).ok()
    yield engine
    engine.remove_containers()


def pid_of(engine, name):
    return json.loads(engine.wherry('inspect', name).ok().out)[0]['State']['Pid']


def test_root_of_a_container_is_nobody_outside(remapping):
    engine = remapping
    engine.run_detached('--name', 'box', '-v', 'data:/data', engine.busybox, 'sleep', '1000')
    pid = pid_of(engine, 'box')
    assert engine.machine.shell(f"grep -E '^(Uid|Gid)' /proc/{pid}/status").ok().out.split()[1] == str(BASE)
    assert engine.wherry('exec', 'box', 'sh', '-c', 'id -u; touch /new /data/new; stat -c %u /new /bin/busybox /data/new '
                         '/etc/passwd; echo x > /dev/null && echo again > /dev/stdout').ok().out.split() == [
        '0', '0', '0', '0', '0', 'again']
    engine.wherry('exec', '-u', '12:34', 'box', 'touch', '/tmp/theirs').ok()
    # On disk everything has the owner it has inside: nothing was copied, and it is the same without the map.
    where = f'{engine.root}/containers/*/upper'
    assert engine.machine.shell(f'stat -c %u:%g {where}/new {where}/tmp/theirs '
                                f'{engine.root}/volumes/data/_data/new').ok().out.split() == ['0:0', '12:34', '0:0']
    assert engine.wherry('diff', 'box').ok().out.split('\n')[:-1] == ['A /new', 'C /tmp', 'A /tmp/theirs']
    engine.wherry('commit', 'box', 'made').ok()
    for options in ((), ('--userns', 'host')):
        assert engine.wherry('run', '--rm', *options, 'made', 'stat', '-c', '%u:%g', '/new', '/tmp/theirs'
                             ).ok().out.split() == ['0:0', '12:34']


def test_copying_keeps_owners(remapping):
    engine = remapping
    engine.run_detached('--name', 'box', '-v', 'data:/data', '--tmpfs', '/memory', engine.busybox, 'sleep', '1000')
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode='w') as tar:
        for name, owner in (('a', 0), ('b', 1000)):
            member = tarfile.TarInfo(name)
            member.uid = member.gid = owner
            member.size = 3
            tar.addfile(member, io.BytesIO(b'abc'))
    for place in ('/tmp', '/data', '/memory'):
        engine.wherry('cp', '-', f'box:{place}', input=archive.getvalue()).ok()
        assert engine.wherry('exec', 'box', 'stat', '-c', '%u:%g', f'{place}/a', f'{place}/b').ok().out.split() == [
            '0:0', '1000:1000']
        out = engine.wherry('cp', f'box:{place}/b', '-').ok().raw_out
        with tarfile.open(fileobj=io.BytesIO(out)) as tar:
            assert [(member.name, member.uid, member.gid) for member in tar] == [('b', 1000, 1000)]
    strange = tarfile.TarInfo('c')
    strange.uid = 70000
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode='w') as tar:
        tar.addfile(strange)
    engine.wherry('cp', '-', 'box:/tmp', input=archive.getvalue()).fails(1, 'has no user 70000 with group 0')
    engine.wherry('stop', '-t', '0', 'box').ok()
    with tarfile.open(fileobj=io.BytesIO(engine.wherry('cp', 'box:/tmp/b', '-').ok().raw_out)) as tar:
        assert [member.uid for member in tar] == [1000]


def test_a_volume_is_filled_with_the_images_owners(remapping):
    engine = remapping
    script = 'stat -c "%n %u:%g %a" /etc/passwd /etc/group; cat /etc/passwd | md5sum'
    plain = engine.wherry('run', '--rm', engine.busybox, 'sh', '-c', script).ok().out
    for options in ((), ('--userns', 'host'), ()):
        assert engine.wherry('run', '--rm', *options, '-v', 'etc:/etc', engine.busybox, 'sh', '-c', script
                             ).ok().out == plain


def test_what_a_remapped_container_cannot_do(remapping):
    """Set a set-id bit that counts on the host, see the host's files of root, have a network or rights over the host."""
    engine = remapping
    engine.machine.shell(f'mkdir -m 0700 {engine.dir}/secret && echo s > {engine.dir}/secret/file').ok()
    bind = ('-v', f'{engine.dir}/secret:/secret')
    engine.wherry('run', '--rm', *bind, engine.busybox, 'cat', '/secret/file').fails(1, 'Permission denied')
    engine.wherry('run', '--rm', '--cap-add', 'ALL', *bind, engine.busybox, 'cat', '/secret/file').fails(1, 'Permission')
    engine.wherry('run', '--rm', '--cap-add', 'ALL', engine.busybox, 'mknod', '/tmp/disk', 'b', '8', '0').fails(1)
    for words, says in ((('--privileged',), 'privileged mode is incompatible with user namespaces'),
                        (('--pid', 'host'), 'share the host.s PID namespace'),
                        (('--network', 'host'), 'share the host.s network namespace')):
        engine.wherry('run', '--rm', *words, engine.busybox, 'true').fails(125, says + '.*--userns=host')
        assert engine.wherry('run', '--rm', '--userns', 'host', *words, engine.busybox, 'id', '-u').ok().out == '0\n'


@pytest.mark.machines('host')
def test_a_build_in_user_namespaces_makes_the_same_image(remapping):
    engine = remapping
    engine.machine.run(['mkdir', f'{engine.dir}/context']).ok()
    engine.machine.write(f'{engine.dir}/context/Dockerfile',
                         f'FROM {engine.busybox}\nRUN cat /proc/self/uid_map > /map && touch /x && chown 12:34 /x\n')
    engine.wherry('build', '-t', 'made', f'{engine.dir}/context', timeout=120).ok()
    out = engine.wherry('run', '--rm', '--userns', 'host', 'made', 'sh', '-c', 'stat -c %u:%g /map /x').ok().out
    assert out.split() == ['0:0', '12:34']


@pytest.mark.machines('host')
@pytest.mark.parametrize('value, says', [
    ('0:65536', 'is no range of ids'), ('100000:4294967295', 'is no range of ids'), ('many', '/etc/sub[ug]id'),
    ('1:x', 'must be off, FIRST:COUNT')])
def test_a_wrong_setting_is_named(new_engine, value, says):
    engine = new_engine(f'[containers]\nuserns-remap = {value}\n', start=False)
    engine.launch()
    assert engine.wait() != 0

    assert re.search(r'wherry.conf:2: userns-remap = .*' + says, engine.log()), engine.log()


@pytest.mark.machines('host-net')
def test_a_network_of_the_hosts(remapping):
    """Made before the container and not by it: used, and not changed."""
    run = ('run', '--rm', '--network', 'bridge', '-p', '80')
    out = remapping.wherry(*run, remapping.busybox, 'sh', '-c',
                           'ls /sys/class/net; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; grep -c localhost /etc/hosts; '
                           'echo x >> /etc/hosts || echo refused; ping -c 1 127.0.0.1 >/dev/null || echo no').ok().out
    assert out.split() == ['eth0', 'lo', '0', '2', 'refused', 'no']
    remapping.wherry(*run, '--cap-add', 'NET_ADMIN', remapping.busybox, 'ip', 'link', 'set', 'eth0', 'down'
                     ).fails(None, 'Operation not permitted')
