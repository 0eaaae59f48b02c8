"""The attacks of docs/security.md that no other test tries, against wherry-runtime and the engine.

`secret` is a directory of the host with one file; an attack has reached the host when it could read that file, or
when anything in the directory is not as before.
"""

import json
import os
import pathlib
import re
import stat

import oci_box
import pytest
from harness import compile as compiler
from harness import oci
from oci_box import RUNTIME
from test_layers_hostile import LINK, add_image, busybox_layer

pytestmark = pytest.mark.machines('host')

TESTS = pathlib.Path(__file__).resolve().parents[1]
ADMIN = ['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE', 'CAP_DAC_OVERRIDE', 'CAP_SETUID', 'CAP_SETGID', 'CAP_CHOWN', 'CAP_KILL']


@pytest.fixture(name='secret')
def fixture_secret(tmp_path):
    directory = tmp_path / 'secret'
    directory.mkdir()
    (directory / 'file').write_text('secret\n')
    yield directory
    assert {path.name: path.read_text() for path in directory.iterdir()} == {'file': 'secret\n'}


@pytest.fixture(scope='module', name='intruder')
def fixture_intruder(machine):
    return oci_box.helper(machine, 'intruder')


@pytest.fixture(name='own_root')
def fixture_own_root(box):
    """A root file system that the attacker has made, of which the box is."""
    rootfs = pathlib.Path(box.dir, 'rootfs')
    rootfs.mkdir()
    oci_box.unpack_busybox(box.machine, str(rootfs))
    box.config['root']['path'] = str(rootfs)
    return rootfs


def with_intruder(box, intruder, *args):
    """The box's program is the intruder, with every power but a writable root."""
    box.config['mounts'].append({'destination': '/tmp/intruder', 'type': 'bind', 'source': intruder,
                                 'options': ['bind', 'ro']})
    box.config['process']['capabilities'] = {name: ADMIN for name in ('bounding', 'effective', 'permitted')}
    return ['/tmp/intruder', *args]


def output(box, pattern):
    return box.machine.wait_for(lambda: re.search(pattern, box.read('out')), f'no {pattern}', 15)


def numbers(match):
    return [int(number) for number in match.groups()]


# 5.1, 5.2, 5.14: exec into a container that waits for it

def test_exec_into_a_container_that_writes_to_programs(box, intruder):
    """CVE-2019-5736 as it was used: the program of each process that comes is held and written to when it has ended."""
    program = ['sha256sum', *box.command]
    before = box.machine.run(program).ok().out
    box.started('trap', *with_intruder(box, intruder, 'exe', '2'))
    for _ in range(12):
        box.run('exec', 'trap', '/proc/self/exe')
        box.run('exec', 'trap', 'true').ok()
    met, held, wrote = numbers(output(box, r'met (\d+) held (\d+) wrote (\d+)'))
    assert met >= 5 and held >= 1 and wrote == 0, box.read('out')[-500:]
    assert box.machine.run(program).ok().out == before
    box.run('delete', '--force', 'trap').ok()


def test_exec_into_a_container_that_looks_into_processes(box, intruder, secret):
    """CVE-2016-9962, CVE-2024-21626: by what a process on its way in has open, or by its mount namespace."""
    box.started('trap', *with_intruder(box, intruder, 'peek', '2', f'{secret}/file'))
    for _ in range(12):
        command = [RUNTIME, '--root', box.root, 'exec', 'trap', 'sh', '-c', 'true']
        box.machine.run(['sh', '-c', f'exec "$@" 8<{secret} 9</', 'sh', *command]).ok()
    met, reached, traced = numbers(output(box, r'met (\d+) reached (\d+) traced (\d+)'))
    assert met >= 5 and (reached, traced) == (0, 0), box.read('out')[-500:]
    box.run('delete', '--force', 'trap').ok()


# 5.3: descriptors and working directories

@pytest.mark.parametrize('verb', ['run', 'exec'])
def test_working_directory_through_an_inherited_descriptor(box, secret, verb):
    process = {**box.config['process'], 'args': ['sh', '-c', 'pwd; cat file ../secret/file']}
    if verb == 'exec':
        box.started('cwd', 'sleep', '1000')
    for number in (*range(3, 13), 'cwd'):
        process['cwd'] = f'/proc/self/fd/{number}' if number != 'cwd' else '/proc/self/cwd'
        box.config['process'] = process
        box.write()
        file = pathlib.Path(box.dir, 'process.json')
        file.write_text(json.dumps(process))
        words = ['run', '--bundle', box.bundle, 'one'] if verb == 'run' else ['exec', '--process', str(file), 'cwd']
        opened = ' '.join(f'{fd}<{secret}' for fd in range(7, 10))
        result = box.machine.run(['sh', '-c', f'cd {secret}; exec "$@" {opened}', 'sh', RUNTIME, '--root', box.root, *words])
        assert result.code != 0 and 'secret\n' not in result.out, str(result)


# 5.4, 5.5, 5.6: what a root file system is made of

def test_mounts_on_a_volume_whose_links_are_swapped(box, own_root, intruder, secret):
    """CVE-2021-30465: another container exchanges a directory of a shared volume with a link to the host."""
    share = pathlib.Path(box.dir, 'share')
    for path in (share / 'd/inner', share / 'e'):
        path.mkdir(parents=True)
    (share / 'link').symlink_to('../' * 20 + str(secret)[1:])
    (own_root / 'vol').mkdir()
    bind = {'destination': '/vol', 'type': 'bind', 'source': str(share), 'options': ['rbind']}
    box.config['mounts'].append(bind)
    box.started('swapper', *with_intruder(box, intruder, 'swap', '/vol/d', '/vol/link'))
    victim = json.loads(json.dumps(box.config))
    victim['linux']['cgroupsPath'] += '-victim'
    victim['mounts'] += [{'destination': f'/vol/d/{name}', 'type': 'tmpfs', 'source': 'tmpfs'} for name in ('inner', 'new')]
    victim['process'].update(args=['cat', '/vol/d/file', '/vol/link/file'], cwd='/vol/d/deep')
    box.write(victim)
    mounts = box.machine.shell(f'grep -c {secret} /proc/self/mountinfo; true').out
    for _ in range(40):
        result = box.run('run', '--bundle', box.bundle, 'victim')
        assert 'secret' not in result.out, str(result)
    assert box.machine.shell(f'grep -c {secret} /proc/self/mountinfo; true').out == mounts
    box.run('delete', '--force', 'swapper').ok()


def test_settings_are_not_written_to_a_proc_of_the_image(box, own_root, secret):
    """CVE-2019-16884, CVE-2025-52881: no procfs is mounted; the image has files and links under its names."""
    fake = own_root / 'proc/sys/net/ipv4'
    for path in (fake, own_root / 'proc/self/attr', own_root / 'proc/self/fd'):
        path.mkdir(parents=True, exist_ok=True)
    for path in (fake / 'ip_forward', own_root / 'proc/self/oom_score_adj', own_root / 'proc/self/attr/exec'):
        path.write_text('7\n')
    (fake / 'ip_default_ttl').symlink_to(f'{secret}/file')
    box.config['mounts'] = [mount for mount in box.config['mounts'] if mount['type'] != 'proc']
    box.config['linux']['sysctl'] = {'net.ipv4.ip_forward': '1', 'net.ipv4.ip_default_ttl': '99'}
    box.config['linux']['maskedPaths'] = ['/proc/self/attr']
    box.config['process'].update(oomScoreAdj=500, args=['cat', '/proc/sys/net/ipv4/ip_forward', '/proc/self/oom_score_adj'])
    box.write()
    assert box.run('run', '--bundle', box.bundle, 'fake').ok().out == '7\n7\n'


@pytest.mark.parametrize('name', ['null', 'zero', 'ptmx', 'console', 'fd', 'stdin', 'pts', 'shm'])
@pytest.mark.parametrize('kind', ['link to a file', 'link to sysrq', 'other device', 'pipe'])
def test_devices_of_the_image(box, own_root, secret, name, kind):
    """CVE-2025-31133, CVE-2025-52565: the image has something else under the name of a device; no tmpfs covers it."""
    path = own_root / 'dev' / name
    path.parent.mkdir(exist_ok=True)
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'other device':
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 11))  # kmsg
    else:
        path.symlink_to(f'{secret}/file' if kind == 'link to a file' else '/proc/sysrq-trigger')
    box.config['mounts'] = [mount for mount in box.config['mounts'] if not mount['destination'].startswith('/dev')]
    box.config['linux'].update(maskedPaths=['/proc/keys', '/proc/timer_list'], readonlyPaths=['/proc/sys'])
    box.config['process']['args'] = ['sh', '-c', 'cat /proc/keys /proc/timer_list; echo end']
    box.write()
    result = box.run('run', '--bundle', box.bundle, 'dev')
    assert result.out == 'end\n' if result.code == 0 else result.code == 1 and result.out == '', str(result)


# 5.8, 5.9: cgroups

def test_no_cgroup_v1_hierarchy_can_be_mounted(engine):
    """CVE-2022-0492: with a hierarchy of its own a container would write its release_agent."""
    script = '''for kind in rdma misc memory none,name=x; do mount -t cgroup -o $kind x /tmp && echo mounted; done
                unshare -UrC sh -c "mount -t cgroup -o rdma x /tmp && echo mounted"; echo end'''
    for user in ('0', '1234'):
        out = engine.wherry('run', '--rm', '--user', user, engine.busybox, 'sh', '-c', script).ok().out
        assert out == 'end\n'


def test_the_hosts_cgroups_are_read_only(box):
    """CVE-2023-25809: without a cgroup namespace, whatever the mount asks for."""
    box.config['linux']['namespaces'] = [n for n in box.config['linux']['namespaces'] if n['type'] != 'cgroup']
    box.config['mounts'] += [{'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs'},
                             {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup', 'options': ['rw']}]
    box.config['process']['args'] = ['sh', '-c', 'mkdir /sys/fs/cgroup/new; echo 0 > /sys/fs/cgroup/cgroup.procs; '
                                     'ls -d /sys/fs/cgroup/*.procs']
    box.write()
    result = box.run('run', '--bundle', box.bundle, 'host').ok()
    assert result.err.count('Read-only file system') == 2, str(result)


# 5.10, 5.11, 5.12, 5.13: identity

def test_nothing_is_inheritable(engine, box):
    """CVE-2022-24769, CVE-2022-29162."""
    show = ['grep', '-E', 'Cap(Inh|Amb)', '/proc/self/status']
    name = engine.run_detached(engine.busybox, 'sleep', '1000')
    outs = [engine.wherry('exec', *words, name, *show).ok().out
            for words in ([], ['--user', '1234'], ['--privileged'], ['--privileged', '--user', '1234'])]
    outs.append(engine.wherry('run', '--rm', '--cap-add', 'ALL', engine.busybox, *show).ok().out)
    box.started('caps', 'sleep', '1000')
    outs += [box.run('exec', '--cap', 'CAP_NET_RAW', *words, 'caps', *show).ok().out for words in ([], ['--user', '12'])]
    assert {value for out in outs for value in re.findall(r'\t(\w+)', out)} == {'0' * 16}, outs


BAD_USERS = ['4294967296', '2147483648', '4294967295', '-1', '+0', '0x0', '00x', ' 0', '0 ', ':0', '1:-1', '1:4294967296',
             '1:2:3', '1/0', '٠', '']


@pytest.mark.parametrize('user', BAD_USERS)
def test_users_that_are_none(engine, box, user):
    """CVE-2024-40635, CVE-2026-30892: what is no number and no name is never taken for root."""
    show = ['sh', '-c', 'echo "uid $(id -u)"']
    box.started('user', 'sleep', '1000')
    results = [box.run('exec', f'--user={user}', 'user', *show)]
    if user not in ('', ':0'):  # the image's user, as with Docker
        results += [engine.wherry('run', '--rm', f'--user={user}', engine.busybox, *show)]
    for result in results:
        assert result.code != 0 and 'uid' not in result.out, str(result)


def test_groups_of_the_caller_are_not_the_containers(box, engine):
    """CVE-2022-2989, CVE-2023-25173."""
    show = ['sh', '-c', 'grep Groups: /proc/self/status; id -G']
    box.config['process'].update(args=show, user={'uid': 12, 'gid': 34, 'additionalGids': [56]})
    box.write()
    command = ['setpriv', '--groups', '4,27', '--', RUNTIME, '--root', box.root]
    assert box.machine.run([*command, 'run', '--bundle', box.bundle, 'g']).ok().out.split()[1:] == ['56', '34', '56']
    box.started('g', 'sleep', '1000')
    out = box.machine.run([*command, 'exec', '--user', '12:34', 'g', *show]).ok().out
    assert set(out.split()[1:]) <= {'34'}, out
    out = engine.wherry('run', '--rm', '--user', '12:34', engine.busybox, *show).ok().out
    assert set(out.split()[1:]) == {'34'}, out


def test_keys_of_the_caller_are_not_the_containers(box):
    """Of a first and of a further process, without a seccomp filter."""
    probe = str(compiler.static_program(TESTS / 'images/probe.cpp', compiler.native_arch()))
    box.config['mounts'].append({'destination': '/tmp/probe', 'type': 'bind', 'source': probe, 'options': ['bind', 'ro']})
    box.started('keys', 'sh', '-c', '/tmp/probe keyring; exec sleep 1000')
    output(box, 'host key: ')
    for out in (pathlib.Path(box.dir, 'out').read_text(), box.run('exec', 'keys', '/tmp/probe', 'keyring').ok().out):
        assert '_ses.keys' in out and 'found' not in out, out


# 5.15, 5.16

@pytest.mark.parametrize('size', [1 << 10, 1 << 16, 1 << 20])
def test_texts_of_any_length_between_init_and_runtime(box, size):
    """CVE-2021-43784: what init has to tell may be longer than any message."""
    box.config['process'].update(args=['x' * size], cwd='/' + 'y/' * 100)
    box.config['hostname'] = 'h' * size if size > 1 << 10 else 'h'
    box.write()
    box.run('run', '--bundle', box.bundle, 'long').fails(1)
    box.assert_nothing_left()


def test_no_abstract_socket(engine, box):
    """CVE-2020-15257: who shares the network of the host shares its abstract sockets."""
    def sockets():
        return {line.split()[-1] for line in pathlib.Path('/proc/net/unix').read_text().splitlines() if '@' in line}
    before = sockets()
    box.create('sock', 'sleep', '1000').ok()
    name = engine.run_detached('--network', 'host', '-i', engine.busybox, 'sleep', '1000')
    engine.wherry('exec', '-d', name, 'sleep', '1000').ok()
    mine = [entry for entry in sockets() - before if 'wherry' in entry or engine.dir in entry or box.dir in entry]
    assert mine == []
    assert stat.S_IMODE(os.stat(f'{box.root}/sock').st_mode) == 0o700


# 5.17: paths that an image names

def test_a_volume_of_an_image_is_filled_from_the_image(fresh_engine, faulty_registry, secret):
    """CVE-2022-23648: the image declares a volume, and the path is a link to the host."""
    engine = fresh_engine
    up = '../' * 20 + str(secret)[1:]
    layers = [busybox_layer(engine.machine.arch),
              oci.layer(oci.tar([oci.entry('lure', LINK, linkname=up), oci.entry('way', LINK, linkname=str(secret.parent))]))]
    faulty_registry.add('thing', 'latest', oci.image(
        layers, engine.machine.arch, Cmd=['sh'], Volumes={'/lure': {}, '/way/secret': {}}, WorkingDir='/way/secret/made'))
    for user in ('0', 'nobody'):
        result = engine.wherry('run', '--rm', '--user', user, f'{faulty_registry.name}/thing', 'sh', '-c',
                               f'cat /lure/file /way/secret/file {secret}/file')
        assert 'secret\n' not in result.out, str(result)


def test_users_of_an_image_are_read_inside(fresh_engine, faulty_registry, secret):
    (secret.parent / 'passwd').write_text('alice:x:0:0::/:/bin/sh\n')
    name = add_image(fresh_engine, faulty_registry, oci.tar([
        oci.entry('etc/passwd', LINK, linkname='../' * 20 + str(secret.parent)[1:] + '/passwd')]))
    result = fresh_engine.wherry('run', '--rm', '--user', 'alice', name, 'id', '-u')
    assert result.code != 0 and result.out == '', str(result)


# 5.20, 5.21, 5.22

def test_hooks_get_what_the_configuration_gives_them(box, secret):
    """CVE-2025-23266: no variable and no descriptor of the caller; a program by its absolute path."""
    out = pathlib.Path(box.dir, 'hook')
    script = f'/usr/bin/env > {out}; ls /proc/self/fd >> {out}'
    box.config['hooks'] = {kind: [{'path': '/bin/sh', 'args': ['sh', '-c', script], 'env': ['A=b']}]
                           for kind in ('prestart', 'createRuntime', 'poststart', 'poststop')}
    box.write()
    command = [RUNTIME, '--root', box.root, 'run', '--bundle', box.bundle, 'hooked']
    box.machine.run(['sh', '-c', f'exec "$@" 7<{secret} 9<{secret}', 'sh', *command],
                    env={'LD_PRELOAD': '', 'LEAK': 'secret'}).ok()
    lines = out.read_text().split()
    assert 'A=b' in lines and lines[-4:] == ['0', '1', '2', '3'], lines  # 3: of ls
    assert {line.split('=')[0] for line in lines if '=' in line} <= {'A', 'PWD', 'SHLVL', '_', 'OLDPWD'}
    box.config['hooks'] = {'prestart': [{'path': 'bin/sh'}]}
    box.write()
    box.run('run', '--bundle', box.bundle, 'hooked').fails(1, r'hooks.prestart\[0\].path must be an absolute path')


@pytest.mark.parametrize('user', ['0', '1234'])
def test_calls_that_have_broken_kernels_are_refused(engine, intruder, user):
    out = engine.wherry('run', '--rm', '--user', user, '-v', f'{intruder}:/intruder:ro', engine.busybox,
                        '/intruder', 'calls').ok().out
    assert len(out.splitlines()) == 12 and 'allowed' not in out, out


def test_files_of_the_runtime_are_private_and_follow_no_link(box, secret):
    log, pid_file = pathlib.Path(box.dir, 'log'), pathlib.Path(box.dir, 'pid')
    for path in (log, pid_file):
        path.symlink_to(secret / 'file')
    box.config['process']['args'] = ['sh', '-c', 'umask; touch /tmp/f; stat -c %a /tmp/f']
    box.write()
    command = [RUNTIME, '--root', box.root, 'run', '--pid-file', str(pid_file), '--keep', '--bundle', box.bundle, 'modes']
    result = box.machine.run(['sh', '-c', 'umask 0; exec "$@"', 'sh', *command]).ok()
    assert result.out.split() == ['0022', '644']
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in pathlib.Path(box.root).rglob('*')}
    assert modes == {'modes': 0o700, 'state.json': 0o600, 'config.json': 0o600}
    box.run('state', 'modes', options=['--log', str(log)]).fails(1, 'symbolic links')
    assert not pid_file.is_symlink() and log.is_symlink()
