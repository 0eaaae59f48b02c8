"""The main job on ARM, on all kernels: a real image over TLS, running, serving, limited."""

import pytest

pytestmark = pytest.mark.machines('vm-6.1', 'vm-6.12', 'vm-32')


def test_kernel_and_architecture(engine):
    release = engine.machine.run(['uname', '-rm']).ok().out
    version, machine = release.split()
    assert version.startswith(engine.machine.name.split('-')[-1] + '.')
    assert machine == {'arm64': 'aarch64', 'armhf': 'armv7l'}[engine.machine.arch]
    assert 'memory' in engine.machine.read('/sys/fs/cgroup/cgroup.controllers').decode()


@pytest.mark.machines('vm-6.1', 'vm-6.12')
def test_nginx_of_two_layers_serves_a_page(engine, nginx):
    engine.wherry('pull', nginx, timeout=240).ok()
    assert len(engine.inspect(nginx)['RootFS']['Layers']) == 2
    site = f'{engine.dir}/site.conf'
    engine.machine.write(site, 'server { listen 8123; root /var/www/html; }\n')
    identity = engine.run_detached('--name', 'web', '--network', 'host', '-v',
                                   f'{site}:/etc/nginx/conf.d/default.conf:ro', nginx)
    page = engine.machine.wait_for(
        lambda: engine.machine.run(['wget', '-q', '-O', '-', 'http://127.0.0.1:8123/']).out,
        lambda: engine.wherry('logs', identity).out, 30)
    assert 'Served from a wherry container' in page
    engine.machine.wait_for(lambda: 'GET / HTTP' in engine.wherry('logs', identity).ok().out,
                            'the access log does not show the request')
    engine.wherry('stop', 'web').ok()
    assert engine.state(identity)['ExitCode'] == 0, 'nginx ends in order on its stop signal'


def test_volume_and_options_together(engine):
    data = f'{engine.dir}/volume'
    engine.machine.shell(f'mkdir {data} && chown 1234 {data}').ok()
    out = engine.wherry(
        'run', '--rm', '--read-only', '--cap-drop', 'ALL', '--user', 'tester', '-v', f'{data}:/data',
        '--tmpfs', '/tmp', '-e', 'NAME=value', '-w', '/data', '--hostname', 'board', '--entrypoint',
        'sh', engine.busybox, '-c',
        'id -u; hostname; pwd; echo $NAME; grep CapEff /proc/self/status | cut -f2; touch made /tmp/x;'
        'touch /etc/x 2>/dev/null || echo read-only').ok().out
    assert out.split() == ['1234', 'board', '/data', 'value', '0' * 16, 'read-only']
    assert engine.machine.exists(f'{data}/made')
    engine.machine.remove(data)


def test_killed_daemon_loses_nothing(engine):
    identity = engine.run_detached(engine.probe, 'probe', 'lines', '300', '10000')
    engine.kill()
    engine.machine.run(['sleep', '0.5'])
    engine.start()
    assert engine.wait_exited(identity, 30)['ExitCode'] == 0
    assert len(engine.wherry('logs', identity).ok().out.splitlines()) == 300


def test_memory_of_daemon_and_shim(engine):
    """A first look at the budget: the daemon's and a shim's share of memory, in kB."""
    identity = engine.run_detached(engine.busybox, 'sleep', '1000')
    pid = engine.state(identity)['Pid']
    shim = engine.machine.shell(f'grep PPid /proc/{pid}/status').ok().out.split()[1]

    def pss(process):
        text = engine.machine.read(f'/proc/{process}/smaps_rollup').decode()
        return int(next(line for line in text.splitlines() if line.startswith('Pss:')).split()[1])

    assert pss(shim) <= 200, 'kB of the shim'
    assert pss(engine.pid) <= 8000, 'kB of the daemon'
