"""Containers that use the same file share its pages, also when their images are different ones."""

import gzip

import pytest

from harness import oci
from images import recipes, reference


def binary_pages(engine, identity):
    """Resident and proportional size of the pages of the program's code in a container, in kB."""
    pid = engine.state(identity)['Pid']
    sizes, here = {'Rss': 0, 'Pss': 0}, False
    for line in engine.machine.read(f'/proc/{pid}/smaps').decode().splitlines():
        words = line.split()
        if '-' in words[0] and not words[0].endswith(':'):
            here = words[1] == 'r-xp' and words[-1] == '/bin/sleep'
        elif here and words[0].rstrip(':') in sizes:
            sizes[words[0].rstrip(':')] += int(words[1])
    return sizes


@pytest.mark.parametrize('tier', ['auto', 'B'])
def test_pages_are_shared_between_images(new_engine, registry, tier):
    engine = new_engine(new_engine.trust(registry.name) + f'[store]\ntier = {tier}\n')
    engine.login(registry.name)
    arch = engine.machine.arch
    base = reference.load('busybox')['latest'].parts[recipes.ARCHES.index(arch)]
    archives = [gzip.decompress(part.data) for part in base.parts[1:]]
    containers = []
    for name in ('one', 'other'):
        # Not a layer in common: one more file at the beginning of each.
        layers = [oci.layer(oci.tar([oci.entry(f'only-{name}', data=name.encode())])[:1024] + archive)
                  for archive in archives]
        registry.push(f'share/{name}', '1', oci.image(layers, arch, Cmd=['sleep', '1000']))
        containers.append(engine.run_detached(f'{registry.name}/share/{name}:1'))
    layers = [engine.inspect(f'{registry.name}/share/{name}:1')['RootFS']['Layers']
              for name in ('one', 'other')]
    assert not set(layers[0]) & set(layers[1])
    for identity in containers:
        sizes = binary_pages(engine, identity)
        assert sizes['Rss'] > 100, sizes
        assert sizes['Pss'] < 0.6 * sizes['Rss'], sizes
    engine.remove_containers()
    engine.assert_nothing_left()
