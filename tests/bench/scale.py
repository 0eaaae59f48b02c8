"""What the daemon takes, in time and memory, with a store of many images, tags and objects."""

import json
import os
import pathlib
import socket
import sys
import time

import big_store
from engine import Engine
from harness import compile as compiler
from harness import oci, paths
from harness import registry as registries
from harness.machine import LocalMachine
from storage import Device

FULL = 2_000_000
TIMEOUT = 3600


class Notified:
    """The socket on which a daemon says that it is ready."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(TIMEOUT)

    def wait(self):
        return self._socket.recv(64)

    def close(self):
        self._socket.close()


class Bench:
    """One daemon on a device of its own, and what it has been seen to take."""

    def __init__(self, machine, options):
        self.machine, self.options = machine, options
        per_object = 4096 + 512 + 300
        self.device = Device(machine, 512 * 2**20 + int(options.objects * per_object * 1.15),
                             f'-N {int(options.objects * 1.1) + 20_000}')
        config = f'[store]\ntier = {options.tier}\nscrub-interval = 0\n'
        self.engine = Engine(machine, config, str(paths.build_dir('host') / 'wherry'))
        self.engine.root = f'{self.device.mount}/data'
        self.ready = Notified(f'{self.device.dir}/ready')
        self.engine.env = {'NOTIFY_SOCKET': self.ready.path}
        self.rows = {}

    def _proc(self, name):
        return pathlib.Path('/proc', str(self.engine.pid), name)

    def _status(self, name, key):
        text = self._proc(name).read_text(encoding='ascii')
        return int(text.split(f'{key}:')[1].split()[0])

    def row(self, name, seconds):
        self.rows[name] = {'seconds': seconds, 'peak': self._status('status', 'VmHWM') * 1024,
                           'pss': self._status('smaps_rollup', 'Pss') * 1024}
        if not self.options.json:
            print(f'{name:44}{seconds:>9.3f} s{self.rows[name]["peak"] / 1e6:>8.1f} MB'
                  f'{self.rows[name]["pss"] / 1e6:>8.1f} MB', flush=True)

    def start(self, name, boot=False):
        """`boot`: as the first start since one: nothing cached, nothing in memory."""
        if boot:
            self.machine.run(['rm', '-rf', self.engine.rundir]).ok()
            self.machine.run(['umount', self.device.mount]).ok()
            self.machine.run(['mount', self.device.loop, self.device.mount]).ok()
        began = time.monotonic()
        self.engine.launch()
        self.ready.wait()
        self.row(name, time.monotonic() - began)

    def do(self, name, *command):
        self._proc('clear_refs').write_text('5', encoding='ascii')
        began = time.monotonic()
        result = self.engine.wherry(*command, timeout=TIMEOUT).ok()
        self.row(name, time.monotonic() - began)
        return result.out

    def settle(self, name):
        """Until what the daemon does by itself after a start is done: it does not read or compute."""
        began = time.monotonic()
        seen = None
        while seen != (now := (self._proc('stat').read_text(encoding='ascii').split()[13:15],
                               self._status('io', 'read_bytes'))):
            seen = now
            time.sleep(1)
        self.row(name, time.monotonic() - began)

    def run(self, server):
        images, tags, objects = self.options.images, self.options.tags, self.options.objects
        self.start('start with an empty store')
        began = time.monotonic()
        big_store.fill(self.engine, self.machine.arch, images, tags, objects,
                       lambda done: print(f'{done} of {images} images', end='\r', file=sys.stderr))
        self.row('fill, in all', time.monotonic() - began)
        self.engine.stop()
        self.start('start after a clean stop')
        self.engine.stop()
        self.start('start, the first since boot, after a clean stop', boot=True)
        self.settle('  what follows it in the background')
        self.engine.kill()
        self.start('start after kill -9')
        self.settle('  what follows it in the background')
        self.work(f'127.0.0.1:{server.port}/thing')
        self.engine.kill()
        self.start('start, the first since boot, after a power cut', boot=True)
        self.settle('  what follows it in the background')
        self.interrupted()
        self.do('image prune of all', 'image', 'prune', '-af')
        self.engine.stop()

    def work(self, thing):
        name = big_store.image_name
        self.do('pull of a new image of one file', 'pull', '-q', thing)
        self.do('pull of an image that is present', 'pull', '-q', thing)
        listed = self.do('images', 'images', '-q', '--no-trunc').split()
        self.do('inspect by name', 'inspect', name(3))
        self.do('inspect by ID', 'inspect', listed[-1])
        self.do('tag', 'tag', name(3), 'localhost/other:1')
        self.do('system df', 'system', 'df')
        self.do('store check', 'store', 'check')
        self.do('rmi of one image', 'rmi', name(self.options.images - 1))

    def interrupted(self):
        """A kill while a layer is taken in."""
        archive = big_store.layer_archive(77, 2000)
        process = self.engine.start_wherry('load', '-q')
        process.write(oci.tar([oci.entry('layer.tar', data=archive)])[:len(archive) // 2])
        self.machine.wait_for(lambda: self.machine.shell(f'ls {self.engine.root}/store/txn').out != '',
                              'the load does not begin')
        time.sleep(1)
        self.engine.kill()
        process.kill()
        self.start('start after kill -9 while a layer came in')
        self.settle('  what follows it in the background')

    def close(self):
        self.engine.close()
        self.ready.close()
        self.device.close()


def bench_scale(options):
    machine = LocalMachine(compiler.native_arch())
    server = registries.Registry()
    bench = None
    try:
        layer = oci.layer(oci.tar([oci.entry('file', data=os.urandom(700_000))]))
        server.client().push('thing', 'latest', oci.image([layer], machine.arch))
        if not options.json:
            print(f'{options.images} images, {options.tags} tags, {options.objects} objects, tier {options.tier}\n'
                  f'{"":44}{"time":>11}{"peak RSS":>11}{"PSS then":>11}')
        bench = Bench(machine, options)
        bench.run(server)
    finally:
        if bench is not None:
            bench.close()
        server.close()
        machine.close()
    if options.json:
        print(json.dumps({'scale': bench.rows, 'images': options.images, 'tags': options.tags,
                          'objects': options.objects}))
    return 0
