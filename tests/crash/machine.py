"""The machine whose power is cut: a small disk that holds wherry's data, and the script that uses it."""

import contextlib
import dataclasses
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness import compile as compiler
from harness import paths, registry
from harness.machine import TimedOut
from vm.vm import HOST, Vm

from . import scenario

DEVICE = '/dev/vdb'
FILE_SYSTEM = {'ext4': 63 << 20, 'f2fs': 127 << 20}  # bytes; the last MiB of the disk has the mark
MARK_BYTES = 4096

# Written back and committed early, so that what is not synced reaches the disk in pieces.
EAGER = 'cd /proc/sys/vm; echo 20 >dirty_writeback_centisecs; echo 30 >dirty_expire_centisecs; cd /\n'


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to run the script."""
    kernel: str = '6.12'
    fs: str = 'ext4'
    tier: str = 'auto'
    eager: bool = True
    nosync: bool = False
    verity: bool = False

    def __str__(self):
        return ' '.join([f'Linux {self.kernel}', self.fs, f'tier {self.tier}', *['eager'] * self.eager,
                         *['without syncs'] * self.nosync, *['fs-verity'] * self.verity])

    @property
    def options(self):
        commit = ',commit=1' if self.fs == 'ext4' and self.eager else ''
        return 'noatime' + commit


def disk_bytes(kind):
    return FILE_SYSTEM[kind] + (1 << 20)


def make_disk(path, kind, verity=False):
    """An empty file system and room for the mark behind it."""
    size = FILE_SYSTEM[kind]
    with open(path, 'wb') as handle:
        handle.truncate(disk_bytes(kind))
    if kind == 'ext4':
        command = ['mkfs.ext4', '-q', '-F', *['-O', 'verity'] * verity, '-b', '4096', '-J', 'size=4', '-E',
                   'lazy_itable_init=0,lazy_journal_init=0,nodiscard', path, f'{size >> 10}k']
    else:
        command = ['mkfs.f2fs', '-q', '-f', *['-O', 'verity'] * verity, '-t', '0', path, str(size >> 9)]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)


def read_mark(disk, kind):
    """The last mark on a disk (bytes)."""
    at = FILE_SYSTEM[kind]
    return bytes(disk[at:at + MARK_BYTES]).rstrip(b'\0').decode()


class Server:
    """The registry with the images of the script."""

    def __init__(self):
        self._registry = registry.Registry()
        client = self._registry.client()
        for (repository, tag), image in scenario.images().items():
            client.push(repository, tag, image)
        self.name = f'{scenario.REGISTRY}:{self._registry.port}'

    def configuration(self, setting):
        verity = 'require' if setting.verity else 'off'
        return f'[registry "{self.name}"]\ninsecure = true\n[store]\ntier = {setting.tier}\nfs-verity = {verity}\n'

    def close(self):
        self._registry.close()


def boot(setting, server, arguments, memory=384):
    """A machine with the program under test and one more disk given by QEMU's arguments."""
    hosts = f'127.0.0.1 localhost\n{HOST} {scenario.REGISTRY}\n'
    guest = compiler.static_program(pathlib.Path(__file__).with_name('guest.cpp'), 'arm64')
    files = {'etc/hosts': (hosts, 0o644), 'etc/wherry.conf': (server.configuration(setting), 0o644),
             'bin/crash-guest': (guest, 0o755)}
    vm = Vm(kernel=setting.kernel, memory=memory, cpus=1, disk=0, binaries=paths.build_dir('aarch64'),
            files=files, devices=arguments)
    vm.start()
    vm.run(['modprobe', 'loop'], check=True)
    return vm


def script_of(setting, server):
    prefix = 'crash-guest nosync' if setting.nosync else ''
    return (EAGER if setting.eager else '') + scenario.script(
        server.name, DEVICE, FILE_SYSTEM[setting.fs], prefix, setting.fs, setting.options)


class Recording:
    """A run of the script with all writes to its disk logged; the files are removed by close()."""

    def __init__(self, setting, server):
        self.setting = setting
        self.seconds = 0.0  # that the script took
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='wherry-crash.'))
        self.base, self.log = self.dir / 'base', self.dir / 'log'
        try:
            self._record(server)
        except BaseException:
            self.close()
            raise

    def _record(self, server):
        make_disk(self.base, self.setting.fs, self.setting.verity)
        disk = self.dir / 'disk'
        shutil.copyfile(self.base, disk)
        self.log.touch()
        arguments = ['-blockdev', f'driver=file,filename={disk},node-name=below,cache.no-flush=on',
                     '-blockdev', f'driver=file,filename={self.log},node-name=log,cache.no-flush=on',
                     '-blockdev', 'driver=blklogwrites,node-name=logged,file=below,log=log,log-sector-size=512',
                     '-device', 'virtio-blk-pci,drive=logged,discard=off,write-zeroes=off']
        vm = boot(self.setting, server, arguments)
        try:
            began = time.monotonic()
            vm.run(['sh', '-c', script_of(self.setting, server)], timeout=600, check=True)
            self.seconds = time.monotonic() - began
            vm.run(['sync'], timeout=60, check=True)
        finally:
            vm.stop()
        disk.unlink()

    def keep(self, target):
        shutil.copytree(self.dir, target, dirs_exist_ok=True)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def kill_at(setting, server, disk, moments):
    """Runs the script on the disk in a file, stops the machine at each of these moments (seconds) for as long as
    it takes to read the disk, and kills it at the last. Returns (what was done, content of the disk) of each."""
    arguments = ['-drive', f'file={disk},format=raw,if=none,id=store,cache=writeback,aio=threads',
                 '-device', 'virtio-blk-pci,drive=store,discard=off,write-zeroes=off']
    vm = boot(setting, server, arguments)
    found = []
    try:
        process = vm.popen(['sh', '-c', script_of(setting, server)])
        process.close_input()
        passed = 0.0
        for moment in moments:
            with contextlib.suppress(TimedOut):
                if process.wait(moment - passed) != 0:
                    raise RuntimeError(f'the script failed:\n{process.out.decode(errors="replace")}')
            passed = moment
            if moment != moments[-1]:
                with vm.stopped():
                    found.append((f'stopped after {moment:.1f} s', disk.read_bytes()))
    finally:
        vm.stop()
    found.append((f'killed after {moments[-1]:.1f} s', disk.read_bytes()))
    return found
