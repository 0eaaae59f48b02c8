"""Lists of images, their filters and their history."""

import datetime
import json

import pytest

from harness import oci
from outcome import one_clear_error

pytestmark = pytest.mark.machines('host')


def dated(arch, day, **options):
    """An image made on a day of 2024, of two steps with a layer and one without."""
    layers = [oci.layer(oci.tar([oci.entry(f'{day}-{i}', data=b'x' * 100 * (i + 1))])) for i in range(2)]
    image = oci.image(layers, arch, **options)
    config = json.loads(image.parts[0].data)
    config['created'] = f'2024-01-{day:02}T00:00:00Z'
    config['history'] = [{'created': '2024-01-01T00:00:00Z', 'created_by': 'ADD rootfs', 'comment': 'base'},
                         {'created': '2024-01-01T00:00:00Z', 'created_by': 'CMD ["sh"]', 'empty_layer': True},
                         {'created': config['created'], 'created_by': 'RUN something ' + 'long ' * 20}]
    return oci.manifest(oci.Blob(oci.OCI['config'], oci.to_json(config)), layers)


@pytest.fixture
def stocked(fresh_engine, faulty_registry):
    """An engine with three images: old, middle, new."""
    engine = fresh_engine
    for day, name in ((3, 'old'), (10, 'middle'), (20, 'new')):
        faulty_registry.add(name, '1', dated(engine.machine.arch, day, Labels={'age': name}))
        engine.wherry('pull', '-q', f'{faulty_registry.name}/{name}:1').ok()
        engine.wherry('tag', f'{faulty_registry.name}/{name}:1', f'{name}:1').ok()
        engine.wherry('rmi', f'{faulty_registry.name}/{name}:1').ok()
    return engine


def listed(engine, *filters):
    words = [word for value in filters for word in ('-f', value)]
    out = engine.wherry('images', '--format', 'json', *words).ok().out
    return sorted(json.loads(line)['RepoTags'][0] for line in out.splitlines())


@pytest.mark.parametrize('filters, names', [
    ([], ['middle:1', 'new:1', 'old:1']), (['before=middle:1'], ['old:1']), (['since=middle:1'], ['new:1']),
    (['since=old:1', 'before=new:1'], ['middle:1']), (['label=age=new'], ['new:1']), (['label=age'], ['middle:1', 'new:1', 'old:1']),
    (['reference=m*'], ['middle:1']), (['reference=*:1', 'label=age=old'], ['old:1']),
    (['until=2024-01-05T00:00:00Z'], ['old:1']), (['dangling=true'], [])])
def test_filters(stocked, filters, names):
    assert listed(stocked, *filters) == names


def test_docker_filters(stocked, docker_major):
    assert docker_major
    out = stocked.docker('images', '-f', 'before=new:1', '--format', '{{.Repository}}:{{.Tag}}').ok().out
    assert sorted(name for name in out.split() if name.endswith(':1')) == ['middle:1', 'old:1']


@pytest.mark.parametrize('value, pattern', [('before=none:1', 'No such image'), ('color=red', 'invalid filter'),
                                            ('until=never', 'never'), ('nothing', 'KEY=VALUE|nothing')])
def test_bad_filters(stocked, value, pattern):
    one_clear_error(stocked.wherry('images', '-f', value), pattern)


def test_history(stocked, docker_major):
    assert docker_major
    steps = [json.loads(line) for line in
             stocked.wherry('history', '--format', 'json', 'new:1').ok().out.splitlines()]
    assert [step['CreatedBy'].split()[0] for step in steps] == ['RUN', 'CMD', 'ADD']
    assert [step['Size'] for step in steps] == [200, 0, 100]
    assert steps[0]['Id'] == stocked.inspect('new:1')['Id'] and steps[0]['Tags'] == ['new:1']
    assert steps[1]['Id'] == '<missing>' and steps[2]['Comment'] == 'base'
    assert datetime.datetime.fromtimestamp(steps[0]['Created'], datetime.timezone.utc).day == 20
    lines = stocked.wherry('history', 'new:1').ok().out.splitlines()
    assert len(lines) == 4 and '…' in lines[1]
    assert len(stocked.wherry('history', '-q', 'new:1').ok().out.split()[0]) == 12
    out = stocked.docker('history', '--format', '{{.CreatedBy}}', '--no-trunc', 'new:1').ok().out
    assert out.splitlines()[2] == 'ADD rootfs'
    one_clear_error(stocked.wherry('history', 'none:1'), 'No such image')
