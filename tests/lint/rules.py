"""Rules of the code that a search can check; each function returns a list of problems."""

import pathlib
import re

import tree

BANNED_HEADERS = ('iostream', 'sstream', 'fstream', 'istream', 'ostream', 'iomanip', 'regex', 'locale', 'codecvt',
                  'filesystem', 'format', 'print', 'spanstream', 'exception', 'stdexcept', 'typeinfo', 'any')
BANNED_CALLS = ('getaddrinfo', 'getnameinfo', 'gethostbyname', 'getpwnam', 'getpwuid', 'getgrnam', 'getgrgid',
                'getpwnam_r', 'getgrnam_r', 'dlopen', 'setlocale', 'strftime', 'stoi', 'stol', 'stoul', 'stoull',
                'system', 'popen', 'sync')
RAW_CALLS = ('mount', 'umount', 'umount2', 'move_mount', 'open_tree', 'fsopen', 'fsconfig', 'fsmount', 'fspick',
             'mount_setattr', 'pivot_root', 'clone', 'clone3', 'unshare', 'setns', 'pidfd_open', 'pidfd_send_signal',
             'pidfd_getfd', 'bpf')
RAW_NAMES = (r'AF_NETLINK|PF_NETLINK|LOOP_(?:SET|CTL|CLR|CONFIGURE)\w*|P_PIDFD|(?:SYS|__NR)_(?:' +
             '|'.join(RAW_CALLS) + ')')

_INCLUDE = re.compile(r'^\s*#\s*include\s*<([^>]+)>')
_BANNED_CALL = re.compile(r'(?<![\w.>:])(?:std::|::)?(' + '|'.join(BANNED_CALLS) + r')\s*\(')
_RAW_CALL = re.compile(r'(?<![\w.>:])(?:::)?(' + '|'.join(RAW_CALLS) + r')\s*\(')
_RAW_NAME = re.compile(r'\b(' + RAW_NAMES + r')\b')

# Where this checkout lies (its whole top directory, unless that is one every Linux has), dot files of a user, and left-overs.
_TOP = tree.REPO.parts[1]
_CHECKOUT = str(tree.REPO) if _TOP in (
    'tmp', 'home', 'root', 'usr', 'var', 'opt', 'srv', 'mnt', 'media', 'run') else f'/{_TOP}'
MACHINE_PATH = rf'(?<![\w./]){re.escape(_CHECKOUT)}/|/root/\.(cache|config)|{re.escape(str(pathlib.Path.home()))}/\.|/tmp/wherry/'

FORBIDDEN_TEXT = {
    r'\b(TODO|FIXME|XXX|HACK)\b': 'an open end: finish it or leave it out',
    r'\b[Nn]ot (yet )?implemented\b': 'say which thing is not supported',
    r'(?i)\bplaceholder\b': 'an open end: finish it or leave it out',
    MACHINE_PATH: 'a path of one machine',
    r'\bdeb\.debian\.org\b|\bregistry\.npmjs\b|\bpypi\.org\b': 'a package host: take it from the configuration of the machine',
}


def headers():
    problems = []
    for path in tree.product_sources():
        text = tree.read(path)
        if path.suffix == '.h' and '#pragma once' not in text:
            problems.append(f'{path}: no #pragma once')
        for number, line in tree.numbered(text):
            match = _INCLUDE.match(line)
            if match and match.group(1) in BANNED_HEADERS:
                problems.append(f'{path}:{number}: <{match.group(1)}> costs too much of the binary, throws, '
                                'or compares addresses of functions')
    return problems


def calls():
    problems = []
    for path in tree.product_sources():
        in_sys = str(path).startswith('core/sys/')
        for number, line in tree.numbered(tree.code(tree.read(path))):
            if match := _BANNED_CALL.search(line):
                problems.append(f'{path}:{number}: {match.group(1)}() is not for a static program without locale')
            if in_sys:
                continue
            for match in (_RAW_CALL.search(line), _RAW_NAME.search(line)):
                if match:
                    problems.append(f'{path}:{number}: {match.group(1)} belongs into core/sys')
    return problems


def build_lists():
    """Every .cpp beside a CMakeLists.txt is listed there or in the top one, and what is listed exists."""
    problems = []
    top = tree.read(pathlib.PurePosixPath('CMakeLists.txt'))
    for path in tree.files('.txt'):
        if path.name != 'CMakeLists.txt' or len(path.parts) == 1:
            continue
        listed = set(re.findall(r'[\w./-]+\.cpp\b', re.sub(r'#.*', '', tree.read(path))))
        present = {source.name for source in tree.files('.cpp') if source.parent == path.parent}
        problems += [f'{path}: {name} is not listed' for name in sorted(present - listed)
                     if f'/{path.parent}/{name}' not in top]
        problems += [f'{path}: {name} is listed but does not exist'
                     for name in sorted(listed) if not (tree.REPO / path.parent / name).is_file()]
    return problems


def text():
    problems = []
    this = pathlib.PurePosixPath(pathlib.Path(__file__).resolve().relative_to(tree.REPO))
    for path in tree.files():
        if path == this or path.name == 'LICENSE':
            continue
        try:
            content = tree.read(path)
        except UnicodeDecodeError:
            continue
        for pattern, reason in FORBIDDEN_TEXT.items():
            for match in re.finditer(pattern, content):
                number = content.count('\n', 0, match.start()) + 1
                problems.append(f'{path}:{number}: "{match.group(0)}": {reason}')
    return problems


_DOCUMENT = re.compile(r'(?<![\w./-])(docs/[\w-]+\.md|[A-Z]{4,}\.md)\b')


def documents():
    """A document that a text of the project refers to exists."""
    problems = []
    for path in tree.files('.h', '.cpp', '.md', '.py', '.sh', '.txt', ''):
        try:
            lines = list(tree.numbered(tree.read(path)))
        except UnicodeDecodeError:
            continue
        for number, line in lines:
            problems += [f'{path}:{number}: there is no {name}' for name in _DOCUMENT.findall(line)
                         if not (tree.REPO / name).is_file()]
    return problems


_PYTHON_TEST = re.compile(r'\btest_\w+')
_UNIT_TEST = re.compile(r'\b([A-Z]\w+)\.([A-Z]\w+)\b')


def named_tests():
    """A test or a source file that a row of docs/security.md names exists; each row names a test."""
    functions, units = set(), set()
    for path in tree.files('.py', '.cpp'):
        if path.parts[0] == 'tests':
            source = tree.read(path)
            functions.update(re.findall(r'^def (test_\w+)', source, re.M), [path.stem])
            units.update(re.findall(r'^TEST(?:_[FP])?\((\w+),\s*(\w+)\)', source, re.M))
    problems = []
    place = pathlib.PurePosixPath('docs/security.md')
    for number, line in tree.numbered(tree.read(place)):
        tests = _PYTHON_TEST.findall(line)
        pairs = _UNIT_TEST.findall(line)
        problems += [f'{place}:{number}: there is no test {name}' for name in tests if name not in functions]
        problems += [f'{place}:{number}: there is no test {".".join(pair)}' for pair in pairs if pair not in units]
        problems += [f'{place}:{number}: there is no file {name}'
                     for name in re.findall(r'\b(?:core|engine|store|tests)/[\w/]+\.(?:cpp|h|py)\b', line)
                     if not (tree.REPO / name).is_file()]
        if re.match(r'\| \d', line) and not tests and not pairs:
            problems.append(f'{place}:{number}: an attack without a test')
    return problems


_STATEMENT_START = re.compile(r'(?:^|[;{}:)=]|\breturn|\belse)\s*$')
_BLOCK_START = re.compile(r'(?:^|[;{}:)]|\b(?:else|do|const|noexcept|mutable|override))\s*$')
_DECLARATION = re.compile(r'\b(?:class|struct|union|enum|namespace|extern)\b|->')


def try_macros():
    """TRY inside a braced initialiser leaks what is already built (g++ 12)."""
    problems = []
    for path in tree.product_sources():
        source = tree.code(tree.read(path))
        stack, statement = [], 0
        for match in re.finditer(r'[(){}\[\];]|\bTRY(?:_CTX)?\(', source):
            token, before = match.group(0), source[statement:match.start()]
            if token.startswith('TRY'):
                if 'init' in stack and not _is_definition(source, match.start()):
                    number = source.count('\n', 0, match.start()) + 1
                    problems.append(f'{path}:{number}: TRY inside a braced initialiser')
                stack.append('(')
            elif token in '([':
                stack.append(token)
            elif token == '{':
                block = bool(_BLOCK_START.search(before)) or bool(_DECLARATION.search(before))
                # A block inside an initialiser is a lambda: what is in it is judged on its own.
                stack.append(('block', list(stack)) if block else 'init')
                if block:
                    saved, stack = stack, [stack[-1]]
                    stack[0] = ('block', saved[:-1])
            elif token in ')]}':
                if stack:
                    top = stack.pop()
                    if isinstance(top, tuple):
                        stack = list(top[1])
            if token in '{};':
                statement = match.end()
    return problems


def _is_definition(source, position):
    return source[:position].rstrip().endswith('#define')
