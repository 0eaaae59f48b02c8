"""The options of every command that the docker CLI has, too: the same ones, with the same letters. docs/docker-differences.md lists
what is absent, with the reason, and no other; it is refused by name."""

import re
import subprocess

import pytest

from engine import docker_program
from harness import paths

pytestmark = pytest.mark.machines('host')

WHERRY = str(paths.build_dir('host') / 'wherry')
LISTED = paths.REPO / 'docs/docker-differences.md'


def help_of(program, *words):
    return subprocess.run([program, *words, '--help'], capture_output=True, text=True, timeout=60, check=False).stdout


def options(text):
    """name -> letter or None"""
    return {match[2]: match[1] for match in re.finditer(r'^ +(?:-(\w), )?--([a-z0-9-]+)', text, re.M) if match[2] != 'help'}


def commands():
    """Of wherry that docker has, too."""
    ours = re.findall(r'^  (\w+(?: \w+)?) {2,}', help_of(WHERRY).partition('Commands:')[2].partition('Options:')[0], re.M)
    return [one for one in ours if help_of(docker_program()[0], *one.split()).startswith(f'Usage:  docker {one}')]


def listed():
    """(command, option) of each row."""
    rows = re.findall(r'^\| (`[^|]+) \| (`[^|]+) \| [^|]*\|$', LISTED.read_text('utf-8').partition('# Options that')[2], re.M)
    pairs = [(command, option) for row in rows for command in re.findall('`(.+?)`', row[0]) for option in re.findall('`(.+?)`', row[1])]
    assert len(pairs) == len(set(pairs)), 'an option is listed twice'
    return set(pairs)


def test_options_are_those_of_docker(needs_docker_28):
    del needs_docker_28
    shared = commands()
    assert {'run', 'build', 'network create', 'cp', 'logs'} <= set(shared) and 'ota apply' not in shared
    absent, letters = set(), {}
    for command in shared:
        theirs, ours = options(help_of(docker_program()[0], *command.split())), options(help_of(WHERRY, *command.split()))
        absent |= {(command, name) for name in theirs.keys() - ours.keys()}
        letters |= {(command, name): (letter, ours[name]) for name, letter in theirs.items() if letter and name in ours and
                    ours[name] != letter}
    assert letters == {}
    assert absent - listed() == set(), f'not in {LISTED.name}'
    assert listed() - absent == set(), f'in {LISTED.name}, and not absent'


def test_what_is_absent_is_refused_by_name():
    for command, option in sorted(listed()):
        result = subprocess.run([WHERRY, *command.split(), f'--{option}=x'], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode != 0 and f'unknown option --{option};' in result.stderr, result


def test_the_same_request(engine, docker_major):
    """Both command lines ask for the same container."""
    assert docker_major
    words = ['--network', 'none', '--annotation', 'a=b', '--annotation', 'c=d=e', '--blkio-weight', '300', '--blkio-weight-device',
             '/dev/zero:400', '--device-read-bps', '/dev/zero:1mb', '--device-write-bps', '/dev/zero:5', '--device-read-iops',
             '/dev/zero:6', '--device-write-iops', '/dev/null:7', '--device-write-iops', '/dev/zero:8', '--device-cgroup-rule',
             'c 1:3 rwm', '--uts', 'host', engine.busybox, 'true']
    made = [getattr(engine, cli)('create', *words).ok().out.strip() for cli in ('docker', 'wherry')]
    theirs, ours = (engine.inspect(one)['HostConfig'] for one in made)
    assert ours == theirs and ours['BlkioDeviceReadBps'] == [{'Path': '/dev/zero', 'Rate': 1 << 20}]
    assert ours['Annotations'] == {'a': 'b', 'c': 'd=e'} and ours['BlkioWeightDevice'] == [{'Path': '/dev/zero', 'Weight': 400}]
    engine.wherry('create', '--device-read-bps', '/dev/zero', engine.busybox).fails(125, 'device-read-bps: /dev/zero is not DEVICE:NUMBER')
    engine.wherry('stop', '--timeout', '1', *made).ok()
