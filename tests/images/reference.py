"""The reference images out of the cache; built when they are not there yet."""

import hashlib
import os
import time

from harness import oci, paths

from . import recipes

SETS = {'small': ('busybox', 'hello', 'probe'), 'arm': ('arm',), 'debian': ('debian', 'nginx')}

# Sets that nobody used for so long go: another checkout may make its images by other sources.
A_DAY = 24 * 3600

# What the images of a set are made by: they are made again when it changes.
SOURCES = {'small': ('images/recipes.py', 'images/elf.py', 'images/probe.cpp',
                     'images/netprobe.cpp', 'harness/oci.py'),
           'arm': ('images/recipes.py', 'images/probe.cpp', 'harness/oci.py'),
           'debian': ('images/recipes.py', 'harness/oci.py')}


def _mark(name):
    text = b''.join((paths.TESTS / source).read_bytes() for source in SOURCES[name])
    return hashlib.sha256(text).hexdigest()[:12]


def set_of(repository):
    return next(name for name, members in SETS.items() if repository in members)


def layouts(name, version='v1'):
    """The directory with the layouts of a set, one per repository."""
    place = paths.cache_dir('images')
    target = place / f'{name}-{version}-{_mark(name)}'
    with paths.locked(place):
        if not target.exists():
            recipes.must_be_root()
            for old in place.glob(f'{name}-{version}-*'):
                if old.is_dir() and old.stat().st_mtime < time.time() - A_DAY:
                    paths.shutil.rmtree(old)
            with paths.replacing(target) as temporary:
                for repository, tags in recipes.build_set(name, version).items():
                    oci.save_layout(temporary / repository, tags)
        os.utime(target)
    return target


def load(repository, version='v1'):
    """tag -> Blob of a repository."""
    return oci.load_layout(layouts(set_of(repository), version) / repository)
