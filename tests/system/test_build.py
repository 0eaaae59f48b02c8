"""Images built from Dockerfiles."""

import gzip
import io
import json
import re
import subprocess
import tarfile
import uuid

import pytest

from engine import docker_program

pytestmark = pytest.mark.machines('host')
# What may differ between kernels or architectures; the rest is the same everywhere.
BOTH = pytest.mark.machines('host', 'vm')


def pack(files, format=tarfile.PAX_FORMAT):
    """A build context: names to text, or to functions that change the entry."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=format) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if callable(content):
                content(entry)
                archive.addfile(entry)
            else:
                data = content if isinstance(content, bytes) else content.encode()
                entry.size, entry.mode = len(data), 0o644
                archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def link(target):
    def change(entry):
        entry.type, entry.linkname = tarfile.SYMTYPE, target
    return change


def hard_link(target):
    def change(entry):
        entry.type, entry.linkname = tarfile.LNKTYPE, target
    return change


def device(entry):
    entry.type, entry.devmajor, entry.devminor = tarfile.CHRTYPE, 1, 3


class Builder:
    def __init__(self, engine):
        self.engine = engine
        self.name = f'built{uuid.uuid4().hex[:8]}'
        self.busybox = engine.busybox

    def __call__(self, dockerfile, *args, files=None):
        context = {'Dockerfile': dockerfile.replace('BUSYBOX', self.busybox), **(files or {})}
        return self.raw(pack(context), *args)

    def raw(self, context, *args):
        return self.engine.wherry('build', '-t', self.name, *args, '-', input=context)

    def run(self, *command):
        return self.engine.wherry('run', '--rm', '--network', 'none', self.name, *command).ok().out

    def detail(self):
        return json.loads(self.engine.wherry('inspect', self.name).ok().out)[0]


@pytest.fixture
def build(engine):
    before = set(engine.images())
    yield Builder(engine)
    made = set(engine.images()) - before
    if made:
        engine.wherry('rmi', '-f', *made).ok()
    left = engine.machine.shell(f'find {engine.root}/build -mindepth 1 2>/dev/null; '
                                f'ls {engine.root}/store/txn').out
    assert left == '', f'left behind by builds: {left}'


@BOTH
def test_instructions(build):
    build('''
# comment
ARG TAG=latest
FROM BUSYBOX
LABEL a=b c="d e"
MAINTAINER me
ENV ONE=1 TWO="$ONE 2"
ARG NAME=default
RUN echo "$NAME" > /name && \\
    echo "$TWO" > /two
WORKDIR /deep/er
WORKDIR est
COPY file ./
ADD ["file", "/with space/"]
RUN ["sh", "-c", "echo $0 > /exec", "zero"]
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
ONBUILD RUN true
SHELL ["sh", "-x", "-c"]
USER 12:34
ENTRYPOINT ["sh", "-c"]
CMD ["id -u; pwd; cat /name /two /exec file '/with space/file'"]
''', '--build-arg', 'NAME=given', '--label', 'e=f', files={'file': 'content\n'}).ok()
    assert build.run() == '12\n/deep/er/est\ngiven\n 2\nzero\ncontent\ncontent\n'
    detail = build.detail()
    config = detail['Config']
    assert config['Labels'] == {'a': 'b', 'c': 'd e', 'e': 'f'} and detail['Author'] == 'me'
    assert config['ExposedPorts'] == {'80/tcp': {}, '53/udp': {}} and config['Volumes'] == {'/data': {}}
    assert config['StopSignal'] == 'SIGINT' and config['User'] == '12:34' and config['OnBuild'] == ['RUN true']
    assert config['Healthcheck']['Test'] == ['CMD-SHELL', 'true'] and config['Shell'] == ['sh', '-x', '-c']


def test_output(build):
    lines = build('FROM BUSYBOX\nRUN echo hi; echo err >&2\nCMD true').ok().out
    assert re.fullmatch(r'''Step 1/3 : FROM \S+
 ---> [0-9a-f]{12}
Step 2/3 : RUN echo hi; echo err >&2
 ---> Running in [0-9a-f]{12}
hi
err
 ---> Removed intermediate container [0-9a-f]{12}
 ---> [0-9a-f]{12}
Step 3/3 : CMD true
 ---> ([0-9a-f]{12})
Successfully built \1
Successfully tagged built[0-9a-f]+:latest
''', lines), lines
    assert build.detail()['Id'] == build('FROM BUSYBOX\nRUN echo hi; echo err >&2\nCMD true', '-q').ok().out.strip()


@BOTH
def test_stages(build):
    build('''
FROM BUSYBOX AS first
RUN mkdir -p /out/sub && echo one > /out/one && chown 5:6 /out/one && ln -s one /out/link
FROM first AS second
RUN echo two > /out/sub/two
FROM BUSYBOX AS unused
RUN exit 1
FROM scratch
COPY --from=second /out /out
COPY --from=0 --chown=7 /out/one /one
COPY --from=BUSYBOX /bin/busybox /bin/
''').ok()
    out = build.run('/bin/busybox', 'sh', '-c', 'busybox cat /out/one /out/link /out/sub/two; [ -L /out/link ] && echo link')
    assert out == 'one\none\ntwo\nlink\n'
    out = build.run('/bin/busybox', 'stat', '-c', '%u:%g', '/out/one', '/one')
    assert out == '5:6\n7:7\n'


@pytest.mark.machines('host')
@pytest.mark.parametrize('tier', ['A2', 'B'])
def test_other_tiers(new_engine, registry, tier):
    engine = new_engine(new_engine.trust(registry.name) + f'[store]\ntier = {tier}\n')
    engine.login(registry.name)
    engine.busybox = f'{registry.name}/busybox'
    build = Builder(engine)
    build('''FROM BUSYBOX AS one
RUN mkdir /a && echo x > /a/x && rm /etc/group
COPY file /a/
RUN mv /a /b && chmod 700 /b/file
FROM one
COPY --from=one /b /c
''', files={'file': 'y'}).fails(1)
    engine.wherry('pull', '-q', engine.busybox).ok()
    build('''FROM BUSYBOX AS one
RUN mkdir /a && echo x > /a/x && rm /etc/group
COPY file /a/
RUN mv /a /b && chmod 700 /b/file
FROM one
COPY --from=one /b /c
''', files={'file': 'y'}).ok()
    out = build.run('sh', '-c', 'cat /b/x /c/file; stat -c %a /c/file; ls -d /a /etc/group 2>&1; true')
    assert out.splitlines() == ['x', 'y700', 'ls: /a: No such file or directory',
                                'ls: /etc/group: No such file or directory']


def test_errors_before_the_context_is_read(build):
    """The answer reaches a client that is still sending."""
    context = pack({'Dockerfile': 'FROM x\n', 'large': bytes(30_000_000)})
    assert 'BAD' in build.raw(context, '-t', 'BAD NAME').fails(1).err


def test_target(build):
    dockerfile = 'FROM BUSYBOX AS one\nENV A=1\nFROM one AS two\nENV A=2\n'
    build(dockerfile, '--target', 'one').ok()
    assert 'A=1' in build.detail()['Config']['Env']
    build(dockerfile, '--target', '1').ok()
    assert 'A=2' in build.detail()['Config']['Env']
    assert 'target stage "three" could not be found' in build(dockerfile, '--target', 'three').fails(1).err


def test_copy_of_many_files(build):
    """More than may be open at a time."""
    build('FROM BUSYBOX\nCOPY f* /all/\n', files={f'f{number}': 'x' for number in range(1500)}).ok()
    assert build.run('sh', '-c', 'ls /all | wc -l') == '1500\n'


@BOTH
def test_copy(build):
    files = {'a.txt': 'a', 'b.txt': 'b', 'c.bin': 'c', 'dir/x': 'x', 'dir/sub/y': 'y', 'link': link('a.txt'),
             'dir/link': link('x')}
    build('''FROM BUSYBOX
RUN mkdir /there && ln -s /there /way && echo old > /there/x
COPY *.txt /txt/
COPY dir /dir
COPY dir/ /way
COPY a.txt /new-name
COPY a.txt /way
COPY link /followed
COPY --chmod=0711 --chown=root:1 b.txt /modes
COPY <<ONE <<"TWO" /text/
one $HOME
ONE
$two
TWO
RUN <<EOF
echo first > /script
echo second >> /script
EOF
''', files=files).ok()
    out = build.run('sh', '-c', 'cd /; ls -R txt dir there; cat there/x new-name followed there/a.txt; '
                                'stat -c "%a %u:%g" modes; cat text/ONE text/TWO script; readlink dir/link')
    assert out == '''dir:
link
sub
x

dir/sub:
y

there:
a.txt
link
sub
x

there/sub:
y

txt:
a.txt
b.txt
xaaa711 0:1
one 
$two
first
second
x
'''


@BOTH
def test_add_takes_archives_apart(build):
    inner = pack({'in/file': 'inside', 'in/link': link('/etc'), 'in/device': device})
    files = {'plain.tar': inner, 'packed.tar.gz': gzip.compress(inner), 'text.gz': gzip.compress(b'text'),
             'file': 'as it is'}
    build('''FROM BUSYBOX
ADD plain.tar packed.tar.gz text.gz file /all/
ADD plain.tar /one
ADD --unpack=false plain.tar /whole
COPY plain.tar /copied
''', files=files).ok()
    out = build.run('sh', '-c', 'cat /all/in/file /one/in/file /all/file; zcat /all/text.gz; '
                                '[ -f /whole ] && [ -f /copied ] && [ -c /one/in/device ] && readlink /one/in/link')
    assert out == 'insideinsideas it istext/etc\n'


def test_on_build(build):
    build('FROM BUSYBOX\nONBUILD COPY file /f\nONBUILD RUN cat /f > /g').ok()
    base = build.name
    build.name += 'child'
    out = build(f'FROM {base}', files={'file': 'trigger'}).ok().out
    assert '# Executing 2 build triggers' in out
    assert build.run('cat', '/g') == 'trigger'
    assert build.detail()['Config'].get('OnBuild') in (None, [])


@BOTH
def test_cache(build):
    dockerfile = 'FROM BUSYBOX\nARG A=1\nCOPY file /\nRUN date +%s%N > /now; echo $A\nENV X=y\n'
    build(dockerfile, files={'file': '1'}).ok()
    first = build.detail()['Id']
    again = build(dockerfile, files={'file': '1'}).ok().out
    assert again.count('Using cache') == 4 and build.detail()['Id'] == first
    # What comes after a change is carried out, what comes before is not.
    assert build(dockerfile, files={'file': '2'}).ok().out.count('Using cache') == 1
    assert build(dockerfile, '--build-arg', 'A=2', files={'file': '1'}).ok().out.count('Using cache') == 0
    assert build(dockerfile, '--no-cache', files={'file': '1'}).ok().out.count('Using cache') == 0
    assert build.detail()['Id'] != first


def test_cache_of_stages(build):
    dockerfile = 'FROM BUSYBOX AS a\nRUN date +%s%N > /now\nENV A=1\nFROM a\nRUN true\nCOPY --from=a /now /then\n'
    build(dockerfile).ok()
    out = build(dockerfile).ok().out
    assert out.count('Using cache') == 4 and 'Running in' not in out


def test_cache_knows_modes_and_names(build):
    def with_mode(mode):
        def change(entry):
            entry.mode = mode
        return change
    dockerfile = 'FROM BUSYBOX\nCOPY d /d\n'
    build(dockerfile, files={'d/a': with_mode(0o644)}).ok()
    assert 'Using cache' in build(dockerfile, files={'d/a': with_mode(0o644)}).ok().out
    assert 'Using cache' not in build(dockerfile, files={'d/a': with_mode(0o600)}).ok().out
    assert 'Using cache' not in build(dockerfile, files={'d/b': with_mode(0o644)}).ok().out


def test_network(build):
    build('FROM BUSYBOX\nRUN ls /sys/class/net > /none\nRUN --network=host ls /sys/class/net > /host\n',
          '--network', 'none').ok()
    none, host = build.run('cat', '/none'), build.run('cat', '/host')
    assert none == 'lo\n' and len(host.split()) >= 1


def test_tmpfs_and_volumes_leave_nothing(build):
    build('''FROM BUSYBOX
VOLUME /volume
RUN --mount=type=tmpfs,target=/scratch touch /scratch/x /volume/x && mkdir /made
''').ok()
    assert build.run('sh', '-c', 'ls /volume; [ -e /scratch ] || echo gone') == 'gone\n'
    path = f'{build.engine.dir}/saved.tar'
    build.engine.wherry('save', '-o', path, build.name).ok()
    with tarfile.open(fileobj=io.BytesIO(build.engine.machine.read(path))) as archive:
        layers = json.load(archive.extractfile('manifest.json'))[0]['Layers']
        with tarfile.open(fileobj=archive.extractfile(layers[-1])) as layer:
            assert layer.getnames() == ['made']
    build.engine.machine.remove(path)


@pytest.mark.parametrize('dockerfile, message', [
    ('', 'the Dockerfile cannot be empty'),
    ('RUN x', 'no build stage in current context'),
    ('FROM BUSYBOX\nNONSENSE x', 'dockerfile parse error on line 2: unknown instruction: NONSENSE'),
    ('FROM BUSYBOX\n\nCOPY a', 'dockerfile parse error on line 3'),
    ('FROM BUSYBOX\nCOPY --wrong a b', 'dockerfile parse error on line 2'),
    ('FROM BUSYBOX\nRUN --mount=type=wrong true', 'dockerfile parse error on line 2'),
    ('FROM BUSYBOX\n\nCOPY missing /', 'Dockerfile:3: COPY failed: file not found in build context'),
    ('FROM BUSYBOX\nCOPY no*ne /', 'Dockerfile:2: COPY failed: no source files were specified'),
    ('FROM BUSYBOX\nCOPY ../x /', 'Dockerfile:2: COPY failed: forbidden path outside the build context'),
    ('FROM BUSYBOX\nADD out /', 'Dockerfile:2: ADD failed: file not found'),
    ('FROM BUSYBOX\nCOPY f g /to', 'When using COPY with more than one source file'),
    ('FROM BUSYBOX\nCOPY --chown=nobody-here f /', 'nobody-here'),
    ('FROM BUSYBOX\nCOPY --chmod=u+x f /', 'not octal, is not supported'),
    ('FROM BUSYBOX\nADD https://example.com/x /', 'ADD of an address (https://example.com/x) is not supported'),
    ('FROM BUSYBOX\nADD --checksum=sha256:aa f /', 'is not supported'),
    ('FROM BUSYBOX\nCOPY --parents f /', 'COPY --parents is not supported'),
    ('FROM BUSYBOX\nCOPY --exclude=x f /', 'COPY --exclude is not supported'),
    ('FROM BUSYBOX\nRUN --mount=type=secret,id=x true', 'RUN --mount=type=secret is not supported'),
    ('FROM BUSYBOX\nRUN --mount=type=ssh true', 'RUN --mount=type=ssh is not supported'),
    ('FROM BUSYBOX\nRUN --mount=type=cache,target=/c true', 'RUN --mount=type=cache is not supported'),
    ('FROM BUSYBOX\nRUN --security=insecure true', 'not supported'),
    ('FROM BUSYBOX\nADD x.tar.xz /', 'compressed with xz'),
    ('FROM BUSYBOX\nCOPY --from=later f /\nFROM BUSYBOX AS later', 'needs to be defined before'),
    ('FROM BUSYBOX\nRUN exit 3', "The command '/bin/sh -c exit 3' returned a non-zero code: 3"),
    ('FROM BUSYBOX\nRUN ["/none"]', '/none'),
    ('FROM BUSYBOX\nUSER nobody-here\nRUN true', 'nobody-here'),
    ('FROM scratch\nRUN true', 'no layers'),
    ('FROM registry.invalid/none\nRUN true', 'Dockerfile:1'),
    ('FROM BUSYBOX\nRUN echo x > /file\nRUN rm /file && false', 'returned a non-zero code: 1'),
])
def test_errors_leave_nothing(build, dockerfile, message):
    before = build.engine.images()
    result = build(dockerfile, files={'f': '1', 'g': '2', 'out': link('/etc/passwd-is-not-here'),
                                      'x.tar.xz': b'\xfd7zXZ\0' + bytes(600)}).fails(1)
    assert message in result.err, result.err
    assert build.engine.images() == before
    assert build.engine.containers() == []


def test_links_do_not_lead_out_of_the_context(build):
    """A link to a file of the host is one to a file of the context."""
    files = {'passwd': link('/etc/passwd'), 'up': link('../../../../etc'), 'etc/passwd': 'own'}
    build('FROM BUSYBOX\nCOPY passwd /one\nCOPY up/passwd /two\n', files=files).ok()
    assert build.run('cat', '/one', '/two') == 'ownown'


@BOTH
def test_links_of_the_image_do_not_lead_out(build):
    """What is copied to a link of the image stays in the image."""
    target = f'{build.engine.dir}/escape'
    build(f'FROM BUSYBOX\nRUN ln -s {target} /out && mkdir -p {target} && ln -s ../../../../../../../.. /up\n'
          'COPY file /out/\nCOPY file /up/top\n', files={'file': 'x'}).ok()
    assert not build.engine.machine.exists(target)
    assert build.run('cat', f'{target}/file', '/top') == 'xx'


@pytest.mark.parametrize('files, message', [
    ({'../escape': 'x'}, 'leads out'),
    ({'a/../../escape': 'x'}, 'leads out'),
    ({'device': device}, 'devices and pipes are not allowed'),
    ({'escape': hard_link('../../../etc/passwd')}, 'leads out'),
    ({'escape': hard_link('none')}, 'none'),
    ({'x' * 5000: 'x'}, 'too long'),
])
def test_hostile_contexts(build, files, message):
    result = build('FROM BUSYBOX\nCOPY . /all\n', files=files).fails(1)
    assert message in result.err and 'build context' in result.err
    assert build.engine.machine.shell(f'find {build.engine.dir} -name escape').out == ''


def test_names_of_contexts_stay_inside(build):
    """An absolute name is one in the context, and a link in it leads nowhere else."""
    target = f'{build.engine.dir}/escape2'
    files = {'/absolute': 'a', 'way': link(build.engine.dir), 'way/escape2': 'b'}
    build('FROM BUSYBOX\nCOPY . /all\n', files=files).ok()
    assert not build.engine.machine.exists(target)
    assert build.run('cat', '/all/absolute', f'/all{target}') == 'ab'


def test_damaged_contexts(build):
    whole = pack({'Dockerfile': f'FROM {build.busybox}\n', 'file': 'x' * 5000})
    assert 'build context' in build.raw(whole[:3000]).fails(1).err
    assert 'build context' in build.raw(gzip.compress(whole)[:100]).fails(1).err
    assert 'build context' in build.raw(whole[:1024] + b'\1' * 512 + whole[1536:]).fails(1).err
    assert 'Cannot locate specified Dockerfile: Dockerfile' in build.raw(pack({'file': 'x'})).fails(1).err
    build.raw(gzip.compress(whole)).ok()


def test_whiteouts_cannot_be_made(build):
    assert '.wh.' in build('FROM BUSYBOX\nCOPY .wh.bin /\n', files={'.wh.bin': ''}).fails(1).err


def test_dockerfile_on_standard_input(build):
    build.raw(f'FROM {build.busybox}\nRUN echo x > /x\n'.encode()).ok()
    assert build.run('cat', '/x') == 'x\n'


@pytest.fixture
def directory(engine):
    path = engine.machine.temporary_directory()
    yield path
    engine.machine.remove(path)


@BOTH
def test_context_directory(build, directory):
    machine = build.engine.machine
    machine.shell(f'mkdir -p {directory}/c/keep {directory}/c/drop/deep {directory}/c/empty; cd {directory}/c; '
                  'echo k > keep/k; echo d > drop/d; echo e > drop/deep/e; ln -s keep/k link; echo s > secret')
    machine.write(f'{directory}/c/.dockerignore', 'drop\n!drop/deep/e\nsecret\nDockerfile\n.dockerignore\n')
    machine.write(f'{directory}/c/Dockerfile', f'FROM {build.busybox}\nCOPY . /all\n')
    machine.write(f'{directory}/Other', f'FROM {build.busybox}\nCOPY . /all\nENV OTHER=1\n')
    expected = ['/all', '/all/drop', '/all/drop/deep', '/all/drop/deep/e', '/all/empty', '/all/keep', '/all/keep/k',
                '/all/link']

    def listed():
        return sorted(build.run('find', '/all').split())

    engine = build.engine
    engine.wherry('build', '-t', build.name, f'{directory}/c').ok()
    assert listed() == expected
    engine.wherry('build', '-t', build.name, '-f', f'{directory}/Other', f'{directory}/c').ok()
    assert listed() == expected and 'OTHER=1' in build.detail()['Config']['Env']
    engine.wherry('build', '-t', build.name, '-f', '-', f'{directory}/c',
                  input=f'FROM {build.busybox}\nCOPY . /all\n').ok()
    assert listed() == expected
    machine.shell(f'mkfifo {directory}/c/pipe')
    assert 'pipe' in engine.wherry('build', f'{directory}/c').fails(1).err
    assert 'missing' in engine.wherry('build', f'{directory}/missing').fails(1).err
    assert 'Dockerfile' in engine.wherry('build', f'{directory}/c/keep').fails(1).err


def test_bad_requests(build):
    assert 'BAD' in build('FROM BUSYBOX', '-t', 'BAD NAME').fails(1).err
    assert 'network' in build('FROM BUSYBOX\nRUN true', '--network', 'nonsense').fails(1).err
    assert 'latform' in build('FROM BUSYBOX', '--platform', '///').fails(1).err


def test_a_build_that_is_given_up(build):
    """A client that goes away ends its build, with all that runs."""
    engine = build.engine
    context = pack({'Dockerfile': f'FROM {build.busybox}\nRUN echo x > /x\nRUN sleep 1000\n'})
    path = f'{engine.dir}/context.tar'
    engine.machine.write(path, context)
    process = engine.machine.start(['sh', '-c', f'exec {engine.program} build - < {path}'], env=engine.client_env())
    engine.machine.wait_for(lambda: b'RUN sleep' in process.out and engine.wherry('ps', '-q').out, 'not running')
    process.kill()
    engine.machine.wait_for(lambda: engine.containers() == [], 'the container of the build is still there')
    engine.machine.wait_for(lambda: engine.machine.shell(f'ls {engine.root}/build').out == '', 'files are left')
    engine.machine.remove(path)


@BOTH
def test_a_daemon_that_is_killed(new_engine, registry):
    """The next one removes what its builds had made."""
    engine = new_engine(new_engine.trust(registry.name))
    engine.login(registry.name)
    busybox = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', busybox).ok()
    before = engine.images()
    path = f'{engine.dir}/context.tar'
    engine.machine.write(path, pack({'Dockerfile': f'FROM {busybox}\nRUN echo x > /x\nRUN sleep 1000\n'}))
    process = engine.machine.start(['sh', '-c', f'exec {engine.program} build - < {path}'], env=engine.client_env())
    engine.machine.wait_for(lambda: b'RUN sleep' in process.out and engine.wherry('ps', '-q').out, 'not running')
    assert len(engine.images()) == 2
    engine.kill()
    process.wait()
    engine.start()
    engine.machine.wait_for(lambda: engine.machine.shell(f'ls {engine.root}/build').out == '', 'files are left')
    assert engine.containers() == [] and engine.images() == before
    engine.assert_nothing_left()


def test_a_daemon_that_is_stopped(new_engine, registry):
    engine = new_engine(new_engine.trust(registry.name))
    engine.login(registry.name)
    busybox = f'{registry.name}/busybox'
    engine.wherry('pull', '-q', busybox).ok()
    path = f'{engine.dir}/context.tar'
    engine.machine.write(path, pack({'Dockerfile': f'FROM {busybox}\nRUN sleep 1000\n'}))
    process = engine.machine.start(['sh', '-c', f'exec {engine.program} build - < {path}'], env=engine.client_env())
    engine.machine.wait_for(lambda: engine.wherry('ps', '-q').out, 'not running')
    pid = engine.inspect(engine.wherry('ps', '-q').out.strip())['State']['Pid']
    engine.stop()
    process.wait()
    assert not engine.machine.exists(f'/proc/{pid}'), 'the step goes on'
    engine.start()
    engine.machine.wait_for(lambda: engine.machine.shell(f'ls {engine.root}/build').out == '', 'files are left')
    assert engine.containers() == []
    engine.assert_nothing_left()


def test_base_image_is_pulled(fresh_engine, registry):
    fresh_engine.login(registry.name)
    context = pack({'Dockerfile': f'FROM {registry.name}/busybox\nENV A=1\n'})
    out = fresh_engine.wherry('build', '-t', 'x', '-', input=context).fails(1)
    assert registry.name in out.err  # an archive's registries are not known to the client
    fresh_engine.wherry('build', '-t', 'x', '-', input=f'FROM {registry.name}/busybox\nENV A=1\n').ok()
    fresh_engine.wherry('build', '--pull', '-t', 'x', '-', input=f'FROM {registry.name}/busybox\nENV A=2\n').ok()
    fresh_engine.wherry('rmi', '-f', *fresh_engine.images()).ok()


@pytest.mark.machines('host')
def test_docker(build, docker_major, tmp_path):
    del docker_major
    tmp_path.joinpath('Dockerfile').write_text(
        f'FROM {build.busybox} AS one\nARG A\nRUN echo $A > /a\nCOPY . /all\n', encoding='utf-8')
    tmp_path.joinpath('.dockerignore').write_text('secret\nDockerfile\n', encoding='utf-8')
    tmp_path.joinpath('secret').write_text('s', encoding='utf-8')
    tmp_path.joinpath('file').write_text('f', encoding='utf-8')

    def docker(*args, input=None):
        return subprocess.run([docker_program()[0], 'build', *args], input=input, capture_output=True, text=True,
                              check=False, env={**build.engine.docker_env(), 'DOCKER_BUILDKIT': '0'})

    result = docker('-t', build.name, '--build-arg', 'A=b', '--label', 'x=y', '--target', 'one', str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert f'Successfully tagged {build.name}:latest' in result.stdout
    assert build.run('sh', '-c', 'cat /a; ls -A /all') == 'b\n.dockerignore\nfile\n'
    assert build.detail()['Config']['Labels'] == {'x': 'y'}
    identity = docker('-q', '--build-arg', 'A=b', str(tmp_path)).stdout.strip()
    assert re.fullmatch('sha256:[0-9a-f]{64}', identity)
    assert docker('-t', build.name, '-', input=f'FROM {build.busybox}\nENV B=c\n').returncode == 0
    result = docker('-', input=f'FROM {build.busybox}\nRUN exit 3\n')
    assert result.returncode == 3 and 'returned a non-zero code: 3' in result.stderr
    result = docker('--squash', str(tmp_path))
    assert result.returncode != 0
    result = docker('-f', str(tmp_path / 'none'), str(tmp_path))
    assert result.returncode != 0
