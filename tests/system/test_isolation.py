"""What a container can see and do of the host: nothing it should not."""

import pytest

from harness import keys

pytestmark = pytest.mark.machines('host', 'vm')


def run(engine, *args):
    network = [] if '--network' in args else ['--network', 'none']
    return engine.wherry('run', '--rm', *network, *args)


def test_pid_1_is_the_users_program(engine):
    out = run(engine, engine.busybox, 'cat', '/proc/1/cmdline').ok().raw_out
    assert out == b'cat\0/proc/1/cmdline\0'


def test_no_other_process_is_visible(engine):
    out = run(engine, engine.busybox, 'sh', '-c', 'ls /proc | grep "^[0-9]"').ok().out.split()
    assert '1' in out and len(out) <= 3


def test_no_descriptor_of_the_host_is_visible(engine):
    out = run(engine, engine.probe, 'probe', 'fds').ok().out
    lines = [line.split(' ', 1) for line in out.splitlines()]
    assert [number for number, _ in lines] == ['0', '1', '2'], out
    for number, target in lines:
        assert target == '/dev/null' or target.startswith('pipe:['), (number, target)


def test_no_descriptor_of_the_host_is_visible_with_a_terminal(engine):
    client = engine.start_wherry('run', '--rm', '--network', 'none', '-t', engine.probe, 'probe', 'fds', tty=(24, 80))
    assert client.wait(30 * engine.machine.slow) == 0
    lines = [line.split(b' ', 1) for line in client.out.splitlines() if line]
    assert [number for number, _ in lines] == [b'0', b'1', b'2'], client.out
    assert {target for _, target in lines} <= {b'/dev/pts/0', b'/dev/console'}


def test_no_mount_of_the_host_is_visible(engine):
    out = run(engine, engine.busybox, 'cat', '/proc/self/mountinfo').ok().out
    allowed = {'/', '/proc', '/dev', '/dev/pts', '/sys', '/sys/fs/cgroup', '/dev/mqueue', '/dev/shm',
               '/etc/resolv.conf', '/etc/hostname', '/etc/hosts', '/sys/firmware', '/dev/console'}
    for line in out.splitlines():
        point = line.split()[4]
        assert point in allowed or point.startswith('/proc/') or \
            point.startswith('/sys/devices/virtual/powercap'), line


def test_mounts_do_not_propagate(engine):
    out = run(engine, engine.busybox, 'cat', '/proc/self/mountinfo').ok().out
    assert 'shared:' not in out


def test_keyring_of_the_host_is_not_visible(engine):
    # what the daemon was started with, and would find itself
    assert keys.SECRET in engine.machine.read('/proc/keys').decode()
    plain = run(engine, engine.probe, 'probe', 'keyring').ok().out
    assert 'found' not in plain
    # without the system call filter too: the session keyring must be the container's own
    out = run(engine, '--security-opt', 'seccomp=unconfined', engine.probe, 'probe',
              'keyring').ok().out
    session = out.splitlines()[0]
    assert '_ses.' in session or 'error' in session, out
    assert 'found' not in out
    assert run(engine, engine.busybox, 'cat', '/proc/keys').out == ''


REFUSED = ['mount', 'umount', 'unshare-user', 'unshare-mount', 'bpf', 'reboot', 'kexec',
           'init-module', 'open-by-handle', 'settime', 'open-disk', 'write-sysrq',
           'write-core-pattern', 'write-sysfs']


@pytest.mark.machines('host', 'vm', 'vm-32')
@pytest.mark.parametrize('user', ['0', '1234'])
def test_dangerous_calls_are_refused(engine, user):
    out = run(engine, '--user', user, engine.probe, 'probe', 'syscalls').ok().out
    results = dict(line.split(' ', 1) for line in out.splitlines())
    allowed = [name for name in REFUSED if results[name] == 'allowed']
    assert allowed == [], out


def test_kcore_is_masked(engine):
    result = run(engine, engine.busybox, 'sh', '-c', 'head -c 1 /proc/kcore | wc -c')
    assert result.out.strip() == '0'


@pytest.mark.parametrize('path', ['/proc/acpi', '/proc/scsi', '/proc/timer_list', '/proc/keys',
                                  '/proc/interrupts', '/sys/firmware'])
def test_masked_paths_are_empty(engine, path):
    script = f'[ -e {path} ] || exit 0; if [ -d {path} ]; then ls {path}; else cat {path}; fi'
    assert run(engine, engine.busybox, 'sh', '-c', script).ok().out == ''


@pytest.mark.parametrize('path', ['/proc/sys/kernel/hostname', '/proc/sys/vm/drop_caches',
                                  '/sys/kernel/profiling'])
def test_kernel_parameters_are_read_only(engine, path):
    script = f'[ -e {path} ] || exit 9; echo 1 >{path}'
    assert run(engine, engine.busybox, 'sh', '-c', script).code != 0


def test_devices_are_only_the_harmless_ones(engine):
    out = run(engine, engine.busybox, 'find', '/dev', '-type', 'b', '-o', '-type', 'c').ok().out
    names = {line for line in out.splitlines() if not line.startswith('/dev/pts/')}
    assert names <= {'/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty',
                     '/dev/console', '/dev/ptmx'}
    script = 'cat /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c;' \
             'echo x >/dev/null; echo x 2>&1 >/dev/full; readlink /dev/fd; readlink /dev/stdin'
    result = run(engine, engine.busybox, 'sh', '-c', script)
    assert result.out.split()[:2] == ['4', '4'] and '/proc/self/fd' in result.out


def test_cgroup_namespace_hides_the_path(engine):
    assert run(engine, engine.busybox, 'cat', '/proc/self/cgroup').ok().out.splitlines()[-1] == '0::/'


def test_cgroup_file_system_is_read_only(engine):
    assert run(engine, engine.busybox, 'mkdir', '/sys/fs/cgroup/x').code != 0


def test_namespaces_are_the_containers_own(engine):
    kinds = ['mnt', 'pid', 'uts', 'ipc', 'net', 'cgroup']
    script = '; '.join(f'readlink /proc/self/ns/{kind}' for kind in kinds)
    own = engine.machine.shell(script).ok().out.split()
    inside = run(engine, '--network', 'none', engine.busybox, 'sh', '-c', script).ok().out.split()
    shared = [kind for kind, a, b in zip(kinds, own, inside) if a == b]
    assert shared == []


def test_binary_of_the_engine_cannot_be_overwritten(engine):
    """The container's program must not reach the runtime through /proc/self/exe."""
    before = engine.machine.run(['sha256sum', engine.program]).ok().out
    script = 'for p in /proc/[0-9]*; do cat /etc/passwd >$p/exe; done'
    run(engine, '--cap-add', 'SYS_PTRACE', engine.busybox, 'sh', '-c', script)
    run(engine, '--entrypoint', '/proc/self/exe', engine.busybox, 'true')
    assert engine.machine.run(['sha256sum', engine.program]).ok().out == before


def test_working_directory_does_not_leak_the_host(engine):
    for number in (3, 7, 8, 9, 10):
        result = run(engine, '-w', f'/proc/self/fd/{number}', engine.busybox, 'pwd')
        assert result.code != 0 or result.out.startswith('/proc') or result.out == '/\n', str(result)
        assert engine.dir not in result.out


def test_directories_of_the_engine_are_private(engine):
    identity = engine.run_detached(engine.busybox, 'sleep', '1000')
    modes = engine.machine.shell(
        f'stat -c %a {engine.rundir}/c/{identity} {engine.rundir}/c/{identity}/shim.sock '
        f'{engine.root}').ok().out.split()
    assert modes[0] == '700' and modes[1] == '600' and modes[2][-1] in '01'

