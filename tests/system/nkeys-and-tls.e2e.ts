import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Meritorder, type ConnectOptions } from '@meritorder/client';
import { writeNKeys } from '@meritorder/cli';
import { WORKSPACE, type ServiceProcess } from '@meritorder/launcher';
import { connectDatabase, trialBalance, unsettledAttempts } from '@meritorder/ledger-store';
import { hostUser } from '@meritorder/messaging';
import { makeCertificates, waitFor, type TestCertificates } from '@meritorder/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chat } from './harness.js';
import { post, startGatewayProduct } from './gateway-product.js';

/** The whole product where nobody has a password and nobody connects without TLS, certificates of clients included. */
const folder = mkdtempSync(join(tmpdir(), 'meritorder-nkeys-'));
const run = promisify(execFile);
let ours: TestCertificates;
let others: TestCertificates;
let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let url: string;
const seeds = (name: string): string => join(folder, name);
const seedOf = (name: string, user: string): string => readFileSync(join(seeds(name), user), 'utf8').trim();
const users = {
  orgs: ['acme', 'globex'].map((id) => ({ id, subscribers: [] })),
  backends: [{ id: 'own', kind: 'local', host: 'gpu-1' }],
} as unknown as Parameters<typeof writeNKeys>[0];

beforeAll(async () => {
  ours = makeCertificates(join(folder, 'ours'));
  others = makeCertificates(join(folder, 'others'));
  const nkeys = writeNKeys(users, seeds('first'));
  expect(writeNKeys(users, seeds('first'))).toEqual(nkeys);
  product = await startGatewayProduct({
    backends: [
      { id: 'cloud', behaviour: { outputTokensPerSecond: 200 } },
      { id: 'own', kind: 'local', behaviour: { outputTokensPerSecond: 200 } },
    ],
    config: {
      nats: { nkeys, tls: { ...ours.server, clientCaFile: ours.caFile } },
      budgets: [{ id: 'all', selector: { org: 'acme' }, window: 'day', limitUsd: '1', strictness: 'strict' }],
    },
    seeds: Object.fromEntries(Object.keys(nkeys).map((user) => [user, seedOf('first', user)])),
    env: {
      NATS_TLS_CA_FILE: ours.caFile,
      NATS_TLS_CERT_FILE: ours.client.certFile,
      NATS_TLS_KEY_FILE: ours.client.keyFile,
    },
  });
  url = product.stack.nats.url;
});
afterAll(async () => {
  await product?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** An application of acme, as its README shows. */
const app = (more: Partial<ConnectOptions> = {}): Promise<Meritorder> =>
  Meritorder.connect({
    servers: url,
    org: 'acme',
    nkeySeed: seedOf('first', 'org-acme'),
    tls: { caFile: ours.caFile, ...ours.client },
    timeout: 3_000,
    ...more,
  });
const body = (model: string) => JSON.parse(chat('Write 20 words.', { model, max_tokens: 30 }));

/** What an operator does: the configuration, `meritorder nats-config`, a reload. */
async function configure(nkeys: Record<string, string[]>): Promise<void> {
  const { configFile, dataDir } = product.stack.options;
  const config = JSON.parse(readFileSync(configFile, 'utf8'));
  Object.assign(config.nats.nkeys, nkeys);
  writeFileSync(configFile, JSON.stringify(config));
  const nats = join(dataDir, 'nats');
  const command = join(WORKSPACE, 'tools', 'cli', 'bin', 'meritorder.mjs');
  const files = ['--out', join(nats, 'generated'), '--secrets', join(nats, 'secrets.json')];
  const args = ['nats-config', '--config', configFile, ...files, '--store', join(nats, 'jetstream')];
  await run(process.execPath, [command, ...args]);
  const server = product.stack.nats.server!;
  const reloads = (): number => readFileSync(server.logFile, 'utf8').split('Reloaded server configuration').length;
  const before = reloads();
  process.kill(server.pid, 'SIGHUP');
  await waitFor(() => reloads() > before, 'the server to have read its configuration again');
}

const replaceSeed = (user: string, seed: string): void =>
  writeFileSync(join(product.stack.options.dataDir, 'nats', 'seeds', user), seed);

async function notReady({ healthPort }: ServiceProcess): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${healthPort}/health/ready`);
  return response.ok ? '' : ((await response.json()) as { notReady: string[] }).notReady.join('; ');
}

it('nobody has a password, and an org is answered over NATS and over HTTP, by the cloud and by its own host', async () => {
  const conf = readFileSync(join(product.stack.options.dataDir, 'nats', 'generated', 'nats.conf'), 'utf8');
  expect(conf).not.toContain('password');
  expect(conf).toContain('verify: true');
  const client = await app();
  for (const model of ['cloud', 'own']) {
    expect((await client.ask(body(model))).meritorder.backend).toBe(model);
    const stream = client.stream(body(model));
    expect((await stream.text()).trim().split(/\s+/)).toHaveLength(20);
    const response = await post(product.url, body(model));
    expect(response.status).toBe(200);
    expect(((await response.json()) as any).meritorder.backend).toBe(model);
  }
  await client.close();
});

it('what the command line needs is in the environment alone: an operator sees the fleet', async () => {
  const { stack } = product;
  const env = { ...process.env, ...stack.options.env, ...stack.credentialsEnvironment('operator'), NATS_URL: url };
  const command = join(WORKSPACE, 'tools', 'cli', 'bin', 'meritorder.mjs');
  const { stdout } = await run(process.execPath, [command, 'fleet', '--json'], { env });
  expect(JSON.parse(stdout).map((row: any) => [row.id, row.workers.length])).toEqual(
    expect.arrayContaining([
      ['cloud', 1],
      ['own', 1],
    ]),
  );
});

describe('is refused, and told why:', () => {
  it('an application without TLS, or that does not know who signed the certificate', async () => {
    await expect(app({ tls: undefined as never })).rejects.toThrow(/certificate/);
    await expect(app({ tls: { caFile: others.caFile, ...ours.client } })).rejects.toThrow(/certificate/);
    let said = '';
    const socket = connectSocket(product.stack.nats.server!.port, '127.0.0.1');
    socket.on('data', (data) => (said += data.toString()));
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await waitFor(() => said.includes('INFO'), 'the greeting');
    socket.write('CONNECT {"verbose":false}\r\nPING\r\n');
    await ended;
    expect(said).toContain('"tls_required":true');
    expect(said).not.toContain('PONG');
  });

  it('an application without a certificate, or with one of another authority', async () => {
    for (const certificate of [{}, others.client])
      await expect(app({ tls: { caFile: ours.caFile, ...certificate } })).rejects.toThrow(
        /does not answer, or takes no certificate of this client/,
      );
  });

  it("an application with another org's or a service's seed, on acme's subjects", async () => {
    const stranger = await app({ nkeySeed: seedOf('first', 'org-globex') });
    await expect(stranger.ask(body('cloud'), { timeoutMs: 2_000 })).rejects.toThrow();
    await stranger.close();
  });

  it('a service with a seed that is not configured, by its public key', async () => {
    const { router } = writeNKeys(users, seeds('unknown'));
    replaceSeed('router', seedOf('unknown', 'router'));
    await expect(product.stack.startService('router', 1)).rejects.toThrow(
      `with the NKey ${router![0]}: Authorization Violation; check NATS_USER and NATS_PASSWORD or NATS_NKEY_SEED`,
    );
    replaceSeed('router', seedOf('first', 'router'));
  });
});

describe("rotation of the router's and of acme's NKey", () => {
  it('loses no request: both are valid, the new ones are taken up, the old ones are refused', async () => {
    const [first, second] = [writeNKeys(users, seeds('first')), writeNKeys(users, seeds('second'))];
    const rotated = ['router', 'org-acme'] as const;
    const answered = { nats: 0, http: 0 };
    const lost: unknown[] = [];
    let current = await app();
    let running = true;
    const asking = async (kind: 'nats' | 'http', model: string): Promise<void> => {
      while (running) {
        const asked =
          kind === 'nats'
            ? current.ask(body(model), { timeoutMs: 20_000 })
            : post(product.url, body(model)).then(async (response) => {
                if (!response.ok) throw new Error(await response.text());
              });
        await asked.then(
          () => answered[kind]++,
          (error: unknown) => lost.push(error),
        );
      }
    };
    const load = (['cloud', 'own'] as const).flatMap((model) => [asking('nats', model), asking('http', model)]);
    const more = async (): Promise<void> => {
      const { nats, http } = answered;
      await waitFor(() => answered.nats > nats + 8 && answered.http > http + 8, {
        message: `requests to be answered; lost: ${String(lost[0])}`,
        timeoutMs: 20_000,
      });
    };
    await more();

    await configure(Object.fromEntries(rotated.map((user) => [user, [first[user]![0], second[user]![0]]])));
    await more();

    for (const user of rotated) replaceSeed(user, seedOf('second', user));
    const [old] = product.stack.of('router');
    await product.stack.startService('router', 1);
    old!.child.kill('SIGTERM');
    await old!.ended;
    const previous = current;
    current = await app({ nkeySeed: seedOf('second', 'org-acme') });
    await more();
    await previous.close();

    await configure(Object.fromEntries(rotated.map((user) => [user, [second[user]![0]]])));
    await more();
    running = false;
    await Promise.all(load);
    expect(lost).toEqual([]);
    expect(await notReady(product.stack.of('router')[0]!)).toBe('');

    await expect(app()).rejects.toThrow(/authorization/i);
    replaceSeed('router', seedOf('first', 'router'));
    await expect(product.stack.startService('router', 2)).rejects.toThrow(
      `with the NKey ${first['router']![0]}: Authorization Violation`,
    );
    replaceSeed('router', seedOf('second', 'router'));
    await current.close();
  });

  it('that ends before a service has the new seed is what its health says, until it has', async () => {
    const [second, third] = [writeNKeys(users, seeds('second')), writeNKeys(users, seeds('third'))];
    const host = hostUser('gpu-1');
    const [worker] = product.stack.of('local-worker');
    await configure({ [host]: third[host]! });
    await waitFor(async () => /refuses its credentials: Authorization Violation/.test(await notReady(worker!)), 'why');
    replaceSeed(host, seedOf('third', host));
    await waitFor(async () => (await notReady(worker!)) === '', 'it to be back');
    const client = await app({ nkeySeed: seedOf('second', 'org-acme') });
    await waitFor(
      async () => (await client.ask(body('own')).catch(() => undefined))?.meritorder.backend === 'own',
      'its answer',
    );
    await client.close();
    expect(second[host]).not.toEqual(third[host]);
  });
});

it('and the books equal the invoice, with nothing held', async () => {
  const invoiced = product.simulator.invoice().lines;
  const database = await connectDatabase(product.stack.database.url, 'nkeys-test', 1);
  try {
    await waitFor(async () => (await unsettledAttempts(database)).length === 0, 'every attempt booked');
    const [booked] = await database.query(
      `select count(*)::int as n, sum(cash_nanos)::text as nanos from attempt_settled where state = 'confirmed'`,
    );
    const total = invoiced.reduce((sum, line) => sum + BigInt(line.nanoUsd), 0n);
    expect(booked).toEqual({ n: invoiced.length, nanos: String(total) });
    expect((await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
  } finally {
    await database.destroy();
  }
});
