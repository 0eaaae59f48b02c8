"""The stock docker command line against the daemon."""

import base64
import hashlib
import json
import re
import signal

import pytest

from engine import CONTAINER_ID
from harness import registry as registries
from images import reference

pytestmark = [pytest.mark.machines('host', 'vm'), pytest.mark.usefixtures('docker_major', 'valid_answers')]


def names(engine):
    return engine.docker('ps', '-a', '--format', '{{.Names}}').ok().out.split()


def test_version_and_info(engine):
    version = json.loads(engine.docker('version', '--format', '{{json .}}').ok().out)
    assert version['Server']['ApiVersion'] == '1.47'
    assert version['Server']['Os'] == 'linux' and version['Server']['Arch'] == engine.machine.oci_arch
    info = json.loads(engine.docker('info', '--format', '{{json .}}').ok().out)
    assert info['Images'] >= 1 and info['OSType'] == 'linux'


def test_login_and_pull(fresh_engine, registry):
    name = f'{registry.name}/busybox'
    fresh_engine.docker('pull', name).fails(1)
    fresh_engine.docker('login', '-u', registries.USER, '--password-stdin', registry.name,
                        input='wrong').fails(1)
    fresh_engine.docker('login', '-u', registries.USER, '--password-stdin', registry.name,
                        input=registries.PASSWORD).ok()
    out = fresh_engine.docker('pull', name).ok().out
    assert f'Status: Downloaded newer image for {name}:latest' in out
    assert re.search('Digest: sha256:[0-9a-f]{64}', out)
    out = fresh_engine.docker('pull', name).ok().out
    assert f'Status: Image is up to date for {name}:latest' in out


def test_pull_of_a_missing_image(engine, registry):
    result = engine.docker('pull', f'{registry.name}/no/such').fails(1)
    assert 'no/such' in result.err


def test_run_rm(engine):
    result = engine.docker('run', '--rm', '--network', 'none', engine.busybox, 'sh', '-c',
                           'echo out; echo err >&2; exit 3')
    assert (result.code, result.out, result.err.splitlines()[-1]) == (3, 'out\n', 'err')
    assert names(engine) == []


def test_run_with_default_network(engine):
    assert engine.docker('run', '--rm', engine.busybox, 'echo', 'hi').ok().out == 'hi\n'


@pytest.mark.parametrize('command, code', [(['no-such-program'], 127), (['/etc/passwd'], 126)])
def test_run_of_what_cannot_run(engine, command, code):
    result = engine.docker('run', '--rm', '--network', 'none', engine.busybox, *command).fails(code)
    assert command[0] in result.err
    assert names(engine) == []


def test_run_pulls_the_image(fresh_engine, registry):
    auth = base64.b64encode(f'{registries.USER}:{registries.PASSWORD}'.encode()).decode()
    fresh_engine.write_docker_config({'auths': {registry.name: {'auth': auth}}})
    result = fresh_engine.docker('run', '--rm', f'{registry.name}/hello').ok()
    assert result.out == 'Hello from wherry\n'


def test_run_detached_logs_stop_rm(engine):
    identity = engine.docker('run', '-d', '--name', 'web', '--network', 'none', engine.probe, 'probe',
                             'exit-on-term', '6').ok().out.strip()
    assert CONTAINER_ID.match(identity)
    engine.machine.wait_for(lambda: engine.docker('logs', 'web').ok().out == 'ready\n', 'no log')
    assert 'Up' in engine.docker('ps', '--format', '{{.Status}}').ok().out
    engine.docker('stop', 'web').ok()
    assert 'Exited (6)' in engine.docker('ps', '-a', '--format', '{{.Status}}').ok().out
    assert engine.docker('ps', '-q').ok().out == ''
    engine.docker('rm', 'web').ok()
    assert names(engine) == []


def test_logs_follow(engine):
    identity = engine.run_detached(engine.busybox, 'sh', '-c',
                                   'for i in 1 2 3; do echo n$i; sleep 0.3; done; echo end >&2')
    follow = engine.start_docker('logs', '-f', identity)
    assert follow.wait(20 * engine.machine.slow) == 0
    assert (follow.out, follow.err) == (b'n1\nn2\nn3\n', b'end\n')


def test_kill_with_a_signal(engine):
    identity = engine.run_detached(engine.probe, 'probe', 'exit-on-term', '4')
    engine.machine.wait_for(lambda: 'ready' in engine.wherry('logs', identity).out, 'not ready')
    engine.docker('kill', '-s', 'TERM', identity).ok()
    assert engine.docker('wait', identity).ok().out == '4\n'


def test_wait(engine):
    identity = engine.docker('run', '-d', '--network', 'none', engine.busybox, 'sh', '-c',
                             'sleep 0.5; exit 11').ok().out.strip()
    assert engine.docker('wait', identity).ok().out == '11\n'


def test_inspect_of_container_and_image(engine):
    identity = engine.run_detached('--name', 'seen', '-e', 'A=b', '--hostname', 'h', engine.busybox,
                                   'sleep', '1000')
    detail = json.loads(engine.docker('inspect', 'seen').ok().out)[0]
    assert detail['Id'] == identity and detail['Name'] == '/seen'
    assert detail['State']['Status'] == 'running' and detail['State']['Pid'] > 0
    assert 'A=b' in detail['Config']['Env'] and detail['Config']['Hostname'] == 'h'
    assert detail['Path'] == 'sleep' and detail['Args'] == ['1000']
    assert engine.docker('inspect', '-f', '{{.State.Running}}', 'seen').ok().out == 'true\n'
    image = json.loads(engine.docker('image', 'inspect', engine.busybox).ok().out)[0]
    assert detail['Image'] == image['Id']
    engine.docker('inspect', 'no-such').fails(1)


def test_images_tag_rmi(engine):
    engine.docker('tag', engine.busybox, 'another/name:v2').ok()
    listed = engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}').ok().out.split()
    assert 'another/name:v2' in listed and f'{engine.busybox}:latest' in listed
    out = engine.docker('rmi', 'another/name:v2').ok().out
    assert 'Untagged: another/name:v2' in out
    listed = engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}').ok().out.split()
    assert 'another/name:v2' not in listed


def test_rmi_of_the_last_name_deletes(fresh_engine, registry):
    fresh_engine.login(registry.name)
    fresh_engine.wherry('pull', f'{registry.name}/hello').ok()
    out = fresh_engine.docker('rmi', f'{registry.name}/hello').ok().out
    assert 'Untagged:' in out and 'Deleted: sha256:' in out
    assert fresh_engine.docker('images', '-q').ok().out == ''


def test_rm_force_and_of_a_running_container(engine):
    engine.run_detached('--name', 'busy', engine.busybox, 'sleep', '1000')
    result = engine.docker('rm', 'busy').fails(1)
    assert 'running' in result.err
    engine.docker('rm', '-f', 'busy').ok()
    assert names(engine) == []


def test_events(engine):
    watch = engine.start_docker('events', '--format', '{{.Type}} {{.Action}} {{.Actor.ID}}',
                                '--filter', 'type=container')
    engine.machine.run(['sleep', '0.5'])
    identity = engine.run_detached(engine.busybox, 'sh', '-c', 'exit 2')
    engine.wait_exited(identity)
    engine.docker('rm', identity).ok()
    watch.read_until(rb'destroy', 15 * engine.machine.slow)
    watch.kill(signal.SIGINT)
    lines = [line.split()[1] for line in watch.out.decode().splitlines() if identity in line]
    assert [name for name in lines if name in ('create', 'start', 'die', 'destroy')] == \
        ['create', 'start', 'die', 'destroy']


def test_events_of_the_past(engine):
    identity = engine.run_detached(engine.busybox, 'true')
    engine.wait_exited(identity)
    # By the clock of the machine: it may not agree with that of the client.
    until = engine.machine.shell('sleep 1.1; date +%s').ok().out.strip()
    out = engine.docker('events', '--since', str(int(until) - 600), '--until', until, '--filter',
                        f'container={identity}', '--format', '{{.Action}}').ok().out.split()
    assert 'create' in out and 'die' in out


def test_create_start_attach(engine):
    identity = engine.docker('create', '-i', '--network', 'none', engine.busybox, 'cat').ok().out.strip()
    process = engine.start_docker('start', '-a', '-i', identity)
    process.write(b'through\n')
    process.close_input()
    assert process.wait(20 * engine.machine.slow) == 0
    assert process.out == b'through\n'


def test_run_with_input(engine):
    out = engine.docker('run', '--rm', '-i', '--network', 'none', engine.busybox, 'sha256sum',
                        input=b'z' * 300000).ok().out
    assert out.split()[0] == hashlib.sha256(b'z' * 300000).hexdigest()


OPTIONS = {
    'read-only': (['--read-only'], 'touch /x 2>/dev/null || echo refused', 'refused'),
    'cap-drop': (['--cap-drop', 'ALL'], 'grep CapEff /proc/self/status',
                 'CapEff:\t0000000000000000'),
    'user': (['--user', '1234:1235'], 'id -u; id -g', '1234\n1235'),
    'tmpfs': (['--tmpfs', '/scratch'], 'grep -c " /scratch tmpfs" /proc/mounts', '1'),
    'env': (['-e', 'WORD=some text'], 'echo $WORD', 'some text'),
    'env-file-less workdir': (['-w', '/tmp'], 'pwd', '/tmp'),
    'hostname': (['--hostname', 'boat'], 'hostname', 'boat'),
    'init': (['--ulimit', 'nofile=99'], 'ulimit -n', '99'),
    'label': (['--label', 'a=b'], 'echo ok', 'ok'),
    'shm': (['--shm-size', '4m'], 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2', '4096'),
    'network': (['--network', 'none'], 'ls /sys/class/net', 'lo'),
    'no-new-privileges': (['--security-opt', 'no-new-privileges'],
                          'grep NoNewPrivs /proc/self/status', 'NoNewPrivs:\t1'),
}


@pytest.mark.parametrize('name', OPTIONS)
def test_run_option(engine, name):
    options, script, expected = OPTIONS[name]
    out = engine.docker('run', '--rm', *options, engine.busybox, 'sh', '-c', script).ok().out
    assert out.strip() == expected


def test_run_entrypoint(engine):
    out = engine.docker('run', '--rm', '--entrypoint', '/bin/echo', engine.busybox, 'x').ok().out
    assert out == 'x\n'


def test_run_volume(engine):
    source = f'{engine.dir}/docker-volume'
    engine.machine.shell(f'mkdir {source} && echo inside >{source}/f').ok()
    assert engine.docker('run', '--rm', '-v', f'{source}:/v:ro', engine.busybox, 'cat',
                         '/v/f').ok().out == 'inside\n'
    assert engine.docker('run', '--rm', '--mount', f'type=bind,source={source},target=/v',
                         engine.busybox, 'cat', '/v/f').ok().out == 'inside\n'
    engine.machine.remove(source)


def test_cidfile_and_name_conflict(engine, tmp_path):
    file = tmp_path / 'cid'
    engine.docker('run', '-d', '--name', 'one', '--cidfile', file, '--network', 'none',
                  engine.busybox, 'sleep', '1000').ok()
    assert CONTAINER_ID.match(file.read_text())
    result = engine.docker('run', '--name', 'one', engine.busybox, 'true').fails(125)
    assert 'already in use' in result.err


def test_ps_filters_and_sizes(engine):
    engine.run_detached('--name', 'up', '--label', 'kind=x', engine.busybox, 'sleep', '1000')
    done = engine.run_detached('--name', 'down', engine.busybox, 'true')
    engine.wait_exited(done)

    def listed(*filters):
        arguments = [part for text in filters for part in ('--filter', text)]
        out = engine.docker('ps', '-a', *arguments, '--format', '{{.Names}}').ok().out
        return sorted(out.split())

    assert listed() == ['down', 'up']
    assert listed('status=exited') == ['down'] and listed('status=running') == ['up']
    assert listed('name=up') == ['up'] and listed('label=kind=x') == ['up']
    assert listed('exited=0') == ['down']


def test_what_is_not_supported_says_so(engine):
    result = engine.docker('run', '--rm', '--network', 'none', '--volumes-from', 'x', engine.busybox, 'true')
    assert result.code == 125 and '--volumes-from' in result.err and 'not supported' in result.err
    assert names(engine) == []


def test_cli_28_pulls_for_a_platform(fresh_engine, registry, needs_docker_28):
    fresh_engine.docker('login', '-u', registries.USER, '--password-stdin', registry.name,
                        input=registries.PASSWORD).ok()
    other = 'arm64' if fresh_engine.machine.arch == 'amd64' else 'amd64'
    name = f'{registry.name}/hello'
    fresh_engine.docker('pull', '--platform', f'linux/{other}', name).ok()
    detail = json.loads(fresh_engine.docker('image', 'inspect', name).ok().out)[0]
    assert detail['Architecture'] == other
    assert len(reference.load('hello')) >= 1


def test_cli_28_sees_no_warning(engine, needs_docker_28):
    result = engine.docker('ps').ok()
    assert result.err == ''
