"""Boots a kernel of Debian for ARM in QEMU and runs commands in it.

    with Vm(kernel='6.12') as vm:
        print(vm.run(['uname', '-m']).out)

Commands travel over virtio-serial ports to an agent (agent.cpp), not over the console: input,
output and exit status come back unchanged. Several commands can run at the same time.
"""

import contextlib
import ctypes
import os
import pathlib
import queue
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import paths
from harness.machine import Process, Result, TimedOut

from . import initramfs
from . import kernel as kernels

PORTS = 24
FRAME = 16384
OUTPUTS = {b'o': 1, b'x': 2}
HOST = '10.0.2.2'  # the host's loopback as the guest sees it


class VmError(Exception):
    """The virtual machine did not start or went away."""


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _send(sock, kind, data=b''):
    sock.sendall(kind + struct.pack('>I', len(data)) + data)


class _Port:
    """One serial port: takes one command at a time."""

    def __init__(self, connection):
        self.connection = connection
        self._received = b''

    def frame(self):
        """The next frame as (kind, payload); None when the machine is gone."""
        while True:
            if len(self._received) >= 5:
                size = struct.unpack('>I', self._received[1:5])[0]
                if len(self._received) >= 5 + size:
                    kind, payload = self._received[:1], self._received[5:5 + size]
                    self._received = self._received[5 + size:]
                    return kind, payload
            try:
                chunk = self.connection.recv(1 << 18)
            except OSError:
                return None
            if not chunk:
                return None
            self._received += chunk


class VmProcess(Process):
    """A command that runs in the machine."""

    def __init__(self, vm, start_frames, on_output=None):
        super().__init__(on_output)
        self._vm = vm
        self._port = vm.take_port()
        self._lock = threading.Lock()
        for kind, data in start_frames:
            _send(self._port.connection, kind, data)
        _send(self._port.connection, b'g')
        receiver = threading.Thread(target=self._receive, daemon=True)
        vm.receivers.append(receiver)
        receiver.start()

    def _receive(self):
        try:
            self._collect()
        finally:
            self._vm.receivers.remove(threading.current_thread())

    def _collect(self):
        received = 0
        while True:
            frame = self._port.frame()
            if frame is None:
                self._finished(None, 'the virtual machine is gone')
                return
            kind, payload = frame
            if kind not in OUTPUTS:
                break
            received += len(payload)
            self._received(OUTPUTS[kind], payload)
        with self._lock:
            port, self._port = self._port, None
        self._vm.give_port(port)
        if kind != b's':
            self._finished(None, payload.decode())
            return
        status, sent = map(int, payload.split())
        lost = f'{sent - received} of {sent} bytes of its output were lost' if sent != received else None
        self._finished(status, lost)

    def _tell(self, kind, data=b''):
        with self._lock:
            if self._port is not None:
                with contextlib.suppress(OSError):
                    _send(self._port.connection, kind, data)

    def write(self, data):
        for start in range(0, len(data), FRAME):
            self._tell(b'i', data[start:start + FRAME])

    def close_input(self):
        self._tell(b'c')

    def kill(self, number=signal.SIGKILL):
        self._tell(b'k', b'%d' % number)

    def resize(self, rows, cols):
        self._tell(b'w', b'%d %d' % (rows, cols))


class _Forward(threading.Thread):
    """A unix socket on the host whose connections end at a unix socket in the machine.

    A socket is closed by the last thread that uses it: the number of a closed one is soon another
    socket's, and who still waits on it takes what belongs there.
    """

    def __init__(self, vm, host_path, guest_path):
        super().__init__(daemon=True)
        self._vm = vm
        self._guest_path = guest_path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(host_path))
        self._listener.listen(16)
        self._relays = []

    def run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._relays = [relay for relay in self._relays if relay.is_alive()]
            self._relays.append(threading.Thread(target=self._relay, args=(connection,), daemon=True))
            self._relays[-1].start()

    def _relay(self, connection):
        def output(_, data):
            with contextlib.suppress(OSError):
                connection.sendall(data)

        try:
            process = VmProcess(self._vm, [(b'u', self._guest_path.encode())], output)
        except (OSError, VmError):  # the machine has ended
            connection.close()
            return

        def input_():
            with contextlib.suppress(OSError):
                while data := connection.recv(1 << 16):
                    process.write(data)
            process.close_input()

        reader = threading.Thread(target=input_, daemon=True)
        reader.start()
        with contextlib.suppress(AssertionError):  # nobody listens there
            process.wait(None)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        reader.join()
        connection.close()

    def close(self):
        """Call it when the machine has ended: relays end with it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.join()
        self._listener.close()
        for relay in self._relays:
            relay.join()


class Vm:
    """One virtual machine; started by start() or by entering it as a context."""

    def __init__(self, kernel='6.12', memory=512, cpus=2, disk=4096, share=None, share_writable=True,
                 binaries=None, files=None, append='', devices=()):
        """`binaries`: directory with the programs of a build; `files`: name -> (content, mode);
        `disk`: MiB of the ext4 scratch disk on /var/lib/wherry, 0 for none; `share`: a host
        directory to see at /mnt/share; `devices`: more arguments for QEMU."""
        self.kernel = kernel
        self.arch = kernels.KERNELS[kernel].arch
        self.memory = memory
        self.cpus = cpus
        self.disk = disk
        self.share = share
        self.share_writable = share_writable
        self.append = append
        self.devices = list(devices)
        self.boot_seconds = 0.0
        self._files = dict(files or {})
        if binaries:
            for name in ('wherry', 'wherry-shim', 'wherry-runtime'):
                program = pathlib.Path(binaries, name)
                if program.exists():
                    self._files[f'bin/{name}'] = (program, 0o755)
        self._dir = None
        self._qemu = None
        self._ports = queue.Queue()
        self.receivers = []   # threads that wait for the output of commands
        self._all_ports = []
        self._forwards = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    # Starting and stopping

    def _devices(self):
        args = ['-device', f'virtio-serial-pci,max_ports={PORTS + 1}']
        for i in range(1, PORTS + 1):
            path = self._dir / f'p{i}'
            args += ['-chardev', f'socket,id=c{i},path={path},server=on,wait=off',
                     '-device', f'virtserialport,chardev=c{i},nr={i}']
        args += ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile=',
                 '-object', 'rng-random,id=rng,filename=/dev/urandom',
                 '-device', 'virtio-rng-pci,rng=rng']
        modules = kernels.fetch(self.kernel) / 'modules.img'
        args += ['-drive', f'file={modules},format=raw,if=none,id=modules,readonly=on',
                 '-device', 'virtio-blk-pci,drive=modules,serial=modules']
        if self.disk:
            args += ['-drive', f'file={self._dir}/disk,format=raw,if=none,id=disk,cache=unsafe,'
                               'discard=unmap,aio=threads',
                     '-device', 'virtio-blk-pci,drive=disk,serial=scratch']
        if self.share:
            mode = '' if self.share_writable else ',readonly=on'
            args += ['-virtfs', f'local,path={self.share},mount_tag=share,security_model=none,'
                                f'multidevs=remap{mode}']
        return args + self.devices

    def _command(self):
        options = ['console=ttyAMA0', 'quiet', 'panic=-1', 'oops=panic', 'mitigations=off',
                   f'wherry.ports={PORTS}', self.append]
        if self.disk:
            options.append('wherry.disk=vdb')
        if self.share:
            options.append('wherry.share=' + ('rw' if self.share_writable else 'ro'))
        return [*self.arch.qemu, '-accel', 'tcg,thread=multi,tb-size=256',
                '-smp', str(self.cpus), '-m', str(self.memory), '-nodefaults', '-no-user-config',
                '-display', 'none', '-no-reboot', '-serial', f'file:{self._dir}/console',
                '-kernel', kernels.fetch(self.kernel) / 'vmlinuz',
                '-initrd', self._dir / 'initrd', '-append', ' '.join(options), *self._devices()]

    def _make_disk(self):
        path = self._dir / 'disk'
        with open(path, 'wb') as handle:
            handle.truncate(self.disk << 20)
        subprocess.run(['mkfs.ext4', '-q', '-F', '-O', '^has_journal' if self.disk < 64 else
                        'has_journal', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard',
                        path], check=True, timeout=60)

    def start(self, timeout=120):
        """Boots; returns when the first command has run."""
        if shutil.which(self.arch.qemu[0]) is None:
            raise VmError(f'{self.arch.qemu[0]} is missing: install qemu-system-arm')
        began = time.monotonic()
        self._dir = pathlib.Path(tempfile.mkdtemp(prefix='wherry-vm.'))
        try:
            initramfs.build(self.kernel, self._dir / 'initrd', self._files)
            if self.disk:
                self._make_disk()
            self._boot(timeout)
        except BaseException:
            self.stop()
            raise
        self.boot_seconds = time.monotonic() - began

    def _boot(self, timeout):
        with open(self._dir / 'qemu.log', 'wb') as log:
            self._qemu = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, preexec_fn=_die_with_parent)
        try:
            self._connect(1)
            self.run(['true'], timeout=timeout, check=True)
        except (TimedOut, AssertionError):
            raise VmError('the machine did not come up:\n' + self._read_log('qemu.log') +
                          self.console()[-4000:]) from None
        # starting took a while, and certificates made meanwhile must be valid already
        self.run(['date', '-s', f'@{int(time.time()) + 1}'], check=True)
        # only now: a kernel that starts drops such messages when many come at once
        for i in range(2, PORTS + 1):
            self._connect(i)

    def _connect(self, number):
        deadline = time.monotonic() + 10
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self._dir / f'p{number}'))
                break
            except OSError:
                connection.close()
                if self._qemu.poll() is not None or time.monotonic() > deadline:
                    raise VmError('QEMU did not start:\n' + self._read_log('qemu.log')) from None
                time.sleep(0.01)
        port = _Port(connection)
        self._all_ports.append(port)
        self._ports.put(port)

    def stop(self):
        """Ends the machine at once, like pulling the plug, and removes its files."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None
        for receiver in list(self.receivers):  # they see the end of their ports
            receiver.join()
        for forward in self._forwards:
            forward.close()
        self._forwards.clear()
        for port in self._all_ports:
            port.connection.close()
        self._all_ports.clear()
        if self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    @contextlib.contextmanager
    def stopped(self):
        """While inside, the machine stands still, and its disks are what they would be had it been killed."""
        self._qemu.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._qemu.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self._qemu.send_signal(signal.SIGCONT)

    def _read_log(self, name):
        with contextlib.suppress(OSError):
            return (self._dir / name).read_text(errors='replace')
        return ''

    def console(self):
        """What the kernel has printed."""
        return self._read_log('console')

    # Commands

    def take_port(self):
        if self._qemu is None or self._qemu.poll() is not None:
            raise VmError('the virtual machine is gone; it has said:\n' + self.console()[-2000:])
        try:
            return self._ports.get(timeout=30)
        except queue.Empty:
            raise VmError(f'{PORTS} commands run in the machine at the same time') from None

    def give_port(self, port):
        self._ports.put(port)

    def popen(self, argv, env=None, cwd='/', tty=None, on_output=None):
        """Starts a command; `tty` is (rows, cols) to give it a terminal."""
        frames = [(b'a', os.fsencode(str(arg))) for arg in argv]
        frames += [(b'e', f'{key}={value}'.encode()) for key, value in (env or {}).items()]
        frames.append((b'd', cwd.encode()))
        if tty:
            frames.append((b't', b'%d %d' % tty))
        return VmProcess(self, frames, on_output)

    def run(self, argv, input=None, timeout=60, env=None, cwd='/', check=False):
        """Runs a command to its end; kills it and raises TimedOut when it takes too long."""
        process = self.popen(argv, env, cwd)
        if input:
            process.write(input.encode() if isinstance(input, str) else input)
        process.close_input()
        return process.result(argv, timeout, check)

    def forward(self, guest_path):
        """A socket path on the host that leads to a unix socket in the machine."""
        host_path = self._dir / f'f{len(self._forwards)}'
        forward = _Forward(self, host_path, guest_path)
        forward.start()
        self._forwards.append(forward)
        return host_path
