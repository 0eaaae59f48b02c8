"""The initial file system of the virtual machine: busybox, modules, agent and the wherry build."""

import hashlib
import os
import pathlib
import stat
import subprocess
import tempfile
import time

from harness import compile as compiler
from harness import debs, paths

from . import kernel as kernels

HERE = pathlib.Path(__file__).resolve().parent

DIRECTORIES = ['bin', 'dev', 'etc', 'etc/ssl', 'etc/ssl/certs', 'lib', 'mnt', 'mnt/share',
               'newroot', 'proc', 'root', 'run', 'sys', 'tmp', 'var', 'var/lib',
               'var/lib/wherry', 'var/tmp', 'usr']
LINKS = {'sbin': 'bin', 'usr/bin': '../bin', 'usr/sbin': '../bin', 'lib64': 'lib',
         'etc/mtab': '/proc/self/mounts'}
ETC = {
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
    'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
    'etc/resolv.conf': 'nameserver 10.0.2.3\n',
    'etc/hostname': 'board\n',
}


class Cpio:
    """Writes a "newc" archive; everything in it belongs to root."""

    def __init__(self, out):
        self._out = out
        self._inode = 0
        self._made = set()

    def _entry(self, name, mode, data=b''):
        self._inode += 1
        encoded = name.encode() + b'\0'
        fields = [self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
        self._out.write(b'070701' + b''.join(b'%08X' % value for value in fields))
        self._out.write(encoded + b'\0' * (-(110 + len(encoded)) % 4))
        self._out.write(data + b'\0' * (-len(data) % 4))

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, name, data, mode=0o644):
        if isinstance(data, pathlib.Path):
            data = data.read_bytes()
        elif isinstance(data, str):
            data = data.encode()
        self._entry(name, stat.S_IFREG | mode, data)

    def deep_file(self, path, source):
        """Adds a file and the directories above it."""
        for parent in reversed(path.parents[:-1]):
            if parent not in self._made:
                self._made.add(parent)
                self.directory(str(parent))
        self.file(str(path), source)

    def end(self):
        self._entry('TRAILER!!!', 0)
        self._out.write(b'\0' * (-self._out.tell() % 512))


def busybox(arch):
    """The static busybox of Debian for an architecture."""
    place = paths.cache_dir('vm')
    target = place / f'busybox-{arch}'
    with paths.locked(place):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=place) as scratch:
                root = debs.AptRoot([debs.machine_release()], arch)
                for deb in root.download(['busybox-static'], scratch):
                    debs.extract(deb, scratch)
                os.rename(next(pathlib.Path(scratch).glob('**/bin/busybox')), target)
    return target


def applets():
    """The names busybox answers to; they are the same for all architectures."""
    program = busybox(compiler.native_arch())
    return subprocess.run([program, '--list'], check=True, capture_output=True,
                          text=True).stdout.split()


def base(version):
    """The part that only depends on the kernel version, built once."""
    kernel = kernels.fetch(version)
    init = (HERE / 'init').read_bytes()
    mark = hashlib.sha256(init + pathlib.Path(__file__).read_bytes() + kernel.name.encode()).hexdigest()[:12]
    place = paths.cache_dir('vm')
    target = place / f'base-{version}-{mark}.cpio'
    program = busybox(kernels.KERNELS[version].arch.name)
    names = applets()
    with paths.locked(place):
        if target.exists():
            os.utime(target)
            return target
        for old in place.glob(f'base-{version}-*.cpio'):
            if old.stat().st_mtime < time.time() - kernels.A_DAY:
                old.unlink()
        temporary = target.with_suffix('.new')
        with open(temporary, 'wb') as out:
            archive = Cpio(out)
            for name in DIRECTORIES:
                archive.directory(name)
            for name, text in LINKS.items():
                archive.link(name, text)
            for name, text in ETC.items():
                archive.file(name, text)
            archive.file('bin/busybox', program, 0o755)
            for name in names:
                if name != 'busybox':
                    archive.link(f'bin/{name}', 'busybox')
            for name in kernels.boot_files(kernel):
                archive.deep_file(name, kernel / 'root' / name)
            archive.file('init', init, 0o755)
            archive.file('etc/boot-modules', '\n'.join(_boot_modules(kernel)) + '\n')
            archive.end()
        temporary.rename(target)
    return target


def _boot_modules(kernel):
    listed = (kernel / 'root').glob('lib/modules/*/modules.dep')
    text = next(listed).read_text(encoding='utf-8')
    return [name for name in kernels.BOOT_MODULES
            if f'/{name}.ko:' in text or f'/{name.replace("_", "-")}.ko:' in text]


def build(version, target, extra):
    """Writes the whole archive; `extra` maps names to (content or path, mode)."""
    agent = compiler.static_program(HERE / 'agent.cpp', kernels.KERNELS[version].arch.name)
    with open(target, 'wb') as out:
        out.write(base(version).read_bytes())
        archive = Cpio(out)
        archive.file('bin/vm-agent', agent, 0o755)
        for name, (content, mode) in extra.items():
            archive.file(name.lstrip('/'), content, mode)
        archive.end()
