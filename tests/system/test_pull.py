"""Pulling images that are as they should be, from registries that work."""

import base64
import json
import threading
import urllib.request

import pytest

from engine import OTHER, REGISTRY
from harness import faulty, oci
from harness import registry as registries
from images import reference

pytestmark = pytest.mark.machines('host', 'vm')


def small_image(arch, text='content\n', **options):
    """A one-layer image that is cheap to pull."""
    tar = oci.tar([oci.entry('file', data=text.encode())])
    return oci.image([oci.layer(tar)], arch, **options)


def test_login_pull_images_inspect_rmi(fresh_engine, registry):
    engine, name = fresh_engine, f'{registry.name}/busybox'
    engine.wherry('pull', name).fails(1, 'login|unauthorized|authentication|denied')
    engine.login(registry.name)
    engine.wherry('pull', name).ok()
    image = reference.load('busybox')['latest']
    listed = json.loads(engine.wherry('images', '--format', 'json').ok().out)
    assert name in json.dumps(listed)
    detail = engine.inspect(name)
    manifest = next(part for part in image.parts
                    if json.loads(part.parts[0].data)['architecture'] == engine.machine.oci_arch)
    assert detail['Id'] == manifest.parts[0].digest
    assert detail['RepoTags'] == [f'{name}:latest']
    assert detail['RepoDigests'] == [f'{name}@{image.digest}']
    assert (detail['Os'], detail['Architecture']) == ('linux', engine.machine.oci_arch)
    assert detail['RootFS']['Layers'] == [part.diff_id for part in manifest.parts[1:]]
    assert detail['Config']['Cmd'] == ['sh']
    engine.wherry('rmi', name).ok()
    assert engine.images() == []
    left = [path for path in engine.store_files() if '/tree/' in path or '/img/' in path]
    assert left == [], 'the store still has files'


@pytest.mark.parametrize('tag', ['latest', 'zstd', 'plain', 'docker'])
def test_every_form_of_an_image_runs(fresh_engine, registry, tag):
    fresh_engine.login(registry.name)
    result = fresh_engine.wherry('run', '--rm', f'{registry.name}/busybox:{tag}', 'echo', tag).ok()
    assert result.out == f'{tag}\n'


def test_single_manifest_without_an_index(fresh_engine, registry):
    fresh_engine.login(registry.name)
    name = f'{registry.name}/hello:only-{fresh_engine.machine.arch}'
    assert fresh_engine.wherry('run', '--rm', name).ok().out == 'Hello from wherry\n'


def test_run_pulls_what_is_missing(fresh_engine, registry):
    fresh_engine.login(registry.name)
    result = fresh_engine.wherry('run', '--rm', f'{registry.name}/hello').ok()
    assert result.out == 'Hello from wherry\n'


def test_pull_by_digest(fresh_engine, registry):
    fresh_engine.login(registry.name)
    image = reference.load('hello')['latest']
    name = f'{registry.name}/hello@{image.digest}'
    fresh_engine.wherry('pull', name).ok()
    assert fresh_engine.wherry('run', '--rm', name).ok().out == 'Hello from wherry\n'


def test_second_pull_fetches_no_layer(fresh_engine, faulty_registry):
    name = f'{faulty_registry.name}/thing'
    faulty_registry.add('thing', 'latest', small_image(fresh_engine.machine.arch))
    fresh_engine.wherry('pull', name).ok()
    before = len(faulty_registry.seen('GET .*/blobs/'))
    again = fresh_engine.wherry('pull', name).ok()
    assert 'up to date' in again.out
    assert len(faulty_registry.seen('GET .*/blobs/')) == before


def test_tag_that_moved_is_pulled_again(fresh_engine, faulty_registry):
    engine, name = fresh_engine, f'{faulty_registry.name}/thing'
    arch = engine.machine.arch
    faulty_registry.add('thing', 'latest', small_image(arch, 'old'))
    engine.wherry('pull', name).ok()
    first = engine.inspect(name)['Id']
    faulty_registry.add('thing', 'latest', small_image(arch, 'new'))
    engine.wherry('pull', name).ok()
    assert engine.inspect(name)['Id'] != first
    assert len(engine.images()) == 2


def test_layer_that_is_there_is_not_fetched_again(fresh_engine, faulty_registry):
    arch = fresh_engine.machine.arch
    shared = oci.layer(oci.tar([oci.entry('shared', data=b'x' * 5000)]))
    for tag in ('a', 'b'):
        own = oci.layer(oci.tar([oci.entry(tag, data=b'y')]))
        faulty_registry.add('thing', tag, oci.image([shared, own], arch))
        fresh_engine.wherry('pull', f'{faulty_registry.name}/thing:{tag}').ok()
    assert len(faulty_registry.seen(f'GET .*/blobs/{shared.digest}')) == 1


def test_two_pulls_at_the_same_time(fresh_engine, registry):
    fresh_engine.login(registry.name)
    names = [f'{registry.name}/busybox:latest', f'{registry.name}/busybox:latest',
             f'{registry.name}/probe']
    clients = [fresh_engine.start_wherry('pull', '-q', name) for name in names]
    assert [client.wait(60 * fresh_engine.machine.slow) for client in clients] == [0, 0, 0]
    out = fresh_engine.wherry('run', '--rm', names[0], 'echo', 'fine').ok().out
    assert out == 'fine\n'


def test_tag_gives_a_second_name(fresh_engine, registry):
    engine = fresh_engine
    engine.login(registry.name)
    engine.wherry('pull', f'{registry.name}/hello').ok()
    engine.wherry('tag', f'{registry.name}/hello', 'own/name:v1').ok()
    assert engine.wherry('run', '--rm', '--pull', 'never', 'own/name:v1').ok()
    engine.wherry('rmi', f'{registry.name}/hello').ok()
    assert engine.wherry('run', '--rm', '--pull', 'never', 'own/name:v1').ok()
    engine.wherry('rmi', 'own/name:v1').ok()
    assert engine.images() == []


def test_progress_bars_only_on_a_terminal(fresh_engine, registry):
    fresh_engine.login(registry.name)
    plain = fresh_engine.wherry('pull', f'{registry.name}/busybox:latest').ok()
    assert '\x1b[' not in plain.out + plain.err
    client = fresh_engine.start_wherry('pull', f'{registry.name}/probe', tty=(24, 100))
    assert client.wait(60 * fresh_engine.machine.slow) == 0
    assert b'\x1b[' in client.out or b'\r' in client.out.replace(b'\r\n', b'\n')


# Registries without TLS

def test_plain_http_on_loopback(new_engine, plain_registry):
    if new_engine.machine.registry_host != '127.0.0.1':
        pytest.skip('the registry is not on the loopback of this machine')
    name = f'127.0.0.1:{plain_registry.port}/hello'
    assert new_engine().wherry('run', '--rm', name).ok().out == 'Hello from wherry\n'


def test_plain_http_of_a_listed_registry(new_engine, plain_registry):
    name = f'{REGISTRY}:{plain_registry.port}'
    engine = new_engine(f'[registry "{name}"]\ninsecure = true\n')
    assert engine.wherry('run', '--rm', f'{name}/hello').ok().out == 'Hello from wherry\n'


def test_plain_http_of_another_registry_is_refused(new_engine, plain_registry):
    engine = new_engine('[registries]\nretries = 1\n')
    engine.wherry('pull', f'{REGISTRY}:{plain_registry.port}/hello').fails(1, REGISTRY)
    assert engine.images() == []


# Credentials

def test_login_with_a_wrong_password(fresh_engine, registry):
    result = fresh_engine.wherry('login', '-u', registries.USER, '--password-stdin', registry.name,
                                 input='wrong').fails(1, 'password|unauthorized|denied')
    assert 'wrong' not in result.err.replace('wrong password', '').replace('is wrong', '')
    assert not fresh_engine.machine.exists(f'{fresh_engine.credentials}/config.json')


def test_credentials_file_is_private_and_in_dockers_format(fresh_engine, registry):
    fresh_engine.login(registry.name)
    path = f'{fresh_engine.credentials}/config.json'
    stored = json.loads(fresh_engine.machine.read(path))
    decoded = base64.b64decode(stored['auths'][registry.name]['auth']).decode()
    assert decoded == f'{registries.USER}:{registries.PASSWORD}'
    assert fresh_engine.machine.run(['stat', '-c', '%a', path]).ok().out.strip() == '600'


def test_logout_forgets(fresh_engine, registry):
    fresh_engine.login(registry.name)
    fresh_engine.wherry('logout', registry.name).ok()
    fresh_engine.wherry('pull', f'{registry.name}/hello').fails(1)


def test_dockers_own_credentials_are_used(fresh_engine, registry):
    directory = f'{fresh_engine.dir}/docker'
    auth = base64.b64encode(f'{registries.USER}:{registries.PASSWORD}'.encode()).decode()
    fresh_engine.machine.run(['mkdir', directory])
    fresh_engine.machine.write(f'{directory}/config.json',
                               json.dumps({'auths': {registry.name: {'auth': auth}}}), 0o600)
    fresh_engine.wherry('pull', f'{registry.name}/hello', env={'DOCKER_CONFIG': directory}).ok()


def test_credential_helper_is_used(fresh_engine, registry):
    engine, directory = fresh_engine, f'{fresh_engine.dir}/helper'
    engine.machine.run(['mkdir', directory])
    answer = json.dumps({'ServerURL': registry.name, 'Username': registries.USER,
                         'Secret': registries.PASSWORD})
    engine.machine.write(f'{directory}/docker-credential-tests',
                         f"#!/bin/sh\n[ \"$1\" = get ] && cat >{directory}/asked && echo '{answer}'\n",
                         0o755)
    engine.machine.write(f'{directory}/config.json',
                         json.dumps({'credHelpers': {registry.name: 'tests'}}), 0o600)
    path = f'{directory}:/usr/sbin:/usr/bin:/sbin:/bin'
    engine.wherry('pull', f'{registry.name}/hello',
                  env={'DOCKER_CONFIG': directory, 'PATH': path}).ok()
    assert engine.machine.read(f'{directory}/asked').decode().strip() == registry.name


def test_bearer_token(fresh_engine, faulty_registry):
    faulty_registry.tokens = faulty.Tokens(registries.USER, registries.PASSWORD)
    faulty_registry.add('deep/thing', 'latest', small_image(fresh_engine.machine.arch))
    fresh_engine.login(faulty_registry.name)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/deep/thing').ok()
    assert ['repository:deep/thing:pull'] in faulty_registry.tokens.scopes
    assert len(faulty_registry.seen('/token')) <= 3, 'a token is asked for once, not per request'


def test_anonymous_bearer_token(fresh_engine, faulty_registry):
    faulty_registry.tokens = faulty.Tokens()
    faulty_registry.add('thing', 'latest', small_image(fresh_engine.machine.arch))
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').ok()


def test_token_that_expires_in_the_middle(fresh_engine, faulty_registry):
    """Each token is good for one request only."""
    faulty_registry.tokens = faulty.Tokens(registries.USER, registries.PASSWORD, uses=1)
    layers = [oci.layer(oci.tar([oci.entry(f'f{i}', data=b'x')])) for i in range(3)]
    faulty_registry.add('thing', 'latest', oci.image(layers, fresh_engine.machine.arch))
    fresh_engine.login(faulty_registry.name)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').ok()


# Where blobs come from

def test_redirect_to_another_host_does_not_leak_credentials(fresh_engine, faulty_registry,
                                                            server_certificate, new_engine):
    with faulty.FaultyRegistry(*server_certificate) as storage:
        engine = new_engine(new_engine.trust(faulty_registry.name, f'{OTHER}:{storage.port}'))
        image = small_image(engine.machine.arch)
        faulty_registry.add('thing', 'latest', image)
        storage.add('thing', 'latest', image)
        faulty_registry.basic = f'{registries.USER}:{registries.PASSWORD}'
        faulty_registry.fault('GET .*/blobs/',
                              faulty.redirect(lambda path: f'https://{OTHER}:{storage.port}{path}'))
        engine.login(faulty_registry.name)
        engine.wherry('pull', f'{faulty_registry.name}/thing').ok()
        assert storage.seen('GET .*/blobs/')
        leaked = [request for request in storage.requests if 'Authorization' in request.headers]
        assert leaked == []


def test_redirect_to_plain_http_is_refused(fresh_engine, faulty_registry):
    with faulty.FaultyRegistry() as storage:
        faulty_registry.add('thing', 'latest', small_image(fresh_engine.machine.arch))
        faulty_registry.fault('GET .*/blobs/', faulty.redirect(
            lambda path: f'http://{OTHER}:{storage.port}{path}'))
        fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').fails(1)
        assert storage.requests == []


def test_redirect_on_the_same_host(fresh_engine, faulty_registry):
    faulty_registry.add('thing', 'latest', small_image(fresh_engine.machine.arch))
    faulty_registry.basic = f'{registries.USER}:{registries.PASSWORD}'
    faulty_registry.fault('GET /v2/thing/blobs/', faulty.redirect(lambda path: path + '?moved=1'),
                          times=1)
    fresh_engine.login(faulty_registry.name)
    fresh_engine.wherry('pull', f'{faulty_registry.name}/thing').ok()


def test_mirror_is_asked_first(new_engine, faulty_registry, server_certificate):
    with faulty.FaultyRegistry(*server_certificate) as mirror:
        engine = new_engine(f'[registry "{faulty_registry.name}"]\nca = {new_engine.machine.ca}\n'
                            f'mirror = https://{OTHER}:{mirror.port}\n' +
                            new_engine.trust(f'{OTHER}:{mirror.port}'))
        mirror.add('thing', 'latest', small_image(engine.machine.arch))
        engine.wherry('pull', f'{faulty_registry.name}/thing').ok()
        assert mirror.seen('GET .*/blobs/') and faulty_registry.requests == []
        assert engine.inspect(f'{faulty_registry.name}/thing')


def test_mirror_of_docker_hub(new_engine, faulty_registry):
    engine = new_engine(f'[registry "docker.io"]\nmirror = https://{faulty_registry.name}\n' +
                        new_engine.trust(faulty_registry.name))
    faulty_registry.add('library/thing', 'latest', small_image(engine.machine.arch))
    engine.wherry('pull', 'thing').ok()
    assert engine.inspect('thing')['RepoTags'] == ['thing:latest']


@pytest.mark.parametrize('trouble', ['absent', 'missing', 'broken'])
def test_origin_helps_when_the_mirror_does_not(new_engine, faulty_registry, server_certificate,
                                               trouble):
    with faulty.FaultyRegistry(*server_certificate) as mirror:
        port = registries.free_port() if trouble == 'absent' else mirror.port
        if trouble == 'broken':
            mirror.fault('.*', faulty.status(500))
        engine = new_engine(f'[registry "{faulty_registry.name}"]\nca = {new_engine.machine.ca}\n'
                            f'mirror = https://{OTHER}:{port}\n[registries]\nretries = 1\n' +
                            new_engine.trust(f'{OTHER}:{port}'))
        faulty_registry.add('thing', 'latest', small_image(engine.machine.arch))
        engine.wherry('pull', f'{faulty_registry.name}/thing').ok()


def test_client_certificate(new_engine, authority, server_certificate):
    certificate, key = authority.issue('device', ['device'], client=True)
    with faulty.FaultyRegistry(*server_certificate, client_ca=authority.certificate) as server:
        name = f'{REGISTRY}:{server.port}'
        where = new_engine.machine.temporary_directory()
        for source in (certificate, key):
            new_engine.machine.write(f'{where}/{source.name}', source.read_bytes(), 0o600)
        server.add('thing', 'latest', small_image(new_engine.machine.arch))
        refused = new_engine(new_engine.trust(name) + '[registries]\nretries = 1\n')
        refused.wherry('pull', f'{name}/thing').fails(1)
        engine = new_engine(new_engine.trust(name) + f'client-cert = {where}/{certificate.name}\n'
                            f'client-key = {where}/{key.name}\n')
        engine.wherry('pull', f'{name}/thing').ok()


def test_proxy_variables(new_engine, plain_registry):
    """The registry is reached through a proxy that alone knows the name."""
    with faulty.FaultyRegistry() as proxy:
        def forward(handler, _):
            url = handler.path.replace('far.test', '127.0.0.1')
            passed = {name: value for name, value in handler.headers.items() if name == 'Accept'}
            request = urllib.request.Request(url, headers=passed, method=handler.command)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=10) as answer:
                handler.answer(faulty.Answer(answer.status, {
                    'Content-Type': answer.headers.get('Content-Type')}, answer.read()))

        proxy.fault('^(GET|HEAD) http://', forward)
        name = f'far.test:{plain_registry.port}'
        address = f'http://{new_engine.machine.registry_host}:{proxy.port}'
        engine = new_engine(f'[registry "{name}"]\ninsecure = true\n',
                            env={'HTTP_PROXY': address, 'http_proxy': address,
                                 'HTTPS_PROXY': address, 'https_proxy': address})
        engine.wherry('pull', f'{name}/hello').ok()
        assert proxy.seen('^GET http://far.test')


def test_pull_ends_when_the_client_goes(fresh_engine, faulty_registry):
    """Interrupting the client ends the pull and leaves nothing visible."""
    image = oci.image([oci.layer(oci.tar([oci.entry('big', data=b'x' * 300000)]), 'none')],
                      fresh_engine.machine.arch)
    faulty_registry.add('thing', 'latest', image)
    reached = threading.Event()

    def slow(handler, answer):
        reached.set()
        faulty.stall(100000, 30)(handler, answer)

    faulty_registry.fault(f'GET .*/blobs/{image.parts[1].digest}', slow)
    client = fresh_engine.start_wherry('pull', f'{faulty_registry.name}/thing')
    assert reached.wait(15 * fresh_engine.machine.slow)
    client.kill(2)
    client.wait(15 * fresh_engine.machine.slow)
    assert fresh_engine.images() == []
    fresh_engine.machine.wait_for(
        lambda: not [path for path in fresh_engine.store_files() if '/txn/' in path],
        'the interrupted pull still has files', 20)
