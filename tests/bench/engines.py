"""The engines beside which wherry is measured, each isolated and ended by its process."""

import contextlib
import json
import os
import shutil
import signal

from harness import paths
from harness.machine import TimedOut

IMAGE = 'busybox'
COUNTERPARTS = ['docker.io', 'podman', 'conmon', 'crun', 'runc']


def link_alternatives(directory):
    """What the installation of the package iptables links, for dockerd."""
    for name in ('iptables', 'ip6tables'):
        os.symlink(f'/usr/sbin/{name}-nft', f'{directory}/{name}')
    os.environ['PATH'] += f':{directory}'


class Absent(Exception):
    """The engine cannot be measured here; says why."""


class Contender:
    """One engine, ready to run `true`."""

    name = ''
    note = ''      # how it had to be called
    command = []   # "%" in a word becomes a name used once

    def __init__(self, machine, registry):
        self.machine = machine
        self.registry = registry
        self.dir = machine.temporary_directory()
        self.env = {}

    def need(self, program):
        if self.machine.run(['sh', '-c', 'command -v "$1"', 'sh', program]).code != 0:
            raise Absent(f'{program} is not installed and could not be fetched')

    def must(self, *argv, timeout=120):
        result = self.machine.run(argv, timeout=timeout, env=self.env)
        if result.code != 0:
            raise Absent(f'{argv[0]} failed: {result.err.strip()[-300:]}')
        return result

    def close(self):
        self.machine.shell(f"grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | sort -r | "
                           'while read m; do umount -l "$m"; done')
        self.machine.remove(self.dir)


def end(daemon):
    """In order where it listens to that."""
    if daemon.running:
        os.kill(daemon.pid, signal.SIGTERM)
        with contextlib.suppress(TimedOut):
            daemon.wait(20)
        daemon.kill()


class Wherry(Contender):
    name = 'wherry'

    def __init__(self, machine, registry, engine):
        super().__init__(machine, registry)
        self._engine = engine
        engine.start()
        image = f'127.0.0.1:{registry.port}/{IMAGE}'
        engine.wherry('pull', '-q', image).ok()
        self.env = engine.client_env()
        self.command = [engine.program, 'run', '--rm', '--network', 'none', image, 'true']

    def close(self):
        self._engine.close()
        super().close()


class Docker(Contender):
    name = 'docker'
    options = ['--iptables=false', '--bridge=none']

    def __init__(self, machine, registry):
        super().__init__(machine, registry)
        self.need('dockerd')
        image = f'127.0.0.1:{registry.port}/{IMAGE}'
        socket = f'{self.dir}/docker.sock'
        self.env = {'DOCKER_HOST': f'unix://{socket}', 'DOCKER_CONFIG': self.dir}
        self._daemon = machine.start([
            'dockerd', '--data-root', f'{self.dir}/data', '--exec-root', f'{self.dir}/exec',
            '--pidfile', f'{self.dir}/pid', '-H', f'unix://{socket}', '--storage-driver', 'overlay2',
            *self.options, '--log-level', 'error'], env=self.env)
        try:
            machine.wait_for(lambda: not self._daemon.running or
                             machine.run(['docker', 'version'], env=self.env).code == 0,
                             'dockerd does not answer', 40)
            if not self._daemon.running:
                raise Absent('dockerd ended: ' + self._daemon.err.decode()[-300:])
            self.must('docker', 'pull', '-q', image)
        except (Absent, TimedOut):
            self.close()
            raise
        self.command = ['docker', 'run', '--rm', '--network', 'none', image, 'true']

    def close(self):
        end(self._daemon)
        super().close()


class Podman(Contender):
    name = 'podman'

    # as it comes, then for hosts that lack CAP_SYS_RESOURCE
    LIMITS = ['--pids-limit', '0', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000']
    VARIANTS = [[], LIMITS, [*LIMITS, '--runtime', 'runc']]

    def __init__(self, machine, registry):
        super().__init__(machine, registry)
        self.need('podman')
        image = f'127.0.0.1:{registry.port}/{IMAGE}'
        base = ['podman', '--root', f'{self.dir}/data', '--runroot', f'{self.dir}/run', '--tmpdir',
                f'{self.dir}/tmp', '--cgroup-manager=cgroupfs', '--storage-driver', 'overlay',
                '--events-backend', 'none']
        self.must(*base, 'pull', '-q', '--tls-verify=false', image)
        failure = None
        for options in self.VARIANTS:
            self.command = [*base, 'run', '--rm', '--network', 'none', *options, image, 'true']
            try:
                self.must(*self.command)
                self.note = ' '.join(options)
                return
            except Absent as error:
                failure = error
        raise failure


class Runtime(Contender):
    """An OCI runtime called directly, without an engine around it."""

    program = ''  # where it is not called by its name
    options = []

    def __init__(self, machine, registry, rootfs):
        super().__init__(machine, registry)
        program = self.program or self.name
        self.need(program)
        bundle = f'{self.dir}/bundle'
        machine.shell(f'mkdir {bundle}').ok()
        self.must('sh', '-c', f'cd {bundle} && {program} spec')
        spec = json.loads(machine.read(f'{bundle}/config.json'))
        spec['process']['terminal'] = False
        spec['process']['args'] = ['true']
        spec['root'] = {'path': rootfs, 'readonly': True}
        spec['linux'].pop('resources', None)
        machine.write(f'{bundle}/config.json', json.dumps(spec))
        self._state = f'/run/bench{self.dir.replace("/", "-")}'  # in memory, as on a device
        self.command = [program, *self.options, '--root', self._state, 'run', '--bundle', bundle, '%']
        self.must(*(word.replace('%', 'probe') for word in self.command))

    def close(self):
        self.machine.remove(self._state)
        super().close()


class WherryRuntime(Runtime):
    name = 'w-runtime'
    program = str(paths.build_dir('host') / 'wherry-runtime')


class Crun(Runtime):
    name = 'crun'
    options = ['--cgroup-manager=cgroupfs']


class Runc(Runtime):
    name = 'runc'


def make_rootfs(machine, image, directory):
    """Unpacks the layers of a single-platform image for the runtimes."""
    machine.shell(f'mkdir -p {directory}').ok()
    for layer in image.parts[1:]:
        machine.run(['tar', '-xz', '-C', directory], input=layer.data).ok()


def have_docker_cli():
    return shutil.which('docker') is not None
