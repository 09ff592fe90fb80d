import { ManualClock } from '@meritorder/kernel';
import { expect, it } from 'vitest';
import { MemoryIdempotency } from './idempotency.memory.js';

const answer = (text: string) => ({ status: 200, headers: {}, body: Buffer.from(text) });
const state = async (store: MemoryIdempotency, key: string, org = 'acme') =>
  (await store.claim(org, key, 'f', 'other')).state;

it('a key is of its org, of one request, and for a day', async () => {
  const clock = new ManualClock(0);
  const store = new MemoryIdempotency(clock);
  expect(await store.claim('acme', 'k', 'f', 'r1')).toEqual({ state: 'claimed' });
  expect(await state(store, 'k')).toBe('in-flight');
  expect(await state(store, 'k', 'globex')).toBe('claimed');
  expect((await store.claim('acme', 'k', 'g', 'r2')).state).toBe('mismatch');
  await store.abandon('acme', 'k', 'not-its-own');
  await store.finish('acme', 'k', 'not-its-own', answer('no'));
  expect(await state(store, 'k')).toBe('in-flight');
  await store.finish('acme', 'k', 'r1', answer('yes'));
  expect(await store.claim('acme', 'k', 'f', 'r3')).toEqual({ state: 'finished', ...answer('yes') });
  clock.advance(24 * 3_600_000);
  expect(await state(store, 'k')).toBe('claimed');
});

it('a key that was abandoned is free', async () => {
  const store = new MemoryIdempotency(new ManualClock(0));
  await store.claim('acme', 'k', 'f', 'r1');
  await store.abandon('acme', 'k', 'r1');
  expect(await state(store, 'k')).toBe('claimed');
});

it('the oldest answers make room, and never what is in flight', async () => {
  const store = new MemoryIdempotency(new ManualClock(0), 10);
  await store.claim('acme', 'running', 'f', 'r0');
  for (const key of ['a', 'b', 'c']) {
    await store.claim('acme', key, 'f', key);
    await store.finish('acme', key, key, answer('12345678'));
  }
  expect(await state(store, 'running')).toBe('in-flight');
  expect(await state(store, 'c')).toBe('finished');
  expect(await state(store, 'a')).toBe('claimed');
});
