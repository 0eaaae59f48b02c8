"""Hooks of wherry-runtime: where each runs, in which order, and what a failure does."""

import json
import pathlib

import pytest

pytestmark = pytest.mark.machines('host')


def on_host(box, name, script='true', **more):
    return [{'path': '/bin/sh', 'args': ['sh', '-c', f'cat > {box.dir}/{name}.json; {script}'],
             'env': ['PATH=/bin:/usr/bin'], **more}]


def inside(script, **more):
    """By a path of the container, with its standard error."""
    return [{'path': '/bin/sh', 'args': ['sh', '-c', script], 'env': ['PATH=/bin'], **more}]


def received(box, name):
    return json.loads(pathlib.Path(box.dir, f'{name}.json').read_text())


def test_all_hooks_in_their_order(box):
    order = pathlib.Path(box.dir, 'order')
    kinds = ['prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop']
    box.config['hooks'] = {kind: on_host(box, kind, f'echo {kind} >> {order}') for kind in kinds}
    box.config['mounts'].append({'destination': '/shared', 'type': 'bind', 'source': box.dir, 'options': ['bind']})
    box.config['root']['readonly'] = False
    box.config['hooks']['startContainer'] = inside('cat > /shared/startContainer.json; echo startContainer >> /shared/order')
    box.create('hooked', 'sh', '-c', 'echo program >> /shared/order; sleep 100').ok()
    assert order.read_text().split() == kinds[:3]
    box.run('start', 'hooked').ok()
    box.machine.wait_for(lambda: 'program' in order.read_text(), 'the program does not run', 10)
    box.run('delete', '--force', 'hooked').ok()
    words = order.read_text().split()
    assert words[:4] == [*kinds[:3], 'startContainer'] and words[-1] == 'poststop'
    assert sorted(words[4:6]) == ['poststart', 'program']
    states = {kind: received(box, kind) for kind in [*kinds, 'startContainer']}
    assert {kind: state['status'] for kind, state in states.items()} == {
        'prestart': 'creating', 'createRuntime': 'creating', 'createContainer': 'creating',
        'startContainer': 'created', 'poststart': 'running', 'poststop': 'stopped'}
    assert {state['id'] for state in states.values()} == {'hooked'}
    assert states['createContainer']['pid'] == states['startContainer']['pid'] == 1  # as they see it
    assert states['createRuntime']['pid'] == states['poststart']['pid'] > 1


def test_create_container_sees_the_mounts_from_the_host(box):
    rootfs = box.config['root']['path']
    script = (f'readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts; cat {rootfs}/proc/1/comm; test -c {rootfs}/dev/null &&'
              f' echo device; test -d {box.bundle} && echo host; echo made > {rootfs}/tmp/by-hook; umask')
    box.config['hooks'] = {'createContainer': on_host(box, 'x', f'({script}) > {box.dir}/seen')}
    box.config['process']['args'] = ['sh', '-c', 'cat /tmp/by-hook; readlink /proc/1/ns/mnt; readlink /proc/1/ns/uts;'
                                     f' test -e {box.bundle} || echo gone; grep -c . /proc/1/mountinfo']
    box.write()
    out = box.run('run', '--bundle', box.bundle, 'seen').ok().out.splitlines()
    seen = pathlib.Path(box.dir, 'seen').read_text().splitlines()
    assert out[:4] == ['made', *seen[:2], 'gone']
    assert seen[3:] == ['device', 'host', '0022']
    box.config['hooks'] = {}
    box.write()
    plain = box.run('run', '--bundle', box.bundle, 'plain').out.splitlines()
    assert plain[-1] == out[-1]  # mounts: the other order leaves none of the host's


def test_start_container_is_inside_and_as_the_user(box):
    box.config['process']['user'] = {'uid': 1234, 'gid': 1234}
    box.config['hooks'] = {'startContainer': inside('id -u >&2; hostname >&2; ls /proc/self/fd >&2; umask >&2')}
    box.config['process']['args'] = ['echo', 'program']
    box.write()
    result = box.run('run', '--bundle', box.bundle, 'inside').ok()
    assert result.err.split() == ['1234', 'oci', '0', '1', '2', '3', '0022']  # 3: of ls
    assert result.out == 'program\n'


@pytest.mark.parametrize('kind', ['createContainer', 'startContainer'])
@pytest.mark.parametrize('script, more, says', [
    ('exit 9', {}, 'hook failed with exit code 9'),
    ('sleep 77 & sleep 78', {'timeout': 1}, 'hook took longer than 1 seconds')])
def test_one_inside_that_fails_leaves_nothing(box, kind, script, more, says):
    box.config['hooks'] = {kind: inside(script, **more), 'poststop': on_host(box, 'poststop')}
    box.write()
    box.run('run', '--bundle', box.bundle, 'failing').fails(1, f'error running {kind} hook #0: /bin/sh: {kind} {says}')
    box.assert_nothing_left()


def test_a_start_container_that_fails_after_create(box):
    box.config['hooks'] = {'startContainer': inside('exit 4')}
    box.create('late', 'true').ok()
    box.run('start', 'late').fails(1, 'startContainer hook #0: /bin/sh: .* exit code 4')
    box.wait_for('late', 'stopped')
    box.run('delete', 'late').ok()
    box.assert_nothing_left()


def test_a_poststart_that_fails_ends_and_removes_the_container(box):
    box.config['hooks'] = {'poststart': on_host(box, 'poststart', 'exit 5'), 'poststop': on_host(box, 'poststop')}
    box.create('brief', 'sleep', '100').ok()
    box.run('start', 'brief').fails(1, 'poststart hook #0: /bin/sh: .* exit code 5')
    assert received(box, 'poststop')['status'] == 'stopped'
    box.run('state', 'brief').fails(1, 'does not exist')


def test_every_poststop_runs_and_its_failure_is_a_warning(box):
    box.config['hooks'] = {'poststop': [*on_host(box, 'first', 'exit 3'), *on_host(box, 'second', 'exit 4')]}
    box.write()
    says = box.run('run', '--bundle', box.bundle, 'over').ok().err
    for number, status in enumerate((3, 4)):
        assert f'error running poststop hook #{number}: /bin/sh: poststop hook failed with exit code {status}' in says
    assert received(box, 'second')['status'] == 'stopped'


def test_a_hook_without_env_has_the_callers_and_inside_the_programs(box):
    box.config['process'].update(env=['PATH=/bin', 'OF_PROGRAM=x y'], args=['true'])
    script = 'echo "${OF_CALLER-none} ${OF_PROGRAM-none} ${HOME-none}" >&2'
    for own, caller, program in ({}, '1', 'none'), ({'env': ['PATH=/bin', 'OF_PROGRAM=own']}, 'none', 'own'):
        hooks = [{'path': '/bin/sh', 'args': ['sh', '-c', script], **own}]
        box.config['hooks'] = {'createRuntime': hooks, 'createContainer': hooks, 'startContainer': hooks, 'poststop': hooks}
        box.write()
        lines = box.machine.run([*box.command, '--root', box.root, 'run', '--bundle', box.bundle, 'env'],
                                env={'OF_CALLER': '1', 'HOME': '/home'}).ok().err.splitlines()
        inside_line = lines.pop(2)
        assert inside_line == ('none own none' if own else 'none x y /root')
        assert lines == [f'{caller} {program} {"none" if own else "/home"}'] * 3
