"""Dockerfiles built by wherry and by podman (buildah): the same files, the same configuration."""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import uuid

import pytest

from test_build import hard_link, link, pack

pytestmark = [pytest.mark.machines('host'),
              pytest.mark.skipif(not shutil.which('podman'), reason='podman is not installed')]

FILES = {'file': 'content\n', 'dir/one': '1', 'dir/two': '2', 'dir/sub/three': '3', 'dir/link': link('one'),
         'a.txt': 'a', 'b.txt': 'b', 'dir/hard': hard_link('dir/one')}
FILES['archive.tar'] = pack({'in/file': 'inside', 'in/link': link('file'), 'in/hard': hard_link('in/file')})

DOCKERFILES = {
    'configuration': '''FROM BASE
ENV A=1 B="two words" C='$A'
ENV D=$A-${B:-none} E=${NONE:+x}y
ENV PATH=$PATH:/more
LABEL l=1 "quoted name"="a b" m=$A
EXPOSE 80 90/udp
VOLUME ["/v1", "/v2"]
STOPSIGNAL SIGQUIT
USER 1:2
WORKDIR /w
COPY file ./
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo hi"]
''',
    'shell forms': 'FROM BASE\nENTRYPOINT echo $A\nCMD echo hi\n',
    'entrypoint resets cmd': 'FROM BASE\nCMD ["a"]\nENTRYPOINT ["b"]\n',
    'arguments': 'ARG G=g\nFROM BASE\nARG G\nARG X=x$G\nARG Y\nRUN echo "$G $X $Y" > /out\nENV X=env\nRUN echo $X >> /out\n',
    'run': '''FROM BASE
RUN mkdir -p /a/b && echo x > /a/b/c && ln /a/b/c /a/hard && ln -s b/c /a/soft
RUN rm /a/b/c && echo y > /a/b/d && chmod 4711 /a/b/d && chown 3:4 /a/b/d
RUN mkdir /old && echo x > /old/x
RUN rm -rf /old && mkdir /old && echo z > /old/z
RUN mv /a /moved
''',
    'copy files': 'FROM BASE\nCOPY file /one\nCOPY file a.txt /dir/\nCOPY *.txt /txt/\nWORKDIR /w\nCOPY file .\nCOPY file ./b/\n',
    'copy directories': 'FROM BASE\nRUN mkdir -p /to/sub && echo old > /to/one\nCOPY dir /to\nCOPY dir/sub /new/place\nCOPY dir/ /dir/\n',
    'copy with metadata': 'FROM BASE\nCOPY --chown=5:6 dir /d\nCOPY --chmod=600 file /f\nCOPY --chown=7 a.txt /g\n',
    'copy over links': 'FROM BASE\nRUN mkdir /real && ln -s /real /way\nCOPY file /way/file\nCOPY dir /way/dir\n',
    'add': 'FROM BASE\nADD archive.tar /unpacked\nADD file archive.tar /both/\n',
    'stages': '''FROM BASE AS one
RUN mkdir /made && echo 1 > /made/file && chown 8:9 /made/file
FROM one AS two
RUN echo 2 >> /made/file
FROM BASE
COPY --from=two /made /made
COPY --from=0 /made/file /first
''',
    'workdir': 'FROM BASE\nWORKDIR /a\nWORKDIR b/c\nENV D=d\nWORKDIR $D\nRUN pwd > out\n',
    'user': 'FROM BASE\nRUN mkdir /home2 && chown 10:11 /home2\nUSER 10:11\nWORKDIR /home2\nRUN id -u > out\nCOPY file /home2/\n',
    'comments': '# escape=`\nFROM BASE\n# a comment\nRUN echo one `\n# inside\n  two > /out\n',
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
        files[path] = (entry.type, mode, entry.uid, entry.gid, content)


RUNTIME = {'dev', 'proc', 'sys', 'etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'run', 'run/.containerenv',
           'dev/console', 'dev/shm', 'dev/pts', 'dev/mqueue'}


class Podman:
    def __init__(self, directory):
        self.options = ['--root', f'{directory}/root', '--runroot', f'{directory}/run', '--storage-driver', 'vfs',
                        '--cgroup-manager', 'cgroupfs']
        self.env = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(directory), 'TMPDIR': str(directory)}

    def __call__(self, *args, input=None):
        result = subprocess.run(['podman', *self.options, *args], input=input, capture_output=True, check=False,
                                env=self.env)
        assert result.returncode == 0, (args, result.stdout, result.stderr)
        return result.stdout


@pytest.fixture(scope='module')
def podman(session_engine):
    directory = tempfile.mkdtemp(prefix='wp.', dir='/tmp')  # podman wants less than 50 characters
    program = Podman(directory)
    saved = f'{directory}/base.tar'
    session_engine.wherry('save', '-o', saved, session_engine.busybox).ok()
    program('load', '-i', saved)
    yield program
    shutil.rmtree(directory, ignore_errors=True)


def of_config(config):
    inner = config['config']
    names = ('User', 'Env', 'Entrypoint', 'Cmd', 'WorkingDir', 'ExposedPorts', 'Volumes', 'StopSignal', 'Shell', 'OnBuild')
    known = {name: inner.get(name) or None for name in names}
    known['Labels'] = {name: value for name, value in (inner.get('Labels') or {}).items()
                       if name != 'io.buildah.version'}
    known['Env'] = sorted(known['Env'])
    if known['WorkingDir'] == '/':
        known['WorkingDir'] = None
    return known


@pytest.mark.parametrize('name', DOCKERFILES)
def test_the_same(engine, podman, name, tmp_path):
    text = DOCKERFILES[name].replace('BASE', engine.busybox)
    context = tmp_path / 'context'
    with tarfile.open(fileobj=io.BytesIO(pack({**FILES, 'Dockerfile': text}))) as archive:
        archive.extractall(context)
    image = f'compared{uuid.uuid4().hex[:8]}'
    args = ['--no-cache', '--build-arg', 'Y=given', '-t', image, str(context)]
    engine.wherry('build', '--network', 'none', *args).ok()
    podman('build', '--isolation', 'chroot', '--format', 'docker', *args)
    ours, our_config = flatten(engine.wherry('save', image).ok().raw_out)
    theirs, their_config = flatten(podman('save', '--format', 'docker-archive', image))
    engine.wherry('rmi', '-f', image).ok()
    engine.wherry('image', 'prune', '-f').ok()
    podman('rmi', '-f', image)
    for path in RUNTIME:
        ours.pop(path, None)
        theirs.pop(path, None)
    differing = {path: (ours.get(path), theirs.get(path)) for path in ours.keys() | theirs.keys()
                 if ours.get(path) != theirs.get(path)}
    assert differing == {}
    assert of_config(our_config) == of_config(their_config)
