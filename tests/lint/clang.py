"""clang-format and clang-tidy, version 19: older ones cannot compile g++ 12's <expected>."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import tree

BUILD = pathlib.Path(os.environ.get('WHERRY_BUILD_HOST') or tree.REPO / 'build' / 'host')
# Recipes are parts of toolchains/deps.sh, which sets and reads their variables; flags are split into words on purpose.
SHELL_ACCEPTED = 'SC1090,SC2034,SC2046,SC2164'
# GNU options that clang does not know; clang counts TRY as a statement as an ignored value; libstdc++ uses what it deprecates.
EXTRA = ['--extra-arg=-Wno-unknown-warning-option', '--extra-arg=-Wno-unused-result',
         '--extra-arg=-Wno-deprecated-declarations']


def formatting():
    sources = [str(path) for path in tree.files('.h', '.cpp')]
    result = subprocess.run(['clang-format-19', '--dry-run', '--Werror', *sources], cwd=tree.REPO,
                            capture_output=True, text=True, check=False)
    return sorted({line.split(':')[0] + ' is not formatted: ./dev fmt'
                   for line in result.stderr.splitlines() if ' error:' in line})


def shell():
    scripts = [str(path) for path in tree.files()
               if path.suffix == '.sh' or is_shell(path)]
    result = subprocess.run(['shellcheck', '-s', 'bash', '-S', 'warning', '-e', SHELL_ACCEPTED, '-f', 'gcc', *scripts], cwd=tree.REPO,
                            capture_output=True, text=True, check=False)
    return result.stdout.splitlines()


def is_shell(path):
    with open(tree.REPO / path, 'rb') as file:
        line = file.readline(64)
    return line.startswith(b'#!') and (b'bash' in line or line.rstrip().endswith(b'/sh'))


class Checked:
    """Remembers which file contents were found clean, by everything that was compiled."""

    def __init__(self, options):
        base = os.environ.get('WHERRY_CACHE') or os.path.expanduser('~/.cache/wherry')
        self.place = pathlib.Path(base, 'tidy')
        self.place.mkdir(parents=True, exist_ok=True)
        self.common = (tree.REPO / '.clang-tidy').read_bytes() + subprocess.run(
            ['clang-tidy-19', '--version'], check=True, capture_output=True).stdout + repr(options).encode()
        # In the build's precompiled header, so that the build does not name them for each file.
        for path in [tree.REPO / 'CMakeLists.txt', *sorted((tree.REPO / 'core/base').glob('*.h'))]:
            self.common += path.read_bytes()
        self._included = included()
        self._digests = {}

    def stamp(self, entry):
        digest = hashlib.sha256(self.common)
        for name in [entry['file'], *self._included.get(output(entry), [])]:
            if name not in self._digests:
                self._digests[name] = hashlib.sha256(pathlib.Path(name).read_bytes()).digest()
            digest.update(self._digests[name])
        digest.update(' '.join(arguments(entry)[1:]).replace(str(tree.REPO), '').encode())
        return self.place / digest.hexdigest()


def arguments(entry):
    words = entry['command'].split()
    return words[1:] if 'ccache' in words[0] else words


def included():
    """Object file to the files of the repository it was made from, as the build knows them."""
    text = subprocess.run(['ninja', '-C', BUILD, '-t', 'deps'], check=True, capture_output=True, text=True).stdout
    found, names = {}, []
    for line in text.splitlines():
        if line.startswith('    '):
            path = os.path.normpath(BUILD / line.strip())
            if path.startswith(str(tree.REPO)) and not path.startswith(str(BUILD)):
                names.append(path)
        elif ': #deps' in line:
            names = found.setdefault(line.split(':')[0], [])
    return found


def output(entry):
    words = entry['command'].split()
    return words[words.index('-o') + 1]


def plain_commands():
    """The commands of the host build without its precompiled header, in a directory for clang-tidy."""
    entries = json.loads((BUILD / 'compile_commands.json').read_text(encoding='utf-8'))
    for entry in entries:
        entry['command'] = re.sub(r'-Winvalid-pch -include \S+/cmake_pch\.hxx', '', entry['command'])
        entry['command'] = entry['command'].replace(' -fpch-preprocess', '')
    directory = BUILD / 'lint'
    directory.mkdir(exist_ok=True)
    (directory / 'compile_commands.json').write_text(json.dumps(entries), encoding='utf-8')
    return entries, directory


def tidy(checks=None):
    """The findings of clang-tidy; `checks` in the place of those of .clang-tidy."""
    options = [*EXTRA, f'--checks={checks}'] if checks else EXTRA
    entries, commands = plain_commands()
    wanted = [str(tree.REPO / top) + '/' for top in tree.PRODUCT]
    entries = {entry['file']: entry for entry in entries if any(entry['file'].startswith(top) for top in wanted)}
    checked = Checked(options)

    def run(entry):
        stamp = checked.stamp(entry)
        if stamp.exists():
            return []
        result = subprocess.run(['clang-tidy-19', '--quiet', '-p', commands, *options, entry['file']],
                                cwd=tree.REPO, capture_output=True, text=True, check=False)
        problems = [line.replace(f'{tree.REPO}/', '') for line in result.stdout.splitlines()
                    if ': error:' in line or ': warning:' in line]
        if result.returncode == 0 and not problems:
            stamp.touch()
        elif not problems:
            problems = [f'{entry["file"]}: clang-tidy failed: {result.stderr.strip()[-300:]}']
        return problems

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [problem for problems in pool.map(run, entries.values()) for problem in problems]
    return sorted(set(found))


if __name__ == '__main__':
    found = tidy(sys.argv[1])
    print('\n'.join([*found, f'{len(found)} findings']))
    sys.exit(1 if found else 0)
