"""SCMP_ACT_NOTIFY: whoever listens at listenerPath answers for the program's system calls."""

import array
import contextlib
import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading

import pytest

pytestmark = pytest.mark.machines('host')

RECEIVE, ANSWER = 0xc0502100, 0xc0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
NOTIFICATION = struct.Struct('=QIIiIQ6Q')
RESPONSE = struct.Struct('=QqiI')
CONTINUE = 1


class Agent:
    """Takes listeners and answers every notification: with `error`, or by letting the call go on for 0."""

    def __init__(self, path, error):
        self.states = []
        self.calls = 0
        self._error = error
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(8)
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        listeners = []
        while True:
            ready = select.select([self._end, self._socket, *listeners], [], [])[0]
            if self._end in ready:
                break
            if self._socket in ready:
                listeners.append(self._accept())
            for listener in set(ready) & set(listeners):
                self._answer(listener)
        for listener in listeners:
            os.close(listener)

    def _accept(self):
        connection, _ = self._socket.accept()
        with connection:
            text, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4))
        self.states.append(json.loads(text))
        return array.array('i', ancillary[0][2])[0]

    def _answer(self, listener):
        buffer = bytearray(NOTIFICATION.size)
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            fcntl.ioctl(listener, RECEIVE, buffer)
            self.calls += 1
            ident = NOTIFICATION.unpack(buffer)[0]
            fcntl.ioctl(listener, ANSWER, RESPONSE.pack(ident, 0, -self._error, 0 if self._error else CONTINUE))

    def close(self):
        os.write(self._ended, b'x')
        self._thread.join(10)
        self._socket.close()


@contextlib.contextmanager
def agent(box, names, error=0, default='SCMP_ACT_ALLOW'):
    path = f'{box.dir}/agent'
    box.config['linux']['seccomp'] = {
        'defaultAction': default, 'listenerPath': path, 'listenerMetadata': 'meta data',
        'syscalls': [{'names': names, 'action': 'SCMP_ACT_NOTIFY'}] if names else []}
    listening = Agent(path, error)
    try:
        yield listening
    finally:
        listening.close()
        os.unlink(path)


@pytest.mark.parametrize('no_new_privileges', [False, True])
def test_the_answer_is_the_listeners(box, no_new_privileges):
    box.config['process'].update(noNewPrivileges=no_new_privileges, args=['mkdir', '/tmp/x'])
    box.write()
    with agent(box, ['mkdir', 'mkdirat'], errno.ENOMEDIUM) as listening:
        box.write()
        box.run('run', '--bundle', box.bundle, 'told').fails(1, 'No medium found')
    assert listening.calls == 1
    state, = listening.states
    assert (state['fds'], state['metadata']) == (['seccompFd'], 'meta data')
    assert (state['state']['id'], state['state']['status']) == ('told', 'creating')
    assert state['pid'] == state['state']['pid'] > 1


def test_every_call_is_the_listeners(box):
    """Nothing the runtime does between the filter and execve is a system call: it would wait for itself."""
    box.config['process']['args'] = ['echo', 'done']
    with agent(box, [], default='SCMP_ACT_NOTIFY') as listening:
        box.write()
        assert box.run('run', '--bundle', box.bundle, 'all').ok().out == 'done\n'
    assert listening.calls > 3


def test_create_start_and_exec(box):
    with agent(box, ['uname']) as listening:
        box.started('kept', 'sleep', '100')
        assert [state['state']['status'] for state in listening.states] == ['creating']
        assert box.run('exec', 'kept', 'uname', '-s').ok().out == 'Linux\n'
        assert [state['state']['status'] for state in listening.states] == ['creating', 'running']
        assert listening.calls == 1
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


def test_features_name_it(box):
    features = json.loads(box.run('features').ok().out)
    assert 'SCMP_ACT_NOTIFY' in features['linux']['seccomp']['actions']
