"""Where a system test runs: this machine or the virtual one, behind one interface."""

import abc
import contextlib
import dataclasses
import fcntl
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time

from . import keys, netns, oci, paths
from .names import EmptyNameServer


class TimedOut(AssertionError):
    """A command or a condition took too long."""


@dataclasses.dataclass
class Result:
    """How a command ended. `code` is its exit status, 128+n when signal n ended it."""
    code: int
    raw_out: bytes
    raw_err: bytes
    argv: list

    @property
    def out(self):
        return self.raw_out.decode(errors='replace')

    @property
    def err(self):
        return self.raw_err.decode(errors='replace')

    def __str__(self):
        command = shlex.join(str(arg) for arg in self.argv)
        return f'$ {command}\n-> {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}'

    def ok(self):
        """Asserts success; returns itself."""
        assert self.code == 0, str(self)
        return self

    def fails(self, code=None, says=None):
        """Asserts failure, with this code and a message that matches; returns itself."""
        assert self.code != 0 if code is None else self.code == code, str(self)
        if says is not None:
            assert re.search(says, self.err, re.IGNORECASE), f'expected /{says}/\n{self}'
        return self


class Process(abc.ABC):
    """A started command. Its output is collected while it runs."""

    def __init__(self, on_output=None):
        self._on_output = on_output
        self._changed = threading.Condition()
        self._parts = {1: b'', 2: b''}
        self._code = None
        self._failure = None
        self._done = False

    def _received(self, stream, data):
        if self._on_output:
            self._on_output(stream, data)
            return
        with self._changed:
            self._parts[stream] += data
            self._changed.notify_all()

    def _finished(self, code, failure=None):
        with self._changed:
            self._code, self._failure, self._done = code, failure, True
            self._changed.notify_all()

    @abc.abstractmethod
    def write(self, data):
        """Sends input."""

    @abc.abstractmethod
    def close_input(self):
        """Ends the input."""

    @abc.abstractmethod
    def kill(self, number=signal.SIGKILL):
        """Sends a signal to the process group."""

    @abc.abstractmethod
    def resize(self, rows, cols):
        """Changes the size of the terminal."""

    @property
    def out(self):
        with self._changed:
            return self._parts[1]

    @property
    def err(self):
        with self._changed:
            return self._parts[2]

    @property
    def running(self):
        with self._changed:
            return not self._done

    def wait(self, timeout=30):
        """The exit status; raises TimedOut, the command then still runs."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._done, timeout):
                raise TimedOut(f'still running after {timeout} s; output so far:\n'
                               f'{self._parts[1][-2000:]!r}\n{self._parts[2][-2000:]!r}')
            if self._failure:
                raise AssertionError(f'the command could not run: {self._failure}')
            return self._code

    def read_until(self, pattern, timeout=30):
        """Waits until the output matches a regular expression; returns the match."""
        compiled = re.compile(pattern if isinstance(pattern, bytes) else pattern.encode(), re.S)
        with self._changed:
            found = [None]

            def matches():
                found[0] = compiled.search(self._parts[1])
                return found[0] is not None or self._done

            if not self._changed.wait_for(matches, timeout) or found[0] is None:
                raise TimedOut(f'no {pattern!r} within {timeout} s in the output:\n'
                               f'{self._parts[1][-4000:]!r}\n{self._parts[2][-2000:]!r}')
            return found[0]

    def result(self, argv, timeout, check=False):
        """Waits for the end and returns everything; kills the command when it takes too long."""
        try:
            code = self.wait(timeout)
        except TimedOut as late:
            self.kill()
            with contextlib.suppress(AssertionError):
                self.wait(5)
            raise TimedOut(f'{shlex.join(str(a) for a in argv)}: {late}') from None
        outcome = Result(code, self.out, self.err, list(argv))
        return outcome.ok() if check else outcome


class LocalProcess(Process):
    """A command on this machine."""

    def __init__(self, argv, env=None, cwd=None, tty=None):
        super().__init__()
        self._master = None
        options = {'env': env, 'cwd': cwd, 'start_new_session': True}
        if tty:
            self._master, slave = pty.openpty()
            self.resize(*tty)
            self._popen = subprocess.Popen(
                argv, stdin=slave, stdout=slave, stderr=slave,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **options)
            os.close(slave)
            sources = [(1, self._master)]
        else:
            self._popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, **options)
            sources = [(1, self._popen.stdout.fileno()), (2, self._popen.stderr.fileno())]
        self._readers = [threading.Thread(target=self._read, args=source, daemon=True)
                         for source in sources]
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    @property
    def pid(self):
        return self._popen.pid

    def _read(self, stream, fd):
        with contextlib.suppress(OSError):
            while data := os.read(fd, 65536):
                self._received(stream, data)

    def _wait_for_end(self):
        code = self._popen.wait()
        for reader in self._readers:
            reader.join(1)  # what a background process writes later belongs to nobody
        self._finished(code if code >= 0 else 128 - code)

    def write(self, data):
        with contextlib.suppress(BrokenPipeError):
            if self._master is not None:
                os.write(self._master, data)
            else:
                self._popen.stdin.write(data)
                self._popen.stdin.flush()

    def close_input(self):
        with contextlib.suppress(BrokenPipeError):
            if self._master is not None:
                os.write(self._master, b'\4')
            else:
                self._popen.stdin.close()

    def kill(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    def resize(self, rows, cols):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))


class Machine(abc.ABC):
    """A place where the engine under test runs."""

    name = ''
    arch = ''            # Debian's name of the architecture
    registry_host = ''   # where servers of the test process are reached from here
    limits = False       # whether memory, cpu and pids limits can be set
    slow = 1             # how many times longer things may take

    @abc.abstractmethod
    def start(self, argv, env=None, tty=None):
        """Starts a command; returns a Process."""

    @abc.abstractmethod
    def socket_for_host(self, path):
        """A socket path on this host that leads to the unix socket `path` of the machine."""

    @abc.abstractmethod
    def temporary_directory(self):
        """Creates a directory; remove() it afterwards."""

    @abc.abstractmethod
    def program(self, name):
        """The path of a program of the build under test, as it is seen here."""

    @property
    def oci_arch(self):
        """What the image specification calls the architecture."""
        return oci.PLATFORMS.get(self.arch, (self.arch,))[0]

    def run(self, argv, input=None, timeout=30, env=None):
        """Runs a command to its end; returns its Result."""
        process = self.start(argv, env)
        if input:
            process.write(input.encode() if isinstance(input, str) else input)
        process.close_input()
        return process.result(argv, timeout * self.slow)

    def shell(self, script, timeout=30):
        """Runs a shell script; returns its Result."""
        return self.run(['sh', '-c', script], timeout=timeout)

    def read(self, path):
        """The content of a file as bytes."""
        return self.run(['cat', str(path)]).ok().raw_out

    def write(self, path, content, mode=0o644):
        """Creates or replaces a file."""
        script = 'cat >"$1" && chmod "$2" "$1"'
        self.run(['sh', '-c', script, 'sh', str(path), f'{mode:o}'], input=content).ok()

    def exists(self, path):
        return self.run(['test', '-e', str(path)]).code == 0

    def remove(self, path):
        self.run(['rm', '-rf', str(path)])

    def wait_for(self, condition, what, timeout=15, interval=0.02):
        """Waits until `condition()` is true; returns its value."""
        deadline = time.monotonic() + timeout * self.slow
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise TimedOut(f'not within {timeout * self.slow} s: {what}')
            time.sleep(interval)


HOLDER = r'''
set -e
mount --make-rprivate /
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
fi
if [ -n "$3" ]; then
    mount -t tmpfs tmpfs /run
    for name in usr etc; do
        mkdir -p "/run/over/$name/upper" "/run/over/$name/work"
        mount -t overlay -o "lowerdir=$3/$name:/$name,upperdir=/run/over/$name/upper,workdir=/run/over/$name/work" \
            overlay "/$name"
    done
fi
mount --bind "$1" /etc/hosts
mount --bind "$2" "$(readlink -f /etc/resolv.conf)"
if [ -n "$4" ]; then
    ip link set lo up
    mount -t sysfs sysfs /sys
    mount -t cgroup2 none /sys/fs/cgroup
fi
echo ready
exec sleep infinity
'''


class LocalMachine(Machine):
    """This machine, with a private mount namespace that has unified cgroups and its own hosts."""

    name = 'host'
    registry_host = '127.0.0.1'

    def __init__(self, arch, host_names=(), over='', network=False):
        """`over`: a directory with usr and etc to see on top of this machine's. `network`: one of its own, cut off."""
        self.arch = arch
        self._namespaces = {'mount': 'mnt', 'net': 'net'} if network else {'mount': 'mnt'}
        self._relays = {}
        keys.plant()
        # Ignored in the background of a shell, and inherited by every program that is started.
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._count = 0
        self._names = EmptyNameServer()
        self._dir = tempfile.mkdtemp(prefix='wt.', dir='/tmp')  # socket paths must stay short
        files = {'hosts': ''.join(f'127.0.0.1 {name}\n' for name in ('localhost', *host_names)),
                 'resolv.conf': f'nameserver {self._names.address}\n'}
        for name, text in files.items():
            with open(f'{self._dir}/{name}', 'w', encoding='utf-8') as handle:
                handle.write(text)
        self._holder = subprocess.Popen(
            ['unshare', '-mn' if network else '-m', 'sh', '-c', HOLDER, 'sh',
             *(f'{self._dir}/{name}' for name in files), str(over), 'network' if network else ''],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self._holder.stdout.readline() != b'ready\n':
            raise RuntimeError('no private mount namespace: the tests need root')
        self.limits = 'memory' in self.read('/sys/fs/cgroup/cgroup.controllers').decode().split()

    def start(self, argv, env=None, tty=None):
        enter = [f'--{kind}=/proc/{self._holder.pid}/ns/{name}' for kind, name in self._namespaces.items()]
        command = ['nsenter', *enter, '--', *map(str, argv)]
        return LocalProcess(command, env={**os.environ, 'LC_ALL': 'C', **(env or {})}, tty=tty)

    def socket_for_host(self, path):
        return path

    def program(self, name):
        return str(paths.build_dir('host') / name)

    def reach(self, port):
        """Makes a server of the test process at 127.0.0.1 reachable."""
        if 'net' in self._namespaces and port not in self._relays:
            self._relays[port] = netns.Relay(self._holder.pid, port)

    def pid_inside(self):
        """A process of this machine."""
        return self._holder.pid

    def seen_from_outside(self, path):
        """A path of this mount namespace as other processes reach it."""
        return f'/proc/{self._holder.pid}/root{path}'

    def temporary_directory(self):
        self._count += 1
        path = f'{self._dir}/{self._count}'
        os.mkdir(path, 0o755)
        return path

    def close(self):
        for relay in self._relays.values():
            relay.close()
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()
        self._names.close()
        subprocess.run(['rm', '-rf', self._dir], check=False)


class VmMachine(Machine):
    """A booted virtual machine."""

    registry_host = '10.0.2.2'
    limits = True
    slow = 8

    def __init__(self, vm):
        self.vm = vm
        self.arch = vm.arch.name
        self.name = f'vm-{vm.kernel}'

    def reach(self, port):
        """The test process is at 10.0.2.2."""

    def start(self, argv, env=None, tty=None):
        return self.vm.popen(argv, env=env, tty=tty)

    def socket_for_host(self, path):
        return self.vm.forward(str(path))

    def temporary_directory(self):
        return self.run(['mktemp', '-d', '/var/lib/wherry/XXXXXX']).ok().out.strip()

    def program(self, name):
        return f'/usr/bin/{name}'

    def close(self):
        self.vm.stop()
