"""The same docker commands against Docker's engine and wherry: same exit status, same output, and an error from one where
there is one from the other. docs/docker-differences.md lists every command that differs, with the reason, and no other."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import tempfile

import pytest

from engine import docker_program
from harness import debs, paths

pytestmark = [pytest.mark.machines('host-net'), pytest.mark.usefixtures('valid_answers')]

COMMANDS = [line for line in (pathlib.Path(__file__).parent / 'docker_commands.txt').read_text('utf-8').splitlines()
            if line and not line.startswith('#')]
LISTED = paths.REPO / 'docs/docker-differences.md'
NAME = 'diffs'


def normalised(text):
    """Without what is another one each time."""
    text = re.sub(r'\b(sha256:)?[0-9a-f]{64}\b', 'ID', text)
    text = re.sub(r'\b[0-9a-f]{12}\b', 'ID', text)
    text = re.sub(r'\b172\.\d+\.\d+\.\d+\b', 'ADDRESS', text)
    text = re.sub(r'^\d+ {3,}', 'PROCESS ', text, flags=re.M)
    return 'ARCHIVE' if '\0' in text else text.strip()


def run_all(machine, env):
    """command -> (exit status, output, whether there was an error)"""
    outcomes = []
    for command in COMMANDS:
        words = shlex.split(command.replace('NAME', NAME))
        result = machine.run([docker_program()[0], *words], env=env, timeout=60)
        outcomes.append((command, (result.code, normalised(result.out), bool(result.err.strip()))))
    return outcomes


@pytest.fixture(name='saved')
def _saved(machine, new_engine, registry, tmp_path):
    """An archive with busybox under the name people know it by."""
    machine.reach(registry.port)
    engine = new_engine(new_engine.trust(registry.name))
    engine.login(registry.name)
    engine.wherry('pull', '-q', f'{registry.name}/busybox', timeout=120).ok()
    engine.wherry('tag', f'{registry.name}/busybox', 'busybox').ok()
    file = tmp_path / 'busybox.tar'
    file.write_bytes(engine.wherry('save', 'busybox').ok().raw_out)
    engine.stop()
    return file


def with_wherry(machine, new_engine, saved):
    engine = new_engine(network='bridge')
    try:
        engine.docker('load', '-q', '-i', saved).ok()
        return run_all(machine, engine.docker_env())
    finally:
        engine.remove_containers()
        engine.wherry('network', 'prune', '-f')
        engine.stop()


def with_docker(machine, saved):
    place = tempfile.mkdtemp(prefix='wd.')
    env = {**os.environ, 'DOCKER_HOST': f'unix://{place}/s', 'DOCKER_CONFIG': place, 'HOME': place}
    daemon = machine.start([*debs.as_installed('docker.io'), 'dockerd', '--data-root', f'{place}/data', '--exec-root', f'{place}/exec', '--pidfile',
                            f'{place}/pid', '-H', f'unix://{place}/s', '--storage-driver', 'vfs', '--iptables=false',
                            '--log-level', 'error'], env=env)
    try:
        docker = docker_program()[0]
        machine.wait_for(lambda: not daemon.running or machine.run([docker, 'version'], env=env).code == 0,
                         'dockerd does not answer', 40)
        assert daemon.running, daemon.err.decode()[-500:]
        machine.run([docker, 'load', '-q', '-i', saved], env=env).ok()
        return run_all(machine, env)
    finally:
        daemon.kill(signal.SIGTERM)
        daemon.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def listed():
    """The commands in docs/docker-differences.md: the first cell of each row of its first table."""
    rows = re.findall(r'^\| `(.+?)` \|', LISTED.read_text('utf-8').partition('Options that')[0], re.M)
    return [row.replace('\\|', '|') for row in rows]


def test_only_what_is_listed_differs(machine, new_engine, saved, needs_docker_28):
    ours = with_wherry(machine, new_engine, saved)
    theirs = with_docker(machine, saved)
    differing = {}
    for (command, mine), (_, other) in zip(ours, theirs, strict=True):
        if mine != other:
            differing.setdefault(command, []).append((mine, other))
    report = '\n'.join(f'{command}\n   wherry {mine}\n   docker {other}'
                       for command, pairs in differing.items() for mine, other in pairs)
    assert set(differing) == set(listed()), f'not as docs/docker-differences.md says:\n{report}'
