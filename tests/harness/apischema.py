"""Docker's description of its API (Swagger 2.0) as a judge of answers. It is read from where it lies beside the
repository; `Schema.find()` gives None when it does not."""

import json
import re

from . import paths

FILE = paths.REPO.parent / 'shared/data/docker-engine-api-v1.47.yaml'
ABSENT = f'the description of the API is not at {FILE.parent.parent.name}/{FILE.parent.name}/{FILE.name} beside the repository'

# Answers that are a sequence of objects, and the definition of each object.
STREAMS = {
    ('get', '/events'): 'EventMessage',
    ('post', '/images/create'): 'CreateImageInfo',
    ('post', '/images/{name}/push'): 'PushImageInfo',
    ('post', '/build'): 'BuildInfo',
    ('post', '/images/load'): 'BuildInfo',
    ('get', '/containers/{id}/stats'): None,
}

# Where the description is wrong: Docker's own engine (20.10, by the same commands of its CLI) answers so, too. What the
# engine may say is matched against the whole line of a problem.
ERRORS_OF_THE_DESCRIPTION = {
    r'POST /exec/\{id\}/start 101: this status': 'described for attach, which is upgraded by the same request',
    r'(400|404|409): this status': 'bad values, missing things and conflicts are left out for many routes',
    r'501: this status': 'Docker\'s status for what an engine does not do is left out for all routes',
    r'GET /exec/\{id\}/json 200 \.ExitCode: None': 'null until the process has ended',
    r'/images/\{name\}/json 200 \.(Container)?Config\.(Entrypoint|Labels|Volumes): None': 'null where the image sets none',
}

TIME = re.compile(r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$')

_cached = []


def convert(node):
    """Swagger's schema as JSON schema: what is nullable may be null, references lead to the definitions."""
    if isinstance(node, list):
        return [convert(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: convert(value) for name, value in node.items()
            if name not in ('example', 'description', 'x-nullable', 'title', 'default')}
    if isinstance(node.get('properties'), dict):  # these may have the names left out above
        made['properties'] = {name: convert(value) for name, value in node['properties'].items()}
    if '$ref' in node:
        made = {'$ref': node['$ref']}
    if node.get('x-nullable') is True:
        made = {'anyOf': [{'type': 'null'}, made]}
    return made


class Schema:
    """Judges answers: `problems(method, path, status, body)`."""

    def __init__(self, text):
        import jsonschema  # pylint: disable=import-outside-toplevel
        import yaml  # pylint: disable=import-outside-toplevel
        document = yaml.load(text, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
        self._definitions = {name: convert(value) for name, value in document['definitions'].items()}
        self._formats = jsonschema.FormatChecker(formats=())
        for name in ('dateTime', 'date-time'):
            self._formats.checkers[name] = (lambda value: not isinstance(value, str) or bool(TIME.match(value)), ())
        self._validator = jsonschema.Draft4Validator
        self._routes = []
        for pattern, operations in document['paths'].items():
            anything = '.+' if pattern.startswith(('/images/', '/distribution/')) else '[^/]+'
            regex = re.compile('^' + re.sub(r'\\\{\w+\\\}', anything, re.escape(pattern)) + '/?$')
            for method, operation in operations.items():
                self._routes.append((regex, method, pattern, operation['responses']))
        # What has most text around its parameter is meant: /images/get is not an image named "get".
        self._routes.sort(key=lambda route: (-len(re.sub(r'{\w+}', '', route[2])), route[2].count('{')))

    @staticmethod
    def find():
        """The schema, or None."""
        if not _cached:
            _cached.append(Schema(FILE.read_text('utf-8')) if FILE.exists() else None)
        return _cached[0]

    def route(self, method, path):
        """(method, pattern, {status: response}) of a request, or None."""
        plain = re.sub(r'^/v\d+\.\d+(?=/)', '', path.partition('?')[0])
        for regex, known, pattern, responses in self._routes:
            if known == method.lower() and regex.match(plain):
                return known, pattern, responses
        if method == 'HEAD':
            return self.route('GET', path)
        return None

    def is_stream(self, method, path):
        """Whether the answer is a sequence of objects."""
        route = self.route(method, path)
        return route is not None and route[:2] in STREAMS

    def against(self, schema, value):
        """How a value offends against a schema."""
        whole = {**schema, 'definitions': self._definitions}
        found = []
        for error in self._validator(whole, format_checker=self._formats).iter_errors(value):
            place = ''.join(f'[{part}]' if isinstance(part, int) else f'.{part}' for part in error.absolute_path)
            found.append(f'{place or "."}: {error.message[:200]}')
        return found

    def problems(self, method, path, status, content_type, body):
        """What is wrong with an answer, one line each. `body`: bytes, or None where it is no document."""
        return [line for line in self.all_problems(method, path, status, content_type, body)
                if not any(re.search(known, line) for known in ERRORS_OF_THE_DESCRIPTION)]

    def all_problems(self, method, path, status, content_type, body):
        """The same with the errors of the description."""
        route = self.route(method, path)
        if route is None:
            return [] if status in (404, 501, 503) else [f'{method} {path}: {status} of a route Docker does not have']
        known, pattern, responses = route
        response = responses.get(status, responses.get(str(status)))
        label = f'{known.upper()} {pattern} {status}'
        if response is None:
            return [f'{label}: this status is not described: {(body or b"")[:200]!r}']
        if method == 'HEAD' or status in (101, 204, 304) or body is None:
            return []
        if status < 300 and (known, pattern) in STREAMS:
            name = STREAMS[known, pattern]
            return [f'{label} {line}' for value in objects(body) for line in
                    self.against({'$ref': f'#/definitions/{name}'} if name else {'type': 'object'}, value)]
        schema = response.get('schema')
        if not schema or schema.get('format') == 'binary' or pattern == '/_ping':
            return []
        if not content_type.startswith('application/json'):
            return [f'{label}: the content type is "{content_type}"']
        try:
            return [f'{label} {line}' for line in self.against(convert(schema), json.loads(body))]
        except ValueError as error:
            return [f'{label}: {error}: {body[:200]!r}']


def objects(body):
    """The objects of a stream; the last one may be cut."""
    text, at, decoder = body.decode(errors='replace'), 0, json.JSONDecoder()
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield value
