"""A virtual machine with U-Boot and two slots. It restarts by itself and keeps its disk; the plug may be pulled at any time."""

import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from harness.machine import Result, TimedOut

from . import slots, vm


class Board:
    """A board with a disk that slots.make_disk has made, or a copy of one."""

    def __init__(self, disk):
        self._dir = pathlib.Path(tempfile.mkdtemp(prefix='wherry-board.'))
        self.disk = self._dir / 'disk'
        subprocess.run(['cp', '--sparse=always', disk, self.disk], check=True)
        (self._dir / 'fw_env.config').write_text(slots.environment_config(self.disk), encoding='utf-8')
        self._qemu = None
        self._port = None
        self._asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pull_plug()
        shutil.rmtree(self._dir)

    def start(self):
        with open(self._dir / 'qemu.log', 'ab') as log:
            self._qemu = subprocess.Popen([
                'qemu-system-aarch64', '-M', 'virt', '-cpu', 'cortex-a53', '-accel', 'tcg,thread=multi,tb-size=256',
                '-smp', '2', '-m', '512', '-nodefaults', '-no-user-config', '-display', 'none',
                '-chardev', f'file,id=console,append=on,path={self._dir}/console', '-serial', 'chardev:console',
                '-bios', slots.UBOOT,
                '-drive', f'file={self.disk},format=raw,if=none,id=disk', '-device', 'virtio-blk-pci,drive=disk',
                '-device', 'virtio-serial-pci',
                '-chardev', f'socket,id=c1,path={self._dir}/port,server=on,wait=off',
                '-device', 'virtserialport,chardev=c1,nr=1',
                '-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile=',
                '-object', 'rng-random,id=rng,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng',
                '-device', 'i6300esb'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=vm._die_with_parent)

    def pull_plug(self):
        if self._port is not None:
            self._port.connection.close()
            self._port = None
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def console(self):
        return (self._dir / 'console').read_text(errors='replace')

    def boots(self):
        """The slots U-Boot has booted so far, such as AABA."""
        return ''.join(line.split('Booting slot ')[1][0] for line in self.console().splitlines()
                       if 'Booting slot ' in line)

    def environment(self):
        """What Debian's fw_printenv says of the disk."""
        text = subprocess.run(['fw_printenv', '-c', self._dir / 'fw_env.config'], check=True, capture_output=True,
                              text=True).stdout
        return dict(line.split('=', 1) for line in text.splitlines())

    def _connect(self):
        deadline = time.monotonic() + 10
        while self._port is None:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self._dir / 'port'))
                self._port = vm._Port(connection)
            except OSError:
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def run(self, script, timeout=240, patience=25):
        """Runs a shell script; once more when no answer comes, as the machine may have restarted in between."""
        self._connect()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._asked += 1
            mark = f'answer {self._asked}\n'.encode()
            for kind, data in ((b'a', b'sh'), (b'a', b'-c'), (b'a', f'echo answer {self._asked}; {script}'.encode()),
                               (b'd', b'/'), (b'g', b''), (b'c', b'')):
                vm._send(self._port.connection, kind, data)
            result = self._answer(mark, min(patience, deadline - time.monotonic()), script)
            if result is not None:
                return result
        raise TimedOut(f'{script}: no answer within {timeout} s; the console:\n{self.console()[-3000:]}')

    def _answer(self, mark, patience, script):
        parts = {1: b'', 2: b''}
        self._port.connection.settimeout(max(patience, 1))
        while frame := self._port.frame():
            kind, payload = frame
            if kind in vm.OUTPUTS:
                parts[vm.OUTPUTS[kind]] += payload
                continue
            if parts[1].startswith(mark) and kind == b's':
                return Result(int(payload.split()[0]), parts[1][len(mark):], parts[2], [script])
            parts = {1: b'', 2: b''}  # of what was asked before
        return None
