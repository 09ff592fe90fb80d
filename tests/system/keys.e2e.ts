import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { headers, type Msg } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestOf } from '@meritorder/access/keys';
import { WORKSPACE } from '@meritorder/launcher';
import { connectDatabase } from '@meritorder/ledger-store';
import { connectBus, SERVICE_INBOX, type Bus } from '@meritorder/messaging';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const run = promisify(execFile);
/** Every secret that this file made, valid or not. */
const secrets: string[] = [];
/** Whatever the product said: answers, errors, what the command wrote beside the secret, traces. */
const said: string[] = [];

let collector: Server;
let product: Product;
let bus: Bus;
let database: Awaited<ReturnType<typeof connectDatabase>>;

beforeAll(async () => {
  collector = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      said.push(Buffer.concat(parts).toString());
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((listening) => collector.listen(0, '127.0.0.1', listening));
  product = await startProduct({
    backends: [{ id: 'first' }, { id: 'second' }],
    config: {
      orgs: [
        { id: 'acme', departments: ['eng', 'support'] },
        { id: 'globex', requireKey: true },
      ],
    },
    instances: { router: 2, gateway: 2 },
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as { port: number }).port}`,
      OTEL_BSP_SCHEDULE_DELAY: '200',
    },
  });
  const password = product.stack.passwords!['operator']!;
  bus = await connectBus({
    url: product.stack.nats.url,
    credentials: () => ({ user: 'operator', password }),
    name: 'keys-test',
    inboxPrefix: SERVICE_INBOX.operator,
  });
  database = await connectDatabase(product.stack.database.url, 'keys-test', 2);
});
afterAll(async () => {
  await database?.destroy();
  await bus?.close();
  await product?.stop();
  collector?.close();
});

/** `meritorder keys ...`, as an operator types it. */
async function keys(...args: string[]): Promise<{ secret: string; table: string }> {
  const NATS_PASSWORD = product.stack.passwords!['operator']!;
  const env = { ...process.env, NATS_URL: product.stack.nats.url, NATS_USER: 'operator', NATS_PASSWORD };
  const command = join(WORKSPACE, 'tools', 'cli', 'bin', 'meritorder.mjs');
  const { stdout, stderr } = await run(process.execPath, [command, 'keys', ...args], { env });
  said.push(stderr);
  const secret = stdout.trim();
  if (secret.startsWith('mo_')) secrets.push(secret);
  return { secret, table: stderr || stdout };
}

async function askWith(secret: string, more: Record<string, unknown> = {}, org = 'acme'): Promise<Msg> {
  const h = headers();
  h.set('Meritorder-Key', secret);
  const answer = await ask(await product.app(org), chat('Write 3 words.', more), { org, headers: h });
  said.push(answer.string(), answer.headers?.toString() ?? '');
  return answer;
}

/** Over HTTP; '' when it is answered. */
async function httpCode(secret: string, body: string, port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}` },
    body,
  });
  const text = await response.text();
  said.push(text, [...response.headers].join('\n'));
  return (JSON.parse(text) as { error?: { code: string } }).error?.code ?? '';
}

/** Whichever of the two routers takes them. */
async function natsCodesOf(secret: string, more: Record<string, unknown> = {}): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: 12 }, () => askWith(secret, more)));
  return [...new Set(answers.map(errorCode))];
}

/** The same, and through either gateway. */
async function codesOf(secret: string, more: Record<string, unknown> = {}): Promise<string[]> {
  const body = chat('Write 3 words.', more);
  const ports = product.stack.of('gateway').flatMap(({ healthPort }) => [healthPort, healthPort]);
  const overHttp = await Promise.all(ports.map((port) => httpCode(secret, body, port)));
  return [...new Set([...(await natsCodesOf(secret, more)), ...overHttp])];
}
const untilCodes = (secret: string, codes: string[]) =>
  waitFor(async () => JSON.stringify(await codesOf(secret)) === JSON.stringify(codes), `every router to say ${codes}`);

it('a key works as soon as it is made, and what it is bound to is in the books', async () => {
  const made = await keys('create', 'acme', 'app', '--department', 'eng', '--customer', 'c-1', '--by', 'ada');
  expect(made.secret).toMatch(/^mo_app_[0-9A-Za-z]{43}$/);
  expect(made.table).toMatch(/acme +app +valid +department=eng customer=c-1/);
  await untilCodes(made.secret, ['']);
  const answer = await askWith(made.secret, { metadata: { team: 'search' } });
  const { request_id: request } = answer.json<any>().meritorder;
  const [row] = await waitFor(async () => {
    const rows = await database.query(
      `select terms -> 'attribution' as attribution from attempt where request_id = $1`,
      [request],
    );
    return rows.length > 0 && rows;
  }, 'the attempt to be on record');
  expect(row.attribution).toEqual({ org: 'acme', key: 'app', department: 'eng', customer: 'c-1', team: 'search' });
});

it('metadata may narrow what it is bound to, and never widen it', async () => {
  const [secret] = secrets;
  expect(await codesOf(secret!, { metadata: { department: 'support' } })).toEqual(['attribution_conflict']);
  expect(await codesOf(secret!, { metadata: { customer: 'c-2' } })).toEqual(['attribution_conflict']);
  expect(await codesOf(secret!, { metadata: { department: 'eng', feature: 'f' } })).toEqual(['']);
});

it("a key of one org is nothing on another's subject, and its own org's user cannot publish there", async () => {
  const [secret] = secrets;
  expect(errorCode(await askWith(secret!, {}, 'globex'))).toBe('key_invalid');
  const theirs = await keys('create', 'globex', 'app');
  await waitFor(async () => errorCode(await askWith(theirs.secret, {}, 'globex')) === '', 'their key to work');
  expect(await natsCodesOf(theirs.secret)).toEqual(['key_invalid']);
  const acme = await product.app('acme');
  const h = headers();
  h.set('Meritorder-Key', theirs.secret);
  const calls = product.simulator.invoice().lines.length;
  await expect(
    acme.request('inference.request.v1.globex', chat('x'), { timeout: 1_000, headers: h }),
  ).rejects.toThrow();
  expect(product.simulator.invoice().lines).toHaveLength(calls);
});

it('a key for one backend reaches no other, asked at once or as a job', async () => {
  const { secret } = await keys('create', 'acme', 'narrow', '--routes', 'second');
  await untilCodes(secret, ['route_unknown']);
  expect(await codesOf(secret, { model: 'first' })).toEqual(['route_unknown']);
  expect(await codesOf(secret, { model: 'second' })).toEqual(['']);
  const app = await product.app();
  const results: any[] = [];
  app.subscribe('deliver.v1.acme.results', {
    callback: (_error, message) => {
      results.push(message.json());
      message.respond();
    },
  });
  const h = headers();
  h.set('Meritorder-Key', secret);
  for (const model of ['first', 'second']) {
    const body = chat('Write 3 words.', { model });
    const { request_id: id } = (
      await app.request('inference.job.v1.acme', body, { timeout: 10_000, headers: h })
    ).json<any>();
    const result = await waitFor(() => results.find((r) => r.requestId === id), 'the result of the job');
    said.push(JSON.stringify(result));
    expect(result.body.error?.code ?? 'answered').toBe(model === 'first' ? 'route_unknown' : 'answered');
  }
});

it('a rotated key works with its new secret, and with the old one for the grace alone', async () => {
  const { secret: first } = await keys('create', 'acme', 'rotating');
  await untilCodes(first, ['']);
  const { secret: second } = await keys('rotate', 'acme', 'rotating', '--grace-seconds', '3600');
  await untilCodes(second, ['']);
  expect(await codesOf(first)).toEqual(['']);
  const { secret: third } = await keys('rotate', 'acme', 'rotating');
  await untilCodes(third, ['']);
  for (const old of [first, second]) expect(await codesOf(old)).toEqual(['key_invalid']);
});

it('a key that is revoked works at no router and no gateway, also not at one that starts then', async () => {
  const secret = secrets.at(-1)!;
  expect((await keys('revoke', 'acme', 'rotating', '--by', 'bob')).table).toMatch(/revoked .* by bob/);
  await untilCodes(secret, ['key_invalid']);
  for (const name of ['router', 'gateway'] as const) {
    const [one] = product.stack.of(name);
    one!.child.kill('SIGTERM');
    await one!.ended;
    await product.stack.startService(name, one!.index);
  }
  expect(await codesOf(secret)).toEqual(['key_invalid']);
  expect(await codesOf(secrets[0]!)).toEqual(['']);
});

it('a secret is in no table, stream, bucket, log, trace, answer or error, nor in any file of the servers', async () => {
  expect(secrets.length).toBeGreaterThanOrEqual(6);
  await waitFor(() => said.some((text) => text.includes('inference.request')), 'traces to be exported');
  const tables = await rowsOfAllTables();
  const messages = await messagesOfAllStreams();
  const files = filesUnder(product.stack.options.dataDir);
  // The places that were looked at are those that say something of the key.
  const digest = digestOf(secrets[0]!);
  expect(tables.some((row) => row.includes(digest))).toBe(true);
  expect(messages.some((message) => message.includes(digest))).toBe(true);
  expect(messages.some((message) => message.includes('job.accepted') || message.includes('inference.result'))).toBe(
    true,
  );
  for (const log of ['router-0.log', 'gateway-0.log', 'gateway-1.log'])
    expect(files.some(({ path }) => path.endsWith(log))).toBe(true);
  expect(files.some(({ path, bytes }) => /jetstream/.test(path) && bytes.includes(digest))).toBe(true);
  for (const secret of secrets) {
    // Its random part alone would be enough to use it.
    const random = secret.split('_')[2]!;
    expect(tables.filter((row) => row.includes(random))).toEqual([]);
    expect(messages.filter((message) => message.includes(random))).toEqual([]);
    expect(said.filter((text) => text.includes(random))).toEqual([]);
    expect(files.filter(({ bytes }) => bytes.includes(random)).map(({ path }) => path)).toEqual([]);
  }
});

async function rowsOfAllTables(): Promise<string[]> {
  const tables: { name: string }[] = await database.query(
    `select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'`,
  );
  const rows: string[] = [];
  for (const { name } of tables) {
    const found: { row: string }[] = await database.query(`select t::text as row from ${name} t`);
    rows.push(...found.map(({ row }) => row));
  }
  return rows;
}

async function messagesOfAllStreams(): Promise<string[]> {
  const manager = await bus.manager();
  const messages: string[] = [];
  for await (const { config, state } of manager.streams.list()) {
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage(config.name, { seq }).catch(() => null);
      if (message) messages.push(`${message.subject}\n${message.header.toString()}\n${message.string()}`);
    }
  }
  return messages;
}

function filesUnder(folder: string): { path: string; bytes: Buffer }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path, bytes: readFileSync(path) }));
}
