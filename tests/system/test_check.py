"""`wherry check`: what a kernel and a board lack is found by asking, told with its remedy, and nothing stays behind."""

import json

import pytest

from harness import paths
from harness.machine import VmMachine
from outcome import one_clear_error
from vm.vm import Vm

NEEDED = ['kernel', 'namespaces', 'basic file systems', 'overlay', 'cgroup v2', 'seccomp', 'device filter',
          'data file system', 'randomness']
CONTROLLERS = ['memory', 'cpu', 'pids', 'io', 'cpuset']
TRACES = '''
for d in /sys/fs/cgroup/wherry-check-*; do [ -d "$d" ] && [ ! -d "/proc/${d##*-}" ] && echo "$d"; done
wc -l < /proc/self/mountinfo
ls /sys/class/net
'''


def check(machine, program, *before):
    """The rows by name, and the exit status. `before`: a command that runs it."""
    result = machine.run([*before, program, 'check', '--format', 'json'])
    answer = json.loads(result.out)
    assert answer['ok'] == (result.code == 0), str(result)
    for row in answer['rows']:
        assert row['found'] and (row['ok'] or (row['without'] and row['remedy'])), row
    return {row['name']: row for row in answer['rows']}, result.code


def unshared(script):
    """A command that runs another in a mount namespace changed by `script`."""
    return ['unshare', '-m', 'sh', '-ec', f'mount --make-rprivate /; {script}; exec "$@"', 'sh']


def test_what_is_needed_is_there(machine, wherry_program):
    before = machine.shell(TRACES).out
    rows, code = check(machine, wherry_program)
    assert machine.shell(TRACES).out == before
    assert code == 0
    assert all(rows[name]['ok'] and rows[name]['needed'] for name in NEEDED)
    assert rows['bridge']['ok'] and rows['packet filter']['ok'] and rows['user namespaces']['ok']
    offered = machine.read('/sys/fs/cgroup/cgroup.controllers').decode().split()
    assert [name for name in CONTROLLERS if rows[f'{name} controller']['ok']] == \
        [name for name in CONTROLLERS if name in offered]


def test_for_people(machine, wherry_program):
    out = machine.run([wherry_program, 'check']).ok().out
    table, _, lacks = out.partition('\n\n')
    rows, _ = check(machine, wherry_program)
    assert len(table.splitlines()) == len(rows)
    missing = [name for name, row in rows.items() if not row['ok']]
    assert lacks.count('\n  remedy ') == len(missing)
    assert all(f'{name}: ' in lacks and rows[name]['remedy'] in lacks for name in missing)


@pytest.mark.machines('host')
def test_no_cgroups(machine, wherry_program):
    rows, code = check(machine, wherry_program,
                       *unshared('umount -R /sys/fs/cgroup || umount -l /sys/fs/cgroup'))
    assert code == 1
    assert not rows['cgroup v2']['ok'] and 'mount -t cgroup2' in rows['cgroup v2']['remedy']
    assert not rows['memory controller']['ok'] and not rows['cgroup processes']['ok']


@pytest.mark.machines('host')
@pytest.mark.parametrize('file', ['firmware/cmdline.txt', 'extlinux/extlinux.conf'])
def test_the_boot_file_of_this_board_is_named(machine, wherry_program, file):
    if machine.limits:
        pytest.skip('this host has all controllers')
    script = f'mount -t tmpfs tmpfs /boot; mkdir /boot/{file.split("/")[0]}; echo root=x >/boot/{file}'
    rows, _ = check(machine, wherry_program, *unshared(script))
    assert f'/boot/{file}' in rows['memory controller']['remedy']
    assert 'cgroup_no_v1=' in rows['memory controller']['remedy']


@pytest.mark.machines('host')
def test_no_space_and_a_wrong_file_system(machine, wherry_program):
    config = '/run/wherry-check.conf'
    script = f'mount -t tmpfs -o size=1m tmpfs /run; mkdir /run/data; echo "[daemon]\nroot = /run/data" >{config}; ' \
             'dd if=/dev/zero of=/run/data/x bs=1000k count=1 2>/dev/null'
    result = machine.run([*unshared(script), wherry_program, '--config', config, 'check', '--format', 'json'])
    rows = {row['name']: row for row in json.loads(result.out)['rows']}
    assert not rows['data space']['ok'] and 'free' in rows['data space']['found']


@pytest.mark.machines('host')
def test_not_root(machine, wherry_program):
    user = ['setpriv', '--reuid', '1234', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all']
    one_clear_error(machine.run([*user, wherry_program, 'check']), 'sudo wherry check')


@pytest.mark.vm
def test_a_controller_switched_off_at_boot():
    with Vm(kernel='6.12', disk=64, binaries=paths.build_dir('aarch64'), append='cgroup_disable=memory') as vm:
        machine = VmMachine(vm)
        machine.shell('mkdir -p /boot/firmware; echo console=x >/boot/firmware/cmdline.txt').ok()
        rows, code = check(machine, '/usr/bin/wherry')
        assert code == 0 and rows['cpu controller']['ok']
        row = rows['memory controller']
        assert not row['ok'] and row['found'] == 'switched off at boot'
        assert row['remedy'] == \
            'add cgroup_enable=memory to the one line of /boot/firmware/cmdline.txt and restart'
        machine.shell('echo x cgroup_disable=memory >/boot/firmware/cmdline.txt').ok()
        row = check(machine, '/usr/bin/wherry')[0]['memory controller']
        assert row['remedy'].startswith('remove cgroup_disable=memory from')
