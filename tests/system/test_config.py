"""Configuration, directories and sockets that are wrong: one clear error that names the place."""

import dataclasses
import re

import pytest

pytestmark = pytest.mark.machines('host')


def refused(engine, pattern, *more):
    """The daemon must end at once with an error in one line; returns it."""
    result = engine.machine.run([*engine.daemon_argv(), *more], timeout=10)
    assert result.code not in (0, 128 + 9), str(result)
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert len(lines) == 1, f'one error expected\n{result}'
    assert re.search(pattern, lines[0], re.IGNORECASE), f'expected /{pattern}/\n{result}'
    assert engine.machine.shell(f'ls {engine.rundir}/c 2>/dev/null').out == ''
    return lines[0]


@dataclasses.dataclass
class Wrong:
    text: str
    line: int
    pattern: str


WRONG = {
    'unknown key': Wrong('[daemon]\n# comment\ncolour = blue\n', 3, 'colour'),
    'unknown section': Wrong('[nonsense]\nkey = 1\n', 2, 'nonsense'),
    'key without a section': Wrong('root = /x\n', 1, 'root|section'),
    'wrong unit of a size': Wrong('[store]\nmax-layer-size = 10 parsec\n', 2, 'max-layer-size'),
    'size without a number': Wrong('[store]\nmax-layer-size = m\n', 2, 'max-layer-size'),
    'negative size': Wrong('[store]\nmax-layer-size = -1m\n', 2, 'max-layer-size'),
    'size too big for 64 bits': Wrong('[store]\nmax-layer-size = 99999999999g\n', 2, 'max-layer-size'),
    'wrong unit of a time': Wrong('[registries]\n\nstall-timeout = 10 apples\n', 3, 'stall-timeout'),
    'time without a unit that is no number': Wrong('[registries]\nstall-timeout = soon\n', 2, 'stall'),
    'wrong truth value': Wrong('[registry "a.test"]\ninsecure = maybe\n', 2, 'insecure'),
    'wrong level': Wrong('[daemon]\nlog-level = loud\n', 2, 'log-level'),
    'wrong network': Wrong('[containers]\ndefault-network = mesh\n', 2, 'default-network'),
    'relative path': Wrong('[daemon]\nroot = some/where\n', 2, 'root'),
    'number out of range': Wrong('[containers]\nlog-max-files = 0\n', 2, 'log-max-files'),
    'mirror without a scheme': Wrong('[registry "a.test"]\nmirror = b.test\n', 2, 'mirror'),
    'no key': Wrong('[daemon]\n= 7\n', 2, ''),
    'no equals sign': Wrong('[daemon]\n\n\nroot\n', 4, ''),
    'section not closed': Wrong('[daemon\nroot = /x\n', 1, ''),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_configuration_names_file_and_line(new_engine, name):
    wrong = WRONG[name]
    engine = new_engine(wrong.text, start=False)
    line = refused(engine, wrong.pattern)
    assert f'{engine.config}:{wrong.line}' in line
    assert not engine.machine.exists(engine.root), 'touched the data before reading the configuration'


def test_configuration_file_that_is_missing(new_engine):
    engine = new_engine(start=False)
    engine.machine.remove(engine.config)
    refused(engine, 'wherry.conf')


def test_drop_in_is_read_and_named(new_engine):
    engine = new_engine('[daemon]\nlog-level = info\n', start=False)
    engine.machine.run(['mkdir', f'{engine.dir}/conf.d'])
    engine.machine.write(f'{engine.dir}/conf.d/10-more.conf', '[daemon]\nlog-level = quiet\n')
    assert '10-more.conf:2' in refused(engine, 'log-level')
    engine.machine.write(f'{engine.dir}/conf.d/10-more.conf', '[daemon]\nlog-level = debug\n')
    engine.start()
    out = engine.wherry('config').ok().out
    assert 'log-level = debug' in out and '10-more.conf:2' in out


def test_config_shows_values_with_their_origin(new_engine):
    engine = new_engine('[store]\nmax-layer-size = 12m\n')
    lines = engine.wherry('config').ok().out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith('max-layer-size'))
    assert lines[place] == f'max-layer-size = {12 << 20}'
    assert f'{engine.config}:2' in lines[place - 1]
    assert any('command line' in line for line in lines) and any('default' in line for line in lines)


def test_config_without_a_daemon_checks_a_file(new_engine):
    engine = new_engine('[daemon]\ncolour = blue\n', start=False)
    result = engine.wherry('config', '--config', engine.config).fails(says='colour')
    assert f'{engine.config}:2' in result.err


def test_socket_path_too_long(new_engine):
    engine = new_engine(start=False)
    engine.socket = f'{engine.dir}/' + 'x' * 120
    refused(engine, 'socket.*(long|107)')


def test_socket_of_a_client_that_is_too_long(new_engine):
    engine = new_engine(start=False)
    engine.wherry('--socket', '/tmp/' + 'x' * 200, 'ps').fails(1, 'long|107')


def test_no_daemon(new_engine):
    engine = new_engine(start=False)
    result = engine.wherry('ps').fails(1, 'daemon')
    assert engine.socket in result.err and len(result.err.strip().splitlines()) == 1


def test_second_daemon_on_the_same_data(new_engine):
    first = new_engine()
    second = new_engine(start=False)
    second.root = first.root
    assert first.root in refused(second, 'another|in use|already|lock')
    first.wherry('version').ok()
    assert first.machine.exists(first.socket)


def test_second_daemon_on_the_same_socket(new_engine):
    first = new_engine()
    second = new_engine(start=False)
    second.socket = first.socket
    refused(second, 'socket|another|in use|already')
    first.wherry('version').ok()


def test_second_daemon_on_the_same_run_directory(new_engine):
    first = new_engine()
    second = new_engine(start=False)
    second.rundir = first.rundir
    refused(second, 'another|in use|already')
    first.wherry('version').ok()


def test_two_daemons_beside_each_other(new_engine, registry):
    engines = [new_engine(new_engine.trust(registry.name)) for _ in range(2)]
    assert engines[0].cgroup_parent() != engines[1].cgroup_parent()
    for engine in engines:
        engine.login(registry.name)
        engine.wherry('run', '-d', '--name', 'same', f'{registry.name}/busybox', 'sleep', '1000').ok()
    assert len(engines[0].containers()) == 1
    engines[0].remove_containers()
    assert engines[1].state('same')['Running'] is True
    engines[1].remove_containers()
    for engine in engines:
        engine.assert_nothing_left()


def test_socket_left_by_a_killed_daemon(new_engine):
    engine = new_engine()
    engine.kill()
    assert engine.machine.exists(engine.socket)
    engine.start()
    engine.wherry('version').ok()


def test_data_directory_on_a_read_only_file_system(new_engine):
    engine = new_engine(start=False)
    engine.machine.shell(f'mkdir {engine.root} && mount -t tmpfs -o ro tmpfs {engine.root}').ok()
    try:
        assert engine.root in refused(engine, 'read-only|permission|denied|writ')
    finally:
        engine.machine.shell(f'umount {engine.root}').ok()


def test_data_directory_that_is_a_file(new_engine):
    engine = new_engine(start=False)
    engine.machine.write(engine.root, 'a file\n')
    assert engine.root in refused(engine, 'directory')


def test_data_directory_below_a_file(new_engine):
    engine = new_engine(start=False)
    engine.machine.write(f'{engine.dir}/file', 'x')
    engine.root = f'{engine.dir}/file/data'
    refused(engine, 'directory|file/data')


def test_data_of_a_newer_version(new_engine):
    engine = new_engine()
    engine.stop()
    engine.machine.shell(f'for f in $(find {engine.root} -name VERSION); do echo 999 >$f; done').ok()
    refused(engine, 'version|newer')


def test_damaged_state_costs_one_object_not_the_daemon(new_engine, registry):
    """Any single file of the data may be cut or overwritten: the daemon starts and says so."""
    engine = new_engine(new_engine.trust(registry.name))
    engine.login(registry.name)
    engine.wherry('pull', f'{registry.name}/hello').ok()
    engine.wherry('create', '--name', 'kept', f'{registry.name}/hello').ok()
    engine.stop()
    good = f'{engine.dir}/good'
    engine.machine.run(['cp', '-a', engine.root, good]).ok()
    files = [path for path in engine.store_files()
             if '/tree/' not in path and not path.endswith('VERSION')]
    assert files
    damages = {'emptied': ': >"$1"', 'garbage': 'printf garbage >"$1"',
               'cut': 'truncate -s $(($(stat -c %s "$1") / 2)) "$1"', 'removed': 'rm "$1"',
               'a directory': 'rm "$1"; mkdir "$1"'}
    for path in files:
        for name, damage in damages.items():
            engine.machine.remove(engine.root)
            engine.machine.run(['cp', '-a', good, engine.root]).ok()
            engine.machine.run(['sh', '-c', damage, 'sh', f'{engine.root}/{path}']).ok()
            try:
                engine.start()
                engine.wherry('ps', '-a').ok()
                engine.wherry('images').ok()
                engine.stop()
            except AssertionError as error:
                pytest.fail(f'{path} {name}: {error}')


def test_wrong_options_of_the_command_line(new_engine):
    engine = new_engine(start=False)
    engine.wherry('daemon', '--no-such-option').fails(1, 'no-such-option')
    engine.wherry('no-such-command').fails(125, 'unknown command no-such-command')
    engine.wherry('network', 'nosuch').fails(125, 'unknown command network nosuch; see `wherry network`')
    engine.wherry('daemon', '--root').fails(1, 'root')
    engine.wherry('pull').fails(says='IMAGE')


@pytest.mark.parametrize('command', ['', 'run', 'pull', 'daemon', 'ps', 'images', 'login', 'logs',
                                     'inspect', 'config', 'events', 'stop', 'network', 'container'])
def test_help_is_there_for_every_command(new_engine, command):
    result = new_engine(start=False).wherry(*command.split(), '--help').ok()
    assert 'Usage: wherry' in result.out and result.err == ''


BAD_OPTIONS = {
    'memory unit': ['--memory', '32x'], 'memory text': ['--memory', 'much'],
    'memory negative': ['--memory', '-1m'], 'cpus text': ['--cpus', 'two'],
    'cpus negative': ['--cpus', '-1'], 'pids text': ['--pids-limit', 'x'],
    'env without a name': ['-e', '=x'], 'volume without a target': ['-v', 'data:'],
    'relative target': ['-v', '/tmp:here'], 'missing source': ['--mount',
                                                               'type=bind,source=/no/such,target=/x'],
    'relative workdir': ['-w', 'here'], 'ulimit name': ['--ulimit', 'nosuch=1'],
    'ulimit order': ['--ulimit', 'nofile=9:1'], 'host name': ['--hostname', 'a b'],
    'container name': ['--name', '../x'], 'network': ['--network', 'nosuch'],
    'tmpfs target': ['--tmpfs', 'tmp'], 'signal': ['--stop-signal', 'NOSUCH'],
    'capability': ['--cap-add', 'EVERYTHING'], 'device': ['--device', '/dev/no-such-device'],
    'security option': ['--security-opt', 'nosuch=1'], 'sysctl': ['--sysctl', 'kernel.panic=1'],
}


@pytest.mark.parametrize('name', BAD_OPTIONS)
def test_bad_option_of_run(engine, name):
    network = [] if name == 'network' else ['--network', 'none']
    result = engine.wherry('run', '--rm', *network, *BAD_OPTIONS[name], engine.busybox,
                           'true').fails(125)
    assert len(result.err.strip().splitlines()) == 1, str(result)
    assert engine.containers() == []
