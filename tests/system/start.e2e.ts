import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, headers } from '@nats-io/transport-node';
import { freePort, serverCacheDir, startNats, waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = mkdtempSync(join(tmpdir(), 'meritorder-start-'));
// Postgres may run as another user, who must be able to enter.
chmodSync(root, 0o755);
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  const names = [
    'MERITORDER_GATEWAY_PORT',
    'MERITORDER_NATS_PORT',
    'MERITORDER_REDIS_PORT',
    'MERITORDER_POSTGRES_PORT',
    'SIMULATOR_CLOUD_PORT',
    'SIMULATOR_GPU_PORT',
  ];
  const ports = await Promise.all(names.map(() => freePort()));
  env = {
    ...process.env,
    MERITORDER_SERVERS_DIR: serverCacheDir(),
    MERITORDER_DATA: join(root, 'data'),
    ...Object.fromEntries(names.map((name, i) => [name, String(ports[i])])),
  };
});
const children: ChildProcess[] = [];
afterAll(async () => {
  // A test that failed leaves what it started.
  const left = children.filter((child) => child.exitCode === null && child.signalCode === null);
  await Promise.all(left.map((child) => (child.kill('SIGINT'), once(child, 'exit'))));
  rmSync(root, { recursive: true, force: true });
});

interface Start {
  child: ChildProcess;
  said(): string;
  ended: Promise<number | null>;
}

/** What `npm start` runs once everything is built. */
function start(args: string[] = [], more: NodeJS.ProcessEnv = {}): Start {
  const child = spawn(process.execPath, ['tools/launcher/dist/main.js', ...args], { env: { ...env, ...more } });
  children.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
  return { child, said: () => text, ended: once(child, 'close').then(([code]) => code as number | null) };
}

async function stopped({ child, ended, said }: Start): Promise<string> {
  child.kill('SIGINT');
  await ended;
  return said();
}

/** Listens on a port while `run` runs. */
async function occupied<T>(port: string, run: () => Promise<T>): Promise<T> {
  const server = createServer().listen(Number(port), '127.0.0.1');
  await once(server, 'listening');
  try {
    return await run();
  } finally {
    server.close();
  }
}

/** The lines of a start that failed which are not progress. */
async function complaint(args: string[], more: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const { said, ended } = start(args, more);
  expect(await ended).toBe(1);
  return said()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('['));
}

const listens = (port: string): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(true));
    server.listen(Number(port), '127.0.0.1', () => server.close(() => resolve(false)));
  });

it('ends with the npm that started it: what npm is told, the product is', async () => {
  const npm = spawn('npm', ['start', '--', '--no-demo'], { env: { ...env, MERITORDER_DATA: join(root, 'by-npm') } });
  children.push(npm);
  let said = '';
  npm.stdout.on('data', (data: Buffer) => (said += data.toString()));
  await waitFor(() => said.includes('] ready'), 'npm start', 240_000);
  npm.kill('SIGTERM');
  await once(npm, 'exit');
  await waitFor(() => said.includes('] stopped'), 'everything to stop', 30_000);
  for (const port of [env['MERITORDER_GATEWAY_PORT'], env['MERITORDER_NATS_PORT'], env['MERITORDER_POSTGRES_PORT']])
    expect(await listens(port!)).toBe(false);
}, 300_000);

it('shows live traffic with everything on ports of its own choice, and Ctrl-C ends all that it started and nothing else', async () => {
  const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  const running = start(['--rate', '20']);
  await waitFor(() => /answered.*\n +\d+ +[1-9]/.test(running.said()), 'answers in the summary', 120_000);
  expect(running.said()).toContain(`NATS nats://127.0.0.1:${env['MERITORDER_NATS_PORT']}`);
  const password = readFileSync(join(root, 'data/nats/generated/passwords/org-acme'), 'utf8').trim();
  const nats = await connect({
    servers: `nats://127.0.0.1:${env['MERITORDER_NATS_PORT']}`,
    user: 'org-acme',
    pass: password,
    inboxPrefix: '_INBOX_acme',
  });
  const body = { model: 'gpt-4-1-mini', messages: [{ role: 'user', content: 'Write 3 words.' }], max_tokens: 9 };
  const reply = await nats.request('inference.request.v1.acme', JSON.stringify(body), { timeout: 20_000 });
  expect(reply.json<any>().meritorder).toMatchObject({ backend: 'gpt-4-1-mini', usage: { outputTokens: 3 } });
  const kind = headers();
  kind.set('Meritorder-Kind', 'embeddings');
  const embed = JSON.stringify({ model: 'text-embedding-3-small', input: 'a merit order' });
  const embedded = await nats.request('inference.request.v1.acme', embed, { headers: kind, timeout: 20_000 });
  expect(embedded.json<any>()).toMatchObject({
    usage: { prompt_tokens: 3 },
    meritorder: { cost: { usd: '0.00000006' } },
  });
  await nats.close();
  const http = await fetch(`http://127.0.0.1:${env['MERITORDER_GATEWAY_PORT']}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer demo-support-key' },
    body: JSON.stringify(body),
  });
  expect(http.headers.get('x-meritorder-backend')).toBe('gpt-4-1-mini');
  expect(await http.json()).toMatchObject({ usage: { completion_tokens: 3 } });
  expect(await stopped(running)).toMatch(/\] stopped\n/);
  for (const [name, value] of Object.entries(env).filter(([key]) => /^(MERITORDER|SIMULATOR)_\w+_PORT$/.test(key)))
    expect(await listens(value!), name).toBe(false);
  expect(bystander.exitCode).toBeNull();
  bystander.kill();
});

it('nothing is left behind when it is killed with -9, and it starts again on what was left', async () => {
  const ports = Object.entries(env).filter(([name]) => /^(MERITORDER|SIMULATOR)_\w+_PORT$/.test(name));
  const killed = start();
  await waitFor(() => killed.said().includes('] ready'), 'the product to be ready', 120_000);
  killed.child.kill('SIGKILL');
  await killed.ended;
  for (const [name, port] of ports) await waitFor(async () => !(await listens(port!)), `${name} to be free`, 60_000);
  const again = start();
  await waitFor(() => again.said().includes('] ready'), 'the product to be ready again', 120_000);
  expect(await stopped(again)).toMatch(/\] stopped\n/);
});

it.each([
  ['MERITORDER_NATS_PORT', 'NATS'],
  ['MERITORDER_REDIS_PORT', 'Redis'],
  ['MERITORDER_POSTGRES_PORT', 'Postgres'],
  ['SIMULATOR_GPU_PORT', 'a simulated provider'],
  ['MERITORDER_GATEWAY_PORT', 'the gateway'],
])('a port in use is one line that names what moves it: %s', async (setting, what) => {
  const port = env[setting]!;
  expect(await occupied(port, () => complaint([]))).toEqual([
    `meritorder: port ${port} for ${what} is in use; set ${setting} to another port`,
  ]);
});

it.each<[string, string[], NodeJS.ProcessEnv, RegExp]>([
  [
    'a NATS that is not there',
    [],
    { NATS_URL: 'nats://u:pw@127.0.0.1:1' },
    /cannot use NATS at nats:\/\/u:\*\*\*@127.0.0.1:1.*check NATS_URL/,
  ],
  [
    'a Redis that is not there',
    [],
    { REDIS_URL: 'redis://127.0.0.1:1' },
    /cannot use Redis at .*:1: .*; check REDIS_URL/,
  ],
  [
    'a Postgres that is not there',
    [],
    { DATABASE_URL: 'postgres://a:pw@127.0.0.1:1/b' },
    /cannot use Postgres at postgres:\/\/a:\*\*\*@.*ECONNREFUSED.*; check DATABASE_URL/,
  ],
  ['a program that is not there', [], { NATS_SERVER_BIN: '/nowhere' }, /NATS_SERVER_BIN is \/nowhere, but /],
  [
    'a configuration that is not there',
    ['--config', '/nowhere.yaml'],
    {},
    /\/nowhere.yaml does not exist; name a configuration with --config/,
  ],
  ['a rate that is no number', ['--rate', 'many'], {}, /--rate must be above 0 .*, not "many"/],
  ['a port that is none', [], { MERITORDER_REDIS_PORT: 'six' }, /MERITORDER_REDIS_PORT must be a port/],
])('%s is one line with the way out', async (_name, args, more, line) => {
  expect(await complaint(['--no-demo', ...args], more)).toEqual([expect.stringMatching(line)]);
});

it('a configuration that cannot be used is a line per problem, with its place', async () => {
  const file = join(root, 'bad.yaml');
  writeFileSync(file, 'version: 1\norgs:\n  - id: Not A Slug\nbackends: []\n');
  expect(await complaint(['--no-demo', '--config', file])).toEqual([
    expect.stringMatching(/bad.yaml:3: orgs.0.id: must be a slug/),
    expect.stringMatching(/bad.yaml:4: backends: /),
  ]);
});

it('an existing NATS is used as it is and outlives the product; one without JetStream is one line', async () => {
  const place = { cacheDir: serverCacheDir(), log: () => {} };
  const existing = await startNats({ ...place, dataDir: join(root, 'existing') });
  const without = await startNats({ ...place, dataDir: join(root, 'without'), jetstream: false });
  try {
    expect(await complaint(['--no-demo'], { NATS_URL: without.url })).toEqual([
      expect.stringMatching(/^meritorder: cannot make streams at nats:.*JetStream/),
    ]);
    const running = start(['--no-demo'], { NATS_URL: existing.url });
    await waitFor(() => running.said().includes('Publish requests as an org'), 'the product to be ready', 120_000);
    expect(running.said()).toContain(`Publish requests as an org: NATS ${existing.url}, without a password`);
    await stopped(running);
    await (await connect({ servers: existing.url })).close();
  } finally {
    await existing.stop();
    await without.stop();
  }
});
