"""wherry compose: groups of services."""

import json
import signal
import textwrap

import pytest

pytestmark = pytest.mark.machines('host-net')

SHOP = '''
name: shop
services:
  web:
    image: probe
    command: netprobe serve 80 page
    environment: {A: b, EMPTY: ""}
    ports: ["127.0.0.1:8070:80"]
    volumes: ["data:/data", "./site:/site:ro", "/scratch"]
    networks: {front: {aliases: [shopfront]}, default: }
    healthcheck: {test: ["CMD", "true"], interval: 1s}
    labels: {kind: server}
    stop_grace_period: 1s
  client:
    image: probe
    command: sh -c "echo got $$(netprobe get shopfront 80); exec sleep 1000"
    networks: [front]
    depends_on: {web: {condition: service_healthy}, job: {condition: service_completed_successfully}}
    init: true
    stop_grace_period: 1s
  job:
    image: probe
    command: ["sh", "-c", "echo ${GREETING:-hello} > /data/greeting"]
    volumes: ["data:/data"]
networks:
  front: {labels: {kind: test}}
volumes:
  data: {labels: {kind: test}}
'''


class Project:
    """A directory with a compose file, and the command for it."""

    def __init__(self, engine, text, name='shop'):
        self.engine = engine
        self.dir = f'{engine.dir}/{name}'
        engine.machine.run(['mkdir', '-p', f'{self.dir}/site']).ok()
        self.write(text)

    def write(self, text, name='compose.yaml'):
        self.engine.machine.write(f'{self.dir}/{name}', textwrap.dedent(text))

    def words(self, *args):
        return ['compose', '-f', f'{self.dir}/compose.yaml', *map(str, args)]

    def __call__(self, *args, **options):
        return self.engine.wherry(*self.words(*args), **{'timeout': 120, **options})

    def ids(self):
        """The IDs of the containers by their names."""
        rows = [self.engine.inspect(one) for one in self('ps', '-aq').ok().out.split()]
        return {row['Name'][1:]: row['Id'] for row in rows}


def read_greeting(shop):
    return shop('exec', '-T', 'web', 'cat', '/data/greeting').ok().out


@pytest.fixture(name='engine')
def _engine(machine, new_engine, registry):
    machine.reach(registry.port)
    engine = new_engine(new_engine.trust(registry.name), network='bridge')
    engine.login(registry.name)
    engine.registry = registry.name
    engine.wherry('pull', '-q', f'{registry.name}/probe', timeout=120).ok()
    engine.wherry('tag', f'{registry.name}/probe', 'probe').ok()
    yield engine
    engine.remove_containers()
    engine.wherry('network', 'prune', '-f').ok()
    engine.assert_nothing_left()


@pytest.fixture(name='shop')
def _shop(engine):
    return Project(engine, SHOP)


def check_shop_runs(shop):
    shop('up', '-d').ok()
    engine = shop.engine
    assert shop.ids().keys() == {'shop-web-1', 'shop-client-1', 'shop-job-1'}
    assert set(shop('ps', '--services').ok().out.split()) == {'web', 'client'}
    engine.machine.wait_for(lambda: 'client-1  | got page' in shop('logs', 'client').ok().out, 'the client got the page')
    assert read_greeting(shop) == 'hello\n'
    networks = {line.split()[1] for line in engine.wherry('network', 'ls').ok().out.splitlines()[1:]}
    assert {'shop_front', 'shop_default'} <= networks
    assert 'shop_data' in engine.wherry('volume', 'ls', '-q').ok().out.split()
    shop('down', '-v', '-t', '0').ok()
    assert engine.containers() == []
    assert engine.wherry('volume', 'ls', '-q').ok().out == ''
    assert 'shop_' not in engine.wherry('network', 'ls').ok().out


def test_up_and_down(shop):
    check_shop_runs(shop)


@pytest.mark.machines('vm-6.12')
def test_up_and_down_in_the_machine(shop):
    check_shop_runs(shop)


def test_what_containers_are_like(shop):
    shop('up', '-d').ok()
    web = shop.engine.inspect('shop-web-1')
    labels = web['Config']['Labels']
    assert labels['kind'] == 'server'
    assert {key: labels[f'com.docker.compose.{key}'] for key in (
        'project', 'service', 'container-number', 'oneoff', 'project.working_dir', 'project.config_files')} == {
            'project': 'shop', 'service': 'web', 'container-number': '1', 'oneoff': 'False',
            'project.working_dir': shop.dir, 'project.config_files': f'{shop.dir}/compose.yaml'}
    assert len(labels['com.docker.compose.config-hash']) == 64
    assert {'A=b', 'EMPTY='} <= set(web['Config']['Env'])
    assert web['Config']['StopTimeout'] == 1
    assert web['HostConfig']['PortBindings'] == {'80/tcp': [{'HostIp': '127.0.0.1', 'HostPort': '8070'}]}
    networks = web['NetworkSettings']['Networks']
    assert networks.keys() == {'shop_front', 'shop_default'}
    assert {'web', 'shopfront', 'shop-web-1'} <= set(networks['shop_front']['Aliases'])
    assert {mount['Destination'] for mount in web['Mounts']} == {'/data', '/site', '/scratch'}
    assert shop.engine.inspect('shop-client-1')['HostConfig']['Init'] is True
    network = json.loads(shop.engine.wherry('network', 'inspect', 'shop_front').ok().out)[0]
    assert network['Labels']['com.docker.compose.network'] == 'front' and network['Labels']['kind'] == 'test'
    volume = json.loads(shop.engine.wherry('volume', 'inspect', 'shop_data').ok().out)[0]
    assert volume['Labels']['com.docker.compose.project'] == 'shop' and volume['Labels']['kind'] == 'test'


def test_only_what_changed_is_made_anew(shop):
    shop('up', '-d').ok()
    shop('exec', '-T', 'web', 'sh', '-c', 'echo kept > /scratch/file').ok()
    before = shop.ids()
    shop('up', '-d').ok()
    assert shop.ids() == before
    shop.write(SHOP.replace('{A: b,', '{A: c,'))
    told = shop('up', '-d').ok().err
    after = shop.ids()
    assert {name for name, one in after.items() if before[name] != one} == {'shop-web-1'}
    assert 'shop-web-1  Recreated' in told
    assert shop('exec', '-T', 'web', 'sh', '-c', 'cat /scratch/file; echo $A').ok().out == 'kept\nc\n'
    shop('up', '-d', '--force-recreate', '--no-deps', 'client').ok()
    assert {name for name, one in shop.ids().items() if after[name] != one} == {'shop-client-1'}


def test_scale_and_orphans(shop):
    shop('up', '-d', '--scale', 'client=3').ok()
    assert {name for name in shop.ids() if 'client' in name} == {f'shop-client-{n}' for n in (1, 2, 3)}
    assert 'no such service' in shop('up', '-d', '--scale', 'nobody=2').fails(1).err
    shop('up', '-d').ok()
    assert {name for name in shop.ids() if 'client' in name} == {'shop-client-1'}
    shop.write('services: {web: {image: probe, command: sleep 1000}}\nname: shop\n')
    assert 'shop-client-1' in shop('up', '-d').ok().err
    assert 'shop-client-1' in shop.ids()
    shop('up', '-d', '--remove-orphans').ok()
    assert shop.ids().keys() == {'shop-web-1'}


def test_actions(shop):
    shop('up', '-d').ok()
    engine = shop.engine
    shop('stop', '-t', '0', 'client').ok()
    assert engine.state('shop-client-1')['Status'] == 'exited'
    assert 'client' not in shop('ps').ok().out
    shop('start', 'client').ok()
    started = engine.state('shop-client-1')['StartedAt']
    shop('restart', '-t', '0', 'client').ok()
    assert engine.state('shop-client-1')['StartedAt'] > started
    shop('pause', 'web').ok()
    assert engine.state('shop-web-1')['Status'] == 'paused'
    shop('unpause', 'web').ok()
    assert 'netprobe' in shop('top', 'web').ok().out
    assert 'probe' in shop('images').ok().out
    shop('kill', '-s', 'KILL', 'client').ok()
    engine.wait_exited('shop-client-1')
    shop('rm', '-f').ok()
    assert shop.ids().keys() == {'shop-web-1'}
    assert 'no such service: nobody' in shop('stop', 'nobody').fails(1).err
    # Found by its labels alone.
    assert 'shop-web-1' in engine.wherry('compose', '-p', 'shop', 'ps').ok().out
    engine.wherry('compose', '-p', 'shop', 'down', '-v', '-t', '0').ok()
    assert engine.containers() == []


def test_run_and_exec(shop):
    result = shop('run', '--rm', '-T', '-e', 'MORE=x', 'client', 'sh', '-c', 'echo $MORE $(netprobe get web 80); exit 7')
    assert (result.code, result.out) == (7, 'x page\n')
    assert shop.ids().keys() == {'shop-web-1', 'shop-job-1'}
    assert shop('exec', '-T', '-e', 'X=y', '-w', '/data', 'web', 'sh', '-c', 'echo $X; pwd; exit 3').code == 3
    assert 'is not running' in shop('exec', '-T', 'client', 'true').fails(1).err
    name = shop('run', '-d', '--no-deps', 'client', 'sleep', '1000').ok().out.strip()
    assert name.startswith('shop-client-run-')
    assert shop.engine.inspect(name)['Config']['Labels']['com.docker.compose.oneoff'] == 'True'
    assert 'run' not in shop('ps').ok().out
    shop('down', '-v', '-t', '0').ok()
    assert shop.engine.containers() == []


def test_attached(shop):
    process = shop.engine.start_wherry(*shop.words('up'))
    process.read_until(rb'client-1 +\| got page', 60)
    process.kill(signal.SIGINT)
    assert process.wait(30) == 0
    assert b'job-1 exited with code 0' in process.err
    assert shop('ps', '-q').ok().out == ''
    assert len(shop.ids()) == 3


def test_attached_ends_with_the_last_container(engine):
    project = Project(engine, '''
        name: short
        services:
          a: {image: probe, command: sh -c "echo from a; echo problem >&2"}
          b: {image: probe, command: sh -c "sleep 1; printf 'from b'; exit 3", depends_on: [a]}
    ''', 'short')
    result = project('up').ok()
    assert 'a-1  | from a\n' in result.out and 'b-1  | from b\n' in result.out
    assert 'a-1  | problem\n' in result.err and 'b-1 exited with code 3' in result.err


def test_profiles(engine):
    project = Project(engine, '''
        name: prof
        services:
          always: {image: probe, command: sleep 1000, stop_grace_period: 0s}
          debug: {image: probe, command: sleep 1000, profiles: [debug], stop_grace_period: 0s}
    ''', 'prof')
    project('up', '-d').ok()
    assert project.ids().keys() == {'prof-always-1'}
    engine.wherry('compose', '-f', f'{project.dir}/compose.yaml', '--profile', 'debug', 'up', '-d').ok()
    assert project.ids().keys() == {'prof-always-1', 'prof-debug-1'}
    project('down').ok()
    assert engine.containers() == []


def test_build(engine):
    project = Project(engine, '''
        name: made
        services:
          app:
            build: {context: ., args: {WORD: hello}}
            command: cat /word
          inline:
            build: {dockerfile_inline: "FROM probe\\nRUN echo inline > /word\\n"}
            command: cat /word
    ''', 'made')
    project.write('FROM probe\nARG WORD\nRUN echo $WORD > /word\n', 'Dockerfile')
    result = project('up').ok()
    assert 'app-1     | hello\n' in result.out and 'inline-1  | inline\n' in result.out
    project.write('FROM probe\nARG WORD\nRUN echo again $WORD > /word\n', 'Dockerfile')
    assert 'app-1     | again hello\n' in project('up', '--build').ok().out
    project('down', '--rmi', 'local').ok()
    assert 'made-' not in engine.wherry('images').ok().out


def test_wait_and_unhealthy(engine):
    project = Project(engine, '''
        name: ill
        services:
          sick:
            image: probe
            command: sleep 1000
            stop_grace_period: 0s
            healthcheck: {test: "false", interval: 1s, retries: 1}
          needs: {image: probe, command: sleep 1000, depends_on: {sick: {condition: service_healthy}}}
    ''', 'ill')
    assert 'ill-sick-1 is unhealthy' in project('up', '-d').fails(1).err
    assert engine.state('ill-needs-1')['Status'] == 'created'
    assert 'unhealthy' in project('up', '-d', '--wait', 'sick').fails(1).err
    project('down').ok()


def test_interrupted_while_it_waits(engine):
    project = Project(engine, '''
        name: slow
        services:
          job: {image: probe, command: sh -c "echo begun; exec sleep 1000", stop_grace_period: 0s}
          after: {image: probe, command: sleep 1000, depends_on: {job: {condition: service_completed_successfully}}}
    ''', 'slow')
    process = engine.start_wherry(*project.words('up'))
    process.read_until(rb'job-1 +\| begun', 60)
    process.kill(signal.SIGINT)
    assert process.wait(30) == 1
    assert b'interrupted while waiting for slow-job-1' in process.err
    assert project('ps', '-q').ok().out == ''


def test_images_from_the_registry(engine):
    image = f'{engine.registry}/busybox'
    project = Project(engine, f"""
        name: fetched
        services:
          a: {{image: {image}, command: echo fetched, network_mode: none}}
          b: {{image: "{engine.registry}/nothing", profiles: [never], pull_policy: never}}
          c: {{image: "{engine.registry}/nothing", profiles: [broken]}}
    """, 'fetched')
    assert 'a-1  | fetched\n' in project('up').ok().out
    project('pull', '-q').ok()
    assert 'pull_policy is never' in project('up', 'b').fails(1).err
    assert 'nothing' in project('up', 'c').fails(1).err
    assert 'nothing' in project('pull', 'c').fails(1).err
    project('pull', '--ignore-pull-failures', 'c').ok()
    assert image in project('config', '--images').ok().out
    project('down', '--rmi', 'all').ok()
    assert 'busybox' not in engine.wherry('images').ok().out


def test_what_belongs_to_others(engine):
    project = Project(engine, """
        name: guest
        services: {a: {image: probe, command: sleep 1000, networks: [n], volumes: ["v:/v"], stop_grace_period: 0s}}
        networks: {n: {external: true, name: theirs}}
        volumes: {v: {external: true, name: their-data}}
    """, 'guest')
    error = project('up', '-d').fails(1).err
    assert 'the network theirs is external and not there' in error and 'wherry network create theirs' in error
    engine.wherry('network', 'create', 'theirs').ok()
    assert 'the volume their-data is external and not there' in project('up', '-d').fails(1).err
    engine.wherry('volume', 'create', 'their-data').ok()
    project('up', '-d').ok()
    assert engine.inspect('guest-a-1')['NetworkSettings']['Networks'].keys() == {'theirs'}
    project('down', '-v').ok()
    assert 'theirs' in engine.wherry('network', 'ls').ok().out
    assert engine.wherry('volume', 'ls', '-q').ok().out == 'their-data\n'
    # A definition that has changed is told.
    project.write('name: guest\nservices: {a: {image: probe, command: "true", volumes: ["w:/w"]}}\nvolumes: {w: {}}\n')
    project('up', '-d').ok()
    project.write('name: guest\nservices: {a: {image: probe, command: "true", volumes: ["w:/w"]}}\nvolumes: {w: {labels: [a]}}\n')
    assert 'guest_w was made from another definition' in project('up', '-d').ok().err
    project('down', '-v').ok()
    engine.wherry('volume', 'rm', 'their-data').ok()


def test_port_in_use(engine):
    text = 'name: {0}\nservices: {{a: {{image: probe, command: sleep 1000, ports: ["8071:80"], stop_grace_period: 0s}}}}\n'
    one, two = Project(engine, text.format('one'), 'one'), Project(engine, text.format('two'), 'two')
    one('up', '-d').ok()
    error = two('up', '-d').fails(1).err
    assert 'start two-a-1' in error and '8071' in error
    two('down').ok()
    one('down').ok()


def test_network_of_another_service(engine):
    project = Project(engine, '''
        name: pod
        services:
          main: {image: probe, command: netprobe serve 80 page, stop_grace_period: 0s, environment: {V: "${V:-1}"}}
          side: {image: probe, command: sleep 1000, network_mode: "service:main", stop_grace_period: 0s}
    ''', 'pod')
    project('up', '-d').ok()
    before = project.ids()
    assert project('exec', '-T', 'side', 'netprobe', 'get', '127.0.0.1', '80').ok().out == 'page'
    project('up', '-d', env={'V': '2'}).ok()
    assert not set(before.values()) & set(project.ids().values())
    assert project('exec', '-T', 'side', 'netprobe', 'get', '127.0.0.1', '80').ok().out == 'page'


def test_variables_and_files_of_them(engine):
    project = Project(engine, '''
        name: vars
        services:
          a:
            image: probe
            command: sh -c "echo $$ONE $$TWO $$THREE ${FOUR} ${FIVE:-five}"
            env_file: [a.env, {path: missing.env, required: false}]
            environment: [TWO=given, THREE]
    ''', 'vars')
    project.write('FOUR="4 $BASE"\nBASE=wrong\n', '.env')
    project.write("ONE='1'\nTWO=2\n", 'a.env')
    assert 'a-1  | 1 given 3 4 base five\n' in project('up', env={'THREE': '3', 'BASE': 'base'}).ok().out
    project.write('services: {a: {image: probe, env_file: missing.env}}')
    error = project('config').fails(1).err
    assert 'compose.yaml:1: services.a.env_file cannot be read' in error and 'missing.env' in error


def test_config_can_be_read_again(shop):
    config = shop('config').ok().out
    assert '$$(netprobe get' in config
    hashes = shop('config', '--hash', '*').ok().out
    again = ['compose', '--project-directory', shop.dir, '-f', '-', 'config']
    assert shop.engine.wherry(*again, input=config).ok().out == config
    assert shop.engine.wherry(*again, '--hash', '*', input=config).ok().out == hashes
    assert shop('config', '--services').ok().out == 'web\njob\nclient\n'
    assert shop('config', '--volumes').ok().out == 'data\n'
    assert shop('config', '-q').ok().out == ''


def test_several_files(engine):
    project = Project(engine, 'name: two\nservices: {a: {image: probe, command: echo one, environment: {A: 1, B: 1}}}\n', 'two')
    project.write('services: {a: {command: sh -c "echo $$A $$B", environment: [B=2]}}', 'more.yaml')
    files = ['-f', f'{project.dir}/compose.yaml', '-f', f'{project.dir}/more.yaml']
    assert 'a-1  | 1 2\n' in engine.wherry('compose', *files, 'up').ok().out
    config = engine.wherry('compose', *files, 'config').ok().out
    assert 'A: 1\n' in config and 'B: "2"\n' in config
    engine.wherry('compose', *files, 'down').ok()


@pytest.mark.parametrize('text, message', [
    ('services: {web: {image: x, secrets: [a]}}', 'compose.yaml:1: services.web.secrets is not supported by wherry'),
    ('services:\n  web:\n    image: x\n    ports: 80\n', 'compose.yaml:4: services.web.ports must be a list'),
    ('services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}', 'a -> b -> a'),
    ('services: {a: {image: x, depends_on: [b]}}', 'a depends on b, which is not there'),
    ('services: {a: {image: x, volumes: ["data:/data"]}}', 'uses the volume data'),
    ('services: {a: {image: "${X:?say it}"}}', 'the variable X is required: say it'),
    ('services: {a: {image: x}, a: {image: y}}', 'the key a is there twice'),
    ('services: [', 'compose.yaml:2: not valid YAML'),
    ('a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n'
     'e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n', 'too much'),
])
def test_bad_files(engine, text, message):
    project = Project(engine, text, 'bad')
    assert message in project('up', '-d').fails(1).err
    assert engine.containers() == []
