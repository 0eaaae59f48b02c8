"""wherry-runtime under containerd 1.6 as Debian packages it, without dockerd: what ctr asks of it."""

import contextlib
import json
import os
import pathlib
import signal

import pytest
from oci_box import RUNTIME
from test_oci_runtime import fixture_callers  # noqa: F401 pylint: disable=unused-import

CONFIG = '''version = 2
root = "{0}/data"
state = "{0}/run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "{0}/containerd.sock"
'''
# Without an image there is no environment; and this host may lack the controller of cgroup v2 that ctr asks for.
OPTIONS = ['--env', 'PATH=/bin:/usr/bin', '--cpu-shares', '0']


class Containerd:
    def __init__(self, machine, rootfs):
        self.machine = machine
        self.rootfs = rootfs
        self.dir = machine.temporary_directory()
        self.namespace = f'oci-test-{os.getpid()}'  # the cgroups' parent, too
        self.base = ['ctr', '--address', f'{self.dir}/containerd.sock', '--namespace', self.namespace]
        pathlib.Path(self.dir, 'config.toml').write_text(CONFIG.format(self.dir), encoding='utf-8')
        self.daemon = machine.start(['containerd', '--config', f'{self.dir}/config.toml', '--log-level', 'error'])
        machine.wait_for(lambda: not self.daemon.running or self('version').code == 0, 'containerd does not answer', 40)
        assert self.daemon.running, self.daemon.err.decode()

    def __call__(self, *words):
        return self.machine.run([*self.base, *words], timeout=60)

    def words(self, *options, name, command):
        return [*self.base, 'run', *options, *OPTIONS, '--rootfs', '--runc-binary', RUNTIME, '--runc-root', f'{self.dir}/runc',
                self.rootfs, name, *command]

    def run(self, *options, name='box', command):
        return self.machine.run(self.words(*options, name=name, command=command), timeout=60)

    def status(self, name='box'):
        lines = [line.split() for line in self('task', 'list').ok().out.splitlines()]
        return next((line[2] for line in lines if line[0] == name), None)

    def remove(self, name='box'):
        self('task', 'rm', '--force', name)
        self('container', 'rm', name)

    def assert_nothing_left(self):
        assert self.machine.shell(f'find {self.dir}/runc -name state.json; '
                                  f'find /sys/fs/cgroup/{self.namespace} -mindepth 1 -type d').out == ''

    def close(self):
        for name in self('container', 'list', '-q').out.split():
            self.remove(name)
        os.kill(self.daemon.pid, signal.SIGTERM)
        self.daemon.wait(30)
        self.machine.shell(f"grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | sort -r | "
                           f'while read m; do umount -l "$m"; done; rmdir /sys/fs/cgroup/{self.namespace}')


@pytest.fixture(scope='module', name='daemon')
def fixture_daemon(callers):
    with contextlib.closing(Containerd(*callers)) as daemon:
        yield daemon


@pytest.fixture(name='containerd')
def fixture_containerd(daemon):
    """Nothing of a container is left after a test."""
    yield daemon
    daemon.remove()
    daemon.assert_nothing_left()


def test_run(containerd):
    assert containerd.run('--rm', command=['echo', 'hi']).ok().out == 'hi\n'
    assert containerd.run('--rm', '--env', 'A=b', '--cwd', '/bin', command=[
        'sh', '-c', 'id -u; pwd; echo $A; cat /proc/1/comm; :']).ok().out.split() == ['0', '/bin', 'b', 'sh']
    containerd.run('--rm', command=['sh', '-c', 'exit 7']).fails(7)
    containerd.run('--rm', command=['nosuch']).fails(1, r'exec: "nosuch": executable file not found in \$PATH')
    containerd.remove()
    containerd.run('--rm', '--read-only', command=['touch', '/x']).fails(1, 'Read-only file system')


def test_life_of_a_container(containerd):
    containerd.run('--detach', command=['sleep', '100']).ok()
    assert containerd.status() == 'RUNNING'
    execute = ['task', 'exec', '--exec-id']
    assert containerd(*execute, 'one', '--cwd', '/bin', 'box', 'sh', '-c', 'pwd; cat /proc/1/comm').ok().out == '/bin\nsleep\n'
    containerd(*execute, 'two', 'box', 'sh', '-c', 'exit 5').fails(5)
    containerd(*execute, 'three', 'box', 'nosuch').fails(1, 'executable file not found')
    assert len(containerd('task', 'ps', 'box').ok().out.splitlines()) == 2  # a headline
    containerd('task', 'pause', 'box').ok()
    assert containerd.status() == 'PAUSED'
    containerd('task', 'resume', 'box').ok()
    assert containerd.status() == 'RUNNING'
    containerd('task', 'delete', 'box').fails(1, 'must be stopped')
    containerd('task', 'kill', '--signal', 'KILL', 'box').ok()
    containerd.machine.wait_for(lambda: containerd.status() == 'STOPPED', 'the task goes on', 10)
    containerd('task', 'kill', 'box').fails(1, 'process already finished: not found')
    assert 'exit code 137' in containerd('task', 'delete', 'box').ok().err
    containerd('container', 'rm', 'box').ok()


def test_kill_reaches_every_process(containerd):
    """Without a pid namespace of its own the container does not end with its init."""
    containerd.run('--detach', '--with-ns', 'pid:/proc/self/ns/pid', command=['sh', '-c', 'sleep 100 & exec sleep 100']).ok()
    containerd.machine.wait_for(lambda: len(containerd('task', 'ps', 'box').ok().out.splitlines()) == 3, 'no child', 10)
    containerd('task', 'kill', '--all', '--signal', 'KILL', 'box').ok()
    containerd.machine.wait_for(lambda: containerd.status() == 'STOPPED', 'the task goes on', 10)


def test_events(containerd):
    """The shim's, for what the runtime does."""
    process = containerd.machine.start([*containerd.base, 'events'])
    containerd.machine.wait_for(lambda: containerd('version').code == 0, 'no answer', 10)
    containerd.run('--detach', command=['sleep', '100']).ok()
    containerd(*['task', 'exec', '--exec-id', 'one', 'box', 'true']).ok()
    containerd('task', 'pause', 'box').ok()
    containerd('task', 'resume', 'box').ok()
    containerd('task', 'kill', '--signal', 'KILL', 'box').ok()
    for topic in ('create', 'start', 'exec-added', 'exec-started', 'exit', 'paused', 'resumed', 'exit'):
        process.read_until(f'/tasks/{topic} ')
    process.kill()


def test_checkpoints_are_refused_by_name(containerd):
    containerd.run('--detach', command=['sleep', '100']).ok()
    containerd('task', 'checkpoint', 'box').fails(1, 'checkpoint is not supported')
    assert containerd.status() == 'RUNNING'


def test_counters(containerd):
    """The shim reads the cgroup that the runtime has made."""
    containerd.run('--detach', command=['sleep', '100']).ok()
    metrics = json.loads(containerd('task', 'metrics', '--format', 'json', 'box').ok().out)
    assert isinstance(metrics, dict)


def test_terminal(containerd):
    process = containerd.machine.start(containerd.words(
        '--rm', '--tty', name='box', command=['sh', '-c', 'tty; read line; echo "got $line"']), tty=(24, 80))
    process.read_until('/dev/pts/0')
    process.write(b'word\n')
    process.read_until('got word')
    assert process.wait() == 0
    containerd.run('--detach', command=['sleep', '100']).ok()
    process = containerd.machine.start([*containerd.base, 'task', 'exec', '--tty', '--exec-id', 'shell', 'box', 'tty'],
                                       tty=(24, 80))
    process.read_until('/dev/pts/')
    assert process.wait() == 0
