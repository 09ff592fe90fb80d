import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MeteringUsageRatedV1 } from '@meritorder/contracts';
import { stopChild, WORKSPACE } from '@meritorder/launcher';
import { startSimulator, type Simulator } from '@meritorder/provider-simulator';
import { freePort, waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';
import { Wire } from './wire.js';

const model = { prices: { input: '0', output: '0' }, contextTokens: 8_192 };
const wire = new Wire();
let engine: Simulator;
let otherEngine: Simulator;
let product: Product;
let app: NatsConnection;
let url: string;
let worker: ChildProcess;
/** Nothing of the deployment is here. */
const elsewhere = mkdtempSync(join(tmpdir(), 'meritorder-host-'));

beforeAll(async () => {
  engine = await startSimulator({ name: 'gpu', models: { 'llama-3.3-70b': model, unpriced: model, stranger: model } });
  otherEngine = await startSimulator({ name: 'gpu', models: { 'qwen/qwen3:32b': model } });
  url = await wire.listen();
  wire.target = engine.port;
  const throughput = { gpus: 2, prefillTokensPerSecond: 9_000, decodeTokensPerSecond: 900, batch: 8 };
  const template = { host: 'gpu-2', provider: 'acme-gpus', maxOutputTokens: 1_000 };
  product = await startProduct({
    backends: [{ id: 'cloud' }],
    config: {
      hosts: [{ id: 'gpu-2', gpus: 2, rented: { usdPerGpuHour: '2' } }],
      routes: [
        { id: 'auto', backends: ['cloud'], exploration: false },
        { id: 'own', backends: [], exploration: false },
      ],
      joins: [
        { ...template, model: 'llama-3.3-70b', throughput, routes: ['auto', 'own'] },
        { ...template, model: 'qwen/qwen3:32b', throughput, routes: ['own'] },
        { ...template, model: 'unpriced', routes: ['own'] },
      ],
    },
  });
  app = await product.app();
});
afterAll(async () => {
  if (worker) await stopChild(worker);
  await product?.stop();
  await Promise.all([engine?.stop(), otherEngine?.stop(), wire.close()]);
  rmSync(elsewhere, { recursive: true, force: true });
});

describe('a GPU host joins the fleet by one command', () => {
  it('before it has, its route has nobody', async () => {
    expect(errorCode(await ask(app, chat('x', { model: 'own' })))).toBe('backend_unavailable');
  });

  it('with an address, a password, its id and its engine, and no copy of the configuration', async () => {
    worker = await startWorker();
    const { backend, cost } = await answered('gpu-2-llama-3-3-70b');
    expect(backend).toBe('gpu-2-llama-3-3-70b');
    expect(cost).toMatchObject({ usd: '0', basis: 'confirmed' });
    expect(Number(cost.full_usd)).toBeGreaterThan(0);
    // It is the cheaper one of the route that was there before.
    await answered('auto', 'gpu-2-llama-3-3-70b');
    await answered('own', 'gpu-2-llama-3-3-70b');
  });

  it('what the engine says bounds it: a request beyond its context goes elsewhere', async () => {
    const long = chat(`${'word '.repeat(9_000)}Write 1 words.`);
    expect((await ask(app, long)).json<any>().meritorder.backend).toBe('cloud');
  });

  it('a model without a price is not admitted, and one that no entry is for is no backend', async () => {
    expect(errorCode(await ask(app, chat('x', { model: 'gpu-2-unpriced' })))).toBe('price_missing');
    expect(errorCode(await ask(app, chat('x', { model: 'gpu-2-stranger' })))).toBe('route_unknown');
  });

  it('an operator sees it in the fleet, with its engine and what it lacks', async () => {
    const NATS_PASSWORD = product.stack.passwords!['operator']!;
    const fleet = async (...more: string[]): Promise<string> => {
      const cli = join(WORKSPACE, 'tools/cli/bin/meritorder.mjs');
      const env = { PATH: process.env['PATH'], NATS_URL: product.stack.nats.url, NATS_USER: 'operator', NATS_PASSWORD };
      return (await promisify(execFile)(process.execPath, [cli, 'fleet', ...more], { env })).stdout;
    };
    const rows = JSON.parse(await fleet('--json'));
    expect(rows.map((r: any) => [r.id, r.host, r.workers.length, r.hasPrice])).toEqual([
      ['gpu-2-llama-3-3-70b', 'gpu-2', 1, true],
      ['gpu-2-unpriced', 'gpu-2', 1, false],
      ['cloud', undefined, 1, true],
    ]);
    expect(rows[0].workers[0].engine.engine).toBe('vllm');
    const text = await fleet();
    console.log(text);
    expect(text).toMatch(/gpu-2 +gpu-2-llama-3-3-70b +llama-3.3-70b +vllm.* ready\n/);
    expect(text).toMatch(/gpu-2-unpriced .*no price\n/);
  });

  it('it and every service may be started again: ids and prices stay, and what it does is in the books', async () => {
    const before = (await answered('own')).cost.price_version;
    worker.kill('SIGKILL');
    for (const name of ['router', 'metering'] as const) {
      const [service] = product.stack.of(name);
      service!.child.kill('SIGKILL');
      await service!.ended;
      await product.stack.startService(name, 0);
    }
    worker = await startWorker();
    const operator = await product.stack.connectOperator();
    const rated: MeteringUsageRatedV1[] = [];
    operator.subscribe('metering.usage-rated.v1.acme', { callback: (_e, m) => void rated.push(m.json()) });
    await operator.flush();
    const receipt = await answered('gpu-2-llama-3-3-70b');
    expect(receipt.cost.price_version).toBe(before);
    const booked = await waitFor(() => rated.find((r) => r.attemptId === receipt.attempts[0].attempt_id), 'its rating');
    expect(booked).toMatchObject({ state: 'confirmed', backend: 'gpu-2-llama-3-3-70b', cost: { cashNanos: '0' } });
    expect(BigInt(booked.cost.fullNanos)).toBeGreaterThan(0n);
    await operator.close();
  });

  it('its engine serves another model: that one joins and the old one leaves, while everything runs', async () => {
    wire.cut();
    wire.target = otherEngine.port;
    wire.restore();
    expect((await answered('own', 'gpu-2-qwen-qwen3-32b')).backend).toBe('gpu-2-qwen-qwen3-32b');
    expect((await answered('auto')).backend).toBe('cloud');
    expect(errorCode(await ask(app, chat('x', { model: 'gpu-2-llama-3-3-70b' })))).toBe('route_unknown');
  });
});

/** Until a request is answered, by this backend where one is named. @returns the receipt */
async function answered(route: string, backend?: string): Promise<any> {
  return waitFor(
    async () => {
      const { meritorder } = (await ask(app, chat('Write 3 words.', { model: route }))).json<any>();
      return meritorder && (backend === undefined || meritorder.backend === backend) ? meritorder : undefined;
    },
    `an answer of ${backend ?? route}`,
    40_000,
  );
}

async function startWorker(): Promise<ChildProcess> {
  const pass = product.stack.passwords!['local-worker-gpu-2'];
  const cli = join(WORKSPACE, 'tools/cli/bin/meritorder.mjs');
  const healthPort = await freePort();
  const child = spawn(
    process.execPath,
    [cli, 'join', '--host', 'gpu-2', '--nats', product.stack.nats.url, '--engine', url],
    {
      cwd: elsewhere,
      stdio: 'inherit',
      env: { PATH: process.env['PATH'], NATS_PASSWORD: pass, HEALTH_PORT: String(healthPort) },
    },
  );
  return child;
}
