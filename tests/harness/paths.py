"""Where things are: the repository, its builds, and the cache outside of it."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
TESTS = REPO / 'tests'


def cache_dir(*parts):
    """A directory below ${WHERRY_CACHE:-~/.cache/wherry}, created when missing."""
    base = os.environ.get('WHERRY_CACHE') or os.path.expanduser('~/.cache/wherry')
    path = pathlib.Path(base, *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def build_dir(preset):
    """The directory with the binaries of a preset; WHERRY_BUILD_<PRESET> names another one."""
    other = os.environ.get('WHERRY_BUILD_' + preset.upper())
    return pathlib.Path(other) if other else REPO / 'build' / preset


@contextlib.contextmanager
def locked(directory):
    """Holds an exclusive lock on a cache directory, against a second run beside this one."""
    with open(pathlib.Path(directory) / '.lock', 'w', encoding='utf-8') as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def replacing(target):
    """Yields a temporary directory that takes the place of `target` when the block succeeds."""
    target = pathlib.Path(target)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=target.name + '.', dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
