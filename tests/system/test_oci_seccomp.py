"""SCMP_ACT_NOTIFY: whoever listens at listenerPath answers for the program's system calls."""

import contextlib
import errno
import json

import oci_box
import pytest

pytestmark = pytest.mark.machines('host', 'vm')


class Agent:
    """Takes listeners and answers every notification: with `error`, or by letting the call go on for 0."""

    def __init__(self, machine, path, error):
        self._machine = machine
        self._process = machine.start([oci_box.helper(machine, 'seccomp_agent'), path, str(error)])
        self._process.read_until('ready\n')

    def states(self, number):
        """What came with the listeners, once there were so many."""
        return [json.loads(line) for line in self._lines(b'{', number)]

    def calls(self, number):
        """How many system calls there were, once there were so many."""
        return len(self._lines(b'call', number))

    def _lines(self, start, number):
        def lines():
            return [line for line in self._process.out.split(b'\n')[:-1] if line.startswith(start)]
        self._machine.wait_for(lambda: len(lines()) >= number, f'the agent says not {number} times {start}')
        return lines()

    def close(self):
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def agent(box, names, error=0, default='SCMP_ACT_ALLOW'):
    path = f'{box.dir}/agent'
    box.config['linux']['seccomp'] = {
        'defaultAction': default, 'listenerPath': path, 'listenerMetadata': 'meta data',
        'syscalls': [{'names': names, 'action': 'SCMP_ACT_NOTIFY'}] if names else []}
    listening = Agent(box.machine, path, error)
    try:
        yield listening
    finally:
        listening.close()
        box.machine.remove(path)


@pytest.mark.machines('host', 'vm', 'vm-32')
@pytest.mark.parametrize('no_new_privileges', [False, True])
def test_the_answer_is_the_listeners(box, no_new_privileges):
    box.config['process'].update(noNewPrivileges=no_new_privileges, args=['mkdir', '/tmp/x'])
    box.write()
    with agent(box, ['mkdir', 'mkdirat'], errno.ENOMEDIUM) as listening:
        box.write()
        box.run('run', '--bundle', box.bundle, 'told').fails(1, 'No medium found')
        assert listening.calls(1) == 1
        state, = listening.states(1)
    assert (state['fds'], state['metadata']) == (['seccompFd'], 'meta data')
    assert (state['state']['id'], state['state']['status']) == ('told', 'creating')
    assert state['pid'] == state['state']['pid'] > 1


def test_every_call_is_the_listeners(box):
    """Nothing the runtime does between the filter and execve is a system call: it would wait for itself."""
    box.config['process']['args'] = ['echo', 'done']
    with agent(box, [], default='SCMP_ACT_NOTIFY') as listening:
        box.write()
        assert box.run('run', '--bundle', box.bundle, 'all').ok().out == 'done\n'
        assert listening.calls(4)


def test_create_start_and_exec(box):
    with agent(box, ['uname']) as listening:
        box.started('kept', 'sleep', '100')
        assert [state['state']['status'] for state in listening.states(1)] == ['creating']
        assert box.run('exec', 'kept', 'uname', '-s').ok().out == 'Linux\n'
        assert [state['state']['status'] for state in listening.states(2)] == ['creating', 'running']
        assert listening.calls(1) == 1
        box.run('delete', '--force', 'kept').ok()


def test_without_a_listener_nothing_starts(box):
    with agent(box, ['uname']):
        pass
    box.write()
    box.run('run', '--bundle', box.bundle, 'alone').fails(1, 'seccomp listener: connect.*agent')
    box.assert_nothing_left()
    box.create('alone', 'true').ok()
    box.run('start', 'alone').fails(1, 'seccomp listener: connect.*agent')
    box.wait_for('alone', 'stopped')
    box.run('delete', 'alone').ok()
    del box.config['linux']['seccomp']['listenerPath']
    box.write()
    box.run('run', '--bundle', box.bundle, 'alone').fails(1, 'SCMP_ACT_NOTIFY needs seccomp.listenerPath')


@pytest.mark.machines('host', 'vm', 'vm-32')
def test_features_name_it(box):
    features = json.loads(box.run('features').ok().out)
    assert 'SCMP_ACT_NOTIFY' in features['linux']['seccomp']['actions']
