"""sd_notify(3) through wherry-runtime: the test is the service manager."""

import contextlib
import os
import shlex
import socket
import threading

import oci_box
import pytest
from harness.machine import TimedOut

pytestmark = pytest.mark.machines('host')  # where the test can listen


class Manager:
    """Listens as a service manager does, and keeps what it is told."""

    def __init__(self, path):
        self.path = path
        self.told = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path.replace('@', '\0', 1))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 4)
            for descriptor in descriptors:
                os.close(descriptor)
            if message == b'end':
                return
            self.told.append(message.decode())

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b'end', self.path.replace('@', '\0', 1))
        self._thread.join()
        self._socket.close()


@pytest.fixture(name='manager')
def fixture_manager(box):
    manager = Manager(f'{box.dir}/manager')
    yield manager
    with contextlib.suppress(OSError):
        manager.close()


def says(box, *messages, then='sleep 100', first=''):
    """Lets the program say these, with a service manager around it."""
    box.config['mounts'].append({'destination': '/tmp/notifier', 'type': 'bind', 'options': ['bind', 'ro'],
                                 'source': oci_box.helper(box.machine, 'notifier')})
    script = f'{first} /tmp/notifier {shlex.join(messages)}; {then}'
    box.config['process']['args'] = ['sh', '-c', script]
    box.write()
    return ['sh', '-c', script]


def under(box, path):
    """The runtime has that NOTIFY_SOCKET."""
    box.command = ['env', f'NOTIFY_SOCKET={path}', *box.command]


def test_ready_is_passed_on_and_nothing_else(box, manager):
    under(box, manager.path)
    box.create('svc', *says(box, 'STATUS=x', 'MAINPID=1', 'READY=0', 'STOPPING=1\nREADY=11', 'X_READY=1', '\nREADY=1',
                            'WATCHDOG=trigger', 'READY=1')).ok()
    assert manager.told == []
    box.run('start', 'svc').ok()
    box.machine.wait_for(lambda: len(manager.told) == 2, 'no news', 10)
    assert manager.told == [f'MAINPID={box.state("svc")["pid"]}\nREADY=1', 'BARRIER=1']
    box.run('delete', '--force', 'svc').ok()


def test_start_waits_until_it_is_ready_while_others_may_end_it(box, manager):
    under(box, manager.path)
    box.create('slow', *says(box, 'READY=1', first='while ! test -e /tmp/go; do sleep 0.02; done;')).ok()
    starting = box.machine.start([*box.command, '--root', box.root, 'start', 'slow'])
    box.wait_for('slow', 'running')
    with pytest.raises(TimedOut):
        starting.wait(0.3)
    assert manager.told == []
    box.run('exec', 'slow', 'touch', '/tmp/go').ok()
    assert starting.wait(10) == 0
    assert manager.told[0].endswith('READY=1')
    box.run('delete', '--force', 'slow').ok()
    box.create('never', *says(box, 'STATUS=no')).ok()
    starting = box.machine.start([*box.command, '--root', box.root, 'start', 'never'])
    box.wait_for('never', 'running')
    box.run('kill', 'never', 'KILL', timeout=5).ok()
    assert starting.wait(10) == 0
    assert len(manager.told) == 2
    box.run('delete', 'never').ok()


@pytest.mark.parametrize('options', [[], ['--detach']], ids=['foreground', 'detached'])
def test_run(box, manager, options):
    under(box, manager.path)
    says(box, 'READY=1', then='sleep 0.5; exit 3' if not options else 'sleep 100')
    process = box.machine.start(['sh', '-c', 'exec "$@" <>/dev/null >/dev/null 2>&1', 'sh', *box.command, '--root',
                                 box.root, 'run', '--bundle', box.bundle, *options, 'svc'])
    assert process.wait(10) == (0 if options else 3)
    told = dict(line.split('=') for line in manager.told[0].splitlines())
    assert told['READY'] == '1'
    if options:  # else the runtime itself is the service, and still there
        assert int(told['MAINPID']) == box.state('svc')['pid']
        box.run('delete', '--force', 'svc').ok()
    else:
        assert manager.told == [manager.told[0]]


def test_what_the_container_sees(box, manager):
    """Its own socket, in a directory it cannot change; the runtime's is not to be seen."""
    under(box, manager.path)
    box.config['process']['args'] = ['sh', '-c', 'echo $NOTIFY_SOCKET; ls -l /run/notify; touch /run/notify/x; env']
    box.write()
    result = box.run('run', '--bundle', box.bundle, 'see')
    assert result.out.startswith('/run/notify/notify.sock\n') and 'srwxrwxrwx' in result.out
    assert 'Read-only file system' in result.err
    assert manager.path not in result.out


def test_a_socket_of_the_configuration_stays(box, manager):
    """podman's monitor has its own."""
    under(box, manager.path)
    box.config['process']['env'].append('NOTIFY_SOCKET=/tmp/own')
    box.config['process']['args'] = ['sh', '-c', 'echo $NOTIFY_SOCKET; grep /run/notify /proc/mounts']
    box.write()
    assert box.run('run', '--bundle', box.bundle, 'own').fails(1).out == '/tmp/own\n'


def test_in_a_user_namespace(box, manager):
    under(box, manager.path)
    box.config['linux']['namespaces'].append({'type': 'user'})
    for kind in ('uidMappings', 'gidMappings'):
        box.config['linux'][kind] = [{'containerID': 0, 'hostID': 100000, 'size': 1000}]
    box.config['process']['user'] = {'uid': 7, 'gid': 7}
    box.config['process']['capabilities'] = {}
    box.create('mapped', *says(box, 'READY=1')).ok()
    box.run('start', 'mapped').ok()
    assert manager.told[0] == f'MAINPID={box.state("mapped")["pid"]}\nREADY=1'
    box.run('delete', '--force', 'mapped').ok()


def test_a_name_in_the_abstract_namespace(box):
    name = f'@wherry-{box.dir}'
    manager = Manager(name)
    try:
        under(box, name)
        box.create('svc', *says(box, 'READY=1')).ok()
        box.run('start', 'svc').ok()
        assert manager.told[0].endswith('READY=1')
    finally:
        manager.close()
    box.run('delete', '--force', 'svc').ok()


def test_a_service_manager_that_is_gone_is_a_warning(box):
    under(box, f'{box.dir}/nobody')
    box.create('svc', *says(box, 'READY=1')).ok()
    assert f'NOTIFY_SOCKET: connect({box.dir}/nobody)' in box.run('start', 'svc').ok().err
    assert box.state('svc')['status'] == 'running'
    box.run('delete', '--force', 'svc').ok()


def test_a_flood_of_messages_holds_nothing_up(box, manager):
    under(box, manager.path)
    flood = '(while :; do /tmp/notifier STATUS=a STATUS=b STATUS=c; done) & sleep 0.3;'
    box.create('flood', *says(box, 'READY=1', first=flood)).ok()
    box.run('start', 'flood', timeout=10).ok()
    assert [line for line in manager.told if 'STATUS' in line] == []
    box.run('delete', '--force', 'flood').ok()
