"""The reference images out of the cache; built when they are not there yet."""

import hashlib

from harness import oci, paths

from . import recipes

SETS = {'small': ('busybox', 'hello', 'probe'), 'debian': ('debian', 'nginx')}


def _mark():
    """Changes whenever a recipe does."""
    files = [paths.TESTS / 'images' / name for name in ('recipes.py', 'elf.py', 'probe.cpp')]
    text = b''.join(path.read_bytes() for path in files)
    text += (paths.TESTS / 'harness' / 'oci.py').read_bytes()
    return hashlib.sha256(text).hexdigest()[:12]


def set_of(repository):
    return next(name for name, members in SETS.items() if repository in members)


def layouts(name, version='v1'):
    """The directory with the layouts of a set, one per repository."""
    place = paths.cache_dir('images')
    target = place / f'{name}-{version}-{_mark()}'
    with paths.locked(place):
        if not target.exists():
            recipes.must_be_root()
            for old in place.glob(f'{name}-{version}-*'):
                if old.is_dir():
                    paths.shutil.rmtree(old)
            with paths.replacing(target) as temporary:
                for repository, tags in recipes.build_set(name, version).items():
                    oci.save_layout(temporary / repository, tags)
    return target


def load(repository, version='v1'):
    """tag -> Blob of a repository."""
    return oci.load_layout(layouts(set_of(repository), version) / repository)
