"""wherry-runtime on bundles of the tests: what most of its tests begin with."""

import contextlib
import ctypes
import json
import os
import pathlib

from harness import compile as compiler
from harness import paths
from harness.machine import LocalMachine, TimedOut
from images import recipes, reference

RUNTIME = str(paths.build_dir('host') / 'wherry-runtime')
SET_CHILD_SUBREAPER = 36
CGROUP = f'/oci-test-{os.getpid()}'  # beside another run's
CAPABILITIES = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_SETGID']


def base_config(rootfs):
    return {
        'ociVersion': '1.0.2',
        'process': {
            'args': ['true'], 'cwd': '/', 'env': ['PATH=/usr/bin:/bin:/usr/sbin:/sbin'],
            'user': {'uid': 0, 'gid': 0},
            'capabilities': {name: CAPABILITIES for name in ('bounding', 'effective', 'permitted')}},
        'root': {'path': rootfs, 'readonly': True},
        'hostname': 'oci',
        'mounts': [
            {'destination': '/proc', 'type': 'proc', 'source': 'proc'},
            {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['nosuid', 'mode=755']},
            {'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',
             'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']},
            {'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs'}],
        'linux': {
            'cgroupsPath': f'{CGROUP}/box',
            'namespaces': [{'type': kind} for kind in ('mount', 'pid', 'network', 'ipc', 'uts', 'cgroup')]}}


def reaped(pid):
    """Of a container's init whose runtime has ended: this process is its subreaper."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def reap_monitors():
    """What podman and containerd have left to this process."""
    for entry in pathlib.Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError, IndexError):
            name, _, rest = entry.read_text().partition(' (')[2].rpartition(') ')
            if rest.split()[:2] == ['Z', str(os.getpid())] and name in ('conmon', 'containerd-shim', 'containerd'):
                reaped(int(entry.parent.name))


@contextlib.contextmanager
def place(over=''):
    """This host with an own cgroup tree, and busybox as a root file system: (machine, directory)."""
    machine = LocalMachine(compiler.native_arch(), over=over)
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1)
    try:
        rootfs = machine.temporary_directory() + '/rootfs'
        os.mkdir(rootfs)
        unpack_busybox(machine, rootfs)
        yield machine, rootfs
    finally:
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 0)
        reap_monitors()
        machine.shell(f'rmdir /sys/fs/cgroup{CGROUP}')
        machine.close()


def unpack_busybox(machine, directory):
    image = reference.load('busybox')['latest'].parts[recipes.ARCHES.index(machine.arch)]
    for layer in image.parts[1:]:
        machine.run(['tar', '-xz', '-C', directory], input=layer.data).ok()


class Box:
    """A bundle, a state directory of its own, and wherry-runtime."""

    def __init__(self, machine, rootfs, runner=()):
        """`runner`: words in front of the runtime's command line."""
        self.machine = machine
        self.command = [*runner, RUNTIME]
        self.dir = machine.temporary_directory()
        self.bundle = f'{self.dir}/bundle'
        self.root = f'{self.dir}/state'
        os.mkdir(self.bundle)
        self.config = base_config(rootfs)
        self.write()
        self._before = self._traces()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if os.path.isdir(self.root):
            for name in os.listdir(self.root):
                self.run('delete', '--force', name)
        if kind is None:
            self.assert_nothing_left()

    def write(self, config=None):
        text = config if isinstance(config, str) else json.dumps(config or self.config)
        pathlib.Path(self.bundle, 'config.json').write_text(text, encoding='utf-8')

    def run(self, *words, options=(), timeout=30):
        return self.machine.run([*self.command, '--root', self.root, *options, *words], timeout=timeout)

    def create(self, name, *args, options=()):
        """Creates with /dev/null for standard streams: init would keep a pipe open."""
        self.config['process']['args'] = list(args)
        self.write()
        return self.machine.run([
            'sh', '-c', 'out=$1; shift; exec "$@" <>/dev/null >"$out" 2>"$out.err"', 'sh', f'{self.dir}/out',
            *self.command, '--root', self.root, 'create', '--bundle', self.bundle, *options, name])

    def started(self, name, *args, options=()):
        self.create(name, *args, options=options).ok()
        self.run('start', name).ok()

    def state(self, name):
        return json.loads(self.run('state', name).ok().out)

    def wait_for(self, name, status):
        self.machine.wait_for(lambda: self.state(name)['status'] == status, f'{name} is not {status}', 10)

    def _traces(self):
        groups = self.machine.shell(f'find /sys/fs/cgroup{CGROUP} -mindepth 1 -type d 2>/dev/null').out
        mounts = self.machine.shell('wc -l < /proc/self/mountinfo').out
        containers = os.listdir(self.root) if os.path.isdir(self.root) else []
        mine = []
        for entry in pathlib.Path('/proc').glob('[0-9]*/cgroup'):
            try:
                if CGROUP in entry.read_text() and not reaped(int(entry.parent.name)):
                    mine.append(entry)
            except OSError:
                pass  # it has ended
        return groups, mounts, containers, mine

    def assert_nothing_left(self):
        """A process leaves its cgroup a moment before it can be waited for."""
        with contextlib.suppress(TimedOut):
            self.machine.wait_for(lambda: self._traces() == self._before, 'something is left', 5)
        assert self._traces() == self._before
