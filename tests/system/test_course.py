"""A beginner's course in containers, walked with the stock docker command line and with wherry's own.

Each lesson is a script as a student would type it; `docker` is the command line under test. Below a command stands what
is expected of it:

    $ COMMAND           for a shell
    % COMMAND           the same on the machine of the engine, outside of all containers
    text                a regular expression that its output (and its errors) contain; several must come in this order
    - text              one that they do not contain
    exit 127            the exit status when it is not 0
    < text              the command gets a terminal, and this is typed at the next prompt
"""

import json
import re
import shutil
import tempfile
import uuid

import pytest

from engine import docker_program
from harness import compile as compiler
from harness import paths
from harness import registry as registries
from harness.machine import LocalProcess
from images import reference

pytestmark = [pytest.mark.machines('host-net', 'vm'), pytest.mark.usefixtures('docker_major', 'valid_answers')]

COURSE = {
    'hello world': '''
        $ docker run --name first hello-world
        Pulling from library/hello-world
        Status: Downloaded newer image
        Hello from wherry
        $ docker run --name second hello-world
        - Pulling
        Hello from wherry
        $ docker ps -a
        second
        first
        $ docker rm first second
        $ docker rmi hello-world
        Untagged: hello-world:latest
        Deleted: sha256:
        ''',
    'a shell': '''
        $ docker run -it --name box busybox sh
        < echo hello >/greeting
        < cat /greeting | tr a-z A-Z
        < tty
        < exit 3
        HELLO
        /dev/
        exit 3
        $ docker start box
        $ docker exec box cat /greeting
        hello
        ''',
    'lists': '''
        $ docker run -d --name one busybox sleep 1000
        $ docker run --name two busybox true
        $ docker ps
        CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES
        busybox +"sleep 1000" +.* ago +Up .* one
        - two
        $ docker ps -a
        busybox +"true" +.* ago +Exited \\(0\\) .* two
        one
        $ docker container ls -q
        ^[0-9a-f]{12}$
        $ docker rm one
        running
        exit 1
        $ docker rm $(docker ps -aq) -f
        $ docker ps -aq
        ^$
        ''',
    'stop and start': '''
        $ docker run -d --name box --init busybox sleep 1000
        $ docker exec box touch /kept
        $ docker stop box
        $ docker ps -a
        Exited \\(143\\)
        $ docker exec box true
        not running
        exit 1
        $ docker start box
        $ docker exec box ls /kept
        $ docker restart -t 0 box
        $ docker rm -f box
        $ docker start box
        No such container: box
        exit 1
        ''',
    'inspect': '''
        $ docker run -d --name box -e COLOUR=green --label kind=test busybox sleep 1000
        $ docker inspect box
        "Running": ?true
        "COLOUR=green"
        $ docker container inspect box
        "Image": ?"sha256:
        $ docker image inspect busybox
        "RepoTags": ?\\[\\s*"busybox:latest"
        "Architecture"
        $ docker image inspect box
        exit 1
        $ docker image ls
        REPOSITORY +TAG +IMAGE ID +CREATED +SIZE
        busybox +latest
        $ docker history busybox
        IMAGE
        ''',
    'logs': '''
        $ docker run -d --name box busybox sh -c "echo early; sleep 1; echo late >&2; sleep 1000"
        $ sleep 1.3; docker logs box
        late|early
        $ docker logs --since 5s box
        late
        $ docker logs --tail 1 box
        - early
        late
        $ docker logs -t box
        \\d{4}-\\d\\d-\\d\\dT.*Z early
        $ sleep 1; docker logs --since 1s box
        ^$
        ''',
    'prune': '''
        $ docker run --name box busybox true
        $ docker volume create left
        $ docker network create idle
        $ docker tag busybox other
        $ docker container prune -f
        Deleted Containers:
        [0-9a-f]{64}
        Total reclaimed space:
        $ docker volume prune -a -f
        left
        $ docker network prune -f
        idle
        $ docker image prune -a -f
        (?i)untagged: other:latest
        $ docker run busybox true
        Downloaded newer image
        $ docker system prune -f
        [0-9a-f]{64}
        $ docker ps -aq
        ^$
        ''',
    'a web server': '''
        $ docker run -d --name web -p 8080:80 busybox sh -c "mkdir /www; echo welcome >/www/index.html; httpd -f -h /www"
        % wget -q -O - http://127.0.0.1:8080/
        welcome
        $ docker port web
        80/tcp -> 0.0.0.0:8080
        $ docker ps
        0.0.0.0:8080->80/tcp
        $ docker stop -t 0 web
        % ! wget -q -O - http://127.0.0.1:8080/
        ''',
    'commit': '''
        $ docker run --name box busybox sh -c "echo changed >/note"
        $ docker diff box
        A /note
        $ docker commit -m "a note" box noted
        sha256:
        $ docker run --rm noted cat /note
        changed
        $ docker history noted
        a note
        ''',
    'build': '''
        $ mkdir site; echo page >site/index.html; echo secret >site/key; echo key >site/.dockerignore
        $ printf 'FROM busybox\\nCOPY . /www\\nWORKDIR /www\\nRUN ls >list\\nCMD ["cat","list"]\\n' >site/Dockerfile
        $ docker build -t site site
        Step 4/5 : RUN ls >list
        Successfully built
        Successfully tagged site:latest
        $ docker run --rm site
        index.html
        - key
        $ docker build -t site site
        Using cache
        ''',
    'shared layers': '''
        $ docker pull tools
        Already exists|Layer already
        $ docker inspect busybox
        DIGEST OF THE FIRST LAYER
        $ docker inspect tools
        DIGEST OF THE FIRST LAYER
        $ docker rmi tools
        Deleted: sha256:
        $ docker run --rm busybox echo whole
        whole
        ''',
    'push and pull elsewhere': '''
        $ docker run --name box busybox sh -c "echo made here >/note"
        $ docker commit box REGISTRY/course/NAME:1
        $ docker push REGISTRY/course/NAME:1
        exit 1
        $ echo PASSWORD | docker login -u USER --password-stdin REGISTRY
        (?i)login succeeded
        $ docker push REGISTRY/course/NAME:1
        digest: sha256:[0-9a-f]{64}
        $ elsewhere pull REGISTRY/course/NAME:1
        Downloaded newer image
        $ elsewhere run --rm REGISTRY/course/NAME:1 cat /note
        made here
        $ docker logout REGISTRY
        ''',
    'volumes': '''
        $ docker volume create data
        $ docker run --rm -v data:/data busybox sh -c "echo kept >/data/file"
        $ docker run --rm -v data:/elsewhere:ro busybox cat /elsewhere/file
        kept
        $ docker run --rm -v data:/data:ro busybox touch /data/file
        Read-only file system
        exit 1
        $ docker volume ls
        local +data
        $ docker volume rm data
        $ docker volume inspect data
        (?i)no such volume
        exit 1
        ''',
    'bind mounts': '''
        % mkdir -p SHARED; echo from outside >SHARED/in
        $ docker run --rm -v SHARED:/mine busybox sh -c "cat /mine/in; echo from inside >/mine/out"
        from outside
        % cat SHARED/out
        from inside
        ''',
    'networks': '''
        $ docker network create backend
        $ docker run -d --name db --network backend busybox sh -c "mkdir /www; echo rows >/www/index.html; httpd -f -h /www"
        $ docker run -d --name app --network backend busybox sleep 1000
        $ docker exec app wget -q -O - http://db/
        rows
        $ docker exec db ping -c 1 app
        1 packets received
        $ docker run --rm tools netprobe get db 80
        db has no address
        exit 2
        $ docker network inspect backend
        "Name": ?"db"
        $ docker run --rm --network host busybox sh -c "[ $(readlink /proc/self/ns/net) ] && ip link"
        lo:
        $ docker rm -f db app
        $ docker network rm backend
        ''',
    'an image without a shell': '''
        $ printf 'FROM scratch\\nCOPY netprobe /\\nEXPOSE 80\\nENTRYPOINT ["/netprobe"]\\nCMD ["serve","80","alone"]\\n' >Dockerfile
        $ docker build -t alone .
        Successfully tagged alone:latest
        $ docker run -d --name alone -p 8081:80 alone
        % netprobe get 127.0.0.1 8081
        alone
        $ docker exec alone sh
        sh.*not found
        exit 127
        $ docker run --rm --entrypoint /bin/ls alone
        /bin/ls.*no such file or directory
        exit 127
        $ docker exec alone /netprobe get 127.0.0.1 80
        alone
        ''',
}

PROMPT = rb'.*# (\x1b\[(6n|J))*$'  # busybox asks the terminal where the cursor is, and paints anew when the size changes


class Student:
    """Types commands of one client for one engine, in a directory of its own."""

    def __init__(self, engine, client, other):
        self.engine, self.client, self.machine = engine, client, engine.machine
        self.values = {}
        if client == 'docker':
            self.env, elsewhere = engine.docker_env(), other.docker_env()['DOCKER_HOST']
            self.functions = f'elsewhere() {{ DOCKER_HOST={elsewhere} "{docker_program()[0]}" "$@"; }}; ' \
                             f'docker() {{ "{docker_program()[0]}" "$@"; }}'
            self.dir = tempfile.mkdtemp(prefix='wt-course.')
        else:
            self.env = engine.client_env()
            self.functions = f'elsewhere() {{ WHERRY_SOCKET={other.socket} "{engine.program}" "$@"; }}; ' \
                             f'docker() {{ "{engine.program}" "$@"; }}'
            self.dir = self.machine.temporary_directory()
        self.bin = f'{engine.dir}/bin'
        program = compiler.static_program(paths.TESTS / 'images/netprobe.cpp', self.machine.arch)
        if not self.machine.exists(self.bin):
            self.machine.shell(f'mkdir {self.bin}').ok()
            self.machine.write(f'{self.bin}/netprobe', program.read_bytes(), 0o755)
        if client == 'docker':
            shutil.copy(program, f'{self.dir}/netprobe')
        else:
            self.machine.shell(f'cp {self.bin}/netprobe {self.dir}').ok()

    def start(self, command, tty=None):
        argv = ['sh', '-c', f'{self.functions}; cd {self.dir}; {command}']
        if self.client == 'docker':
            return LocalProcess(argv, env=self.env, tty=tty)
        return self.machine.start(argv, env=self.env, tty=tty)

    def succeeds_outside(self, command):
        """The Result of a command on the engine's machine, or None."""
        result = self.machine.shell(f'PATH=$PATH:{self.bin}; {command}')
        return result if result.code == 0 else None

    def type(self, command, typed=()):
        process = self.start(command, (30, 100) if typed else None)
        for line in typed:
            seen = len(process.out)
            process.read_until(b'.{%d}' % seen + PROMPT, 30 * self.machine.slow)
            process.write(f'{line}\n'.encode())
        if not typed:
            process.close_input()
        return process.result([command], 60 * self.machine.slow)

    def close(self):
        if self.client == 'docker':
            shutil.rmtree(self.dir)


def steps(script):
    """(sign, command, what is expected of it) of a lesson."""
    found = []
    for line in filter(None, map(str.strip, script.splitlines())):
        if line[:2] in ('$ ', '% '):
            found.append((line[0], line[2:], []))
        else:
            found[-1][2].append(line)
    return found


def check(result, expected):
    """Whether a Result is what a lesson says."""
    output, at, code = result.err + result.out, 0, 0
    for line in expected:
        if line.startswith('exit '):
            code = int(line[5:])
        elif line.startswith('- '):
            assert not re.search(line[2:], output, re.M), f'not expected: {line[2:]}\n{result}'
        elif not line.startswith('< '):
            match = re.compile(line, re.M).search(output, at)
            assert match, f'expected: {line}\n{result}'
            at = match.end()
    assert result.code == code, f'expected: exit {code}\n{result}'


def walk(student, script):
    for name, value in student.values.items():
        script = re.sub(rf'\b{name}\b', lambda _, value=value: value, script)
    for sign, command, expected in steps(script):
        if sign == '%':  # servers take their time to listen
            result = student.machine.wait_for(lambda: student.succeeds_outside(command), command)
        else:
            result = student.type(command, [line[2:] for line in expected if line.startswith('< ')])
        check(result, expected)


@pytest.fixture(scope='module', name='school')
def _school(machine, wherry_program, registry, plain_registry):
    """Two engines that know a mirror of Docker's registry, with the images of the course."""
    from conftest import Starter  # pylint: disable=import-outside-toplevel
    client = plain_registry.client()
    for name, image in {'hello-world': 'hello', 'busybox': 'busybox', 'tools': 'probe'}.items():
        client.push(f'library/{name}', 'latest', reference.load(image)['latest'])
    for server in (registry, plain_registry):
        machine.reach(server.port)
    starter = Starter(machine, wherry_program)
    mirror = f'{machine.registry_host}:{plain_registry.port}'
    config = starter.trust(registry.name) + f'[registry "{mirror}"]\ninsecure = true\n' \
                                            f'[registry "docker.io"]\nmirror = http://{mirror}\n'
    engines = [starter(config, network='bridge') for _ in range(2)]
    engines[0].wherry('pull', '-q', 'busybox', timeout=120).ok()
    engines[0].first_layer = engines[0].inspect('busybox')['RootFS']['Layers'][0]
    yield engines
    for engine in engines:
        engine.remove_containers()
        engine.assert_nothing_left()
    starter.close()


def leave_only_busybox(engine):
    """Removes what a lesson has made, by few commands: each takes its time in the virtual machine."""
    wherry = engine.program
    engine.machine.run(['sh', '-c', f'{wherry} rm -f $({wherry} ps -aq) 2>/dev/null; {wherry} network prune -f; '
                                    f'{wherry} volume prune -af; rm -rf {engine.dir}/shared'], env=engine.client_env()).ok()
    listed = [json.loads(line) for line in engine.wherry('images', '--format', 'json').ok().out.splitlines()]
    made = {name for image in listed for name in image['RepoTags']} - {'busybox:latest'}
    if made:
        engine.wherry('rmi', '-f', *made).ok()


@pytest.fixture(params=['docker', 'wherry'])
def student(request, school, registry):
    engine, other = school
    found = Student(engine, request.param, other)
    found.values = {'REGISTRY': registry.name, 'PASSWORD': registries.PASSWORD, 'USER': registries.USER,
                    'NAME': uuid.uuid4().hex[:8], 'SHARED': f'{engine.dir}/shared',
                    'DIGEST OF THE FIRST LAYER': re.escape(engine.first_layer)}
    yield found
    found.close()
    leave_only_busybox(engine)


@pytest.mark.parametrize('lesson', COURSE)
def test_lesson(student, lesson):
    walk(student, COURSE[lesson])


def test_two_shells_in_one_container(student):
    student.type('docker run -d --name box busybox sleep 1000').ok()
    shells = [student.start('docker exec -it box sh', tty=(30, 100)) for _ in range(2)]
    patience = 30 * student.machine.slow
    for shell in shells:
        shell.read_until(PROMPT, patience)
    shells[0].write(b'echo from the first >/message\n')
    shells[1].write(b'until [ -s /message ]; do sleep 0.1; done; cat /message; ps\n')
    shells[1].read_until(rb'from the first\r\n.*sleep 1000.*\bsh\b.*\bsh\b', patience)
    for code, shell in enumerate(shells):
        shell.write(f'exit {code}\n'.encode())
        assert shell.wait(patience) == code
    student.type('docker rm -f box').ok()
