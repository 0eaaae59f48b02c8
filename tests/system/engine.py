"""A running wherry daemon as the tests drive it, on any Machine."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from harness import registry as registries
from harness.machine import LocalProcess, TimedOut
from harness.witness import Witness

# Names of the registry servers of the tests; every machine resolves them to the test process.
REGISTRY = 'registry.test'
OTHER = 'other.test'
HOST_NAMES = [REGISTRY, OTHER, 'mirror.test', 'wrong.test']

CONTAINER_ID = re.compile(r'^[0-9a-f]{64}$')


def docker_program():
    """The newest docker CLI there is: (path, major version), or None."""
    found = []
    places = {shutil.which('docker'), '/usr/local/bin/docker', '/usr/bin/docker'}
    for path in filter(None, places):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            text = subprocess.run([path, '--version'], check=True, capture_output=True,
                                  text=True).stdout
            match = re.search(r'version (\d+)\.', text)
            if match:
                found.append((int(match[1]), path))
    return (max(found)[1], max(found)[0]) if found else None


class Engine:
    """One daemon with directories of its own."""

    schema = None  # when set, every answer to a client other than wherry's own is held against it
    witnesses = []

    def __init__(self, machine, config='', wherry='wherry', env=None, network='none', runner=()):
        """`network`: what containers get that name none. `runner`: words in front of the daemon's command line."""
        self.machine = machine
        self.program = wherry
        self.runner = list(runner)
        self.env = env or {}
        self.dir = machine.temporary_directory()
        self.root = f'{self.dir}/data'
        self.rundir = f'{self.dir}/r'
        self.socket = f'{self.dir}/s'
        self.config = f'{self.dir}/wherry.conf'
        self.credentials = f'{self.dir}/credentials'
        self._local = tempfile.mkdtemp(prefix='wt-docker.')  # of the docker CLI on this host
        self._docker_socket = None
        self._witness = None
        self._process = None
        self.pid = None
        machine.write(self.config, config)
        machine.run(['mkdir', f'{self.dir}/conf.d']).ok()
        machine.write(f'{self.dir}/conf.d/network.conf', f'[containers]\ndefault-network = {network}\n')

    # The daemon

    def daemon_argv(self):
        return [*self.runner, self.program, 'daemon', '--config', self.config, '--root', self.root,
                '--run', self.rundir, '--socket', self.socket]

    def launch(self):
        """Starts the daemon."""
        script = 'echo $$; exec "$@"'
        self._process = self.machine.start(['sh', '-c', script, 'sh', *self.daemon_argv()],
                                           env=self.env)
        self._process.close_input()
        self.pid = int(self._process.read_until(rb'^(\d+)\n', 10 * self.machine.slow)[1])

    def start(self):
        """Starts the daemon and waits until it answers."""
        self.launch()
        wait = 'for i in $(seq 200); do [ -d "/proc/$2" ] || exit 1; "$1" ps -q >/dev/null 2>&1 && exit 0; ' \
               'sleep 0.05; done; exit 1'
        up = self.machine.run(['sh', '-c', wait, 'sh', self.program, str(self.pid)],
                              env=self.client_env())
        assert up.code == 0, f'the daemon did not start:\n{self.log()}'
        return self

    def log(self):
        """What the daemon has written."""
        return (self._process.out + self._process.err).decode(errors='replace')

    def kill(self, number=signal.SIGKILL):
        """Sends a signal to the daemon alone, and waits for its end; returns the exit status."""
        self.machine.run(['kill', f'-{int(number)}', str(self.pid)])
        return self.wait()

    def wait(self):
        """Waits for the end of the daemon; returns the exit status."""
        return self._process.wait(15 * self.machine.slow)

    def stop(self):
        """Ends the daemon in order."""
        if self.running:
            code = self.kill(signal.SIGTERM)
            assert code == 0, f'the daemon ended with {code}:\n{self.log()}'

    @property
    def running(self):
        return self._process is not None and self._process.running

    # Clients

    def client_env(self):
        return {'WHERRY_SOCKET': self.socket, 'WHERRY_CONFIG': self.credentials, 'HOME': self.dir}

    def wherry(self, *args, input=None, timeout=60, env=None):
        """Runs the CLI to its end; returns its Result."""
        return self.machine.run([self.program, *map(str, args)], input=input, timeout=timeout,
                                env={**self.client_env(), **(env or {})})

    def start_wherry(self, *args, tty=None, env=None):
        """Starts the CLI; returns its Process."""
        return self.machine.start([self.program, *map(str, args)],
                                  env={**self.client_env(), **(env or {})}, tty=tty)

    def docker_env(self):
        if self._docker_socket is None:
            self._docker_socket = self.machine.socket_for_host(self.socket)
        path = self._docker_socket if Engine.schema is None else self._witnessed()
        return {'PATH': os.environ['PATH'], 'HOME': self._local, 'DOCKER_CONFIG': self._local,
                'DOCKER_HOST': f'unix://{path}', 'TERM': 'xterm'}

    def _witnessed(self):
        """A socket that leads to the daemon and judges what it answers."""
        if self._witness is None:
            self._witness = Witness(Engine.schema, self._docker_socket)
        if self._witness not in Engine.witnesses:
            Engine.witnesses.append(self._witness)
        return self._witness.path

    def start_docker(self, *args, tty=None):
        """Starts the stock docker CLI on this host; returns its Process."""
        return LocalProcess([docker_program()[0], *map(str, args)], env=self.docker_env(), tty=tty)

    def docker(self, *args, input=None, timeout=60):
        """Runs the stock docker CLI to its end; returns its Result."""
        process = self.start_docker(*args)
        if input:
            process.write(input.encode() if isinstance(input, str) else input)
        process.close_input()
        return process.result(['docker', *args], timeout * self.machine.slow)

    def write_docker_config(self, value):
        """Replaces the configuration of the docker CLI."""
        pathlib.Path(self._local, 'config.json').write_text(json.dumps(value), encoding='utf-8')

    def login(self, server):
        """Logs in to a registry that asks for the password of the tests."""
        self.wherry('login', '-u', registries.USER, '--password-stdin', server,
                    input=registries.PASSWORD).ok()

    # What is there

    def inspect(self, name):
        return json.loads(self.wherry('inspect', name).ok().out)[0]

    def state(self, name):
        return self.inspect(name)['State']

    def containers(self):
        """The IDs of all containers."""
        return self.wherry('ps', '-aq', '--no-trunc').ok().out.split()

    def images(self):
        """The IDs of all images."""
        return self.wherry('images', '-aq', '--no-trunc').ok().out.split()

    def run_detached(self, *args):
        """`wherry run -d`, without network unless one is named; returns the ID."""
        network = [] if '--network' in args else ['--network', 'none']
        identity = self.wherry('run', '-d', *network, *args).ok().out.strip()
        assert CONTAINER_ID.match(identity), identity
        return identity

    def wait_exited(self, name, timeout=15):
        """Waits until a container has ended; returns its State."""
        def ended():
            state = self.state(name)
            return state if state['Status'] == 'exited' else None
        return self.machine.wait_for(ended, f'{name} has not ended', timeout)

    def cgroup_parent(self):
        """The cgroup all containers live below, as a path in the file system."""
        for line in self.wherry('config').ok().out.splitlines():
            if line.startswith('cgroup-parent'):
                return '/sys/fs/cgroup' + line.split('=')[1].strip()
        raise AssertionError('wherry config does not name the cgroup')

    # Afterwards

    def remove_containers(self):
        """Removes all containers by force; returns their IDs."""
        left = self.containers()
        if left:
            self.wherry('rm', '-f', *left).ok()
        return left

    def store_files(self):
        """The files below the store, sorted, without the locks and the mark of a store known to be whole."""
        text = self.machine.shell(f'cd {self.root} && find . -type f ! -name LOCK ! -path ./store/clean | sort').out
        return text.splitlines()

    def assert_nothing_left(self):
        """After the last container is gone: no process, mount, cgroup or socket is left."""
        parent = self.cgroup_parent()
        self.stop()
        script = f'''
            ls -l /proc/[0-9]*/fd /proc/[0-9]*/cwd 2>/dev/null | grep -F '{self.dir}/' |
                sed 's/^/open: /'
            grep -F '{self.dir}/' /proc/self/mounts | sed 's/^/mount: /'
            find {parent} -type d 2>/dev/null | sed 's/^/cgroup: /'
            find {self.rundir}/c {self.root}/containers {self.root}/store/txn -mindepth 1 \
                2>/dev/null | sed 's/^/file: /'
            find {self.dir} -type s | sed 's/^/socket: /'
        '''
        left = self.machine.shell(script).out
        assert left == '', f'left behind:\n{left}\nThe daemon wrote:\n{self.log()}'

    def close(self):
        """Ends the daemon by any means and removes its directories."""
        if self.running:
            with contextlib.suppress(AssertionError, TimedOut):
                self.remove_containers()
            with contextlib.suppress(AssertionError, TimedOut):
                self.stop()
            if self.running:
                self.kill()
        self.machine.remove(self.dir)
        if self._witness:
            self._witness.close()
        shutil.rmtree(pathlib.Path(self._local), ignore_errors=True)
