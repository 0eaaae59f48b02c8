"""What containers use and may use: top, stats, update. Limits only where the controllers of cgroup v2
are at hand: in the virtual machine."""

import json

import pytest

from outcome import one_clear_error

pytestmark = pytest.mark.machines('host', 'vm')
LIMITS = pytest.mark.machines('vm')


@pytest.fixture
def busy(engine):
    """A container that burns a processor and has two processes."""
    engine.run_detached('--name', 'busy', engine.busybox, 'sh', '-c', 'sleep 1000 & while :; do :; done')
    return 'busy'


@pytest.fixture
def limited(engine):
    """The same with limits."""
    engine.run_detached('--name', 'limited', '-m', '64m', '--pids-limit', '20', engine.busybox, 'sh', '-c',
                        'sleep 1000 & while :; do :; done')
    return 'limited'


def cgroup(engine, name, file):
    path = f'{engine.cgroup}/c/{engine.inspect(name)["Id"]}/{file}'
    return engine.machine.shell(f'cat {path}').out.strip()


def docker_stats(engine, *args):
    out = engine.docker('stats', '--no-stream', '--format', '{{json .}}', *args).ok().out
    return [json.loads(line) for line in out.splitlines()]


def test_top(engine, busy):
    def started():
        lines = engine.wherry('top', busy).ok().out.splitlines()
        return lines if any(line.endswith('sleep 1000') for line in lines) else None
    lines = engine.machine.wait_for(started, 'the second process has become sleep')
    assert lines[0].split() == ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD']
    assert len(lines) == 3
    init = engine.state(busy)['Pid']
    assert any(line.split()[1] == str(init) for line in lines)


@pytest.mark.parametrize('args, titles', [
    (['aux'], ['USER', 'PID', '%CPU', '%MEM', 'VSZ', 'RSS', 'TTY', 'STAT', 'START', 'TIME', 'COMMAND']),
    (['-o', 'pid,comm'], ['PID', 'COMMAND']),
    (['-eo', 'pid=NUMBER,args'], ['NUMBER', 'COMMAND']),
])
def test_top_columns(engine, busy, docker_major, args, titles):
    assert docker_major
    assert engine.wherry('top', busy, *args).ok().out.splitlines()[0].split() == titles
    assert engine.docker('top', busy, *args).ok().out.splitlines()[0].split() == titles


@pytest.mark.parametrize('args', [['-o', 'nothing'], ['--forest'], ['-o', '']])
def test_top_that_is_not_known(engine, busy, args):
    one_clear_error(engine.wherry('top', busy, *args), 'not supported')


def test_top_of_what_does_not_run(engine):
    engine.wherry('create', '--name', 'idle', engine.busybox).ok()
    one_clear_error(engine.wherry('top', 'idle'), 'not running')
    engine.wherry('top', 'no-such').fails(1, 'No such container')


def test_stats(engine, busy):
    stats = json.loads(engine.wherry('stats', '--no-stream', '--format', 'json', busy).ok().out)
    assert stats['name'] == '/busy'
    assert stats['cpu_stats']['cpu_usage']['total_usage'] > 0
    assert stats['cpu_stats']['system_cpu_usage'] > stats['cpu_stats']['cpu_usage']['total_usage']
    lines = engine.wherry('stats', '--no-stream').ok().out.splitlines()
    assert len(lines) == 2 and lines[1].split()[1] == 'busy'
    assert float(lines[1].split()[2].rstrip('%')) > 5


@LIMITS
def test_stats_of_limits(engine, limited, docker_major):
    assert docker_major
    stats = json.loads(engine.wherry('stats', '--no-stream', '--format', 'json', limited).ok().out)
    assert stats['memory_stats']['limit'] == 64 << 20
    assert 0 < stats['memory_stats']['usage'] < 64 << 20
    assert stats['pids_stats'] == {'current': 2, 'limit': 20}
    row, = docker_stats(engine, limited)
    assert row['MemUsage'].endswith('/ 64MiB') and row['PIDs'] == '2'


def test_docker_stats(engine, busy, docker_major):
    assert docker_major
    row, = docker_stats(engine, busy)
    assert row['Name'] == 'busy'
    assert float(row['CPUPerc'].rstrip('%')) > 5


def test_stats_of_what_does_not_run(engine):
    engine.wherry('create', '--name', 'idle', engine.busybox).ok()
    stats = json.loads(engine.wherry('stats', '--no-stream', '--format', 'json', 'idle').ok().out)
    assert stats['memory_stats'] == {} and stats['pids_stats'] == {}
    engine.wherry('stats', '--no-stream', 'no-such').fails(1, 'No such container')


@LIMITS
def test_update_of_a_running_container(engine, limited):
    engine.wherry('update', '-m', '48m', '--memory-swap', '48m', '--cpus', '0.5', '--pids-limit', '7',
                  '--restart', 'on-failure:3', limited).ok()
    assert cgroup(engine, limited, 'memory.max') == str(48 << 20)
    assert cgroup(engine, limited, 'cpu.max') == '50000 100000'
    assert cgroup(engine, limited, 'pids.max') == '7'
    host = engine.inspect(limited)['HostConfig']
    assert (host['Memory'], host['NanoCpus'], host['PidsLimit']) == (48 << 20, 500_000_000, 7)
    assert host['RestartPolicy'] == {'Name': 'on-failure', 'MaximumRetryCount': 3}


@LIMITS
def test_an_update_that_fails_changes_nothing(engine, limited):
    before = [cgroup(engine, limited, file) for file in ('memory.max', 'memory.swap.max', 'cpu.max')]
    stored = engine.inspect(limited)['HostConfig']
    one_clear_error(engine.wherry('update', '-m', '48m', '--cpus', '0.5', '--cpuset-mems', '9', limited), 'cpuset.mems')
    assert [cgroup(engine, limited, file) for file in ('memory.max', 'memory.swap.max', 'cpu.max')] == before
    assert engine.inspect(limited)['HostConfig'] == stored


def test_an_update_stays(engine):
    engine.wherry('create', '--name', 'idle', '--network', 'none', engine.busybox, 'sleep', '1000').ok()
    engine.wherry('update', '-m', '32m', 'idle').ok()
    engine.stop()
    engine.start()
    assert engine.inspect('idle')['HostConfig']['Memory'] == 32 << 20


def test_update_of_the_restart_policy(engine, busy, docker_major):
    assert docker_major
    engine.docker('update', '--restart', 'always', busy).ok()
    assert engine.inspect(busy)['HostConfig']['RestartPolicy']['Name'] == 'always'
    engine.wherry('update', '--restart', 'no', busy).ok()
    assert engine.inspect(busy)['HostConfig']['RestartPolicy']['Name'] == 'no'


@LIMITS
def test_docker_update(engine, limited, docker_major):
    assert docker_major
    engine.docker('update', '--pids-limit', '9', limited).ok()
    assert cgroup(engine, limited, 'pids.max') == '9'
    engine.docker('update', '--pids-limit', '-1', limited).ok()
    assert cgroup(engine, limited, 'pids.max') == 'max'


@pytest.mark.parametrize('args, pattern', [
    (['-m', '1m'], '6MB'),
    (['-m', '128m', '--memory-swap', '96m'], 'memoryswap'),
    (['--cpus', '1', '--cpu-quota', '5000'], 'onflict'),
    (['--cpuset-cpus', 'x'], 'x'),
    (['--restart', 'sometimes'], 'sometimes'),
    ([], 'nothing to change'),
])
def test_bad_updates(engine, busy, args, pattern):
    before = engine.inspect(busy)['HostConfig']
    one_clear_error(engine.wherry('update', *args, busy), pattern)
    assert engine.inspect(busy)['HostConfig'] == before


def test_update_of_what_rm_removes(engine):
    engine.run_detached('--rm', '--name', 'brief', engine.busybox, 'sleep', '1000')
    one_clear_error(engine.wherry('update', '--restart', 'always', 'brief'), 'AutoRemove|--rm|restart')
