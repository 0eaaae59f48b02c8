"""save and load, among ourselves and with other tools."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time

import pytest

from engine import docker_program
from harness import debs, oci

pytestmark = pytest.mark.machines('host')

BUSYBOX = 'archive.test/busybox:1'
PROBE = 'archive.test/probe:2'


def entries_of(archive):
    """Name -> content of the files of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar if info.isreg()}


def diff_ids(engine, name):
    return engine.inspect(name)['RootFS']['Layers']


def tags(engine):
    text = engine.wherry('images', '--format', 'json').ok().out
    return sorted(tag for line in text.splitlines() for tag in json.loads(line)['RepoTags'])


@pytest.fixture(scope='module', name='saved')
def fixture_saved(session_engine):
    """An archive with two images that share a layer, and the engine it is from."""
    session_engine.wherry('tag', session_engine.busybox, BUSYBOX).ok()
    session_engine.wherry('tag', session_engine.probe, PROBE).ok()
    yield session_engine.wherry('save', BUSYBOX, PROBE).ok().raw_out
    session_engine.wherry('rmi', BUSYBOX, PROBE).ok()


def test_what_an_archive_contains(session_engine, saved):
    files = entries_of(saved)
    assert json.loads(files['oci-layout']) == {'imageLayoutVersion': '1.0.0'}
    for name, content in files.items():
        if name.startswith('blobs/'):
            assert name == 'blobs/' + oci.digest_of(content).replace(':', '/')
    docker = json.loads(files['manifest.json'])
    assert [image['RepoTags'] for image in docker] == [[BUSYBOX], [PROBE]]
    assert len(docker[1]['Layers']) == 2 and docker[0]['Layers'][0] in docker[1]['Layers']
    index = json.loads(files['index.json'])
    for image, listed in zip(docker, index['manifests']):
        manifest = json.loads(files['blobs/' + listed['digest'].replace(':', '/')])
        assert image['Config'].endswith(manifest['config']['digest'][7:])
        for layer, path in zip(manifest['layers'], image['Layers']):
            assert len(files[path]) == layer['size']
            assert path.endswith(layer['digest'][7:])
        assert listed['annotations'] == {
            'io.containerd.image.name': image['RepoTags'][0],
            'org.opencontainers.image.ref.name': image['RepoTags'][0].split(':')[1]}
        assert [f'sha256:{path[13:]}' for path in image['Layers']] == \
            diff_ids(session_engine, image['RepoTags'][0])
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        assert len(tar.getnames()) == len(set(tar.getnames()))


def test_saving_is_reproducible(session_engine, saved):
    assert session_engine.wherry('save', BUSYBOX, PROBE).ok().raw_out == saved


def test_load_into_another_engine(session_engine, fresh_engine, saved):
    out = fresh_engine.wherry('load', input=saved).ok().out
    assert out == f'Loaded image: {BUSYBOX}\nLoaded image: {PROBE}\n'
    for name in (BUSYBOX, PROBE):
        mine, theirs = session_engine.inspect(name), fresh_engine.inspect(name)
        assert theirs['Id'] == mine['Id'] and theirs['RootFS'] == mine['RootFS']
    assert fresh_engine.wherry('run', '--rm', '--network', 'none', PROBE, 'echo',
                               'hello').ok().out == 'hello\n'
    assert fresh_engine.wherry('save', BUSYBOX, PROBE).ok().raw_out == saved
    # Once more changes nothing.
    fresh_engine.wherry('load', '-q', input=saved).ok()
    assert len(fresh_engine.images()) == 2


def test_files(session_engine, fresh_engine, saved, tmp_path):
    file = tmp_path / 'images.tar'
    session_engine.wherry('save', '-o', file, BUSYBOX, PROBE).ok()
    assert file.read_bytes() == saved
    out = fresh_engine.wherry('load', '-q', '-i', file).ok().out
    assert out == f'Loaded image: {BUSYBOX}\nLoaded image: {PROBE}\n'
    assert tags(fresh_engine) == [BUSYBOX, PROBE]
    assert os.listdir(tmp_path) == ['images.tar']


def test_docker_saves_and_loads(session_engine, fresh_engine, saved, docker_major, tmp_path):
    file = tmp_path / 'docker.tar'
    session_engine.docker('save', '-o', file, BUSYBOX, PROBE).ok()
    assert file.read_bytes() == saved
    out = fresh_engine.docker('load', '-i', file).ok().out
    assert f'Loaded image: {BUSYBOX}' in out and f'Loaded image: {PROBE}' in out
    assert tags(fresh_engine) == [BUSYBOX, PROBE]


def test_pipe_from_docker_save_to_docker_load(session_engine, fresh_engine, saved, docker_major):
    hosts = [engine.docker_env()['DOCKER_HOST'] for engine in (session_engine, fresh_engine)]
    script = f'{docker_program()[0]} -H "$1" save {PROBE} | {docker_program()[0]} -H "$2" load'
    # Into another engine, and into the one it comes from.
    for target in (hosts[1], hosts[0]):
        done = subprocess.run(['sh', '-c', script, 'sh', hosts[0], target], check=True, timeout=60,
                              capture_output=True, text=True, env=session_engine.docker_env())
        assert done.stdout == f'Loaded image: {PROBE}\n' and done.stderr == ''
    assert diff_ids(fresh_engine, PROBE) == diff_ids(session_engine, PROBE)
    assert len(session_engine.images()) == 2


@pytest.mark.parametrize('program', ['gzip', 'zstd'])
def test_compressed_archives(fresh_engine, saved, program):
    packed = subprocess.run([program, '-q', '-1', '-c'], input=saved, check=True,
                            capture_output=True).stdout
    fresh_engine.wherry('load', input=packed).ok()
    assert tags(fresh_engine) == [BUSYBOX, PROBE]


def test_a_name_without_tag_is_all_tags(session_engine, saved):
    session_engine.wherry('tag', session_engine.probe, 'archive.test/busybox:other').ok()
    try:
        files = entries_of(session_engine.wherry('save', 'archive.test/busybox').ok().raw_out)
        listed = [tag for image in json.loads(files['manifest.json']) for tag in image['RepoTags']]
        assert sorted(listed) == [BUSYBOX, 'archive.test/busybox:other']
    finally:
        session_engine.wherry('rmi', 'archive.test/busybox:other').ok()


def test_an_image_without_name(session_engine, fresh_engine, saved):
    identity = session_engine.inspect(BUSYBOX)['Id']
    archive = session_engine.wherry('save', identity).ok().raw_out
    out = fresh_engine.wherry('load', input=archive).ok().out
    assert out == f'Loaded image ID: {identity}\n'
    assert fresh_engine.images() == [identity]


# Other tools

def skopeo(*args):
    done = subprocess.run(['skopeo', '--insecure-policy', *map(str, args)], check=False,
                          capture_output=True, text=True, env=debs.environment_with('skopeo'))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('kind', ['docker-archive', 'oci-archive'])
def test_skopeo_reads_what_we_save(session_engine, saved, tmp_path, kind):
    file = tmp_path / 'saved.tar'
    session_engine.wherry('save', '-o', file, PROBE).ok()
    skopeo('copy', f'{kind}:{file}', f'dir:{tmp_path}/out')
    manifest = json.loads((tmp_path / 'out/manifest.json').read_bytes())
    config = (tmp_path / 'out' / manifest['config']['digest'][7:]).read_bytes()
    assert json.loads(config)['rootfs']['diff_ids'] == diff_ids(session_engine, PROBE)


@pytest.mark.parametrize('kind', ['docker-archive', 'oci-archive'])
def test_we_load_what_skopeo_writes(session_engine, fresh_engine, saved, tmp_path, kind):
    file, other = tmp_path / 'saved.tar', tmp_path / 'other.tar'
    session_engine.wherry('save', '-o', file, PROBE).ok()
    skopeo('copy', f'docker-archive:{file}', f'{kind}:{other}:{PROBE}')
    assert fresh_engine.wherry('load', '-i', other).ok().out == f'Loaded image: {PROBE}\n'
    assert diff_ids(fresh_engine, PROBE) == diff_ids(session_engine, PROBE)
    assert fresh_engine.wherry('run', '--rm', '--network', 'none', PROBE, 'echo',
                               'hello').ok().out == 'hello\n'


@pytest.fixture(name='podman')
def fixture_podman():
    """podman with a store of its own."""
    place = tempfile.mkdtemp(prefix='wp.')  # podman wants short names
    env = {**debs.environment_with('podman'), **debs.home_that_trusts_all(place)}
    base = ['podman', '--root', f'{place}/root', '--runroot', f'{place}/run', '--tmpdir',
            f'{place}/tmp', '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs',
            '--events-backend', 'none']

    def run(*args):
        done = subprocess.run([*base, *args], check=False, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    shutil.rmtree(place)


def test_podman_loads_and_saves(session_engine, fresh_engine, saved, podman, tmp_path):
    file = tmp_path / 'saved.tar'
    file.write_bytes(saved)
    assert f'Loaded image: {PROBE}' in podman('load', '-i', file)
    identity = podman('image', 'inspect', '--format', '{{.Id}}', PROBE).strip()
    assert f'sha256:{identity}' == session_engine.inspect(PROBE)['Id']
    for form in ('docker-archive', 'oci-archive'):
        other = tmp_path / form
        podman('save', '-q', '--format', form, '-o', other, PROBE)
        # Each form has a configuration of its own, so the second takes the name over.
        out = fresh_engine.wherry('load', '-i', other).ok().out
        assert out.endswith(f'Loaded image: {PROBE}\n')
        assert diff_ids(fresh_engine, PROBE) == diff_ids(session_engine, PROBE)


@pytest.fixture(name='dockerd')
def fixture_dockerd():
    """Debian's Docker engine, older than the archives it is given; runs its client."""
    place = tempfile.mkdtemp(prefix='wd.')
    env = {**debs.environment_with('docker.io'), 'DOCKER_HOST': f'unix://{place}/s',
           'DOCKER_CONFIG': place}
    command = ['dockerd', '--data-root', f'{place}/data', '--exec-root', f'{place}/exec',
               '--pidfile', f'{place}/pid', '-H', f'unix://{place}/s', '--storage-driver', 'vfs',
               '--iptables=false', '--bridge=none', '--log-level', 'error']

    def run(*args, **options):
        return subprocess.run(['docker', *args], check=False, capture_output=True,
                              text=True, env=env, **options)

    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as daemon:
        try:
            deadline = time.monotonic() + 40
            while run('version').returncode != 0:
                assert daemon.poll() is None and time.monotonic() < deadline, 'dockerd does not start'
                time.sleep(0.2)
            yield run
        finally:
            daemon.terminate()
    shutil.rmtree(place, ignore_errors=True)


def test_docker_engine_loads_and_saves(session_engine, fresh_engine, saved, dockerd, tmp_path):
    file, back = tmp_path / 'saved.tar', tmp_path / 'back.tar'
    file.write_bytes(saved)
    loaded = dockerd('load', '-i', str(file))
    assert f'Loaded image: {PROBE}' in loaded.stdout, loaded.stderr
    identity = dockerd('image', 'inspect', '--format', '{{.Id}}', PROBE).stdout.strip()
    assert identity == session_engine.inspect(PROBE)['Id']
    done = dockerd('save', '-o', str(back), BUSYBOX, PROBE)
    assert done.returncode == 0, done.stderr
    out = fresh_engine.wherry('load', '-i', back).ok().out
    assert sorted(out.splitlines()) == [f'Loaded image: {BUSYBOX}', f'Loaded image: {PROBE}']
    assert fresh_engine.inspect(PROBE)['Id'] == identity
    assert fresh_engine.wherry('save', BUSYBOX, PROBE).ok().raw_out == saved
