"""Mounts what a cut has left, starts the daemon on it, and looks for anything that is not as promised."""

import contextlib
import http.client
import io
import json
import os
import pathlib
import shutil
import tarfile
import tempfile
import time

from harness import paths
from harness.machine import LocalMachine, VmMachine
from harness.unix_http import UnixConnection

from . import machine as machines
from . import scenario, store_check


def _listed(path):
    """What the daemon lists: name -> ID of the image."""
    with contextlib.closing(UnixConnection(path)) as connection:
        connection.request('GET', '/images/json?all=1')
        answer = json.loads(connection.getresponse().read())
    return {name: image['Id'] for image in answer for name in image['RepoTags'] or [image['Id']]}


class Disk:
    """A file that takes the content of one disk after the other, in memory where there is such a place."""

    def __init__(self, size):
        place = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
        handle, self.path = tempfile.mkstemp(prefix='wherry-crash.', dir=place)
        os.truncate(handle, size)
        os.close(handle)

    def write(self, content):
        with open(self.path, 'r+b') as handle:
            handle.write(content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.unlink(self.path)


class Judge:
    """Judges disks: each is written to `disk`, which `machine` sees as `device`."""

    def __init__(self, machine, server, program, disk, device, setting):
        self._machine = machine
        self._disk = disk
        self._device = device
        self._server = server
        self._program = program
        self._kind = setting.fs
        self._daemon = None
        self._dir = machine.temporary_directory()
        self._mount = f'{self._dir}/m'
        self._socket = f'{self._dir}/s'
        machine.run(['mkdir', self._mount]).ok()
        machine.write(f'{self._dir}/wherry.conf', server.configuration(setting))
        self._outside = None

    def _start(self):
        """Starts the daemon; returns what it lists."""
        self._daemon = self._machine.start([self._program, 'daemon', '--config', f'{self._dir}/wherry.conf', '--root',
                                            f'{self._mount}/data', '--run', f'{self._dir}/r', '--socket', self._socket])
        self._daemon.close_input()
        if self._outside is None:
            self._outside = self._machine.socket_for_host(self._socket)
        deadline = time.monotonic() + 60
        while True:
            try:
                return _listed(self._outside)
            except (OSError, http.client.HTTPException):
                assert self._daemon.running and time.monotonic() < deadline, 'the daemon does not start'
                time.sleep(0.01 * self._machine.slow)

    def _log(self):
        return (self._daemon.out + self._daemon.err).decode(errors='replace') if self._daemon else ''

    @contextlib.contextmanager
    def _store(self):
        """The store's directory as this process sees it."""
        if isinstance(self._machine, LocalMachine):
            yield self._machine.seen_from_outside(f'{self._mount}/data/store')
            return
        packed = self._machine.run(['tar', '-C', f'{self._mount}/data', '-cf', '-', 'store'], timeout=60).ok().raw_out
        copy = tempfile.mkdtemp(prefix='wherry-crash.')
        try:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(copy, numeric_owner=True)
                for link in filter(tarfile.TarInfo.issym, archive):  # extractall leaves their times out
                    os.utime(pathlib.Path(copy, link.name), (link.mtime, link.mtime), follow_symlinks=False)
            yield pathlib.Path(copy, 'store')
        finally:
            shutil.rmtree(copy)

    def inspect(self, content, mark, known=None, again=False, copy_to=None):
        """Returns (what is wrong, the state of the store). `mark`: the last one before the cut; `known`: see
        store_check; `again`: whether pulling everything is tried too; `copy_to`: where to leave a copy of the store."""
        self._disk.write(content)
        options = 'noatime' if self._device.startswith('/dev/vd') else 'loop,noatime'
        mounted = self._machine.run(['mount', '-t', self._kind, '-o', options, self._device, self._mount])
        if mounted.code != 0:
            return [f'file system: {mounted.err.strip()}'], None
        try:
            found = self._inspect_mounted(mark, known, again)
            if copy_to:
                with self._store() as store:
                    shutil.copytree(store, copy_to, symlinks=True)
            return found
        except (AssertionError, OSError, ValueError) as error:
            return [f'daemon: {error}\n{self._log()}'], None
        finally:
            if self._daemon:
                self._daemon.kill()
                self._daemon.wait(60)
                self._daemon = None
            for _ in range(50):
                if self._machine.run(['umount', self._mount]).code == 0:
                    break
                self._machine.run(['sleep', '0.1'])
            else:
                raise RuntimeError('the disk stays busy')

    def _inspect_mounted(self, mark, known, again):
        listed = self._start()
        with self._store() as store:
            state = store_check.check(store, known)
        problems = state.problems + scenario.wrong(mark, state, self._server.name)
        tags = {name for name in state.refs if '@' not in name}
        if not tags <= set(listed):
            problems.append(f'the daemon does not list {tags - set(listed)}')
        if 'damaged' in self._log():
            problems.append(f'the daemon has found damage: {self._log()}')
        if again and not problems:
            problems += self._do_again(state, known)
        return problems, state

    def _do_again(self, before, known):
        """Pulls every image; afterwards all are there and whole, and nothing else is."""
        wanted = set()
        for (repository, tag), image in scenario.images().items():
            self._machine.run([self._program, 'pull', '-q', '--platform', 'linux/arm64',
                               f'{self._server.name}/{repository}:{tag}'], timeout=60,
                              env={'WHERRY_SOCKET': self._socket}).ok()
            wanted.add(image.digest.removeprefix('sha256:'))
        with self._store() as store:
            state = store_check.check(store, known)
        missing = (wanted | set(before.images)) - set(state.images)
        return [f'pulled again: {text}' for text in state.problems + [f'no image {digest}' for digest in missing]]


@contextlib.contextmanager
def on_host(server, setting):
    """A judge for ext4, on this machine."""
    with Disk(machines.disk_bytes(setting.fs)) as disk:
        machine = LocalMachine('arm64', [scenario.REGISTRY])
        try:
            yield Judge(machine, server, str(paths.build_dir('host') / 'wherry'), disk, disk.path, setting)
        finally:
            machine.close()


@contextlib.contextmanager
def in_machine(server, setting):
    """A judge that works in a virtual machine, whose kernel knows the file system and reads a disk anew with each
    mount."""
    with Disk(machines.disk_bytes(setting.fs)) as disk:
        vm = machines.boot(setting, server, [
            '-drive', f'file={disk.path},format=raw,if=none,id=store,cache=unsafe',
            '-device', 'virtio-blk-pci,drive=store,discard=off,write-zeroes=off'])
        try:
            vm.run(['mkdir', '-p', '/var/lib/wherry'], check=True)
            yield Judge(VmMachine(vm), server, '/usr/bin/wherry', disk, machines.DEVICE, setting)
        finally:
            vm.stop()


def for_setting(server, setting):
    """This machine's kernel need not know f2fs or fs-verity."""
    return on_host(server, setting) if setting.fs == 'ext4' and not setting.verity else in_machine(server, setting)
