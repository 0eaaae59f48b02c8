"""wherry-runtime on bundles of the tests: what most of its tests begin with."""

import contextlib
import ctypes
import json
import os
import pathlib
import re

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
def own_host(over=''):
    """This host with an own cgroup tree and, on top of its usr and etc, those of the directory `over`."""
    machine = LocalMachine(compiler.native_arch(), over=over)
    try:
        yield machine
    finally:
        machine.close()


@contextlib.contextmanager
def root_on(machine):
    """A directory of the machine with busybox as a root file system."""
    directory = machine.temporary_directory()
    rootfs = f'{directory}/rootfs'
    machine.run(['mkdir', rootfs]).ok()
    unpack_busybox(machine, rootfs)
    yield rootfs
    machine.remove(directory)


@contextlib.contextmanager
def adopting(machine):
    """While inside, this process is the parent of what the runtime leaves behind on this host."""
    here = isinstance(machine, LocalMachine)
    if here:
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        if here:
            ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 0)
            reap_monitors()
        machine.shell(f'rmdir /sys/fs/cgroup{CGROUP}')


def helper(machine, name):
    """The path on the machine of a program of tests/harness."""
    program = compiler.static_program(paths.TESTS / f'harness/{name}.cpp', machine.arch)
    if isinstance(machine, LocalMachine):
        return str(program)
    target = f'/usr/bin/{program.name}'
    if not machine.exists(target):
        machine.write(target, program.read_bytes(), 0o755)
    return target


def unpack_busybox(machine, directory):
    image = reference.load('busybox')['latest'].parts[recipes.ARCHES.index(machine.arch)]
    for layer in image.parts[1:]:
        machine.run(['tar', '-xz', '-C', directory], input=layer.data).ok()


class Box:
    """A bundle, a state directory of its own, and wherry-runtime, on any machine."""

    def __init__(self, machine, rootfs, runner=()):
        """`runner`: words in front of the runtime's command line."""
        self.machine = machine
        self.command = [*runner, machine.program('wherry-runtime')]
        self.dir = machine.temporary_directory()
        self.bundle = f'{self.dir}/bundle'
        self.root = f'{self.dir}/state'
        machine.run(['mkdir', self.bundle]).ok()
        self.config = base_config(rootfs)
        self.write()
        self._before = self._traces()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for name in self.machine.shell(f'ls {self.root} 2>/dev/null').out.split():
            self.run('delete', '--force', name)
        if kind is None:
            self.assert_nothing_left()

    def write(self, config=None):
        text = config if isinstance(config, str) else json.dumps(config or self.config)
        self.machine.write(f'{self.bundle}/config.json', text)

    def read(self, name):
        """The text of a file of the test's own directory: "out" and "out.err" are what `create` has written."""
        return self.machine.read(f'{self.dir}/{name}').decode()

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

    def cgroup(self, file):
        """The content of a file of the container's cgroup."""
        return self.machine.read(f'/sys/fs/cgroup{self.config["linux"]["cgroupsPath"]}/{file}').decode().strip()

    def _traces(self):
        """Cgroups, mounts, containers, processes."""
        lines = self.machine.shell(f'''
            find /sys/fs/cgroup{CGROUP} -mindepth 1 -type d 2>/dev/null
            wc -l < /proc/self/mountinfo
            ls {self.root} 2>/dev/null
            grep -lF {CGROUP} /proc/[0-9]*/cgroup 2>/dev/null''').out.splitlines()
        return [line for line in lines if not self._is_ended_child(line)]

    def _is_ended_child(self, line):
        process = re.fullmatch('/proc/([0-9]+)/cgroup', line)
        return process and isinstance(self.machine, LocalMachine) and reaped(int(process[1]))

    def assert_nothing_left(self):
        """A process leaves its cgroup a moment before it can be waited for."""
        with contextlib.suppress(TimedOut):
            self.machine.wait_for(lambda: self._traces() == self._before, 'something is left', 5)
        assert self._traces() == self._before
