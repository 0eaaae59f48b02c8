#!/usr/bin/python3
"""Runs crun's own tests against wherry-runtime and prints what became of each.

    tests/conformance/crun.py CHECKOUT [--runtime build/host/wherry-runtime] [--only test_exec.py ...] [--log FILE]

CHECKOUT is a directory with crun's source, which is not changed; docs/conformance.md has the table and the reasons.
Needs root, gcc and static libraries. The machine's cgroups are left alone: the tests see a cgroup2 mount of their own.
"""
import argparse
import importlib.util
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IN_NAMESPACE = 'WHERRY_CONFORMANCE_NAMESPACE'
SECONDS = 600  # for a file of tests
TAP = re.compile(r'^(ok|not ok) \d+ - (.+?)(?: *#(SKIP)?.*)?$', re.MULTILINE)
CONFIG = '#define HAVE_ERROR_H 1\n#define HAVE_LINUX_IOPRIO_H 1\n'
# What the tests use of Python's libmount, which Debian 12 does not have.
LIBMOUNT = '''
class Mount:
    def __init__(self, line):
        first, _, second = line.partition(' - ')
        self.target, self.vfs_options = first.split()[4:6]
        self.fs_options = second.split()[2]

class Table:
    def __init__(self, path):
        with open(path, encoding='utf-8') as lines:
            self.mounts = [Mount(line) for line in lines if ' - ' in line]

    def find_target(self, target):
        return next((mount for mount in reversed(self.mounts) if mount.target == target), None)
'''


def enter_namespace():
    """A mount namespace with cgroup2 where runtimes look for it; shared, as systemd makes the host's."""
    if os.environ.get(IN_NAMESPACE):
        return
    script = 'mount --make-rprivate / && mount --make-rshared / && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
    os.environ[IN_NAMESPACE] = '1'
    os.execvp('unshare', ['unshare', '-m', 'sh', '-c', script, 'sh', sys.executable, *sys.argv])


def build_init(checkout, directory):
    """The program the tests put into their containers; with seccomp only where the library is installed."""
    has_seccomp = Path('/usr/include/seccomp.h').exists()
    (directory / 'config.h').write_text(CONFIG + ('#define HAVE_SECCOMP 1\n' if has_seccomp else ''))
    init = directory / 'init'
    subprocess.run(['gcc', '-static', '-O2', '-w', f'-I{directory}', '-o', init, checkout / 'tests/init.c',
                    *(['-lseccomp'] if has_seccomp else [])], check=True)
    return init


def on_terminal(words, seconds, **more):
    """The output of a program that has a terminal, as some of the tests ask for."""
    master, slave = os.openpty()
    with subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, **more) as process:
        os.close(slave)
        deadline = time.monotonic() + seconds
        output = b''
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                output += os.read(master, 65536)
            except OSError:  # nobody has the other end any more
                break
        else:
            output += b'\nBail out! it took too long\n'
            process.kill()
        os.close(master)
    return output.decode(errors='replace').replace('\r\n', '\n')


def run_file(path, runtime, init, directory):
    """(output, {test: 'pass', 'fail' or 'skip'})"""
    work = directory / path.stem
    shutil.copytree(path.parent, work / 'tests')
    if not importlib.util.find_spec('libmount'):
        (work / 'tests/libmount.py').write_text(LIBMOUNT)
    environment = os.environ | {'OCI_RUNTIME': str(runtime), 'INIT': str(init), 'CGROUP_MANAGER': 'cgroupfs'}
    output = on_terminal([sys.executable, work / 'tests' / path.name], SECONDS, cwd=work, env=environment)
    results = {name: 'skip' if skip else 'pass' if word == 'ok' else 'fail'
               for word, name, skip in TAP.findall(output)}
    planned = re.search(r'^1\.\.(\d+)$', output, re.MULTILINE)
    missing = int(planned[1]) - len(results) if planned else 1
    results |= {f'(not run {number + 1})': 'fail' for number in range(missing)}
    return output, results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('checkout', type=Path)
    parser.add_argument('--runtime', type=Path, default=ROOT / 'build/host/wherry-runtime')
    parser.add_argument('--only', nargs='*', default=[])
    parser.add_argument('--log', type=Path)
    arguments = parser.parse_args()
    enter_namespace()
    total = Counter()
    log = open(arguments.log, 'w', encoding='utf-8') if arguments.log else None
    with tempfile.TemporaryDirectory(prefix='conformance-') as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        init = build_init(arguments.checkout, directory)
        print(f'{"file":32} pass fail skip')
        for path in sorted((arguments.checkout / 'tests').glob('test_*.py')):
            if arguments.only and path.name not in arguments.only:
                continue
            output, results = run_file(path, arguments.runtime.resolve(), init, directory)
            if log:
                log.write(f'=== {path.name}\n{output}\n')
                log.flush()
            count = Counter(results.values())
            total += count
            print(f'{path.name:32} {count["pass"]:4} {count["fail"]:4} {count["skip"]:4}', flush=True)
            for name, result in results.items():
                if result != 'pass':
                    print(f'    {result} {name}', flush=True)
    print(f'{"all":32} {total["pass"]:4} {total["fail"]:4} {total["skip"]:4}')
    return 1 if total['fail'] else 0


if __name__ == '__main__':
    sys.exit(main())
