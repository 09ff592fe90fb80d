import { afterAll, beforeAll, expect, it } from 'vitest';
import { BUCKETS, type MeritorderConfig } from '@meritorder/contracts';
import { busOn, ensureTopology, openBucket, type Bus } from '@meritorder/messaging';
import { useNats } from '@meritorder/testing/vitest';
import { connect } from '@nats-io/transport-node';
import type { KeyUse } from '../application/ports.js';
import { NatsKeyLog } from './key-log.nats.js';

const nats = useNats();
const buses: Bus[] = [];
let logs: NatsKeyLog[];

beforeAll(async () => {
  for (let i = 0; i < 4; i++) buses.push(busOn(await connect({ servers: nats.url }), 'test'));
  await ensureTopology(buses[0]!, { orgs: [] } as unknown as MeritorderConfig);
  logs = await Promise.all(buses.map((bus) => NatsKeyLog.open(bus)));
});
afterAll(() => Promise.all(buses.map((bus) => bus.close())));

const use = (claim: string): KeyUse => ({ claim, requestId: claim, fingerprint: 'f', state: 'in-flight' });

it('of 40 claims at once through four routers one holds the key, and all are told which (pitfall 35)', async () => {
  const held = await Promise.all(
    Array.from({ length: 40 }, (_, i) => logs[i % 4]!.claim('acme', 'any text: *.> ünïcode', use(`c${i}`))),
  );
  expect(new Set(held.map((h) => h.claim)).size).toBe(1);
  expect((await logs[0]!.claim('globex', 'any text: *.> ünïcode', use('other'))).claim).toBe('other');
});

it('a key that was freed is claimed again; one that was answered says so', async () => {
  await logs[0]!.claim('acme', 'k', use('first'));
  await logs[0]!.free('acme', 'k');
  expect((await logs[1]!.claim('acme', 'k', use('second'))).claim).toBe('second');
  await logs[1]!.answered('acme', 'k', { ...use('second'), state: 'answered' });
  expect(await logs[2]!.claim('acme', 'k', use('third'))).toMatchObject({ claim: 'second', state: 'answered' });
});

it('is forgotten after a day', async () => {
  const status = await (await openBucket(buses[0]!, BUCKETS.idempotency.name)).status();
  expect(status.ttl).toBe(24 * 3_600_000);
});
