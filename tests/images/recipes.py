"""How each reference image is made, from Debian packages only and without running any of them."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import compile as compiler
from harness import debs, oci, paths

from . import elf

# Version v1 is the release as first published, v2 has what was fixed since on top.
SUITES = {'v1': ['{}'], 'v2': ['{}', '{}-updates', '{}-security']}
ARCHES = ('amd64', 'arm64', 'armhf')
DEBIAN_ARCHES = ARCHES[:2]  # of the sets that are large

PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' \
         'tester:x:1234:1235:tester:/home/tester:/bin/sh\n'
GROUP = 'root:x:0:\nnogroup:x:65534:\ntester:x:1235:\nextra:x:1300:tester\n'

NGINX_SITE = '''server {
    listen 80 default_server;
    root /var/www/html;
    location /health { return 200 "healthy\\n"; }
}
'''
NGINX_PAGE = '<!doctype html><title>wherry</title><h1>Served from a wherry container</h1>\n'


def _suites(version):
    return [suite.format(debs.machine_release()) for suite in SUITES[version]]


class Tree:
    """A directory that becomes a layer. /usr is merged as in a Debian system."""

    MERGED = ('bin', 'lib', 'sbin', 'lib64')

    def __init__(self, directory):
        self.path = pathlib.Path(directory)
        self.path.mkdir(parents=True, exist_ok=True)
        for name in self.MERGED:
            (self.path / 'usr' / name).mkdir(parents=True, exist_ok=True)
            (self.path / name).symlink_to(f'usr/{name}')

    def write(self, name, text, mode=0o644):
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, str):
            text = text.encode()
        target.write_bytes(text)
        target.chmod(mode)

    def link(self, name, target):
        place = self.path / name
        if place.is_symlink() or place.exists():
            place.unlink()
        place.symlink_to(target)

    def install(self, packages):
        """Unpacks packages and enters them into the list of installed ones."""
        status = []
        for deb in packages:
            debs.extract(deb, self.path)
            text = debs.control(deb)
            name, _, rest = text.partition('\n')
            status.append(f'{name}\nStatus: install ok installed\n{rest}\n')
        return status

    def prune(self):
        """Removes what published images leave out."""
        for name in ('usr/share/doc', 'usr/share/man', 'usr/share/info', 'usr/share/locale',
                     'usr/share/lintian', 'var/cache/apt', 'var/lib/apt/lists'):
            shutil.rmtree(self.path / name, ignore_errors=True)


def _closure(version, arch, wanted):
    return debs.AptRoot(_suites(version), arch).closure(wanted)


def _debian_tree(version, arch, directory):
    tree = Tree(directory)
    packages = _closure(version, arch, ['?essential', '?priority(required)', 'apt'])
    status = tree.install(packages)
    for name in ('passwd', 'group'):
        shutil.copyfile(tree.path / f'usr/share/base-passwd/{name}.master', tree.path / 'etc' / name)
    tree.write('etc/shadow', 'root:*:19000:0:99999:7:::\n', 0o640)
    tree.link('bin/sh', 'dash')
    tree.write('etc/hostname', 'localhost\n')
    tree.write('var/lib/dpkg/status', '\n'.join(status))
    tree.write('etc/apt/sources.list.d/debian.sources', '')
    for name, mode in (('tmp', 0o1777), ('var/tmp', 0o1777), ('root', 0o700), ('proc', 0o555),
                       ('sys', 0o555), ('dev', 0o755), ('run', 0o755)):
        (tree.path / name).mkdir(exist_ok=True)
        (tree.path / name).chmod(mode)
    tree.prune()
    return tree, packages


def _nginx_tree(version, arch, directory, base_packages):
    tree = Tree(directory)
    have = {debs.field(deb, 'Package') for deb in base_packages}
    packages = _closure(version, arch, ['?essential', '?priority(required)', 'apt', 'nginx'])
    tree.install([deb for deb in packages if debs.field(deb, 'Package') not in have])
    tree.write('etc/nginx/sites-enabled/default', '')
    (tree.path / 'etc/nginx/sites-enabled/default').unlink()
    tree.write('etc/nginx/conf.d/default.conf', NGINX_SITE)
    tree.write('var/www/html/index.html', NGINX_PAGE)
    (tree.path / 'var/log/nginx').mkdir(parents=True, exist_ok=True)
    tree.link('var/log/nginx/access.log', '/dev/stdout')
    tree.link('var/log/nginx/error.log', '/dev/stderr')
    tree.prune()
    return tree


def debian_and_nginx(version, arch):
    """The minimal system and, on the same first layer, nginx."""
    with tempfile.TemporaryDirectory(dir=paths.cache_dir('images')) as scratch:
        base_tree, packages = _debian_tree(version, arch, f'{scratch}/debian')
        base = oci.layer(oci.tar_of_tree(base_tree.path))
        top_tree = _nginx_tree(version, arch, f'{scratch}/nginx', packages)
        top = oci.layer(oci.tar_of_tree(top_tree.path, skip=Tree.MERGED))
    return {
        'debian': oci.image([base], arch, Cmd=['bash']),
        'nginx': oci.image([base, top], arch, Cmd=['nginx', '-g', 'daemon off;'],
                           ExposedPorts={'80/tcp': {}}, StopSignal='SIGQUIT'),
    }


def _busybox_layer(version, arch):
    """busybox with a hard link per applet, as the well-known image of that name has it."""
    place = paths.cache_dir('images')
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        for deb in debs.AptRoot(_suites(version), arch).download(['busybox-static'], scratch):
            debs.extract(deb, scratch)
        program = next(pathlib.Path(scratch).glob('**/bin/busybox')).read_bytes()
    entries = [oci.entry('bin', oci.tarfile.DIRTYPE), oci.entry('bin/busybox', data=program,
                                                                 mode=0o755)]
    for name in _applets(version):
        if name != 'busybox':
            entries.append(oci.entry(f'bin/{name}', oci.tarfile.LNKTYPE, linkname='bin/busybox',
                                     mode=0o755))
    for name, mode in (('dev', 0o755), ('etc', 0o755), ('home', 0o755), ('proc', 0o555),
                       ('root', 0o700), ('sys', 0o555), ('tmp', 0o1777), ('usr', 0o755),
                       ('usr/bin', 0o755), ('var', 0o755)):
        entries.append(oci.entry(name, oci.tarfile.DIRTYPE, mode=mode))
    entries.append(oci.entry('home/tester', oci.tarfile.DIRTYPE, uid=1234, gid=1235))
    entries.append(oci.entry('etc/passwd', data=PASSWD.encode()))
    entries.append(oci.entry('etc/group', data=GROUP.encode()))
    return oci.layer(oci.tar(entries))


def _applets(version):
    """Asks busybox itself, in the build for this machine."""
    native = compiler.native_arch()
    with tempfile.TemporaryDirectory() as scratch:
        for deb in debs.AptRoot(_suites(version), native).download(['busybox-static'], scratch):
            debs.extract(deb, scratch)
        program = next(pathlib.Path(scratch).glob('**/bin/busybox'))
        return sorted(subprocess.run([program, '--list'], check=True, capture_output=True,
                                     text=True).stdout.split())


def busybox(version, arch):
    return oci.image([_busybox_layer(version, arch)], arch, Cmd=['sh'])


def hello(arch):
    """One static program of a few hundred bytes."""
    tar = oci.tar([oci.entry('hello', data=elf.program(arch, 'Hello from wherry\n'), mode=0o755)])
    return oci.image([oci.layer(tar)], arch, Cmd=['/hello'])


def probe(arch):
    """busybox, and the programs that look at their surroundings."""
    entries = [oci.entry('usr', oci.tarfile.DIRTYPE), oci.entry('usr/bin', oci.tarfile.DIRTYPE)]
    for name in ('probe', 'netprobe'):
        program = compiler.static_program(paths.TESTS / f'images/{name}.cpp', arch).read_bytes()
        entries.append(oci.entry(f'usr/bin/{name}', data=program, mode=0o755))
    tar = oci.tar(entries)
    return oci.image([_busybox_layer('v1', arch), oci.layer(tar)], arch, Cmd=['sh'])


def arm():
    """One image for 64 and 32 bits: the latter with the programs that look at their surroundings, and for old processors."""
    program = compiler.static_program(paths.TESTS / 'images/probe.cpp', 'armhf').read_bytes()
    looks = oci.layer(oci.tar([oci.entry('bin/probe', data=program, mode=0o755)]))
    armhf = oci.image([_busybox_layer('v1', 'armhf'), looks], 'arm', variant='v7', Cmd=['sh'])
    armel = oci.image([_busybox_layer('v1', 'armel')], 'arm', variant='v5', Cmd=['sh'])
    return oci.index([(busybox('v1', 'arm64'), oci.platform('arm64')), (armhf, oci.platform('arm', 'v7')),
                      (armel, oci.platform('arm', 'v5'))])


def _variants(images):
    """The same image the other ways registries carry it, and incomplete ones."""
    multi = oci.index([(image, oci.platform(arch)) for arch, image in images.items()])
    foreign = oci.index([(images['amd64'], oci.platform('s390x')),
                         (images['amd64'], oci.platform('riscv64'))])
    return {
        'latest': multi,
        'zstd': oci.convert(multi, oci.OCI, 'zstd'),
        'plain': oci.convert(multi, oci.OCI, 'none'),
        'docker': oci.convert(multi, oci.DOCKER, 'gzip'),
        'foreign': foreign,
        **{f'only-{arch}': image for arch, image in images.items()},
    }


def build_set(name, version):
    """All images of one set: repository -> tag -> Blob."""
    if name == 'small':
        boxes = {arch: busybox(version, arch) for arch in ARCHES}
        return {'busybox': _variants(boxes), 'hello': _variants({a: hello(a) for a in ARCHES}),
                'probe': {'latest': oci.index([(probe(a), oci.platform(a)) for a in ARCHES
                                               if a in ('arm64', 'armhf', compiler.native_arch())])}}
    if name == 'arm':
        return {'arm': {'latest': arm()}}
    both = {arch: debian_and_nginx(version, arch) for arch in DEBIAN_ARCHES}
    return {kind: {'latest': oci.index([(both[arch][kind], oci.platform(arch))
                                        for arch in DEBIAN_ARCHES])} for kind in ('debian', 'nginx')}


def must_be_root():
    if os.geteuid() != 0:
        raise PermissionError('building the images keeps the owners of files: run it as root')
