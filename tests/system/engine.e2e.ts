import { Meritorder } from '@meritorder/client';
import { EngineReport, WorkerHeartbeat, type MeteringUsageRatedV1 } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chat, startProduct, type Product } from './harness.js';

/** A real engine, for example llama.cpp's server; without one the simulator stands in. The name of the suite says which it was. */
const engineUrl = process.env['MERITORDER_ENGINE_URL'];
const model = engineUrl ? (process.env['MERITORDER_ENGINE_MODEL'] ?? 'local') : 'own';

let product: Product;
let operator: NatsConnection;
let app: NatsConnection;
const beats: WorkerHeartbeat[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'own',
        kind: 'local',
        behaviour: { outputTokensPerSecond: 200 },
        config: {
          model,
          contextTokens: 2_048,
          ...(engineUrl ? { baseUrl: engineUrl } : {}),
          prices: [],
          throughput: { gpus: 1, prefillTokensPerSecond: 500, decodeTokensPerSecond: 50 },
        },
      },
      {
        id: 'wrong',
        kind: 'local',
        config: { model: 'a-model-nobody-serves', ...(engineUrl ? { baseUrl: engineUrl } : {}) },
      },
    ],
    config: {
      hosts: [{ id: 'gpu-1', gpus: 1, rented: { usdPerGpuHour: '2' } }],
      routes: [],
    },
  });
  operator = await product.stack.connectOperator();
  operator.subscribe('worker.heartbeat.v1.>', { callback: (_error, m) => void beats.push(m.json()) });
  app = await product.app();
});
afterAll(() => product?.stop());

describe(`own hardware behind the local worker: ${engineUrl ? `the engine at ${engineUrl}` : 'the simulator'}`, () => {
  it('says in its heartbeat what it is, by the schema', async () => {
    const beat = await waitFor(() => beats.find((b) => b.backend === 'own' && b.engine), 'a heartbeat of the engine');
    expect(WorkerHeartbeat.parse(beat).draining).toBe(false);
    expect(EngineReport.parse(beat.engine).engine).toMatch(engineUrl ? /./ : /vllm/);
  });

  it('a model that it does not serve is not in the fleet, and is refused as unavailable', async () => {
    const beat = await waitFor(() => beats.find((b) => b.backend === 'wrong'), 'a heartbeat');
    expect(beat.draining).toBe(true);
    const answer = await ask(app, chat('x', { model: 'wrong' }));
    expect(answer.json<any>().error.code).toBe('backend_unavailable');
  });

  it('answers, and its tokens and cost are in the books', async () => {
    const rated: MeteringUsageRatedV1[] = [];
    operator.subscribe('metering.usage-rated.v1.acme', { callback: (_error, m) => void rated.push(m.json()) });
    await operator.flush();
    const answer = (
      await ask(app, chat('Say hello.', { model: 'own', max_tokens: 20 }), { timeout: 60_000 })
    ).json<any>();
    expect(answer.choices[0].message.content).toBeTruthy();
    const receipt = answer.meritorder;
    expect(receipt.usage).toMatchObject({ inputTokens: expect.any(Number), outputTokens: expect.any(Number) });
    expect(receipt.usage.outputTokens).toBeGreaterThan(0);
    expect(receipt.cost).toMatchObject({ usd: '0', basis: 'confirmed' });
    expect(Number(receipt.cost.full_usd)).toBeGreaterThan(0);
    const booked = await waitFor(
      () => rated.find((r) => r.attemptId === receipt.attempts[0].attempt_id),
      'the attempt to be rated',
    );
    expect(booked).toMatchObject({ state: 'confirmed', usage: receipt.usage, cost: { cashNanos: '0' } });
    expect(BigInt(booked.cost.fullNanos)).toBeGreaterThan(0n);
  });

  it('streams, and what it does not say of its tokens is counted here and marked', async () => {
    const stream = Meritorder.over(app, 'acme').stream({
      model: 'own',
      max_tokens: 20,
      messages: [{ role: 'user', content: 'Say hello.' }],
    });
    expect(await stream.text()).not.toBe('');
    const { usage, cost } = stream.receipt;
    expect(['confirmed', 'estimated']).toContain(cost.basis);
    expect(usage!.outputTokens).toBeGreaterThan(0);
    expect(Number(cost.full_usd)).toBeGreaterThan(0);
  });
});
