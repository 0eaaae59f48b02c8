"""Every answer of the daemon is as Docker's description of its API (1.47) says. The tests of other clients hold all answers
they get against it as well (the fixture valid_answers)."""

import json
import threading
import urllib.parse

import pytest

from harness.unix_http import UnixConnection
from harness.witness import Witness

pytestmark = [pytest.mark.machines('host-net')]

GOOD = {'Id': 'a', 'Warnings': []}


@pytest.mark.machines('host')
@pytest.mark.parametrize('path, status, kind, body, says', [
    ('/containers/create', 201, 'application/json', GOOD, None),
    ('/v1.47/containers/create?name=x', 201, 'application/json', GOOD, None),
    ('/containers/create', 201, 'application/json', {'Id': 'a'}, "'Warnings' is a required property"),
    ('/containers/create', 201, 'application/json', {**GOOD, 'Id': None}, r".Id: None is not of type 'string'"),
    ('/containers/create', 201, 'text/plain', GOOD, 'content type'),
    ('/containers/create', 299, 'application/json', GOOD, '299: this status'),
    ('/containers/create', 400, 'application/json', {'error': 'x'}, "'message' is a required property"),
    ('/containers/a/b/c', 200, 'application/json', {}, 'a route Docker does not have'),
    ('/exec/x/start', 101, '', None, None),
])
def test_the_judge(schema, path, status, kind, body, says):
    found = schema.problems('POST', path, status, kind, None if body is None else json.dumps(body).encode())
    if says is None:
        assert found == []
    else:
        assert len(found) == 1 and says in found[0], found


@pytest.mark.machines('host')
def test_the_judge_of_streams(schema):
    good = b'{"status":"x","progressDetail":{"current":1}}\r\n'
    assert schema.problems('POST', '/images/create', 200, 'application/json', good + b'{"sta') == []
    assert schema.problems('POST', '/images/create', 200, 'application/json', good + b'{"status":1}') == \
        ["POST /images/create 200 .status: 1 is not of type 'string'"]


@pytest.fixture(name='ask')
def _ask(schema, session_engine):
    """Asks by way of a witness: ask(method, path, body) gives (status, body)."""
    witness = Witness(schema, session_engine.socket)
    connection = UnixConnection(witness.path)
    connection.timeout = 15

    def ask(method, path, body=None, **query):
        data = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
        target = path + ('?' + urllib.parse.urlencode(query) if query else '')
        connection.request(method, target, data, {'Content-Type': 'application/json'})
        response = connection.getresponse()
        return response.status, response.read()

    ask.witness = witness
    yield ask
    connection.close()
    session_engine.remove_containers()
    witness.close()
    assert not witness.problems, '\n'.join(witness.problems)
    assert witness.count > 0


def test_answers(ask, engine):
    """Objects with everything in them that can be set."""
    limits = {'Memory': 64 << 20} if engine.machine.limits else {}
    host = {'Binds': ['data:/data', '/tmp:/mnt:ro'], 'NetworkMode': 'mine', 'RestartPolicy': {'Name': 'on-failure'},
            'PortBindings': {'80/tcp': [{'HostPort': '8097'}]}, 'CapAdd': ['NET_ADMIN'], 'Tmpfs': {'/scratch': ''},
            'Ulimits': [{'Name': 'nofile', 'Soft': 9, 'Hard': 9}], 'ExtraHosts': ['a:1.2.3.4'], 'MemorySwappiness': -1,
            'LogConfig': {'Type': 'json-file', 'Config': {'max-size': '1m'}}, 'Init': True, **limits}
    body = {'Image': engine.busybox, 'Cmd': ['sleep', '1000'], 'Env': ['A=b'], 'Labels': {'a': 'b'}, 'Tty': True,
            'ExposedPorts': {'80/tcp': {}}, 'Healthcheck': {'Test': ['CMD', 'true'], 'Interval': 1000000000},
            'HostConfig': host, 'NetworkingConfig': {'EndpointsConfig': {'mine': {'Aliases': ['alias']}}}}
    assert ask('POST', '/networks/create', {'Name': 'mine', 'Labels': {'a': 'b'}})[0] == 201
    assert ask('POST', '/volumes/create', {'Name': 'data', 'Labels': {'a': 'b'}})[0] == 201
    assert ask('POST', '/containers/create', body, name='full')[0] == 201
    bare = {'Image': engine.busybox, 'Cmd': ['true'], 'HostConfig': {'NetworkMode': 'none'}}
    assert ask('POST', '/containers/create', bare, name='bare')[0] == 201
    assert ask('POST', '/containers/full/start')[0] == 204
    for path in ('/containers/full/json', '/containers/bare/json', '/containers/json', '/containers/full/top',
                 '/containers/full/changes', '/networks', '/networks/mine', '/networks/bridge', '/networks/none', '/volumes',
                 '/volumes/data', '/images/json', f'/images/{engine.busybox}/json', f'/images/{engine.busybox}/history',
                 '/info', '/version', '/_ping', '/system/df', '/plugins'):
        assert ask('GET', path)[0] == 200, path
    assert ask('GET', '/containers/json', all=1, size=1)[0] == 200
    assert ask('GET', '/containers/full/json', size=1)[0] == 200
    assert ask('GET', '/containers/full/stats', stream=0)[0] == 200
    assert ask('POST', '/containers/full/update', {'RestartPolicy': {'Name': 'no'}})[0] == 200
    status, created = ask('POST', '/containers/full/exec', {'Cmd': ['true'], 'AttachStdout': True})
    assert status == 201
    identity = json.loads(created)['Id']
    assert ask('GET', f'/exec/{identity}/json')[0] == 200
    assert ask('POST', f'/exec/{identity}/start', {'Detach': True})[0] == 200
    assert ask('GET', f'/exec/{identity}/json')[0] == 200
    assert ask('POST', '/commit', container='full', repo='committed')[0] == 201
    assert ask('GET', '/images/committed/history')[0] == 200
    assert ask('DELETE', '/images/committed')[0] == 200
    assert ask('POST', '/containers/full/kill')[0] == 204
    assert ask('POST', '/containers/full/wait')[0] == 200
    assert ask('GET', '/containers/full/json')[0] == 200
    for kind in ('containers', 'images', 'networks', 'volumes', 'build'):
        assert ask('POST', f'/{kind}/prune')[0] == 200, kind
        assert ask('POST', f'/{kind}/prune')[0] == 200, f'{kind}, nothing left'
    assert ask('GET', '/networks/mine')[0] == 404


def test_events(ask, engine):
    until = threading.Thread(target=lambda: ask('GET', '/events', until='1'))
    until.start()
    until.join(20)
    engine.wherry('run', '--rm', '--network', 'none', '--label', 'a=b', engine.busybox, 'true').ok()
    now = engine.machine.shell('sleep 1.1; date +%s').ok().out.strip()
    status, events = ask('GET', '/events', since='1', until=now)
    assert status == 200 and b'"die"' in events and b'exitCode' in events


@pytest.mark.parametrize('method, path, body, status', [
    ('GET', '/containers/nothing/json', None, 404), ('POST', '/containers/create', {'Image': 'nothing'}, 404),
    ('POST', '/containers/create', {'Image': 3}, 400), ('POST', '/containers/create', b'{', 400),
    ('GET', '/images/nothing/json', None, 404), ('DELETE', '/images/nothing', None, 404),
    ('GET', '/networks/nothing', None, 404), ('DELETE', '/networks/bridge', None, 403),
    ('GET', '/volumes/nothing', None, 404), ('GET', '/exec/nothing/json', None, 404),
    ('GET', '/containers/json?filters=x', None, 400), ('GET', '/nothing', None, 404),
    ('GET', '/swarm', None, 503), ('POST', '/swarm/init', {}, 501),
])
def test_errors(ask, method, path, body, status):
    got, answer = ask(method, path, body)
    assert got == status and json.loads(answer)['message']


