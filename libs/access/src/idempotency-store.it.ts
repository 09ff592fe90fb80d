import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectDatabase, migrate } from '@meritorder/ledger-store';
import { usePostgres } from '@meritorder/testing/vitest';
import type { DataSource } from 'typeorm';
import { PostgresIdempotencyStore, type IdempotencyOptions } from './idempotency-store.js';

const postgres = usePostgres();
const sources: DataSource[] = [];
const DEADLINE_MS = 60_000;

beforeAll(async () => {
  await migrate(postgres.url);
  for (let i = 0; i < 4; i++) sources.push(await connectDatabase(postgres.url, `gateway-${i}`));
});
afterAll(() => Promise.all(sources.map((source) => source.destroy())));

/** The store of one of several gateways. */
function store(gateway = 0, options: Partial<IdempotencyOptions> = {}): PostgresIdempotencyStore {
  return new PostgresIdempotencyStore(sources[gateway]!, { requestDeadlineMs: DEADLINE_MS, ...options });
}
/** Makes all of a key as old as if it had come so long ago. */
async function age(org: string, ms: number): Promise<void> {
  await sources[0]!.query(
    `update idempotency_answers set claimed_at = claimed_at - $2 * interval '1 ms', expires_at = expires_at - $2 * interval '1 ms'
     where org = $1`,
    [org, ms],
  );
}
const answer = { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from('{"a":"\u0000ü"}') };

it('of 50 claims at once through four gateways one runs, in each of ten rounds (pitfall 35)', async () => {
  for (let round = 0; round < 10; round++) {
    const states = await Promise.all(
      Array.from({ length: 50 }, (_, i) => store(i % 4).claim('acme', `at once ${round}`, 'f', `r${i}`)),
    );
    expect(states.filter((s) => s.state === 'claimed')).toHaveLength(1);
    expect(states.filter((s) => s.state === 'in-flight')).toHaveLength(49);
  }
});

it('one that asks again gets the answer as it was, byte by byte, from any gateway', async () => {
  const body = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await store().claim('acme', 'any text: *.> ünïcode \u0000', 'f', 'r1');
  await store().finish('acme', 'any text: *.> ünïcode \u0000', 'r1', { ...answer, body });
  const again = await store(1).claim('acme', 'any text: *.> ünïcode \u0000', 'f', 'r2');
  expect(again).toEqual({ state: 'finished', ...answer, body });
});

it('a key of one org says nothing of the same key of another', async () => {
  await store().claim('acme', 'shared', 'f', 'r1');
  await store().finish('acme', 'shared', 'r1', answer);
  expect(await store().claim('globex', 'shared', 'f', 'r2')).toEqual({ state: 'claimed' });
  await store().finish('globex', 'shared', 'r1', answer);
  await store().abandon('globex', 'shared', 'r1');
  expect(await store().claim('globex', 'shared', 'f', 'r3')).toEqual({ state: 'in-flight' });
});

it('another request with the key is told so, in flight or finished', async () => {
  await store().claim('acme', 'reused', 'f', 'r1');
  expect(await store().claim('acme', 'reused', 'g', 'r2')).toEqual({ state: 'mismatch' });
  await store().finish('acme', 'reused', 'r1', answer);
  expect(await store().claim('acme', 'reused', 'g', 'r2')).toEqual({ state: 'mismatch' });
});

it('one that was given up runs again; only its owner can give it up', async () => {
  await store().claim('acme', 'given up', 'f', 'r1');
  await store().abandon('acme', 'given up', 'r2');
  expect(await store().claim('acme', 'given up', 'f', 'r3')).toEqual({ state: 'in-flight' });
  await store().abandon('acme', 'given up', 'r1');
  expect(await store().claim('acme', 'given up', 'g', 'r3')).toEqual({ state: 'claimed' });
  await store().finish('acme', 'given up', 'r3', answer);
  await store().abandon('acme', 'given up', 'r3');
  expect(await store().claim('acme', 'given up', 'g', 'r4')).toMatchObject({ state: 'finished' });
});

it('a claim whose owner died is taken over by the same request, once, after the deadline and the grace', async () => {
  await store().claim('dying', 'k', 'f', 'r1');
  await age('dying', DEADLINE_MS + 10_000);
  expect(await store().claim('dying', 'k', 'f', 'r2')).toEqual({ state: 'in-flight' });
  await age('dying', 21_000);
  expect(await store().claim('dying', 'k', 'g', 'r2')).toEqual({ state: 'mismatch' });
  const states = await Promise.all(
    Array.from({ length: 20 }, (_, i) => store(i % 4).claim('dying', 'k', 'f', `again-${i}`)),
  );
  expect(states.filter((s) => s.state === 'claimed')).toHaveLength(1);
  // An owner that was only slow has lost it, and writes over nobody's answer.
  await store().finish('dying', 'k', 'r1', answer);
  expect(await store().claim('dying', 'k', 'f', 'r3')).toEqual({ state: 'in-flight' });
});

it('taking over does not make a key last longer', async () => {
  await store().claim('lasting', 'k', 'f', 'r1');
  await age('lasting', 23 * 3_600_000);
  expect(await store().claim('lasting', 'k', 'f', 'r2')).toEqual({ state: 'claimed' });
  await store().finish('lasting', 'k', 'r2', answer);
  await age('lasting', 3_600_000 + 1);
  expect(await store().claim('lasting', 'k', 'other', 'r3')).toEqual({ state: 'claimed' });
});

it('an answer above the limit is not kept, and neither runs again nor is taken over', async () => {
  const small = store(0, { maxAnswerBytes: 1_000 });
  await small.claim('large', 'k', 'f', 'r1');
  await small.finish('large', 'k', 'r1', { ...answer, body: Buffer.alloc(1_000) });
  await age('large', 10 * DEADLINE_MS);
  expect(await small.claim('large', 'k', 'f', 'r2')).toEqual({ state: 'in-flight' });
  await small.claim('large', 'fits', 'f', 'r1');
  await small.finish('large', 'fits', 'r1', { ...answer, body: Buffer.alloc(900) });
  expect(await small.claim('large', 'fits', 'f', 'r2')).toMatchObject({ state: 'finished' });
  const full = Buffer.alloc(4 * 1024 * 1024 - 100, 'x');
  await store().claim('large', 'four megabytes', 'f', 'r1');
  await store().finish('large', 'four megabytes', 'r1', { ...answer, body: full });
  const again = await store().claim('large', 'four megabytes', 'f', 'r2');
  expect(again.state === 'finished' && full.equals(again.body)).toBe(true);
});

it('what has ended is forgotten, all of it, and nothing else', async () => {
  await sources[0]!.query(
    `insert into idempotency_answers (org, key_hash, fingerprint, request_id, state, claimed_at, expires_at)
     select 'bulk', 'k' || i, 'f', 'r', 'in-flight', now(), now() + case when i <= 2500 then -1 else 1 end * interval '1 hour'
     from generate_series(1, 2600) i`,
  );
  const forgotten = await Promise.all([store(0).forgetEnded(), store(1).forgetEnded()]);
  expect(forgotten[0] + forgotten[1]).toBeGreaterThanOrEqual(2_500);
  const [left] = await sources[0]!.query(`select count(*)::int as n from idempotency_answers where org = 'bulk'`);
  expect(left).toEqual({ n: 100 });
});
