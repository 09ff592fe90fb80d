import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  EXAMPLES,
  HardwareReply,
  MeritorderConfig,
  subjects,
  type HardwareMeasuredV1,
  type UsageAttemptClosedV1,
} from '@meritorder/contracts';
import {
  closedHours,
  connectDatabase,
  migrate,
  publishedPrices,
  registerHosts,
  trialBalance,
} from '@meritorder/ledger-store';
import {
  connectBus,
  ensureTopology,
  natsServerConfig,
  hostInboxPrefix,
  natsUsers,
  SERVICE_INBOX,
  type Bus,
} from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { testServers, waitFor } from '@meritorder/testing';
import type { DataSource } from 'typeorm';
import { bookUsage } from '../application/book-usage.js';
import { MeteringRuntime } from '../metering.runtime.js';
import { HardwareEnergyConsumer } from './hardware-energy.consumer.js';
import { HardwareWork } from './hardware-work.js';
import { HardwareController } from './hardware.controller.js';
import { PostgresPriceBook } from './price-book.js';

const HOUR = 3_600_000;
const zero = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' };
const backend = { baseUrl: 'http://127.0.0.1:1/v1', contextTokens: 10, maxOutputTokens: 5 };
const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  hosts: [
    {
      id: 'gpu-1',
      gpus: 2,
      owned: { purchaseUsd: '60000', salvageUsd: '6000', lifeYears: 4, inServiceFrom: '2024-01-01T00:00:00Z' },
      power: { idleWattsPerGpu: 100, loadWattsPerGpu: 700, pue: 1.3, usdPerKilowattHour: '0.25' },
    },
  ],
  backends: [
    {
      ...backend,
      id: 'llama',
      kind: 'local',
      provider: 'acme-gpus',
      host: 'gpu-1',
      model: 'llama',
      throughput: { gpus: 2, prefillTokensPerSecond: 10_000, decodeTokensPerSecond: 1_000, batch: 8 },
    },
    { ...backend, id: 'other', kind: 'local', provider: 'acme-gpus', host: 'gpu-2', model: 'm' },
    {
      ...backend,
      id: 'cloud',
      kind: 'cloud',
      provider: 'simco',
      model: 'm',
      catalogue: false,
      prices: [
        {
          effectiveFrom: '2025-01-01T00:00:00Z',
          cash: { ...zero, inputUsdPerMillionTokens: '0.50', outputUsdPerMillionTokens: '2' },
        },
      ],
    },
  ],
  routes: [{ id: 'auto', backends: ['llama', 'cloud'] }],
});
/** The hour before the last one is over, and so is the grace. */
const openHour = new Date(Math.floor(Date.now() / HOUR) * HOUR - 2 * HOUR);
const within = (minutes: number): string => new Date(openHour.getTime() + minutes * 60_000).toISOString();

const servers = testServers();
const passwords = Object.fromEntries(natsUsers(config).map((u) => [u.user, `pw-${u.user}`]));
const connections: Bus[] = [];
let natsUrl: string;
let db: DataSource;

async function as(user: keyof typeof SERVICE_INBOX | 'local-worker-gpu-1'): Promise<Bus> {
  const bus = await connectBus({
    url: natsUrl,
    user,
    password: passwords[user],
    name: user,
    inboxPrefix: user === 'local-worker-gpu-1' ? hostInboxPrefix('gpu-1') : SERVICE_INBOX[user],
  });
  connections.push(bus);
  return bus;
}

beforeAll(async () => {
  const [postgres, nats] = await Promise.all([
    servers.postgres(),
    servers.nats((port, storeDir) =>
      natsServerConfig(natsUsers(config), passwords, { listen: `127.0.0.1:${port}`, storeDir }),
    ),
  ]);
  natsUrl = nats.url;
  await migrate(postgres.url);
  db = await connectDatabase(postgres.url, 'test');
  await ensureTopology(await as('operator'), config);
});
afterAll(async () => {
  await Promise.all(connections.map((bus) => bus.close()));
  await db?.destroy();
  await servers.stop();
});

/** An answer whose engine decoded at 1,500 tokens/s with eight streams, where 1,000 are configured. */
const closed = (n: number, priceVersion: string): UsageAttemptClosedV1 => ({
  ...(EXAMPLES.events['usage.attempt-closed.v1'] as UsageAttemptClosedV1),
  attemptId: `a-${n}`,
  requestId: `r-${n}`,
  backend: 'llama',
  provider: 'acme-gpus',
  model: 'llama',
  servedModel: 'llama',
  windows: [],
  priceVersion,
  closedAt: within(n % 60),
  usage: {
    inputTokens: 2_000,
    cacheReadTokens: 0,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    outputTokens: 300,
    requests: 1,
  },
  concurrency: 8,
  timings: { prefillTokens: 2_000, prefillMs: 200, decodeTokens: 300, decodeMs: (300 * 8 * 1_000) / 1_500 },
});

it('a host: its meters are heard, its prices derived, its engine learned from, its hour closed, and an operator told', async () => {
  const metering = await as('metering');
  const lines: string[] = [];
  const log = { warn: (line: string) => lines.push(line), log: () => {} };
  await registerHosts(db, [{ host: 'gpu-1', backends: ['llama'] }], openHour);
  const prices = new PostgresPriceBook(db, config, log);
  await prices.start();
  // No counters are asked here: hours and prices of hosts have no holds.
  const runtime = new MeteringRuntime(config, metering, db, undefined as never, prices);

  // A price from costs and configured speed, past the guard.
  const [configured] = (await publishedPrices(db)).get('llama')!;
  expect(lines.filter((line) => line.includes('llama'))).toEqual([]);
  expect(configured).toMatchObject({ cash: { outputPicosPerToken: '0' }, source: expect.stringMatching(/configured/) });

  // What the meters of the host say, by the rights of its worker; another host's subject is not its own.
  const worker = await as('local-worker-gpu-1');
  const measured = (minute: number): HardwareMeasuredV1 => ({
    host: 'gpu-1',
    worker: 'w',
    from: within(minute),
    to: within(minute + 1),
    coveredMs: 60_000,
    millijoules: 60_000_000,
    meters: ['nvidia-smi'],
  });
  const publish = (minute: number, host = 'gpu-1') =>
    worker.publishEvent(
      {
        type: 'hardware.measured.v1',
        subject: subjects.hardwareMeasured(host),
        id: `${host}/${within(minute)}`,
        time: within(minute + 1),
        data: { ...measured(minute), host },
      },
      { timeoutMs: 1_000 },
    );
  await Promise.all(Array.from({ length: 60 }, (_, minute) => publish(minute)));
  expect((await publish(0)).duplicate).toBe(true);
  await expect(publish(0, 'nobody')).rejects.toThrow();
  const energy = new HardwareEnergyConsumer(runtime);
  energy.onApplicationBootstrap();
  await waitFor(async () => (await db.query(`select count(*)::int as n from host_energy`))[0].n === 60, {
    message: 'the measured minutes are in the books',
  });

  // Sixty attempts, charged by that price.
  const { settlements } = await bookUsage(
    runtime.books,
    Array.from({ length: 60 }, (_, n) => ({ event: closed(n, configured!.id), traceparent: undefined })),
  );
  const charged = settlements.reduce((sum, s) => sum + s.charge.fullNanos, 0n);
  expect(charged).toBeGreaterThan(0n);

  // The hour is closed once, by two at a time.
  const work = [new HardwareWork(runtime), new HardwareWork(runtime)];
  for (const one of work) one.onApplicationBootstrap();
  await waitFor(async () => (await closedHours(db, { from: openHour, to: new Date() })).length >= 1, {
    message: 'the hour is closed',
  });
  await waitFor(
    async () => (await db.query(`select count(*)::int as n from host_usage where not learned`))[0].n === 0,
    {
      message: 'the attempts are learned from',
    },
  );
  for (const one of work) await one.onApplicationShutdown();
  const [hour] = await closedHours(db, { from: openHour, to: new Date(openHour.getTime() + 1) });
  expect(hour).toMatchObject({
    attempts: 60,
    lateAttempts: 0,
    allocatedNanos: charged,
    energyBasis: 'measured',
    measuredMillijoules: 3_600_000_000n,
    // 60 x (200 ms + 1,600 ms / 8) of two GPUs.
    busyGpuMicroseconds: 48_000_000n,
    // 60 x (2,000 / 10,000 + 300 / 1,000) s of two GPUs.
    standardGpuMicroseconds: 60_000_000n,
  });
  expect(hour!.allocatedNanos + hour!.idleNanos).toBe(hour!.incurredNanos);
  // 1 kWh at 1.3 and $0.25.
  expect(hour!.incurred['idlePower']! + hour!.incurred['energy']!).toBe(325_000_000n);
  expect(hour!.variances['rate']!).toBeLessThan(0n);
  const balances = Object.fromEntries((await trialBalance(db)).map((a) => [a.account, a.balanceNanos]));
  expect(Object.values(balances).reduce((a, b) => a + b, 0n)).toBe(0n);
  expect(balances).toMatchObject({ 'hardware:gpu-1': 0n, 'absorbed:acme-gpus': 0n });

  // After a restart prices follow the engine, by a new version from then on.
  let told = 0;
  runtime.pricesChanged = () => told++;
  const again = new HardwareWork(runtime);
  again.onApplicationBootstrap();
  await waitFor(async () => (await publishedPrices(db)).get('llama')!.length === 2, {
    message: 'there is a new price',
  });
  await waitFor(() => told === 1, { message: 'the price is told' });
  await again.onApplicationShutdown();
  const fitted = (await publishedPrices(db)).get('llama')![1]!;
  expect(fitted.source).toMatch(/decode 1500 tokens\/s at batch 8 \(fitted\); fitted from 60 attempts/);
  expect(Number(fitted.full.outputPicosPerToken) / Number(configured!.full.outputPicosPerToken)).toBeCloseTo(2 / 3, 4);
  expect(await db.query(`select count(*)::int as n from price_correction where adjusted > 0`)).toEqual([{ n: 0 }]);

  // What an operator is told.
  const controller = new HardwareController(runtime);
  metering.nats.subscribe('metering.hardware.v1', {
    callback: (_error, message) => void controller.hardware(message.data, new NatsContext([message])),
  });
  await metering.nats.flush();
  const operator = await as('operator');
  const ask = async (request: object): Promise<HardwareReply> =>
    HardwareReply.parse((await operator.nats.request('metering.hardware.v1', JSON.stringify(request))).json());
  expect(await ask({ host: 'gpu-1', month: openHour.toISOString().slice(0, 7) })).toMatchObject({
    rows: [
      {
        host: 'gpu-1',
        attempts: 60,
        allocatedNanos: charged.toString(),
        backends: [
          {
            backend: 'llama',
            throughput: { decodeTokensPerSecond: 1_500, decodeBasis: 'fitted' },
            breakEven: [{ cloud: 'cloud' }],
          },
        ],
      },
    ],
  });
  expect(await ask({ host: 'nobody' })).toEqual({
    error: { message: 'there is no host "nobody"; the configuration has: gpu-1' },
  });
  expect(await ask({ month: '2026-13' })).toMatchObject({ error: { message: expect.stringContaining('month') } });
  await energy.onApplicationShutdown();
});
