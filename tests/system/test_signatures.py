"""Images that have to be signed."""

import json
import re
import uuid

import pytest

from harness import cosign, faulty, oci
from outcome import assert_clean, one_clear_error

pytestmark = pytest.mark.machines('host')


class Signed:
    """An engine that takes images of one repository only when they are signed."""

    def __init__(self, new_engine, server):
        self.server = server
        self.repository = f'signed/{uuid.uuid4().hex[:8]}'
        self.name = f'{server.name}/{self.repository}'
        self.engine = engine = new_engine(new_engine.trust(server.name), start=False)
        engine.machine.run(['mkdir', f'{engine.dir}/keys', f'{engine.dir}/none']).ok()
        engine.machine.write(f'{engine.dir}/conf.d/signatures.conf',
                             f'[signatures "{server.name}/signed"]\nkeys = {engine.dir}/keys\n')
        for key in ('maker', 'other'):
            engine.wherry('release', 'keygen', f'{engine.dir}/{key}').ok()
        engine.machine.shell(f'cp {engine.dir}/maker.pub {engine.dir}/keys/').ok()
        tar = oci.tar([oci.entry('file', data=self.repository.encode())])
        self.image = oci.image([oci.layer(tar)], engine.machine.arch)
        self.digest = self.image.digest
        engine.start()

    def key(self, name='maker'):
        return f'{self.engine.dir}/{name}.key'

    def pull(self, tag='1'):
        return self.engine.wherry('pull', f'{self.name}:{tag}')

    def refused(self, reason):
        one_clear_error(self.pull(), f'has to be signed by a key in {self.engine.dir}/keys: .*{reason}')
        assert_clean(self.engine)


@pytest.fixture
def signed(new_engine, registry):
    signed = Signed(new_engine, registry)
    signed.engine.login(registry.name)
    registry.push(signed.repository, '1', signed.image)
    signed.push = lambda tag, blob: registry.push(signed.repository, tag, blob)
    return signed


def test_simple_signature(signed):
    signed.refused('it has no signature')
    signed.push(cosign.tag(signed.digest), cosign.simple(signed.key(), cosign.payload(signed.digest)))
    signed.pull().ok()
    # Also through an index, whose digest is what is signed then.
    index = oci.index([(signed.image, oci.platform(signed.engine.machine.arch))])
    signed.push('all', index)
    one_clear_error(signed.pull('all'), 'it has no signature')
    signed.push(cosign.tag(index.digest), cosign.simple(signed.key(), cosign.payload(index.digest)))
    signed.pull('all').ok()


def test_bundle_under_a_tag(signed):
    signed.push(cosign.tag(signed.digest, ''), cosign.bundle(signed.key(), cosign.statement(signed.digest)))
    signed.pull().ok()


def test_bundle_among_referrers(new_engine, faulty_registry):
    signed = Signed(new_engine, faulty_registry)
    faulty_registry.add(signed.repository, '1', signed.image)
    index = cosign.bundle(signed.key(), cosign.statement(signed.digest))
    faulty_registry.add(signed.repository, 'unknown', index)
    rule = faulty_registry.fault(f'GET /v2/.*/referrers/{signed.digest}', lambda handler, _: handler.answer(
        faulty.Answer(200, {'Content-Type': index.media_type}, index.data)))
    signed.pull().ok()
    assert rule.used == 1


OTHER = 'sha256:' + '0' * 64


@pytest.mark.parametrize('key, text, reason', [
    ('other', None, 'it is signed by another key'),
    ('maker', cosign.payload(OTHER), f'the signature is of {OTHER}'),
    ('maker', 'report', 'the signature is of something else than an image'),
    ('maker', b'{"critical":{}}', 'the signature is of'),
    ('maker', b'no json', "the signature's payload"),
    ('maker', 'twice', "the signature's payload.*twice"),
], ids=['key', 'image', 'type', 'empty', 'json', 'twice'])
def test_simple_signatures_that_are_refused(signed, key, text, reason):
    text = {None: cosign.payload(signed.digest),
            'report': cosign.payload(signed.digest, 'a report'),
            'twice': cosign.payload(OTHER).replace(
                b'"type"', b'"Image": {"docker-manifest-digest": "%s"}, "type"' % signed.digest.encode()),
            }.get(text, text)
    signed.push(cosign.tag(signed.digest), cosign.simple(signed.key(key), text))
    signed.refused(reason)


@pytest.mark.parametrize('case, reason', [
    ('key', 'it is signed by another key'),
    ('image', f'the signature is of {OTHER}'),
    ('parts', 'the signature is of something else than an image'),
    ('byte', 'it is signed by another key'),
    ('cut', 'the signature bundle'),
    ('twice', 'the signature bundle.*twice'),
])
def test_bundles_that_are_refused(signed, case, reason):
    texts = {'image': cosign.statement(OTHER),
             'parts': cosign.statement(signed.digest, 'https://spdx.dev/Document'),
             'twice': cosign.statement(OTHER).replace(
                 b'"predicate"', b'"Subject": [{"digest": {"sha256": "%s"}}], "predicate"' %
                 signed.digest.split(':')[1].encode())}
    index = cosign.bundle(signed.key('other' if case == 'key' else 'maker'),
                          texts.get(case, cosign.statement(signed.digest)))
    if case in ('byte', 'cut'):
        manifest, = index.parts
        config, layer = manifest.parts
        data = layer.data[:-20]
        if case == 'byte':
            value = json.loads(layer.data)
            text = value['dsseEnvelope']['payload']
            value['dsseEnvelope']['payload'] = text[:40] + ('A' if text[40] != 'A' else 'B') + text[41:]
            data = json.dumps(value).encode()
        changed = oci.Blob(layer.media_type, data)
        text = manifest.data.replace(layer.digest.encode(), changed.digest.encode())
        text = re.sub(b'"size":%d\\b' % layer.size, b'"size":%d' % changed.size, text)
        manifest = oci.Blob(manifest.media_type, text, parts=(config, changed))
        listed = {'schemaVersion': 2, 'mediaType': oci.OCI['index'],
                  'manifests': [manifest.descriptor(artifactType=cosign.BUNDLE)]}
        index = oci.Blob(oci.OCI['index'], oci.to_json(listed), parts=(manifest,))
    signed.push(cosign.tag(signed.digest, ''), index)
    signed.refused(reason)


def test_one_good_signature_is_enough(signed):
    signed.push(cosign.tag(signed.digest, ''),
                cosign.bundle(signed.key('other'), cosign.statement(signed.digest)))
    signed.push(cosign.tag(signed.digest), cosign.simple(signed.key(), cosign.payload(signed.digest)))
    signed.pull().ok()


def test_the_longest_prefix_counts(signed, registry):
    engine = signed.engine
    engine.stop()
    engine.machine.write(f'{engine.dir}/conf.d/more.conf', f'[signatures "*"]\nkeys = {engine.dir}/none\n'
                         f'[signatures "{signed.name}"]\nkeys = none\n')
    engine.start()
    signed.pull().ok()
    one_clear_error(engine.wherry('pull', f'{registry.name}/busybox'), f'a key in {engine.dir}/none')
    shown = re.sub('# .*\n', '', engine.wherry('config').ok().out)
    assert f'[signatures "{signed.name}"]\nkeys = none' in shown and f'[signatures "*"]\nkeys = {engine.dir}/none' in shown


def test_key_that_is_none(signed):
    signed.engine.machine.write(f'{signed.engine.dir}/keys/bad.pub', 'no key')
    one_clear_error(signed.pull(), 'bad.pub')
    assert_clean(signed.engine)
