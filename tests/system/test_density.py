"""Many idle containers: what the daemon and the shims take for them.

WHERRY_CONTAINERS=200 ./dev test tests/system/test_density.py is the whole campaign."""

import os

import pytest

from harness import memory

COUNT = int(os.environ.get('WHERRY_CONTAINERS', '8'))
NAMES = ['wherry', 'wherry-shim']
EACH = 150     # kB in all
PRIVATE = 60   # kB of a shim


@pytest.mark.machines('host', 'vm')
def test_idle_containers(engine):
    engine.wherry('run', '--rm', engine.busybox, 'true').ok()
    before = memory.of_processes(engine.machine, NAMES)
    for _ in range(COUNT):
        engine.run_detached(engine.busybox, 'sleep', '100000')
    after = memory.of_processes(engine.machine, NAMES)
    shims = [process for process in after if process.name == 'wherry-shim']
    assert len(shims) == COUNT
    assert max(shim.private for shim in shims) <= PRIVATE, 'kB of a shim of its own'
    # Not by PSS: another run beside this one that ends makes it grow.
    grown = sum(process.anonymous for process in after) - sum(process.anonymous for process in before)
    print(f'{COUNT} containers: {grown / COUNT:.1f} kB each, shims {sorted(shim.private for shim in shims)[COUNT // 2]} kB '
          f'private, {sorted(shim.rss for shim in shims)[COUNT // 2]} kB resident')
    assert grown <= COUNT * EACH, 'kB for all of them'
