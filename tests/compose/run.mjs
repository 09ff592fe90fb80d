// The product in real containers: up, healthy, a request over NATS, a row in the ledger, a GPU host that joins by one command and
// vanishes, all of it again by NKeys, a clean stop in less than 5 s.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { node, root, setUp } from '../../tools/launcher/set-up.mjs';

if (process.execPath !== node) {
  setUp();
  process.exit(spawnSync(node, [import.meta.filename, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1);
}

const { connect, nkeyAuthenticator } = await import('@nats-io/transport-node');
const PROJECT = `meritorder-test-${process.pid}`;
const PORT = 24222 + (process.pid % 1000);
const HEALTHY = [
  'gateway',
  'router',
  'provider-worker',
  'local-worker',
  'metering',
  'budget-policy',
  'redis',
  'postgres',
  'simulator-cloud',
  'simulator-gpu',
];
const scratch = mkdtempSync(join(tmpdir(), 'meritorder-compose-'));
const override = join(scratch, 'override.yml');
const configFile = join(scratch, 'meritorder.yaml');
const seeds = join(scratch, 'seeds');
const MOUNTING = ['prepare', 'router', 'gateway', 'provider-worker', 'local-worker', 'metering', 'budget-policy'];
const mount = `    volumes: ['${configFile}:/etc/meritorder/meritorder.yaml:ro']\n`;
// The build reaches the registry through the host's network.
writeFileSync(
  override,
  `version: '3.8'\nservices:\n  config:\n    build:\n      network: host\n${mount}${MOUNTING.map((s) => `  ${s}:\n${mount}`).join('')}`,
);
chmodSync(scratch, 0o755);
writeFileSync(configFile, withJoiningHost(readFileSync(join(root, 'meritorder.yaml'), 'utf8')));
let more = [];
const compose = has('docker-compose') ? ['docker-compose'] : ['docker', 'compose'];
const env = {
  ...process.env,
  MERITORDER_NATS_PORT: String(PORT),
  MERITORDER_GATEWAY_PORT: String(PORT + 1_000),
  MERITORDER_SEEDS_DIR: seeds,
  DOCKER_BUILDKIT: '0',
  COMPOSE_DOCKER_CLI_BUILD: '0',
};

function has(command) {
  return spawnSync(command, ['version'], { stdio: 'ignore' }).status === 0;
}
function run(args, { allowFailure, input } = {}) {
  const [command, ...rest] = [
    ...compose,
    '-p',
    PROJECT,
    '-f',
    join(root, 'docker-compose.yml'),
    '-f',
    override,
    ...more,
    ...args,
  ];
  const result = spawnSync(command, rest, { cwd: root, env, encoding: 'utf8', input, maxBuffer: 64 << 20 });
  if (result.status !== 0 && !allowFailure)
    throw new Error(`${args[0]} failed:\n${`${result.stdout}${result.stderr}`.split('\n').slice(-40).join('\n')}`);
  return result.stdout.trim();
}

/** The example with what docs/operations/join-a-gpu-host.md says at the centre. */
function withJoiningHost(example) {
  const added = {
    'hosts:': "  - { id: gpu-2, gpus: 2, rented: { usdPerGpuHour: '2.20' } }",
    'routes:': '  - { id: joined, backends: [] }',
  };
  const join = `joins:
  - host: gpu-2
    model: llama-3.3-70b
    provider: acme-gpus
    maxOutputTokens: 4096
    capabilities: [streaming]
    routes: [joined]
    throughput: { gpus: 2, prefillTokensPerSecond: 9000, decodeTokensPerSecond: 900, batch: 8 }
`;
  const lines = example.split('\n').map((line) => (added[line] ? `${line}\n${added[line]}` : line));
  return `${lines.join('\n')}\n${join}`;
}

const HOST = `${PROJECT}-gpu-2`;
/** One container, one command: nothing of the deployment but its address and its secret. */
function joinHost(secret) {
  const command =
    'node tools/cli/dist/main.js join --host gpu-2 --nats nats://nats:4222 --engine http://simulator-gpu:18082';
  const options = ['run', '-d', '--init', '--name', HOST, '--network', `${PROJECT}_inside`, '-e', secret];
  execFileSync('docker', [...options, 'meritorder:local', ...command.split(' ')], { stdio: 'pipe' });
}

/** Asks until the answer is as it should be. @returns that, and how long it took, seconds */
async function ask(nats, model, isIt) {
  const body = { model, messages: [{ role: 'user', content: 'Write 12 words.' }], max_tokens: 64 };
  const since = Date.now();
  for (;;) {
    const reply = (await nats.request('inference.request.v1.acme', JSON.stringify(body), { timeout: 30_000 })).json();
    if (isIt(reply)) return [reply, (Date.now() - since) / 1000];
    if (Date.now() - since > 60_000) throw new Error(`not the answer: ${JSON.stringify(reply).slice(0, 400)}`);
    await new Promise((r) => setTimeout(r, 100));
  }
}

const joined = (reply) =>
  reply.meritorder?.backend === 'gpu-2-llama-3-3-70b' && reply.meritorder.usage.outputTokens === 12;

let passed = 0;
let daemon;
function ok(what) {
  passed++;
  console.log(`ok ${passed} ${what}`);
}

async function engine() {
  if (spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0) return;
  if (process.getuid?.() !== 0 || (!has('dockerd') && spawnSync('dockerd', ['--version']).status !== 0)) {
    throw new Error(
      'no Docker engine is reachable; start one (Debian: apt-get install docker.io docker-compose debootstrap, then dockerd)',
    );
  }
  const log = openSync(join(scratch, 'dockerd.log'), 'w');
  daemon = spawn('dockerd', [], { stdio: ['ignore', log, log], detached: true });
  for (let i = 0; i < 60; i++) {
    if (spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0) return;
    await new Promise((r) => setTimeout(r, 500));
  }
  throw new Error(`dockerd did not start; see ${scratch}/dockerd.log`);
}

function images() {
  const missing = ['node:24-bookworm-slim', 'nats:2.9', 'redis:7', 'postgres:15'].filter(
    (image) =>
      spawnSync('docker', ['image', 'inspect', image], { stdio: 'ignore' }).status !== 0 &&
      spawnSync('docker', ['pull', '-q', image], { stdio: 'ignore', timeout: 60_000 }).status !== 0,
  );
  if (missing.length === 0) return;
  console.log(`cannot pull ${missing.join(', ')}: building stand-ins from Debian packages`);
  execFileSync('bash', [join(root, 'tests/compose/make-base-images.sh')], { stdio: ['ignore', 'inherit', 'inherit'] });
}

async function healthy() {
  const deadline = Date.now() + 180_000;
  let waiting = HEALTHY;
  while (waiting.length > 0) {
    waiting = waiting.filter((service) => {
      const id = run(['ps', '-q', service]);
      if (!id) return true;
      return (
        execFileSync('docker', ['inspect', '-f', '{{.State.Health.Status}}', id], { encoding: 'utf8' }).trim() !==
        'healthy'
      );
    });
    if (waiting.length > 0 && Date.now() > deadline)
      throw new Error(
        `not healthy: ${waiting.join(', ')}\n${run(['logs', '--tail=20', ...waiting], { allowFailure: true })}`,
      );
    if (waiting.length > 0) await new Promise((r) => setTimeout(r, 1_000));
  }
}

let failed = 0;
try {
  await engine();
  images();
  const building = Date.now();
  run(['build', 'config']);
  ok(`one image for all services built (${Math.round((Date.now() - building) / 1000)} s)`);
  const starting = Date.now();
  run(['up', '-d']);
  await healthy();
  ok(`every service is healthy (${Math.round((Date.now() - starting) / 1000)} s)`);

  const user = run(['exec', '-T', 'router', 'id', '-u']);
  if (user === '0') throw new Error('the services run as root');
  ok(`services run as an ordinary user (uid ${user})`);

  const password = run(['exec', '-T', 'router', 'cat', '/run/meritorder/passwords/org-acme']);
  const nats = await connect({
    servers: `nats://127.0.0.1:${PORT}`,
    user: 'org-acme',
    pass: password,
    inboxPrefix: '_INBOX_acme',
  });
  const body = { model: 'gpt-4-1-mini', messages: [{ role: 'user', content: 'Write 12 words.' }], max_tokens: 64 };
  const reply = (await nats.request('inference.request.v1.acme', JSON.stringify(body), { timeout: 30_000 })).json();
  if (reply.meritorder?.usage?.outputTokens !== 12)
    throw new Error(`no answer with a receipt: ${JSON.stringify(reply).slice(0, 400)}`);
  ok(`a request over NATS is answered by ${reply.meritorder.backend} for $${reply.meritorder.cost.usd}`);

  const http = await fetch(`http://127.0.0.1:${PORT + 1_000}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer demo-support-key', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await http.json();
  if (answer.meritorder?.usage?.outputTokens !== 12)
    throw new Error(`no answer over HTTP: ${http.status} ${JSON.stringify(answer).slice(0, 400)}`);
  ok(`a request over HTTP is answered for $${http.headers.get('x-meritorder-cost-usd')}`);

  const attempt = reply.meritorder.attempts[0].attempt_id;
  let amount = '';
  for (let i = 0; i < 50 && !amount; i++) {
    amount = run(
      [
        'exec',
        '-T',
        'postgres',
        'psql',
        '-U',
        'meritorder',
        '-d',
        'meritorder',
        '-Atc',
        `select amount_nanos from ledger_entry where attempt_id = '${attempt}'`,
      ],
      { allowFailure: true },
    );
    if (!amount) await new Promise((r) => setTimeout(r, 200));
  }
  const [whole, fraction = ''] = reply.meritorder.cost.usd.split('.');
  if (BigInt(amount || 0) !== BigInt(whole + fraction.padEnd(9, '0')))
    throw new Error(`the ledger has ${amount || 'no row'}, the receipt $${reply.meritorder.cost.usd}`);
  ok(`the ledger has its row: ${amount} nano-USD`);

  const gpuPassword = run(['exec', '-T', 'router', 'cat', '/run/meritorder/passwords/local-worker-gpu-2']);
  joinHost(`NATS_PASSWORD=${gpuPassword}`);
  const [own, joinedIn] = await ask(nats, 'joined', joined);
  if (!(Number(own.meritorder.cost.full_usd) > 0)) throw new Error('own hardware costs nothing');
  ok(`a GPU host has joined in ${joinedIn.toFixed(1)} s; an answer of it costs $${own.meritorder.cost.full_usd}`);
  execFileSync('docker', ['rm', '-f', HOST], { stdio: 'pipe' });
  const [, goneIn] = await ask(nats, 'joined', (r) => r.error?.code === 'backend_unavailable');
  if (goneIn > 5) throw new Error(`its end was noticed after ${goneIn} s`);
  ok(`it vanishes, which is noticed in ${goneIn.toFixed(1)} s`);
  await nats.close();

  mkdirSync(seeds);
  if (process.getuid?.() === 0) chownSync(seeds, 1000, 1000);
  const make = 'node tools/cli/dist/main.js nats-nkey --all-of /etc/meritorder/meritorder.yaml --out /seeds';
  const keys = run(['run', '--rm', '--no-deps', '-T', '-v', `${seeds}:/seeds`, 'config', ...make.split(' ')]);
  writeFileSync(configFile, `${readFileSync(configFile, 'utf8')}\n${keys}\n`);
  more = ['-f', join(root, 'deploy/docker/nkeys.yml')];
  run(['up', '-d', '--force-recreate']);
  await healthy();
  const seedOf = (user) => readFileSync(join(seeds, user), 'utf8').trim();
  const byKey = await connect({
    servers: `nats://127.0.0.1:${PORT}`,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seedOf('org-acme'))),
    inboxPrefix: '_INBOX_acme',
  });
  await ask(byKey, 'gpt-4-1-mini', (r) => r.meritorder?.usage?.outputTokens === 12);
  joinHost(`NATS_NKEY_SEED=${seedOf('local-worker-gpu-2')}`);
  await ask(byKey, 'joined', joined);
  await byKey.close();
  execFileSync('docker', ['rm', '-f', HOST], { stdio: 'pipe' });
  ok('by NKeys all the same: services, an org, and a host that joins');

  const stopping = Date.now();
  run(['stop']);
  const seconds = (Date.now() - stopping) / 1000;
  const codes = ['gateway', 'router', 'provider-worker', 'local-worker', 'metering', 'budget-policy'].map((service) => {
    const id = run(['ps', '-aq', service]) || run(['ps', '-q', service]);
    return `${service} ${execFileSync('docker', ['inspect', '-f', '{{.State.ExitCode}}', id], { encoding: 'utf8' }).trim()}`;
  });
  if (codes.some((c) => !c.endsWith(' 0'))) throw new Error(`not a clean stop: ${codes.join(', ')}`);
  if (seconds >= 5) throw new Error(`the stop took ${seconds.toFixed(1)} s`);
  ok(`a clean stop in ${seconds.toFixed(1)} s`);
} catch (error) {
  failed = 1;
  console.error(`FAILED ${error.message}`);
} finally {
  spawnSync('docker', ['rm', '-f', HOST], { stdio: 'ignore' });
  run(['down', '-v', '--remove-orphans', '-t', '2'], { allowFailure: true });
  if (daemon) process.kill(daemon.pid, 'SIGTERM');
  rmSync(scratch, { recursive: true, force: true });
}
console.log(`compose: ${passed} passed, ${failed} failed`);
process.exit(failed);
