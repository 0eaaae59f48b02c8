"""Dockerfiles built by wherry and by Debian's buildah: the same files (kind, mode, owner, content, links, extended
attributes), the same configuration."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import uuid

import pytest

from dockerfiles import DOCKERFILES, FILES, IGNORE
from harness import debs
from test_build import pack

pytestmark = [pytest.mark.machines('host')]

# What differs, with the reason: a path or a member of the configuration of a Dockerfile's image.
OWNER_OF_WORKDIR = 'WORKDIR makes a directory of root, as Docker does; buildah gives it to the USER'
SHELL = 'buildah 1.28 wraps CMD and ENTRYPOINT in /bin/sh -c whatever SHELL says'
CHOWN = 'ADD --chown counts for what comes out of an archive, as with BuildKit; buildah leaves that to the archive'
DIFFERENT = {
    'configuration': {'w': OWNER_OF_WORKDIR},
    'user by name': {'home/tester/new': OWNER_OF_WORKDIR},
    'shell': {'Cmd': SHELL, 'Entrypoint': SHELL},
    'metadata of archives': {f'given/{path}': CHOWN for path in ('meta', 'meta/bin', 'meta/pipe', 'meta/server')},
    'ports': {'ExposedPorts': 'buildah 1.28 keeps a range as one port'},
}


def flatten(archive_bytes):
    """The files of an image's archive, layer upon layer, and its configuration."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive_bytes)) as archive:
        manifest = json.load(archive.extractfile('manifest.json'))[0]
        config = json.load(archive.extractfile(manifest['Config']))
        for name in manifest['Layers']:
            member = archive.getmember(name)
            if member.issym():
                member = archive.getmember(member.linkname.lstrip('./'))
            with tarfile.open(fileobj=archive.extractfile(member)) as layer:
                apply(layer, files)
    return files, config


def drop(files, path, itself=True):
    for known in [name for name in files if name.startswith(path + '/') or (itself and name == path)]:
        del files[known]


def apply(layer, files):
    for entry in layer:
        path = entry.name.rstrip('/').removeprefix('./')
        parent, _, base = path.rpartition('/')
        if base == '.wh..wh..opq':
            drop(files, parent, itself=False)
            continue
        if base.startswith('.wh.'):
            drop(files, f'{parent}/{base[4:]}' if parent else base[4:])
            continue
        if not path or path == '.':
            continue
        if not entry.isdir():
            drop(files, path)
        if entry.islnk():
            files[path] = files[entry.linkname.removeprefix('./')]
            continue
        content = layer.extractfile(entry).read() if entry.isfile() else entry.linkname
        mode = entry.mode & 0o7777 if not entry.issym() else 0
        attributes = {name: value for name, value in entry.pax_headers.items() if name.startswith('SCHILY.xattr.')}
        files[path] = (entry.type, mode, entry.uid, entry.gid, content, attributes)


RUNTIME = {'dev', 'proc', 'sys', 'etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'run', 'run/.containerenv',
           'dev/console', 'dev/shm', 'dev/pts', 'dev/mqueue'}


class Buildah:
    """Builds and keeps images in a directory of its own."""

    def __init__(self, directory):
        self._dir = directory
        self._options = ['--root', f'{directory}/root', '--runroot', f'{directory}/run', '--storage-driver', 'vfs']
        self._program = [*debs.as_installed('buildah'), 'buildah']
        self._env = {**os.environ, **debs.home_that_trusts_all(directory), 'TMPDIR': directory, 'BUILDAH_ISOLATION': 'chroot'}

    def __call__(self, *args):
        result = subprocess.run([*self._program, *self._options, *args], capture_output=True, check=False, env=self._env,
                                stdin=subprocess.DEVNULL)
        assert result.returncode == 0, (args, result.stdout.decode(), result.stderr.decode())

    def build(self, name, *args):
        """The archive of the image that is built."""
        file = f'{self._dir}/{name}.tar'
        self('bud', '--format', 'docker', '--no-cache', '--layers=false', '--pull-never', '-t', name, *args)
        self('push', name, f'docker-archive:{file}')
        with open(file, 'rb') as archive:
            return archive.read()


@pytest.fixture(scope='module', name='buildah')
def _buildah(session_engine):
    directory = tempfile.mkdtemp(prefix='wb.')
    program = Buildah(directory)
    saved = f'{directory}/base.tar'
    session_engine.wherry('save', '-o', saved, session_engine.busybox).ok()
    program('pull', f'docker-archive:{saved}')
    yield program
    shutil.rmtree(directory, ignore_errors=True)


def of_config(config):
    inner = config['config']
    names = ('User', 'Env', 'Entrypoint', 'Cmd', 'WorkingDir', 'ExposedPorts', 'Volumes', 'StopSignal', 'Shell', 'OnBuild',
             'Healthcheck')
    known = {name: inner.get(name) or None for name in names}
    known['Labels'] = {name: value for name, value in (inner.get('Labels') or {}).items()
                       if name != 'io.buildah.version'}
    known['Env'] = sorted(known['Env'] or [])
    if known['WorkingDir'] == '/':
        known['WorkingDir'] = None
    return known


def contexts(directory, name, base):
    """The directories that wherry and buildah build from."""
    text = DOCKERFILES[name]
    made = []
    for kind, dockerfile in zip(('wherry', 'buildah'), text if isinstance(text, tuple) else (text, text), strict=True):
        files = {**FILES, 'Dockerfile': dockerfile.replace('BASE', base)}
        if name == 'ignored files':
            files['.dockerignore'] = IGNORE
        with tarfile.open(fileobj=io.BytesIO(pack(files))) as archive:
            archive.extractall(directory / kind)
        made.append(str(directory / kind))
    return made


def differences(ours, theirs):
    """path or member -> (wherry's, buildah's)"""
    (files, config), (other_files, other_config) = ours, theirs
    for path in RUNTIME:
        files.pop(path, None)
        other_files.pop(path, None)
    mine, other = {**files, **of_config(config)}, {**other_files, **of_config(other_config)}
    return {name: (mine.get(name), other.get(name)) for name in sorted(mine.keys() | other.keys())
            if mine.get(name) != other.get(name)}


def test_there_are_40():
    assert len(DOCKERFILES) >= 40 and DIFFERENT.keys() <= DOCKERFILES.keys()


@pytest.mark.parametrize('name', DOCKERFILES)
def test_the_same(engine, buildah, name, tmp_path):
    image = f'compared{uuid.uuid4().hex[:8]}'
    context, other_context = contexts(tmp_path, name, engine.busybox)
    theirs = []
    beside = threading.Thread(target=lambda: theirs.append(buildah.build(image, '--build-arg', 'Y=given', other_context)))
    beside.start()
    engine.wherry('build', '--no-cache', '--network', 'none', '--build-arg', 'Y=given', '-t', image, context).ok()
    ours = engine.wherry('save', image).ok().raw_out
    engine.wherry('rmi', '-f', image).ok()
    engine.wherry('image', 'prune', '-f').ok()
    beside.join()
    assert theirs, 'buildah failed'
    found = differences(flatten(ours), flatten(theirs[0]))
    expected = DIFFERENT.get(name, {})
    assert found.keys() == expected.keys(), found
