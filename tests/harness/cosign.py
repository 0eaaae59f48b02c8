"""Signatures of images as cosign stores them, made with openssl.

The forms are those of cosign's specs/SIGNATURE_SPEC.md and specs/BUNDLE_SPEC.md.
"""

import base64
import json
import subprocess

from . import oci

SIMPLE = 'application/vnd.dev.cosign.simplesigning.v1+json'
BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
STATEMENT = 'application/vnd.in-toto+json'
CONFIG = oci.Blob(oci.OCI['config'], b'{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]}}')
EMPTY = oci.Blob('application/vnd.oci.empty.v1+json', b'{}')


def sign(key, message):
    """The signature of the private key in a file, in base64."""
    result = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', str(key)], input=message,
                            check=True, capture_output=True)
    return base64.b64encode(result.stdout).decode()


def payload(digest, kind='cosign container image signature'):
    return json.dumps({'critical': {'identity': {'docker-reference': ''},
                                    'image': {'docker-manifest-digest': digest}, 'type': kind},
                       'optional': None}).encode()


def tag(digest, form='.sig'):
    return digest.replace(':', '-') + form


def _manifest(config, layer, artifact_type=None, annotations=None):
    value = {'schemaVersion': 2, 'mediaType': oci.OCI['manifest'], 'config': config.descriptor(),
             'layers': [layer.descriptor(**({'annotations': annotations} if annotations else {}))]}
    if artifact_type:
        value['artifactType'] = artifact_type
    return oci.Blob(oci.OCI['manifest'], oci.to_json(value), parts=(config, layer))


def simple(key, text):
    """What is under the tag sha256-HEX.sig."""
    annotations = {'dev.cosignproject.cosign/signature': sign(key, text)}
    return _manifest(CONFIG, oci.Blob(SIMPLE, text), annotations=annotations)


def statement(digest, predicate='https://sigstore.dev/cosign/sign/v1'):
    return json.dumps({'_type': 'https://in-toto.io/Statement/v1',
                       'subject': [{'digest': {'sha256': digest.split(':')[1]}}],
                       'predicateType': predicate, 'predicate': {}}).encode()


def bundle(key, text):
    """The index of referrers with one bundle."""
    message = b'DSSEv1 %d %s %d %s' % (len(STATEMENT), STATEMENT.encode(), len(text), text)
    value = {'mediaType': BUNDLE, 'verificationMaterial': {'publicKey': {'hint': ''}, 'tlogEntries': []},
             'dsseEnvelope': {'payload': base64.b64encode(text).decode(), 'payloadType': STATEMENT,
                              'signatures': [{'sig': sign(key, message)}]}}
    manifest = _manifest(EMPTY, oci.Blob(BUNDLE, json.dumps(value).encode()), BUNDLE)
    listed = {'schemaVersion': 2, 'mediaType': oci.OCI['index'],
              'manifests': [manifest.descriptor(artifactType=BUNDLE)]}
    return oci.Blob(oci.OCI['index'], oci.to_json(listed), parts=(manifest,))
