"""Builds the small static helper programs of the tests, cached by their source."""

import hashlib
import shutil
import subprocess

from . import paths

TRIPLETS = {'amd64': 'x86_64-linux-gnu', 'arm64': 'aarch64-linux-gnu', 'armhf': 'arm-linux-gnueabihf'}
FLAGS = ['-std=c++20', '-Os', '-static', '-s', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra',
         '-Werror', '-Wl,-z,max-page-size=65536']


def native_arch():
    """The Debian name of the machine's architecture."""
    return subprocess.run(['dpkg', '--print-architecture'], check=True, capture_output=True,
                          text=True).stdout.strip()


def static_program(source, arch):
    """The path of the program built from one C++ file for an architecture."""
    compiler = shutil.which(f'{TRIPLETS[arch]}-g++')
    if compiler is None and arch == native_arch():
        compiler = shutil.which('g++')
    if compiler is None:
        raise RuntimeError(f'no C++ compiler for {arch}: install g++-' +
                           TRIPLETS[arch].replace('_', '-'))
    digest = hashlib.sha256(source.read_bytes() + ' '.join(FLAGS).encode()).hexdigest()[:16]
    place = paths.cache_dir('helpers')
    target = place / f'{source.stem}-{arch}-{digest}'
    with paths.locked(place):
        if not target.exists():
            temporary = target.with_suffix('.new')
            subprocess.run([compiler, *FLAGS, source, '-o', temporary], check=True)
            temporary.rename(target)
    return target
