"""Other clients of Docker's API: docker-compose 1.29 and the Python library from Debian's packages, dockerode from npm's."""

import os
import shutil
import subprocess
import textwrap

import pytest

from harness import debs, paths
from harness import registry as registries
from harness.machine import LocalProcess

pytestmark = [pytest.mark.machines('host-net'), pytest.mark.usefixtures('valid_answers')]

DOCKERODE = 'dockerode@5.0.1'

COMPOSE = '''
version: "2.4"
services:
  web:
    image: {probe}
    command: netprobe serve 80 page
    ports: ["8090:80"]
    environment: {{A: b}}
    volumes: ["data:/data"]
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
  worker:
    image: {probe}
    command: sh -c "echo got $$(netprobe get web 80); sleep 1000"
    depends_on: {{web: {{condition: service_healthy}}}}
volumes:
  data: {{labels: {{kind: test}}}}
'''


@pytest.fixture(scope='module', name='tools')
def _tools():
    """The environment of the clients."""
    env = debs.environment_with('docker-compose')
    tree = next(part for part in env['PATH'].split(':') if '/tools/' in part).rsplit('/usr/', 1)[0]
    return {**env, 'PYTHONPATH': f'{tree}/usr/lib/python3/dist-packages', 'PYTHONDONTWRITEBYTECODE': '1'}


@pytest.fixture(name='net')
def _net(machine, new_engine, registry):
    machine.reach(registry.port)
    engine = new_engine(new_engine.trust(registry.name), network='bridge')
    engine.login(registry.name)
    engine.probe = f'{registry.name}/probe'
    engine.wherry('pull', '-q', engine.probe, timeout=120).ok()
    engine.wherry('tag', engine.probe, 'probe').ok()
    yield engine
    engine.remove_containers()
    engine.wherry('network', 'prune', '-f').ok()
    engine.assert_nothing_left()


@pytest.fixture(name='compose')
def _compose(net, tools, tmp_path):
    (tmp_path / 'docker-compose.yml').write_text(COMPOSE.format(probe='probe'), 'utf-8')
    env = {**os.environ, **tools, **net.docker_env(), 'PATH': tools['PATH'], 'COMPOSE_PROJECT_NAME': 'shop',
           'COMPOSE_INTERACTIVE_NO_CLI': '1'}

    def run(*args):
        process = LocalProcess(['docker-compose', '--no-ansi', *args], env=env, cwd=tmp_path)
        process.close_input()
        return process.result(['docker-compose', *args], 120)
    return run


def test_compose(net, compose):
    compose('up', '-d').ok()
    names = {line.split()[0] for line in compose('ps').ok().out.splitlines()[2:]}
    assert names == {'shop_web_1', 'shop_worker_1'}
    net.machine.wait_for(lambda: "got page" in compose('logs', '--no-color', 'worker').ok().out, 'the worker got the page')
    assert compose('exec', '-T', 'web', 'sh', '-c', 'echo $A').ok().out == 'b\n'
    assert net.inspect('shop_web_1')['NetworkSettings']['Networks'].keys() == {'shop_default'}
    compose('up', '-d', '--scale', 'worker=2').ok()
    assert len(compose('ps', '-q').ok().out.split()) == 3
    compose('restart', '-t', '0', 'web').ok()
    assert 'shop_data' in net.wherry('volume', 'ls', '-q').ok().out
    compose('down', '-v', '-t', '0').ok()
    assert net.containers() == []
    assert 'shop_default' not in net.wherry('network', 'ls').ok().out
    assert net.wherry('volume', 'ls', '-q').ok().out == ''


SCRIPT = '''
    import docker, io, sys, tarfile
    client = docker.from_env(timeout=60)
    assert client.ping() and client.version()['ApiVersion']
    image = client.images.pull('REGISTRY/probe', 'latest', auth_config={'username': 'USER', 'password': 'PASSWORD'})
    assert image.id == client.images.get('probe').id
    image = client.images.get('probe')
    box = client.containers.run('probe', 'echo hello', remove=True)
    assert box == b'hello\\n', box
    box = client.containers.run('probe', ['sh', '-c', 'echo ready; sleep 1000'], detach=True, name='box',
                                ports={'80/tcp': ('127.0.0.1', 8091)}, labels={'a': 'b'})
    box.reload()
    assert box.status == 'running' and box.ports['80/tcp'][0]['HostPort'] == '8091'
    # The library loses what arrives together with the head of the answer: it reads past its own buffer.
    code, out = box.exec_run(['sh', '-c', 'sleep 0.3; echo in; exit 3'])
    assert (code, out) == (3, b'in\\n'), (code, out)
    code, (out, err) = box.exec_run(['sh', '-c', 'sleep 0.3; echo o; echo e >&2'], demux=True)
    assert (out, err) == (b'o\\n', b'e\\n')
    assert box.logs() == b'ready\\n'
    stats = box.stats(stream=False)
    assert stats['cpu_stats']['cpu_usage']['total_usage'] > 0 and 'eth0' in stats['networks']
    assert 'sleep 1000' in str(box.top())
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode='w') as tar:
        member = tarfile.TarInfo('made'); member.size = 4
        tar.addfile(member, io.BytesIO(b'made'))
    assert box.put_archive('/tmp', archive.getvalue())
    data, stat = box.get_archive('/tmp/made')
    assert stat['name'] == 'made' and b'made' in b''.join(data)
    assert {'Path': '/tmp/made', 'Kind': 1} in box.diff()
    committed = box.commit('kept', tag='1', message='m')
    assert committed.tags == ['kept:1']
    network = client.networks.create('mine', driver='bridge', labels={'x': 'y'})
    network.connect(box, aliases=['other'])
    network.reload()
    assert [one.name for one in network.containers] == ['box']
    network.disconnect(box); network.remove()
    volume = client.volumes.create('vol', labels={'x': 'y'})
    assert [one.name for one in client.volumes.list(filters={'label': 'x=y'})] == ['vol']
    volume.remove()
    built, log = client.images.build(fileobj=io.BytesIO(b'FROM probe\\nRUN echo built > /built\\n'), tag='built:1', rm=True)
    assert client.containers.run('built:1', 'cat /built', remove=True) == b'built\\n'
    events = client.events(decode=True)
    box.pause(); box.unpause(); box.restart(timeout=0); box.rename('renamed')
    seen = []
    for event in events:
        seen.append(event['Action'])
        if event['Action'] == 'rename':
            break
    events.close()
    assert [one for one in seen if one in ('pause', 'unpause', 'die', 'restart', 'rename')] == \\
        ['pause', 'unpause', 'die', 'restart', 'rename'], seen
    box.kill(); assert box.wait()['StatusCode'] == 137
    box.remove(); client.images.remove('built:1'); client.images.remove('kept:1')
    try:
        client.containers.get('renamed')
    except docker.errors.NotFound as error:
        assert 'No such container: renamed' in str(error)
    else:
        sys.exit('found what is gone')
    print('done')
'''


def test_docker_py(net, tools, registry):
    script = textwrap.dedent(SCRIPT).replace('REGISTRY', registry.name).replace('USER', registries.USER) \
        .replace('PASSWORD', registries.PASSWORD)
    process = LocalProcess(['/usr/bin/python3', '-c', script],
                           env={**os.environ, **tools, **net.docker_env(), 'PATH': tools['PATH']})
    process.close_input()
    assert process.result(['docker-py'], 120).ok().out == 'done\n'


@pytest.fixture(scope='module', name='dockerode')
def _dockerode():
    """The directory of node's modules with dockerode, installed once into the cache."""
    if not shutil.which('npm'):
        pytest.skip('npm is not installed')
    place = paths.cache_dir('npm')
    target = place / DOCKERODE.replace('@', '-')
    with paths.locked(place):
        if not target.exists():
            with paths.replacing(target) as temporary:
                (temporary / 'package.json').write_text('{}', 'utf-8')
                subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', DOCKERODE], cwd=temporary,
                               check=True, capture_output=True, timeout=300)
    return target / 'node_modules'


def test_dockerode(net, dockerode, registry):
    env = {**os.environ, **net.docker_env(), 'NODE_PATH': str(dockerode), 'IMAGE': f'{registry.name}/probe',
           'USER_NAME': registries.USER, 'PASSWORD': registries.PASSWORD}
    script = paths.TESTS / 'system/dockerode.js'
    process = LocalProcess(['node', str(script)], env=env)
    process.close_input()
    assert process.result(['dockerode'], 120).ok().out == 'done\n'
