import { describe, expect, it } from 'vitest';
import { EXAMPLES, type UsageAttemptClosedV1 } from '@meritorder/contracts';
import type { FinishReply } from '@meritorder/counters';
import { bookUsage, CannotBeBooked, UnknownPriceVersion, type Books } from './book-usage.js';
import { chargeOf } from './charge-of.js';
import { settleHolds } from './settle-holds.js';

const price = EXAMPLES.events['price.version-published.v1'].version;
const closed = EXAMPLES.events['usage.attempt-closed.v1'] as UsageAttemptClosedV1;
const { usage, ...withoutUsage } = closed;

describe('the charge of a closed attempt', () => {
  it.each<[string, UsageAttemptClosedV1, object]>([
    ['with usage is its exact cost', closed, { state: 'confirmed', cashNanos: 411_200n, fullNanos: 411_200n }],
    [
      'cancelled with usage too: what was generated is paid for',
      { ...closed, outcome: 'cancelled' },
      { state: 'confirmed', cashNanos: 411_200n },
    ],
    [
      'without usage is its bound, unconfirmed',
      withoutUsage,
      { state: 'unconfirmed', cashNanos: 2_219_200n, fullNanos: 2_219_200n },
    ],
    ['that failed after it was sent is its bound', { ...withoutUsage, outcome: 'failed' }, { state: 'unconfirmed' }],
    [
      'that was never sent is nothing',
      { ...withoutUsage, outcome: 'not-sent', sent: false },
      { state: 'free', cashNanos: 0n, fullNanos: 0n },
    ],
    [
      'that was refused upstream is nothing',
      { ...withoutUsage, outcome: 'failed', refusedUpstream: true },
      { state: 'free' },
    ],
    [
      'that was refused but reports usage is charged',
      { ...closed, outcome: 'failed', refusedUpstream: true },
      { state: 'confirmed' },
    ],
  ])('%s', (_name, event, charge) => {
    expect(chargeOf(event, price)).toMatchObject(charge);
  });
});

it('an attempt is never rated at another price version than its own', async () => {
  const books: Books = { recordOpened: async () => {}, book: async () => [], priceVersion: async () => undefined };
  await expect(bookUsage(books, [{ event: closed, traceparent: undefined }])).rejects.toThrow(UnknownPriceVersion);
  expect(usage).toBeDefined();
});

it('a charge beyond what a counter can hold is not booked', async () => {
  const books: Books = { recordOpened: async () => {}, book: async () => [], priceVersion: async () => price };
  const event = { ...closed, usage: { ...closed.usage!, outputTokens: Number.MAX_SAFE_INTEGER } };
  await expect(bookUsage(books, [{ event, traceparent: undefined }])).rejects.toThrow(CannotBeBooked);
});

it('what the counters cannot be told while admission is closed is given back', async () => {
  const said: string[] = [];
  const reply =
    (verb: string) =>
    async (id: string): Promise<FinishReply> => {
      said.push(`${verb} ${id}`);
      return id === 'closed' ? { type: 'epoch' } : { type: 'done', was: 'opened' };
    };
  const charge = (state: 'confirmed' | 'free' | 'unconfirmed') => ({ state, cashNanos: 1n, fullNanos: 1n });
  const untold = await settleHolds(
    { settle: reply('settle'), release: reply('release'), unconfirm: reply('unconfirm') },
    [
      { attemptId: 'a', charge: charge('confirmed'), changed: true },
      { attemptId: 'b', charge: charge('free'), changed: true },
      { attemptId: 'c', charge: charge('unconfirmed'), changed: true },
      { attemptId: 'closed', charge: charge('confirmed'), changed: true },
    ],
  );
  expect(said).toEqual(['settle a', 'release b', 'unconfirm c', 'settle closed']);
  expect(untold.map((s) => s.attemptId)).toEqual(['closed']);
});
