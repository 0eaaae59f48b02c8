"""What wherry compose and docker-compose 1.29 make of the same files, on the same daemon."""

import os

import pytest

from harness import debs
from harness.machine import LocalProcess

pytestmark = pytest.mark.machines('host-net')

FILE = '''
version: "2.4"
x-base: &base
  image: probe
  command: sleep 1000
  stop_grace_period: 2s
services:
  plain:
    <<: *base
  everything:
    <<: *base
    build: .
    command: sh -c "echo 'a b' $$HOME && exec sleep 1000"
    entrypoint: ["/bin/env", "X=${FROM_ENV}", "Y=${UNSET:-default}", "Z=${UNSET-x}$${literal}"]
    environment: {A: b, NUMBER: 5, FLAG: "true", FROM_ENV: , EMPTY: ""}
    env_file: [one.env]
    ports: ["127.0.0.1:8095:80", "8096-8097:90-91", "99/udp"]
    expose: [9000]
    volumes: ["data:/data", "./here:/here:ro", "/anonymous", {type: tmpfs, target: /mem, tmpfs: {size: 1048576}}]
    networks: {default: {aliases: [other]}, back: {ipv4_address: 10.77.0.9}}
    labels: [one=1, two]
    healthcheck: {test: "true", interval: 5s, timeout: 1m, retries: 4, start_period: 1s}
    restart: on-failure:2
    user: "0:0"
    working_dir: /tmp
    hostname: inside
    domainname: example.test
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    read_only: true
    tmpfs: [/run, "/tmp:size=1m"]
    devices: ["/dev/null:/dev/nothing:r"]
    dns: 192.0.2.1
    dns_search: [example.test]
    extra_hosts: ["h:192.0.2.7"]
    group_add: ["7"]
    init: true
    stop_signal: SIGINT
    shm_size: 2m
    sysctls: {net.core.somaxconn: 64}
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 64}
    security_opt: ["no-new-privileges:true"]
    logging: {driver: json-file, options: {max-size: 1m}}
    stdin_open: true
    tty: true
    oom_score_adj: 100
  host:
    <<: *base
    network_mode: host
    pid: host
    ipc: host
  neighbour:
    <<: *base
    network_mode: "service:plain"
networks:
  back: {internal: true, ipam: {config: [{subnet: 10.77.0.0/24}]}}
volumes:
  data: {labels: {kind: test}}
'''

# Created only: the host may lack controllers.
LIMITS = '''
version: "2.4"
services:
  limits:
    image: probe
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 128m
    cpus: 0.5
    cpu_shares: 512
    pids_limit: 50
    cpuset: "0"
    oom_kill_disable: false
'''

# What has to differ: identities, times, and what each client writes about itself.
OWN = ('Id', 'Created', 'Name', 'LogPath', 'ResolvConfPath', 'HostnamePath', 'HostsPath', 'State', 'GraphDriver')


SETTINGS = {'COMPOSE_PROJECT_NAME': 'cmp', 'FROM_ENV': 'from env', 'COMPOSE_INTERACTIVE_NO_CLI': '1'}


@pytest.fixture(name='engine')
def _engine(machine, new_engine, registry):
    machine.reach(registry.port)
    engine = new_engine(new_engine.trust(registry.name), network='bridge')
    engine.login(registry.name)
    engine.wherry('pull', '-q', f'{registry.name}/probe', timeout=120).ok()
    engine.wherry('tag', f'{registry.name}/probe', 'probe').ok()
    yield engine
    engine.remove_containers()
    engine.wherry('network', 'prune', '-f').ok()
    engine.assert_nothing_left()


def containers_of(engine, separator):
    """What there is of the project, by service, without what has to differ."""
    found = {}
    rows = [engine.inspect(one) for one in engine.containers()]
    names = {row['Id']: row['Name'][1:].split(separator)[1] for row in rows}
    for row in rows:
        service = names[row['Id']]
        for key in OWN:
            row.pop(key, None)
        config, host = row['Config'], row['HostConfig']
        config['Labels'] = {key: value for key, value in config['Labels'].items() if not key.startswith('com.docker.compose')}
        config['Env'] = sorted(config['Env'])
        if service != 'everything':
            config.pop('Hostname')
        other = host['NetworkMode'].removeprefix('container:')
        host['NetworkMode'] = names.get(other, host['NetworkMode'])
        # The same mounts, whichever way they were asked for.
        row['Mounts'] = sorted((one['Type'], one['Destination'], one['RW'],
                                one.get('Name', '') if len(one.get('Name', '')) < 64 else 'anonymous')
                               for one in row['Mounts'])
        for key in ('Binds', 'Mounts'):
            host.pop(key, None)
        for key in ('Volumes', 'AttachStdout', 'AttachStderr', 'AttachStdin', 'StdinOnce'):
            config.pop(key, None)
        networks = row.pop('NetworkSettings')['Networks']
        row['Networks'] = {name: sorted(set(one['Aliases'] or []) & {'everything', 'other', 'plain'})
                           for name, one in networks.items()}
        row['Address'] = networks.get('cmp_back', {}).get('IPAddress')
        found[service] = row
    return found


@pytest.fixture(name='docker_compose')
def _docker_compose(engine, tmp_path):
    env = debs.environment_with('docker-compose')
    tree = next(part for part in env['PATH'].split(':') if '/tools/' in part).rsplit('/usr/', 1)[0]
    env = {**os.environ, **env, 'PYTHONPATH': f'{tree}/usr/lib/python3/dist-packages', 'PYTHONDONTWRITEBYTECODE': '1',
           **engine.docker_env(), 'PATH': env['PATH'], **SETTINGS}
    (tmp_path / 'Dockerfile').write_text('FROM probe\n', 'utf-8')
    (tmp_path / 'one.env').write_text('FILE=f\nA=hidden\n', 'utf-8')
    (tmp_path / 'here').mkdir()

    def run(*args):
        process = LocalProcess(['docker-compose', '--no-ansi', *args], env=env, cwd=tmp_path)
        process.close_input()
        return process.result(['docker-compose', *args], 120)
    return run


@pytest.mark.parametrize('text, option', [(FILE, '-d'), (LIMITS, '--no-start')], ids=['started', 'created'])
def test_same_containers(engine, docker_compose, tmp_path, text, option):
    (tmp_path / 'docker-compose.yml').write_text(text, 'utf-8')
    engine.wherry('tag', 'probe', 'cmp_everything').ok()
    engine.wherry('tag', 'probe', 'cmp-everything').ok()
    docker_compose('up', option, '--no-build').ok()
    theirs = containers_of(engine, '_')
    docker_compose('down', '-v', '-t', '0').ok()
    compose = ['compose', '-f', tmp_path / 'docker-compose.yml']
    engine.wherry(*compose, 'up', option, '--no-build', env=SETTINGS, timeout=120).ok()
    ours = containers_of(engine, '-')
    # Each finds and ends what the other has made.
    assert len(docker_compose('ps', '-q').ok().out.split()) == len(ours)
    docker_compose('down', '-v', '-t', '0').ok()
    assert engine.containers() == [] and engine.wherry('volume', 'ls', '-q').ok().out == ''
    assert 'cmp_' not in engine.wherry('network', 'ls').ok().out
    docker_compose('up', option, '--no-build').ok()
    engine.wherry(*compose, 'down', '-v', '-t', '0', env=SETTINGS).ok()
    assert engine.containers() == [] and engine.wherry('volume', 'ls', '-q').ok().out == ''
    assert 'cmp_' not in engine.wherry('network', 'ls').ok().out
    for row in (theirs, ours):
        row.get('everything', {'Config': {'Image': ''}})['Config'].pop('Image')  # named after the project
    assert ours.keys() == theirs.keys()
    for service, row in ours.items():
        for part, value in row.items():
            if isinstance(value, dict):
                wrong = {key: (value.get(key), theirs[service][part].get(key)) for key in value.keys() | theirs[service][part].keys()
                         if value.get(key) != theirs[service][part].get(key)}
                assert wrong == {}, f'{service}.{part}: (wherry, docker-compose)'
        assert row == theirs[service]
