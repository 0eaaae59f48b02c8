"""A disk with two slots for Debian's U-Boot, and images of the operating system that lies in them.

The partitions: boot (FAT, with boot.scr), env (U-Boot's environment), slot-a, slot-b, data.
"""

import pathlib
import shutil
import struct
import subprocess
import tempfile
import zlib

from harness import compile as compiler
from harness import paths

from . import initramfs
from . import kernel as kernels

MIB = 1 << 20
# Name, begin and size in MiB.
PARTITIONS = [('boot', 1, 8), ('env', 9, 1), ('slot-a', 10, 80), ('slot-b', 90, 80), ('data', 170, 400)]
DISK_MIB = 571
ENV_COPY = 0x4000
UBOOT = '/usr/lib/u-boot/qemu_arm64/u-boot.bin'
BOOTARGS = 'console=ttyAMA0 quiet panic=-1 oops=panic mitigations=off'
MODULES = ['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_net', 'virtio_console', 'virtio_rng', 'crc32c_generic',
           'ext4', 'overlay', 'loop', 'erofs', 'i6300esb']

# The first program of a slot: the watchdog runs before anything can hang, then the slot's own root.
INITRD_INIT = '''#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
modprobe -a $(cat /etc/boot-modules)
echo >/dev/watchdog
for option in $(cat /proc/cmdline); do
    case $option in
        root=PARTLABEL=*) label=${option#*=*=} ;;
    esac
done
until uevent=$(grep -ls "^PARTNAME=$label$" /sys/class/block/*/uevent); do usleep 20000; done
root=/dev/$(basename "$(dirname "$uevent")")
mount -t ext4 -o ro "$root" /newroot
for name in proc sys dev; do mount -o move /$name /newroot/$name; done
exec switch_root /newroot /init
'''

# The slot's own.
INIT = '''#!/bin/sh
export PATH=/bin HOME=/root TERM=linux
{extra}
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /run/lock
mount -t ext4 -o noatime /dev/vda5 /var/lib/wherry
ln -s /proc/self/fd /dev/fd
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
date -s "@$(cat /var/lib/wherry/now)" >/dev/null
wherry daemon --config /var/lib/wherry/wherry.conf >/dev/console 2>&1 </dev/null &
exec vm-agent /dev/vport*p*
'''

# What is wrong with an image: how its init begins, or another way to spoil it.
FAULTS = {
    None: '',
    'panic': 'echo c >/proc/sysrq-trigger',
    'hang': 'while true; do sleep 1000; done',
    'root': '',
}


def _initrd(version, target):
    kernel = kernels.fetch(version)
    modules = next((kernel / 'root/lib/modules').iterdir())
    needed = {}
    for line in (modules / 'modules.dep').read_text(encoding='utf-8').splitlines():
        path, _, depends = line.partition(':')
        needed[pathlib.PurePath(path).name.split('.ko')[0].replace('-', '_')] = [path, *depends.split()]
    with open(target, 'wb') as out:
        archive = initramfs.Cpio(out)
        for name in ('bin', 'dev', 'etc', 'lib', 'newroot', 'proc', 'sys'):
            archive.directory(name)
        archive.link('sbin', 'bin')
        archive.file('bin/busybox', initramfs.busybox('arm64'), 0o755)
        for name in initramfs.applets():
            if name != 'busybox':
                archive.link(f'bin/{name}', 'busybox')
        chosen = [name for name in MODULES if name in needed]
        for path in sorted({path for name in chosen for path in needed[name]} | {'modules.dep', 'modules.builtin'}):
            archive.deep_file((modules / path).relative_to(kernel / 'root'), modules / path)
        archive.file('etc/boot-modules', '\n'.join(chosen) + '\n')
        archive.file('init', INITRD_INIT, 0o755)
        archive.end()


def make_image(target, binaries, version, fault=None, mark='', kernel='6.12'):
    """Writes the file system of a slot: kernel, programs, /etc/os-version. `mark` makes it another one."""
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch, 'root')
        for name in [*initramfs.DIRECTORIES, 'boot']:
            (root / name).mkdir(parents=True, exist_ok=True)
        for name, to in initramfs.LINKS.items():
            (root / name).symlink_to(to)
        (root / 'var/lock').symlink_to('/run/lock')
        for name, text in {**initramfs.ETC, 'etc/os-version': f'{version}{mark}\n',
                           'init': INIT.replace('{extra}', FAULTS[fault])}.items():
            (root / name).write_text(text, encoding='utf-8')
        (root / 'init').chmod(0o755)
        programs = {'busybox': initramfs.busybox('arm64'),
                    'vm-agent': compiler.static_program(initramfs.HERE / 'agent.cpp', 'arm64'),
                    **{name: binaries / name for name in ('wherry', 'wherry-shim')}}
        for name, source in programs.items():
            shutil.copyfile(source, root / 'bin' / name)
            (root / 'bin' / name).chmod(0o755)
        for name in initramfs.applets():
            if not (root / 'bin' / name).exists():
                (root / 'bin' / name).symlink_to('busybox')
        shutil.copyfile(kernels.fetch(kernel) / 'vmlinuz', root / 'boot/vmlinuz')
        _initrd(kernel, root / 'boot/initrd')
        pathlib.Path(target).unlink(missing_ok=True)
        subprocess.run(['mkfs.ext4', '-q', '-O', '^has_journal', '-m', '0', '-d', root, target, '72M'], check=True,
                       stdout=subprocess.DEVNULL)
    if fault == 'root':
        with open(target, 'r+b') as image:
            image.write(bytes(MIB))


def environment(variables):
    """Both copies as U-Boot keeps them, the first one newer."""
    data = b''.join(f'{name}={value}'.encode() + b'\0' for name, value in variables.items()) + b'\0'
    data = data.ljust(ENV_COPY - 5, b'\0')
    return b''.join(struct.pack('<IB', zlib.crc32(data), flags) + data for flags in (2, 1))


def make_disk(target, slot_a, files):
    """A disk that boots `slot_a`; `files` are put into the data partition: name -> bytes."""
    place = {name: (begin * MIB, size * MIB) for name, begin, size in PARTITIONS}
    with open(target, 'wb') as disk:
        disk.truncate(DISK_MIB * MIB)
    table = 'label: gpt\n' + ''.join(
        f'start={begin}MiB, size={size}MiB, name={name}' + (', attrs=LegacyBIOSBootable' if name == 'boot' else '') + '\n'
        for name, begin, size in PARTITIONS)
    subprocess.run(['sfdisk', '-q', target], input=table, text=True, check=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / 'boot.cmd').write_text(
            f'setenv slot_bootargs "{BOOTARGS}"\n' + (paths.REPO / 'board/boot.cmd').read_text(encoding='utf-8'),
            encoding='utf-8')
        subprocess.run(['mkimage', '-A', 'arm64', '-T', 'script', '-C', 'none', '-d', scratch / 'boot.cmd',
                        scratch / 'boot.scr'], check=True, stdout=subprocess.DEVNULL)
        boot = scratch / 'boot'
        subprocess.run(['mkfs.vfat', '-C', boot, str(place['boot'][1] // 1024)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(['mcopy', '-i', boot, scratch / 'boot.scr', '::/'], check=True)
        data = scratch / 'data'
        for name, content in files.items():
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_bytes(content)
        subprocess.run(['mkfs.ext4', '-q', '-d', data, scratch / 'data.img', f'{place["data"][1] // 1024}k'],
                       check=True, stdout=subprocess.DEVNULL)
        with open(target, 'r+b') as disk:
            for name, source in {'boot': boot, 'slot-a': slot_a, 'data': scratch / 'data.img'}.items():
                disk.seek(place[name][0])
                with open(source, 'rb') as handle:
                    shutil.copyfileobj(handle, disk, MIB)
            disk.seek(place['env'][0])
            disk.write(environment({'BOOT_ORDER': 'A B', 'BOOT_A_LEFT': 3, 'BOOT_B_LEFT': 0}))


ENV_AT = next(begin for name, begin, _ in PARTITIONS if name == 'env') * MIB


def environment_config(disk, begin=ENV_AT):
    """A fw_env.config for the environment inside the image of a disk, or at another place."""
    return ''.join(f'{disk} {begin + i * ENV_COPY:#x} {ENV_COPY:#x}\n' for i in range(2))
