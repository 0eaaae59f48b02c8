"""wherry-runtime --systemd-cgroup, with a real systemd: Debian's, in a container of the same runtime."""

import json
import os
import pathlib
import shutil
import time

import booted
import oci_box
import pytest
from harness import debs
from oci_box import RUNTIME
from test_notify import Manager
from test_oci_runtime import PODMAN_LIMITS

PACKAGES = ['systemd', 'dbus', 'dbus-daemon', 'podman', 'conmon', 'catatonit']
SCOPE = 'box-one.scope'


@pytest.fixture(scope='module', name='systemd')
def fixture_systemd():
    with (oci_box.own_host(over=debs.missing_tree('systemd-callers', PACKAGES)) as machine,
          oci_box.adopting(machine), oci_box.root_on(machine) as rootfs):
        made = booted.Booted(machine, rootfs)
        yield made
        made.close()


@pytest.fixture(name='box')
def fixture_box(systemd):
    with systemd.box() as box:
        yield box


def test_a_container_is_a_scope_of_its_slice(systemd, box):
    box.started('life', 'sleep', '100')
    shown = systemd.show(SCOPE, 'ControlGroup', 'Slice', 'Delegate', 'ActiveState', 'Description', 'MemoryAccounting',
                         'TasksAccounting', 'DefaultDependencies')
    assert shown == {'ControlGroup': f'/machine.slice/{SCOPE}', 'Slice': 'machine.slice', 'Delegate': 'yes',
                     'ActiveState': 'active', 'Description': 'wherry container life', 'MemoryAccounting': 'yes',
                     'TasksAccounting': 'yes', 'DefaultDependencies': 'no'}
    pids = json.loads(box.run('ps', '--format', 'json', 'life').ok().out)
    assert pids == [box.state('life')['pid']]
    assert box.run('exec', 'life', 'cat', '/proc/self/cgroup').ok().out.splitlines()[-1] == '0::/'
    box.run('pause', 'life').ok()
    assert box.state('life')['status'] == 'paused'
    box.run('resume', 'life').ok()
    box.run('kill', 'life', 'KILL').ok()
    box.wait_for('life', 'stopped')
    box.run('delete', 'life').ok()
    assert systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}


def test_run_gives_output_and_status(systemd, box):
    box.config['linux']['namespaces'].remove({'type': 'cgroup'})
    box.config['process']['args'] = ['sh', '-c', 'tail -n 1 /proc/self/cgroup; exit 7']
    box.write()
    for _ in range(3):  # the name is free again at once
        assert box.run('run', '--bundle', box.bundle, 'a').fails(7).out == f'0::/machine.slice/{SCOPE}\n'
    assert systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}


@pytest.mark.parametrize('path, group', [
    (None, '/system.slice/wherry-named.scope'), (':a:b', '/system.slice/a-b.scope'),
    ('box.slice::b', '/box.slice/-b.scope'), ('box-deep.slice:a:b', '/box.slice/box-deep.slice/a-b.scope')])
def test_names(systemd, box, path, group):
    box.config['linux'].pop('cgroupsPath') if path is None else box.config['linux'].update(cgroupsPath=path)
    box.started('named', 'sleep', '100')
    assert systemd.show(os.path.basename(group), 'ControlGroup') == {'ControlGroup': group}
    box.run('delete', '--force', 'named').ok()


def test_annotations_are_properties(systemd, box):
    box.config['annotations'] = {
        'org.systemd.property.TimeoutStopSec': '7', 'org.systemd.property.CollectMode': "'inactive-or-failed'",
        'org.systemd.property.Documentation': '["man:a", \'man:b\']', 'org.systemd.property.SendSIGHUP': 'true',
        'org.systemd.property.RuntimeMaxUSec': 'uint64 1000000000', 'other': 'untouched'}
    box.started('noted', 'sleep', '100')
    assert systemd.show(SCOPE, 'TimeoutStopUSec', 'CollectMode', 'Documentation', 'SendSIGHUP', 'RuntimeMaxUSec') == {
        'TimeoutStopUSec': '7s', 'CollectMode': 'inactive-or-failed', 'Documentation': 'man:a man:b',
        'SendSIGHUP': 'yes', 'RuntimeMaxUSec': '16min 40s'}


@pytest.mark.parametrize('change, says', [
    ({'linux': {'cgroupsPath': '/a/b'}}, 'expected cgroupsPath to be of format "slice:prefix:name".*/a/b'),
    ({'linux': {'cgroupsPath': 'a:b:c.slice'}}, 'names a slice'),
    ({'linux': {'cgroupsPath': 'nonsense:b:c'}}, 'nonsense'),
    ({'linux': {'cgroupsPath': ':b:c d'}}, 'b-c d.scope'),
    ({'annotations': {'org.systemd.property.X': 'red'}}, 'org.systemd.property.X "red" is not true'),
    ({'annotations': {'org.systemd.property.Nonsense': '1'}}, 'Cannot set property Nonsense'),
    ({'annotations': {'org.systemd.property.CPUWeight': "'heavy'"}}, 'systemd: StartTransientUnit'),
    ({'root': {'path': '/nonexistent'}}, '/nonexistent|root file system')])
def test_what_is_refused_leaves_nothing(systemd, box, change, says):
    for section, members in change.items():
        box.config.setdefault(section, {}).update(members)
    box.write()
    for verb in ('create', 'run'):
        box.run(verb, '--bundle', box.bundle, 'bad').fails(1, says)
        box.assert_nothing_left()
    assert systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}


def test_the_scope_of_another_is_not_touched(systemd, box):
    box.started('first', 'sleep', '100')
    box.write()
    box.run('run', '--bundle', box.bundle, 'second').fails(1, f'Unit {SCOPE} was already loaded|already exists')
    assert box.state('first')['status'] == 'running'
    assert systemd.show(SCOPE, 'ActiveState') == {'ActiveState': 'active'}


def test_a_scope_that_has_failed_is_in_nobodys_way(systemd, box):
    """Ended by systemd, it keeps its name: until `delete`, and until the next one of that name."""
    box.config['annotations'] = {'org.systemd.property.RuntimeMaxUSec': 'uint64 100000',
                                 'org.systemd.property.TimeoutStopUSec': 'uint64 100000'}
    box.started('short', 'sleep', '100')
    box.machine.wait_for(lambda: systemd.show(SCOPE, 'ActiveState') == {'ActiveState': 'failed'}, 'it goes on', 10)
    box.wait_for('short', 'stopped')
    box.config['annotations'] = {}
    box.started('next', 'sleep', '100')
    assert systemd.show(SCOPE, 'ActiveState') == {'ActiveState': 'active'}
    box.run('delete', '--force', 'next').ok()
    box.run('delete', 'short').ok()
    assert systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}


def test_delete_by_force_does_not_wait_for_the_unwilling(systemd, box):
    """Nor for children of theirs, in a container without a pid namespace, that is frozen."""
    box.config['linux']['namespaces'].remove({'type': 'pid'})
    box.started('deaf', 'sh', '-c', 'trap "" TERM HUP; sleep 1000 & mkdir /tmp/x; wait; sleep 1000')
    box.run('pause', 'deaf').ok()
    begin = time.monotonic()
    box.run('delete', '--force', 'deaf').ok()
    assert time.monotonic() - begin < 10
    assert systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}


def test_a_damaged_state_still_knows_its_scope(systemd, box):
    box.started('torn', 'sleep', '100')
    pathlib.Path(box.root, 'torn', 'state.json').write_text('{')
    box.run('delete', 'torn').fails(1, 'damaged')
    result = box.run('delete', '--force', 'torn').ok()
    assert 'still there' not in result.err
    assert systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}


def test_a_create_that_is_killed_leaves_no_scope(systemd, box):
    box.config['hooks'] = {'createRuntime': [{'path': '/usr/bin/sleep', 'args': ['sleep', '5']}]}
    box.write()
    process = box.machine.start([*box.command, '--root', box.root, 'create', '--bundle', box.bundle, 'torn'])
    state = pathlib.Path(box.root, 'torn', 'state.json')
    box.machine.wait_for(lambda: state.exists() and json.loads(state.read_text())['pid'] != 0, 'no init', 10)
    assert json.loads(state.read_text())['unit'] == SCOPE
    systemd.run('pkill', '-KILL', '-f', f'{box.root} create').ok()
    process.wait(10)
    box.machine.wait_for(lambda: systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}, 'it is left', 10)
    box.run('delete', '--force', 'torn').ok()


def test_by_the_message_bus(systemd):
    """Where systemd's own socket cannot be used."""
    hide = ['unshare', '-m', 'sh', '-c', 'mount --bind /dev/null /run/systemd/private; exec "$@"', 'sh']
    with systemd.box() as box:
        box.command = [*systemd.command, *hide, *box.command[len(systemd.command):]]
        box.started('bus', 'sleep', '100')
        assert systemd.show(SCOPE, 'ActiveState') == {'ActiveState': 'active'}
        box.run('delete', '--force', 'bus').ok()
        assert systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}


def test_without_systemd_there_is_one_clear_error(systemd):
    alone = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /run; exec "$@"', 'sh']
    with systemd.box() as box:
        box.command = [*systemd.command, *alone, *box.command[len(systemd.command):]]
        box.run('run', '--bundle', box.bundle, 'none').fails(
            1, r'systemd is not reachable: connect\(/run/systemd/private\): .*; '
               r'connect\(/run/dbus/system_bus_socket\): .*--cgroup-manager cgroupfs')
        box.assert_nothing_left()


def test_a_systemd_that_went_away_is_a_warning_for_delete(systemd, box):
    """The container and its cgroup go; systemd sees that when it is there again."""
    box.started('left', 'sleep', '100')
    hide = [*systemd.command, 'unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /run; exec "$@"', 'sh']
    words = [*hide, *box.command[len(systemd.command):], '--root', box.root, 'delete', '--force', 'left']
    assert f'the scope {SCOPE} may be left' in box.machine.run(words).ok().err
    box.machine.wait_for(lambda: systemd.show(SCOPE, 'LoadState') == {'LoadState': 'not-found'}, 'it is left', 10)


class Podman:
    """podman on that machine, with systemd."""

    def __init__(self, systemd):
        self.machine = systemd.machine
        self.dir = systemd.machine.temporary_directory()
        self._command = [*systemd.command, 'env', f'HOME={self.dir}']
        self._words = ['podman', '--root', f'{self.dir}/data', '--runroot', f'{self.dir}/run', '--tmpdir',
                       f'{self.dir}/tmp', '--cgroup-manager=systemd', '--events-backend', 'none', '--runtime', RUNTIME]

    def __call__(self, *words, env=()):
        return self.machine.run([*self._command, *env, *self._words, *words], timeout=60)


@pytest.fixture(name='podman')
def fixture_podman(systemd):
    podman = Podman(systemd)
    yield podman
    podman('rm', '-a', '-f', '-t', '0').ok()


def scopes(systemd, pattern):
    out = systemd.run('systemctl', 'list-units', '--plain', '--no-legend', pattern).ok().out
    return [line.split()[0] for line in out.splitlines()]


def test_podman_with_systemd(systemd, podman):
    options = ['--network', 'none', *PODMAN_LIMITS]
    identity = podman('run', '-d', '--name', 'pod', *options, '--rootfs', systemd.rootfs, 'sleep', '100').ok().out.strip()
    assert f'libpod-{identity}.scope' in scopes(systemd, 'libpod-*')
    shown = systemd.show(f'libpod-{identity}.scope', 'ControlGroup', 'Delegate')
    assert shown == {'ControlGroup': f'/machine.slice/libpod-{identity}.scope', 'Delegate': 'yes'}
    assert podman('exec', 'pod', 'id', '-u').ok().out == '0\n'
    podman('pause', 'pod').ok()
    podman('unpause', 'pod').ok()
    podman('stop', '-t', '0', 'pod').ok()
    podman('start', 'pod').ok()
    podman('rm', '-f', '-t', '0', 'pod').ok()
    systemd.machine.wait_for(lambda: not scopes(systemd, 'libpod-*'), 'a scope is left', 10)
    result = podman('run', '--rm', *options, '--rootfs', systemd.rootfs, 'sh', '-c', 'echo hi; exit 7').fails(7)
    assert result.out == 'hi\n'


def test_podman_hands_sd_notify_on(systemd, podman):
    """Its monitor listens in the container's place."""
    manager = Manager(f'{podman.dir}/manager')
    try:
        shutil.copy(oci_box.helper(systemd.machine, 'notifier'), f'{podman.dir}/notifier')
        podman('run', '-d', '--sdnotify=container', '--network', 'none', *PODMAN_LIMITS, '-v',
               f'{podman.dir}:/gift', '--rootfs', systemd.rootfs, 'sh', '-c', '/gift/notifier READY=1; sleep 100',
               env=[f'NOTIFY_SOCKET={manager.path}']).ok()
        systemd.machine.wait_for(lambda: 'READY=1' in ' '.join(manager.told), 'it is not ready', 10)
        assert 'MAINPID=' in ' '.join(manager.told)
    finally:
        manager.close()


def test_the_manager_of_a_user(systemd):
    """Without root, called from inside the user's part of the hierarchy; from outside there is a scope, and no `exec`."""
    config = oci_box.base_config('/busybox')
    config['linux'] = {'cgroupsPath': ':box:mine', 'namespaces': [{'type': 'mount'}, {'type': 'pid'}, {'type': 'user'}],
                       **{kind: [{'containerID': 0, 'hostID': booted.USER, 'size': 1}]
                          for kind in ('uidMappings', 'gidMappings')}}
    del config['hostname']
    config['mounts'] = config['mounts'][:2]
    config['process']['args'] = ['sleep', '100']
    home = '/run/box-user'  # of user.service
    script = (f'{RUNTIME} --systemd-cgroup run --detach --bundle {home}/bundle mine <>/dev/null >/dev/null 2>{home}/err\n'
              f'cat {home}/err; {RUNTIME} exec mine tail -n 1 /proc/self/cgroup; {RUNTIME} delete --force mine\n'
              'systemctl --user is-active box-mine.scope')
    user = ['setpriv', f'--reuid={booted.USER}', f'--regid={booted.USER}', '--clear-groups',
            'env', f'XDG_RUNTIME_DIR={home}']
    systemd.run('systemctl', 'start', 'user.service').ok()
    try:
        systemd.machine.run([*systemd.command, *user, 'sh', '-c', f'mkdir {home}/bundle; cat > {home}/bundle/config.json'],
                            input=json.dumps(config).encode()).ok()
        result = systemd.run(*user, 'systemd-run', '--user', '--quiet', '--pipe', '--wait', 'sh', '-c', script)
        assert result.out == '0::/user.slice/user.service/user.slice/box-mine.scope\ninactive\n'
        result = systemd.run(*user, 'sh', '-c', script)
        assert result.out == 'inactive\n' and 'without root, call from one' in result.err
    finally:
        systemd.run('systemctl', 'stop', 'user.service').ok()
