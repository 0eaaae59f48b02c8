"""Limits, where the machine's cgroups can set them: in the virtual machine on both kernels."""

import pytest

pytestmark = pytest.mark.machines('vm-6.1', 'vm-6.12')


@pytest.mark.machines('vm-6.1', 'vm-6.12', 'vm-32')
def test_memory_limit_kills_and_reports_oom(engine):
    identity = engine.run_detached('--memory', '32m', engine.probe, 'probe', 'eat', '200')
    state = engine.wait_exited(identity, 30)
    assert state['OOMKilled'] is True and state['ExitCode'] == 137
    assert 'took' not in engine.wherry('logs', identity).ok().out


def test_memory_limit_leaves_a_small_program_alone(engine):
    result = engine.wherry('run', '--rm', '--network', 'none', '--memory', '32m', engine.probe, 'probe', 'eat', '8')
    assert result.ok().out == 'took 8 MB\n'
    identity = engine.run_detached('--memory', '32m', engine.probe, 'probe', 'eat', '8')
    assert engine.wait_exited(identity)['OOMKilled'] is False


def test_memory_limit_of_a_child_is_reported_too(engine):
    """The program survives, a child of it is killed: Docker says OOMKilled then as well."""
    identity = engine.run_detached('--memory', '32m', engine.probe, 'sh', '-c',
                                   'probe eat 200; echo survived $?; exit 0')
    state = engine.wait_exited(identity, 30)
    assert 'survived 137' in engine.wherry('logs', identity).ok().out
    assert state['OOMKilled'] is True


def test_memory_limit_is_visible_inside(engine):
    out = engine.wherry('run', '--rm', '--network', 'none', '--memory', '48m', engine.busybox, 'cat',
                        '/sys/fs/cgroup/memory.max').ok().out
    assert out.strip() == str(48 << 20)


@pytest.mark.machines('vm-6.1', 'vm-6.12', 'vm-32')
def test_pids_limit(engine):
    out = engine.wherry('run', '--rm', '--network', 'none', '--pids-limit', '10', engine.probe, 'probe', 'fork', '30').out
    words = out.split()
    assert words[0] == 'children' and 5 <= int(words[1]) <= 10 and words[-1] == 'EAGAIN', out


def test_no_pids_limit(engine):
    out = engine.wherry('run', '--rm', engine.probe, 'probe', 'fork', '30').out
    assert 'children 30 of 30' in out


@pytest.mark.parametrize('cpus, least, most', [('0.3', 0.15, 0.45), ('1', 0.5, 1.3)])
def test_cpus(engine, cpus, least, most):
    """Two busy processes on two processors get only their share."""
    out = engine.wherry('run', '--rm', '--network', 'none', '--cpus', cpus, engine.probe, 'probe', 'spin', '3000').ok().out
    used, elapsed = map(int, out.split())
    assert least <= used / elapsed <= most, out


@pytest.mark.machines('vm-6.1', 'vm-6.12', 'vm-32')
def test_limits_are_in_the_cgroup(engine):
    identity = engine.run_detached('--memory', '64m', '--memory-swap', '64m', '--cpus', '0.5',
                                   '--pids-limit', '50', '--cpu-shares', '512', '--cpuset-cpus', '0',
                                   '--memory-reservation', '16m', engine.busybox, 'sleep', '1000')
    place = f'{engine.cgroup}/c/{identity}'
    values = {name: engine.machine.read(f'{place}/{name}').decode().strip()
              for name in ('memory.max', 'memory.swap.max', 'cpu.max', 'pids.max', 'cpu.weight',
                           'cpuset.cpus', 'memory.low')}
    assert values['memory.max'] == str(64 << 20) and values['memory.swap.max'] == '0'
    assert values['cpu.max'] == '50000 100000' and values['pids.max'] == '50'
    assert values['memory.low'] == str(16 << 20)
    assert values['cpuset.cpus'] == '0' and 10 <= int(values['cpu.weight']) <= 60


def test_docker_cli_sets_limits_too(engine, docker_major):
    identity = engine.docker('run', '-d', '--network', 'none', '--memory', '32m', engine.probe,
                             'probe', 'eat', '200').ok().out.strip()
    engine.wait_exited(identity, 30)
    assert engine.docker('inspect', '-f', '{{.State.OOMKilled}} {{.State.ExitCode}}',
                         identity).ok().out == 'true 137\n'
    identity = engine.docker('run', '-d', '--network', 'none', '--blkio-weight', '500', '--device-write-bps',
                             '/dev/vdb:1mb', engine.busybox, 'sleep', '1000').ok().out.strip()
    files = engine.machine.shell(f'cat {engine.cgroup}/c/{identity}/io.weight {engine.cgroup}/c/{identity}/io.max').ok().out
    assert files.startswith('default 4950\n') and files.endswith(f' rbps=max wbps={1 << 20} riops=max wiops=max\n')


@pytest.mark.machines('host')
def test_limit_on_a_host_without_the_controller_is_one_precise_error(engine):
    if engine.machine.limits:
        pytest.skip('this host has the memory controller on cgroup v2')
    result = engine.wherry('run', '--rm', '--network', 'none', '--memory', '32m', engine.busybox,
                           'true').fails(125, 'memory')
    assert len(result.err.strip().splitlines()) == 1 and 'cgroup' in result.err
    assert engine.containers() == []
