"""Damaged files of running containers: what can be cleaned up is, and nothing else stops."""

import pathlib

import oci_box
import pytest

pytestmark = pytest.mark.machines('host')

DAMAGE = {
    'empty': b'',
    'cut': b'{"id":"box","pid":',
    'zeros': b'\0' * 4096,
    'another document': b'[1,2,3]',
    'absurd': b'{"id":"box","pid":-1,"start_time":"99999999999999999999999","created_nanos":"x","cgroup":"/.."}',
}


@pytest.mark.parametrize('content', DAMAGE)
@pytest.mark.parametrize('status', ['created', 'running'])
def test_runtime_removes_by_force_what_it_cannot_read(box, status, content):
    box.create('sound', 'true').ok()
    box.config['linux']['cgroupsPath'] += '-other'
    box.create('box', 'sleep', '1000').ok()
    if status == 'running':
        box.run('start', 'box').ok()
    pathlib.Path(box.root, 'box', 'state.json').write_bytes(DAMAGE[content])
    box.run('state', 'box').fails(1, 'state.json of container "box" is damaged')
    assert box.run('list', '-q').ok().out == 'sound\n'
    box.run('delete', 'box').fails(1, 'state.json of container "box" is damaged.*delete --force')
    box.run('delete', '--force', 'box').ok()
    box.run('state', 'box').fails(1, 'does not exist')
    box.run('start', 'sound').ok()
    box.wait_for('sound', 'stopped')
    box.run('delete', 'sound').ok()
    box.assert_nothing_left()


def test_runtime_lets_go_of_a_created_one_without_any_document(box):
    """Its init ends by itself; the cgroup is not known any more."""
    box.create('box', 'sleep', '1000').ok()
    pid = box.state('box')['pid']
    for name in ('state.json', 'config.json'):
        pathlib.Path(box.root, 'box', name).write_text('')
    assert 'has no cgroup' in box.run('delete', '--force', 'box').ok().err
    box.machine.wait_for(lambda: oci_box.reaped(pid) or not pathlib.Path(f'/proc/{pid}').exists(), 'init lives on', 10)
    pathlib.Path(f'/proc/{box.machine.pid_inside()}/root/sys/fs/cgroup{oci_box.CGROUP}/box').rmdir()


@pytest.mark.parametrize('content', DAMAGE)
def test_daemon_goes_on_with_damaged_run_files(engine, content):
    name = engine.run_detached('--name', 'box', engine.busybox, 'sleep', '1000')
    sound = engine.run_detached('--name', 'sound', engine.busybox, 'sleep', '1000')
    init = engine.state(name)['Pid']
    engine.kill()
    directory = pathlib.Path(engine.rundir, 'c', name)
    for path in directory.iterdir():
        if path.is_file():
            path.write_bytes(DAMAGE[content])
    engine.start()
    assert engine.state(sound)['Running'] is True
    engine.wherry('rm', '-f', 'box').ok()
    assert not pathlib.Path(f'/proc/{init}').exists() and not directory.exists()
    engine.run_detached('--name', 'box', engine.busybox, 'sleep', '1000')
