"""A real MQTT broker (Debian's mosquitto) with mutual TLS and access rules, and a client of it."""

import base64
import json
import pathlib
import queue
import shutil
import ssl
import subprocess
import tempfile
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from . import registry as registries

# A client may do in its own branch what devices do, and read what its groups are told.
RULES = '''pattern readwrite wherry/1/test/%u/#
pattern read wherry/1/test/g/+/desired
user control
topic readwrite wherry/1/test/#
'''


class Broker:
    """One mosquitto that keeps its state over restarts; close() ends it."""

    def __init__(self, authority, certificate, key):
        self._authority = authority
        self._set_up(f'''
            cafile {authority.certificate}
            certfile {certificate}
            keyfile {key}
            require_certificate true
            use_identity_as_username true
            acl_file rules
            autosave_interval 1
            ''')

    def _set_up(self, rules_of_access):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='wt-broker.'))
        self.port = registries.free_port()
        (self.dir / 'rules').write_text(RULES, encoding='utf-8')
        text = f'''
            user root
            listener {self.port} 127.0.0.1
            persistence true
            persistence_location {self.dir}/
            autosave_on_changes true
            log_dest file {self.dir}/log
            ''' + rules_of_access.replace('acl_file rules', f'acl_file {self.dir}/rules')
        (self.dir / 'conf').write_text(text.replace('    ', ''), encoding='utf-8')
        self._process = None
        self.start()

    def start(self):
        program = shutil.which('mosquitto', path='/usr/sbin:/usr/bin:/usr/local/sbin')
        assert program, 'mosquitto is not installed'
        self._process = subprocess.Popen([program, '-c', str(self.dir / 'conf')],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client('control', connect_only=True).close()

    def stop(self):
        if self._process:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def client(self, name, connect_only=False):
        certificate, key = self._authority.issue(name, [], client=True)
        client = Client(self.port, self._authority.certificate, certificate, key)
        if not connect_only:
            client.subscribe('wherry/1/test/#')
        return client

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


def payload_of(envelope):
    """What a signed document says."""
    return json.loads(base64.b64decode(json.loads(envelope)['payload']))


class Client:
    """Keeps all messages it gets: a list of (topic, payload, properties), newest last."""

    def __init__(self, port, ca=None, certificate=None, key=None):
        """Without TLS when there is no `ca`."""
        self.messages = []
        self._answers = queue.Queue()
        self._client = mqtt.Client(protocol=mqtt.MQTTv5)
        if ca:
            self._client.tls_set(str(ca), str(certificate), str(key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
            self._client.tls_insecure_set(True)  # the name of the broker is not what is tested here
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._answers.put(None)
        for attempt in range(100):
            try:
                self._client.connect('127.0.0.1', port)
                break
            except OSError:
                if attempt == 99:
                    raise
                time.sleep(0.1)
        self._client.loop_start()

    def _on_message(self, _client, _data, message):
        self.messages.append((message.topic, message.payload, message.properties))

    def subscribe(self, pattern):
        self._client.subscribe(pattern, 1)
        self._answers.get(timeout=20)

    def publish(self, topic, payload, retain=False, response=None, correlation=None):
        properties = Properties(PacketTypes.PUBLISH)
        if response:
            properties.ResponseTopic = response
            properties.CorrelationData = correlation.encode()
        text = payload if isinstance(payload, (str, bytes)) else json.dumps(payload)
        self._client.publish(topic, text, 1, retain, properties).wait_for_publish(20)

    def of(self, ending):
        """What came on topics with this ending, as JSON."""
        return [json.loads(payload) for topic, payload, _ in list(self.messages)
                if topic.endswith(ending) and payload]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()
