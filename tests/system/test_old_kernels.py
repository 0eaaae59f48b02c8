"""Kernels that lack a system call: wherry falls back and stays as strict, or says which kernel it needs.

A filter makes the calls answer as on such a kernel, for wherry and for all that it starts.
"""

import oci_box
import pytest
from oci_box import Box

pytestmark = pytest.mark.machines('host')

LINUX_5_10 = 'mount_setattr,close_range,cgroup.kill'  # of close_range it has not the flag

# What there is a way around.
FALLBACKS = {
    **{call: call for call in ('openat2', 'clone3', 'mount_setattr', 'close_range', 'cgroup.kill', 'statx')},
    'linux-5.10': LINUX_5_10,
    'all': f'{LINUX_5_10},openat2,clone3,statx',
}
# What there is none for.
NEEDED = {'execveat': '3.19', 'fsconfig': '5.2', 'fsmount': '5.2', 'fsopen': '5.2', 'move_mount': '5.2',
          'open_tree': '5.2', 'pidfd_open': '5.3', 'pidfd_send_signal': '5.1'}


def without(machine, calls):
    """Words in front of a command line that take these calls away."""
    return [oci_box.helper(machine, 'old_kernel'), calls]


# One line of output each.
STRICT = {
    'echo 1 > /proc/sys/vm/swappiness || echo refused': 'refused',
    'touch /new || echo refused': 'refused',
    'touch /ro/new || echo refused': 'refused',
    'touch /all/new || echo refused': 'refused',
    'touch /slave/new && echo written': 'written',
    'wc -c < /proc/keys': '0',
    'ls -A /sys/kernel | wc -l': '0',
    'chmod 600 /proc/keys; stat -c %a /dev/null': '666',
    'ls /proc/self/fd | tr "\\n" " "; echo': '0 1 2 3',  # 3: of ls
    'cat /link/new/mark': 'shared',
    'basename $(pwd)': 'deep',
    'grep -c shared: /proc/self/mountinfo': '0',
}


def hostile_box(box):
    """A configuration that needs everything a fallback replaces, on a root with a link that leads out of it."""
    rootfs, outside, share = (f'{box.dir}/{name}' for name in ('rootfs', 'outside', 'share'))
    box.machine.shell(f'mkdir {outside} {share} && cp -a {box.config["root"]["path"]} {rootfs} && echo shared >{share}/mark && '
                      f'ln -s ../../../../../../..{outside} {rootfs}/link').ok()
    bind = {'type': 'bind', 'source': share}
    box.config['root']['path'] = rootfs
    box.config['process'].update(cwd='/link/deep', args=['sh', '-c', '\n'.join(STRICT)])
    box.config['mounts'] += [
        {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs', 'options': ['ro', 'nosuid', 'noexec', 'nodev']},
        {**bind, 'destination': '/ro', 'options': ['bind', 'ro', 'nosuid']},
        {**bind, 'destination': '/all', 'options': ['rbind', 'ro', 'rprivate']},
        {**bind, 'destination': '/slave', 'options': ['rbind', 'rslave']},
        {**bind, 'destination': '/link/new', 'options': ['rbind', 'rprivate']}]
    box.config['linux']['maskedPaths'] = ['/proc/keys', '/sys/kernel', '/absent']
    box.config['linux']['readonlyPaths'] = ['/proc/sys', '/proc/bus']
    box.write()
    return outside


def as_strict(place, calls):
    with Box(*place, runner=without(place[0], FALLBACKS[calls])) as box:
        outside = hostile_box(box)
        command = [*box.command, '--root', box.root, 'run', '--bundle', box.bundle, 'strict']
        result = box.machine.run(['sh', '-c', 'exec "$@" 7</etc/passwd', 'sh', *command])
        assert dict(zip(STRICT, map(str.strip, result.out.splitlines()))) == STRICT, str(result)
        assert box.machine.shell(f'ls -A {outside}').ok().out == ''


def from_create_to_delete(place, calls):
    with Box(*place, runner=without(place[0], FALLBACKS[calls])) as box:
        box.started('old', 'sh', '-c', 'sleep 100 & sleep 101')
        shown = box.run('exec', '--user', '12', 'old', 'sh', '-c', 'hostname; id -u; ls /proc/self/fd').ok().out
        assert shown.split() == ['oci', '12', '0', '1', '2', '3']
        box.run('pause', 'old').ok()
        box.run('resume', 'old').ok()
        box.run('kill', '--all', 'old', 'KILL').ok()
        box.wait_for('old', 'stopped')
        box.run('delete', 'old').ok()
        box.started('old', 'sleep', '100')
        box.run('delete', '--force', 'old').ok()


@pytest.mark.parametrize('calls', FALLBACKS)
def test_runtime(place, calls):
    as_strict(place, calls)
    from_create_to_delete(place, calls)


@pytest.mark.machines('vm')
def test_runtime_on_arm(place):
    as_strict(place, 'all')
    from_create_to_delete(place, 'linux-5.10')


@pytest.mark.parametrize('call', NEEDED)
def test_runtime_names_the_kernel_it_needs(place, call):
    with Box(*place, runner=without(place[0], call)) as box:
        for words in (['create', '--bundle', box.bundle, 'new'], ['state', 'new']):
            box.run(*words).fails(1, f'the system call {call} is missing: .* Linux 5.8 .*with {NEEDED[call]}')


@pytest.mark.parametrize('calls', FALLBACKS)
def test_engine(new_engine, registry, tmp_path, calls):
    """Also as strict: the checks of a container of the engine, not of a bundle."""
    engine = new_engine(new_engine.trust(registry.name), runner=without(new_engine.machine, FALLBACKS[calls]))
    engine.login(registry.name)
    image = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', image).ok()
    script = 'touch /v/new; echo 1 > /proc/sys/vm/swappiness; wc -c < /proc/keys; ls /proc/self/fd | wc -w'
    result = engine.wherry('run', '--rm', '--network', 'none', '-v', f'{tmp_path}:/v:ro', image, 'sh', '-c', script)
    assert result.ok().out.split() == ['0', '4'] and list(tmp_path.iterdir()) == []
    box = engine.run_detached('-v', f'{tmp_path}:/v', image, 'sleep', '1000')
    assert engine.wherry('exec', box, 'sh', '-c', 'touch /v/new; ls /proc/self/fd | wc -w').ok().out == '4\n'
    assert [entry.name for entry in tmp_path.iterdir()] == ['new']
    engine.wherry('stop', '-t', '0', box).ok()
    assert engine.wait_exited(box)['ExitCode'] == 137
    engine.kill()
    engine.start()
    engine.wherry('start', box).ok()
    engine.wherry('rm', '-f', box).ok()
    engine.assert_nothing_left()


def test_engine_names_the_kernel_it_needs(new_engine):
    engine = new_engine(start=False, runner=without(new_engine.machine, 'fsopen'))
    engine.launch()
    assert engine.wait() == 1
    assert 'the system call fsopen is missing: wherry needs Linux 5.8' in engine.log()
