"""File systems of their own in files, for stores whose disk is taken back in time."""

import gzip
import pathlib
import subprocess
import tempfile

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
