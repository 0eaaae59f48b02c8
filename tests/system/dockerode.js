// What an application on node does with the engine, by dockerode: pull, build, run, exec, logs, events, stats.
'use strict';
const assert = require('assert');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { PassThrough } = require('stream');
const Docker = require('dockerode');

const docker = new Docker(); // by DOCKER_HOST
const image = process.env.IMAGE;

function collected() {
  const stream = new PassThrough();
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.text = () => Buffer.concat(parts).toString();
  return stream;
}

const ended = (stream) => new Promise((resolve, reject) => {
  stream.on('end', resolve);
  stream.on('error', reject);
});

// All messages of a pull or a build.
const progress = (stream) => new Promise((resolve, reject) => {
  docker.modem.followProgress(stream, (error, messages) => (error ? reject(error) : resolve(messages)));
});

async function pull() {
  await assert.rejects(docker.pull(image), (error) => error.statusCode === 404);
  const authconfig = { username: process.env.USER_NAME, password: process.env.PASSWORD };
  const messages = await progress(await docker.pull(image, { authconfig }));
  assert.match(messages.at(-1).status, /Status: (Downloaded newer image|Image is up to date) for/);
  const detail = await docker.getImage(image).inspect();
  assert.ok(detail.RepoTags.includes(`${image}:latest`), detail.RepoTags);
}

async function build() {
  const context = fs.mkdtempSync(path.join(os.tmpdir(), 'context-'));
  fs.writeFileSync(path.join(context, 'Dockerfile'), `FROM ${image}\nCOPY page /page\nRUN cat /page > /copy\nCMD ["cat", "/copy"]\n`);
  fs.writeFileSync(path.join(context, 'page'), 'built here\n');
  const stream = await docker.buildImage({ context, src: ['Dockerfile', 'page'] }, { t: 'paged' });
  const messages = await progress(stream);
  fs.rmSync(context, { recursive: true });
  assert.ok(messages.some((message) => /Successfully tagged paged:latest/.test(message.stream)), JSON.stringify(messages));
  const stdout = collected();
  const [result, container] = await docker.run('paged', [], stdout);
  assert.strictEqual(result.StatusCode, 0);
  assert.strictEqual(stdout.text().replace('\r', ''), 'built here\n');
  await container.remove();
  await docker.getImage('paged').remove();
}

async function exec(container) {
  const made = await container.exec({ Cmd: ['sh', '-c', 'cat; echo err >&2; exit 4'], AttachStdin: true, AttachStdout: true,
    AttachStderr: true });
  const stream = await made.start({ hijack: true, stdin: true });
  const [out, err] = [collected(), collected()];
  docker.modem.demuxStream(stream, out, err);
  stream.write('typed\n');
  stream.end();
  await ended(stream);
  assert.strictEqual(out.text(), 'typed\n');
  assert.strictEqual(err.text(), 'err\n');
  const detail = await made.inspect();
  assert.deepStrictEqual([detail.Running, detail.ExitCode], [false, 4]);
}

async function attach() {
  const container = await docker.createContainer({ Image: image, Cmd: ['cat'], OpenStdin: true, StdinOnce: true,
    AttachStdin: true, AttachStdout: true });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const out = collected();
  docker.modem.demuxStream(stream, out, out);
  await container.start();
  stream.write('through\n');
  stream.end();
  await container.wait();
  assert.strictEqual(out.text(), 'through\n');
  await container.remove();
}

async function logs(container) {
  const text = await container.logs({ stdout: true, stderr: true, timestamps: false });
  assert.ok(text.includes('ready'), text);
  const follow = await container.logs({ stdout: true, follow: true, tail: 1 });
  const out = collected();
  docker.modem.demuxStream(follow, out, out);
  await new Promise((resolve) => { out.once('data', resolve); });
  assert.strictEqual(out.text(), 'ready\n');
  follow.destroy();
}

async function stats(container) {
  const once = await container.stats({ stream: false });
  assert.ok(once.cpu_stats.online_cpus > 0 && once.precpu_stats.system_cpu_usage > 0);
  const stream = await container.stats({ stream: true });
  const first = await new Promise((resolve) => { stream.once('data', resolve); });
  assert.strictEqual(JSON.parse(first).name, '/work');
  stream.destroy();
}

async function events(container) {
  const stream = await docker.getEvents({ filters: { container: [container.id], event: ['die', 'stop', 'restart'] } });
  const seen = [];
  stream.on('data', (part) => part.toString().trim().split('\n').forEach((line) => seen.push(JSON.parse(line).Action)));
  await container.restart({ t: 0 });
  await container.stop({ t: 0 });
  while (seen.filter((action) => action === 'stop').length < 2) await new Promise((resolve) => { setTimeout(resolve, 50); });
  assert.deepStrictEqual(seen, ['die', 'stop', 'restart', 'die', 'stop']);
  stream.destroy();
}

async function main() {
  assert.strictEqual((await docker.ping()).toString(), 'OK');
  await pull();
  await build();
  await attach();
  const network = await docker.createNetwork({ Name: 'lan', Labels: { a: 'b' } });
  const container = await docker.createContainer({ name: 'work', Image: image, Cmd: ['sh', '-c', 'echo ready; exec sleep 1000'],
    Labels: { kind: 'x' }, HostConfig: { NetworkMode: 'lan', PortBindings: { '80/tcp': [{ HostPort: '0' }] } },
    ExposedPorts: { '80/tcp': {} } });
  await container.start();
  assert.ok((await container.inspect()).NetworkSettings.Ports['80/tcp'][0].HostPort > 0);
  assert.deepStrictEqual((await docker.listContainers({ filters: { label: ['kind=x'] } })).map((one) => one.Names), [['/work']]);
  await logs(container);
  await exec(container);
  await stats(container);
  await events(container);
  await container.remove();
  await network.remove();
  await assert.rejects(container.inspect(), (error) => error.statusCode === 404 && /No such container/.test(error.message));
  console.log('done');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
