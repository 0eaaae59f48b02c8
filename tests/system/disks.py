"""File systems of their own, for stores whose disk is taken back in time: in files, and UBIFS on a flash chip."""

import gzip
import pathlib
import subprocess
import tempfile

from harness import debs

# Made on this host: a virtual machine has no programs for it.
MAKE = {
    'ext4': ('400M', 'mkfs.ext4 -q {}'),
    'xfs': ('400M', 'mkfs.xfs -q {}'),
    'btrfs': ('400M', 'mkfs.btrfs -q {}'),
    'f2fs': ('100M', 'mkfs.f2fs -q {}'),
    'ext4 with quotas': ('48M', 'mkfs.ext4 -q -O project,quota -E quotatype=prjquota {}'),
    'xfs with quotas': ('64M', 'mkfs.xfs -q --unsupported {} 2>/dev/null'),
    'ext4 with verity': ('40M', 'mkfs.ext4 -q -O verity {}'),
    'vfat': ('16M', 'mkfs.vfat {}'),
    # Names in `data` do not differ by case; in `plain` they do.
    'casefold': ('32M', 'mkfs.ext4 -q -O casefold {0} && '
                        'debugfs -w -f /dev/stdin {0} <<!\n'
                        'mkdir plain\nmkdir data\nset_inode_field data flags 0x40080000\n!'),
}


def make_image(kind, target):
    size, script = MAKE[kind]
    subprocess.run(['sh', '-ec', f'truncate -s {size} {target}\n' + script.format(target)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)


class Disk:
    """A file system in a file, mounted."""

    def __init__(self, machine, kind, options='loop'):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.image = f'{self.dir}/image'
        self.mount = f'{self.dir}/m'
        kind_of_mount = 'ext4' if kind == 'casefold' else kind.split()[0]
        self._mount = ['mount', '-t', kind_of_mount, '-o', options, self.image, self.mount]
        machine.run(['mkdir', self.mount]).ok()
        if machine.name == 'host':
            make_image(kind, self.image)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                image = pathlib.Path(scratch, 'image')
                make_image(kind, image)
                packed = gzip.compress(image.read_bytes(), 1)
            machine.run(['sh', '-c', 'gunzip -c >"$1"', 'sh', self.image], input=packed).ok()
        self.plug()

    def plug(self):
        self.machine.run(self._mount).ok()

    def unplug(self):
        self.machine.shell(f"grep -F '{self.dir}/' /proc/self/mounts | cut -d' ' -f2 | sort -r | "
                           'while read m; do umount "$m" || umount -l "$m"; done')

    def freeze(self):
        """What the device has at this moment: nothing that the file system still holds back."""
        self.machine.run(['cp', self.image, f'{self.image}.then']).ok()

    def go_back(self):
        """As after a power cut at the time of freeze()."""
        self.unplug()
        self.machine.run(['mv', f'{self.image}.then', self.image]).ok()
        self.plug()

    def close(self):
        self.unplug()
        self.machine.remove(self.dir)


# A volume that takes what the chip has; the file system on it is made by the first mount.
VOLUME = '[data]\nmode=ubi\nvol_id=0\nvol_type=dynamic\nvol_name=data\nvol_size=1MiB\nvol_flags=autoresize\n'
CHIP = 'first_id_byte=0xec second_id_byte=0xa1 third_id_byte=0 fourth_id_byte=0x15'  # 128 MiB, pages of 2 KiB


def _volume():
    """What an empty chip needs to have the volume."""
    with tempfile.TemporaryDirectory() as scratch:
        config, image = pathlib.Path(scratch, 'config'), pathlib.Path(scratch, 'image')
        config.write_text(VOLUME, encoding='utf-8')
        subprocess.run(['ubinize', '-o', image, '-p', '128KiB', '-m', '2048', '-s', '512', config], check=True,
                       env=debs.environment_with('mtd-utils'))
        return image.read_bytes()


class Flash:
    """UBIFS on a NAND chip that the kernel of a virtual machine simulates in memory; one at a time."""

    def __init__(self, machine):
        self.machine = machine
        self.dir = machine.temporary_directory()
        self.mount = f'{self.dir}/m'
        machine.run(['mkdir', self.mount]).ok()
        machine.shell('mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug; '
                      f'modprobe nandsim {CHIP}').ok()
        machine.run(['dd', 'of=/dev/mtd0', 'bs=2048', 'iflag=fullblock'], input=_volume()).ok()
        machine.shell('modprobe ubi mtd=0 && modprobe ubifs').ok()
        self.plug()

    def plug(self):
        self.machine.run(['mount', '-t', 'ubifs', '-o', 'noatime', 'ubi0:data', self.mount]).ok()

    def unplug(self):
        self.machine.shell(f'umount {self.mount} || umount -l {self.mount}')

    def freeze(self):
        """From now on nothing is written to the chip."""
        self.machine.write('/sys/kernel/debug/ubifs/ubi0_0/ro_error', '1')

    def go_back(self):
        """As after a power cut at the time of freeze()."""
        self.unplug()
        self.plug()

    def close(self):
        self.unplug()
        self.machine.shell('rmmod ubifs; rmmod ubi; rmmod nandsim')
        self.machine.remove(self.dir)
