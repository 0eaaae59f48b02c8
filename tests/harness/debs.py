"""Debian packages of any architecture and suite, without touching the system's own apt.

Every AptRoot is a private apt state below the cache. Its sources are derived from the machine's
own ones, so a local mirror and proxy settings are used as they are.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess

from . import paths

KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'


class DebError(Exception):
    """A package could not be had; the message is the last lines apt printed."""


def _machine_repositories():
    """Maps each Debian suite the machine knows to the address it is fetched from."""
    fields = '$(ORIGIN)|$(LABEL)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)'
    text = subprocess.run(['apt-get', 'indextargets', '--format', fields, 'Created-By: Packages'],
                          check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        origin, label, release, component, uri = line.split('|')
        if origin == 'Debian' and component == 'main':
            found[release] = (label, uri)
    return found


def repository_of(suite):
    """The address of a suite; one the machine does not use lives where its sister suites do."""
    known = _machine_repositories()
    if suite in known:
        return known[suite][1]
    label = 'Debian-Security' if suite.endswith('-security') else 'Debian'
    for found_label, uri in known.values():
        if found_label == label:
            return uri
    raise DebError(f'no Debian archive for {suite}: the lists of apt are empty or know none; '
                   'run apt-get update')


def machine_release():
    """The code name of the Debian release this machine runs, such as bookworm."""
    with open('/etc/os-release', encoding='utf-8') as handle:
        values = dict(line.rstrip().split('=', 1) for line in handle if '=' in line)
    return values.get('VERSION_CODENAME', 'bookworm').strip('"')


class AptRoot:
    """A private apt for one architecture and a list of suites.

    With `installed`, what this machine has installed counts as there and is not downloaded.
    """

    def __init__(self, suites, arch, installed=False):
        self.suites = suites
        self.arch = arch
        self._installed = installed
        self.dir = paths.cache_dir('apt', f'{arch}-' + '+'.join(suites))
        self._updated = False

    def _options(self):
        place = {
            'Dir::State': self.dir / 'state',
            'Dir::State::status': '/var/lib/dpkg/status' if self._installed else
                                  self.dir / 'status',
            'Dir::Cache': self.dir / 'cache',
            'Dir::Etc::SourceList': self.dir / 'sources.list',
            'Dir::Etc::SourceParts': '/dev/null',
            'Dir::Etc::Preferences': '/dev/null',
            'Dir::Etc::PreferencesParts': '/dev/null',
            'APT::Architecture': self.arch,
            'APT::Sandbox::User': 'root',
            'Acquire::Languages': 'none',
            'Acquire::Retries': '3',
        }
        options = ['-q', '-o', 'APT::Architectures::=' + self.arch]
        for key, value in place.items():
            options += ['-o', f'{key}={value}']
        return options

    def _apt(self, *args, cwd=None, program='apt-get'):
        command = [program, *self._options(), *args]
        env = {**os.environ, 'LC_ALL': 'C', 'DEBIAN_FRONTEND': 'noninteractive'}
        done = subprocess.run(command, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=1800, check=False)
        if done.returncode != 0:
            tail = '\n'.join((done.stdout + done.stderr).splitlines()[-8:])
            raise DebError(f'{program} {args[0]} for {self.arch} failed:\n{tail}')
        return done.stdout

    def update(self):
        """Fetches the package lists; once per object."""
        if self._updated:
            return
        for sub in ('state/lists/partial', 'cache/archives/partial'):
            (self.dir / sub).mkdir(parents=True, exist_ok=True)
        (self.dir / 'status').touch()
        signed = f'[arch={self.arch} signed-by={KEYRING}]'
        lines = [f'deb {signed} {repository_of(suite)} {suite} main\n' for suite in self.suites]
        (self.dir / 'sources.list').write_text(''.join(lines), encoding='utf-8')
        self._apt('update')
        self._updated = True

    def download(self, packages, target):
        """Puts exactly the named packages ("name" or "name/suite") into `target`."""
        with paths.locked(self.dir):
            self.update()
            self._apt('download', *packages, cwd=target)
        return sorted(pathlib.Path(target).glob('*.deb'))

    def depends(self, package):
        """The names a package depends on directly."""
        with paths.locked(self.dir):
            self.update()
            text = self._apt('depends', '--important', package, program='apt-cache')
        return [line.split()[1] for line in text.splitlines() if line.strip().startswith('Depends:')]

    def closure(self, packages):
        """Downloads the packages and all they depend on; returns their files sorted by name."""
        with paths.locked(self.dir):
            self.update()
            archives = self.dir / 'cache' / 'archives'
            for old in archives.glob('*.deb'):
                old.unlink()
            self._apt('install', '--yes', '--download-only', '--no-install-recommends', *packages)
            wanted = paths.cache_dir('debs')
            return [_keep(deb, wanted / deb.name) for deb in sorted(archives.glob('*.deb'))]


def _keep(deb, target):
    if not target.exists():
        temporary = target.with_suffix(f'.{os.getpid()}')
        shutil.copyfile(deb, temporary)
        temporary.rename(target)
    return target


def field(deb, name):
    """One control field of a package file."""
    return subprocess.run(['dpkg-deb', '--field', deb, name], check=True, capture_output=True,
                          text=True).stdout.strip()


def control(deb):
    """All control fields of a package file as text."""
    return subprocess.run(['dpkg-deb', '--field', deb], check=True, capture_output=True,
                          text=True).stdout


def extract(deb, directory, only=()):
    """Unpacks the content of a package; links that merge /usr stay links."""
    with subprocess.Popen(['dpkg-deb', '--fsys-tarfile', deb], stdout=subprocess.PIPE) as source:
        command = ['tar', '-x', '--keep-directory-symlink', '-C', directory]
        if os.geteuid() == 0:
            command += ['--same-owner', '--numeric-owner', '-p']
        subprocess.run([*command, *only], stdin=source.stdout, check=True)
        source.stdout.close()
    if source.returncode not in (0, -13):
        raise DebError(f'{deb} is damaged: dpkg-deb ended with {source.returncode}')


def _native():
    return subprocess.run(['dpkg', '--print-architecture'], check=True, capture_output=True,
                          text=True).stdout.strip()


def _unpacked(name, debs_of):
    """The directory in the cache with the content of the packages `debs_of(directory)` gives."""
    place = paths.cache_dir('tools')
    target = place / name
    with paths.locked(place):
        if not target.exists():
            with paths.replacing(target) as temporary:
                _merged_usr(temporary)
                (temporary / 'deb').mkdir()
                for deb in debs_of(temporary / 'deb'):
                    extract(deb, temporary)
    return target


def tool(package, program, arch=None):
    """The path of a program: the installed one, else one out of its package in the cache.

    Used for servers whose package would start a service when it is installed.
    """
    installed = shutil.which(program)
    if installed:
        return pathlib.Path(installed)
    arch = arch or _native()
    root = AptRoot([machine_release()], arch)
    target = _unpacked(f'{package}-{arch}', lambda place: root.download([package], place))
    for directory in ('usr/bin', 'usr/sbin'):
        if (target / directory / program).exists():
            return target / directory / program
    raise DebError(f'package {package} has no program {program}')


def tool_of(suite, package, program):
    """The command that runs a program of a package of any suite, with that suite's libraries.

    Nothing is installed: the package and all it needs are unpacked in the cache.
    """
    target = _unpacked(f'{package}-{suite}-{_native()}',
                       lambda _: AptRoot([suite], _native()).closure([package]))
    loader = next((target / 'usr').glob('lib*/ld-linux*'))
    libraries = next((target / 'usr/lib').glob('*-linux-gnu*'))
    return [str(loader), '--library-path', str(libraries), str(target / 'usr/bin' / program)]


def _merged_usr(directory):
    for top in ('usr', 'etc'):
        (directory / top).mkdir()
    for merged in ('bin', 'sbin', 'lib', 'lib64'):
        (directory / 'usr' / merged).mkdir()
        (directory / merged).symlink_to(f'usr/{merged}')


def foreign_tree(name, packages, arch):
    """A directory with the content of the packages for an architecture and of all they need."""
    return _unpacked(f'{name}-{arch}', lambda _: AptRoot([machine_release()], arch).closure(packages))


def missing_tree(name, packages):
    """A directory with the content of the packages and of all they need that is not installed.

    Mounted over the system's directories in a private namespace, it stands for installing them.
    Packages that cannot be had are left out.
    """
    def missing(_):
        release = machine_release()
        root = AptRoot([release, f'{release}-updates', f'{release}-security'], _native(), True)
        for package in packages:
            with contextlib.suppress(DebError):
                yield from root.closure([package])

    return _unpacked(f'{name}-{_native()}', missing)


def environment_with(package):
    """An environment in which the programs of the package run, installed or not."""
    tree = missing_tree(f'with-{package}', [package])
    libraries = ':'.join(map(str, (tree / 'usr/lib').glob('*-linux-gnu*')))
    return {**os.environ, 'PATH': f'{os.environ["PATH"]}:{tree}/usr/bin:{tree}/usr/sbin',
            **({'LD_LIBRARY_PATH': libraries} if libraries else {})}


def as_installed(package):
    """What to put before a command of the package: for one that runs itself again, in an environment of its own."""
    tree = missing_tree(f'with-{package}', [package])
    # What installing chooses among alternatives.
    if (tree / 'usr/sbin/iptables-nft').exists():
        with contextlib.suppress(FileExistsError):
            (tree / 'usr/sbin/iptables').symlink_to('iptables-nft')
    script = 'for top in usr etc; do mount -t overlay -o "lowerdir=$0/$top:/$top" overlay /$top; done; exec "$@"'
    return ['unshare', '-m', 'sh', '-ec', script, str(tree)]


def home_that_trusts_all(directory):
    """The environment's part that lets podman, buildah and skopeo take images without signatures."""
    policy = pathlib.Path(directory, '.config/containers/policy.json')
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}', encoding='utf-8')
    return {'HOME': str(directory)}
