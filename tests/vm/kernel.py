"""Debian's kernels for the virtual machine: the image and the modules it needs."""

import dataclasses
import fnmatch
import hashlib
import lzma
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness import debs, paths


@dataclasses.dataclass(frozen=True)
class Arch:
    """What a kernel's architecture asks for; `name` is Debian's."""
    name: str
    preset: str  # of the build that runs there
    qemu: tuple


ARM64 = Arch('arm64', 'aarch64', ('qemu-system-aarch64', '-M', 'virt', '-cpu', 'cortex-a53'))
ARMHF = Arch('armhf', 'armhf', ('qemu-system-arm', '-M', 'virt,highmem=off', '-cpu', 'cortex-a15'))


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Where a kernel is: its meta package is taken from the last of the suites."""
    arch: Arch
    package: str
    suites: tuple


KERNELS = {
    '6.1': Kernel(ARM64, 'linux-image-arm64', ('bookworm',)),
    '6.12': Kernel(ARM64, 'linux-image-arm64', ('bookworm', 'bookworm-backports')),
    'armhf-6.1': Kernel(ARMHF, 'linux-image-armmp-lpae', ('bookworm',)),
    'armhf-6.12': Kernel(ARMHF, 'linux-image-armmp-lpae', ('bookworm', 'bookworm-backports')),
}

# Kernels that nobody used for so long go: another checkout may take other modules of them.
A_DAY = 24 * 3600

# Loaded at boot, in this order; what they depend on comes along.
BOOT_MODULES = ['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_net', 'virtio_console',
                'virtio_rng', 'crc32c_generic', 'ext4', 'overlay']

# Loaded by the kernel when something asks for them.
MODULES = ['9pnet_virtio', '9p', 'loop', 'erofs', 'f2fs', 'crc32_generic', 'squashfs', 'ubi', 'ubifs', 'nandsim', 'vfat',
           'nls_ascii', 'nls_cp437', 'fuse', 'virtiofs', 'bridge', 'br_netfilter', 'veth', 'dummy', 'tun',
           'macvlan', 'ipvlan', 'vxlan', 'wireguard', 'nf_tables', 'nft_*', 'nf_nat', 'nf_conntrack',
           'nf_conntrack_netlink', 'xt_MASQUERADE', 'xt_conntrack', 'xt_addrtype', 'xt_nat',
           'dm_mod', 'dm_verity', 'dm_snapshot', 'dm_log_writes', 'zram', 'inet_diag', 'tcp_diag',
           'unix_diag', 'sch_netem', 'sch_tbf', 'libcrc32c', 'softdog', 'zstd', 'lzo', 'lz4',
           'deflate', 'i6300esb', 'quota_v2', 'xfs']


def _name(path):
    return path.name.split('.ko')[0].replace('-', '_')


def _depends(module):
    text = subprocess.run(['modinfo', '-F', 'depends', module], check=True, capture_output=True,
                          text=True).stdout
    return [name.replace('-', '_') for name in text.replace(',', ' ').split()]


def _select(tree):
    """The module files to take: the named ones and all they depend on."""
    files = {_name(path): path for path in tree.rglob('*.ko*')}
    wanted = [name for pattern in BOOT_MODULES + MODULES
              for name in fnmatch.filter(files, pattern)]
    chosen = {}
    while wanted:
        name = wanted.pop()
        if name in chosen or name not in files:
            continue
        chosen[name] = files[name]
        wanted += _depends(files[name])
    return chosen.values()


def _copy_module(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == '.xz':
        with lzma.open(source) as packed, open(target.with_suffix(''), 'wb') as plain:
            shutil.copyfileobj(packed, plain)
    else:
        shutil.copyfile(source, target)


def _unpack(version, target):
    """Fills `target` with vmlinuz, release, root/lib/modules/RELEASE and a disk of these."""
    kernel = KERNELS[version]
    root = debs.AptRoot(kernel.suites, kernel.arch.name)
    meta = f'{kernel.package}/{kernel.suites[-1]}'
    package = next(name for name in root.depends(meta) if name.startswith('linux-image-'))
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        tree = pathlib.Path(scratch, 'tree')
        tree.mkdir()
        for deb in root.download([package], scratch):
            debs.extract(deb, tree)
        release = next((tree / 'lib/modules').iterdir()).name
        (target / 'release').write_text(release + '\n', encoding='utf-8')
        shutil.copyfile(tree / 'boot' / f'vmlinuz-{release}', target / 'vmlinuz')
        shutil.copyfile(tree / 'boot' / f'config-{release}', target / 'config')
        source = tree / 'lib/modules' / release
        modules = target / 'root/lib/modules' / release
        for module in _select(source / 'kernel'):
            _copy_module(module, modules / module.relative_to(source))
        for name in ('modules.order', 'modules.builtin', 'modules.builtin.modinfo'):
            shutil.copyfile(source / name, modules / name)
        subprocess.run(['depmod', '-b', target / 'root', release], check=True)
        for name in modules.glob('*.bin'):
            name.unlink()  # busybox reads the text files
        subprocess.run(['mkfs.ext4', '-q', '-F', '-O', '^has_journal,^metadata_csum', '-L', 'modules',
                        '-d', target / 'root/lib/modules', target / 'modules.img', '64M'],
                       check=True)


def boot_files(kernel):
    """Paths below KERNEL/root of what has to be in the initial file system."""
    modules = next((kernel / 'root/lib/modules').iterdir())
    needed = set()
    wanted = {name.replace('-', '_') for name in BOOT_MODULES}
    for line in (modules / 'modules.dep').read_text(encoding='utf-8').splitlines():
        path, _, depends = line.partition(':')
        if _name(pathlib.Path(path)) in wanted:
            needed.update([path, *depends.split()])
    lists = ['modules.dep', 'modules.alias', 'modules.symbols', 'modules.softdep',
             'modules.builtin']
    return [(modules / name).relative_to(kernel / 'root') for name in sorted(needed) + lists]


def fetch(version):
    """The directory with a kernel of KERNELS, fetched when not cached."""
    if version not in KERNELS:
        raise ValueError(f'no kernel {version}; there is ' + ', '.join(KERNELS))
    place = paths.cache_dir('vm')
    mark = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:8]
    target = place / f'kernel-{version}-{mark}'
    with paths.locked(place):
        if not target.exists():
            for old in place.glob(f'kernel-{version}-*'):
                if old.stat().st_mtime < time.time() - A_DAY:
                    shutil.rmtree(old)
            with paths.replacing(target) as temporary:
                _unpack(version, temporary)
        os.utime(target)
    return target
