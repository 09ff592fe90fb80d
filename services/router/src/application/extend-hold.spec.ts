import { describe, expect, it } from 'vitest';
import { EXAMPLES, type AttemptTerms, type UsageAttemptExtendedV1, type WorkEvent } from '@meritorder/contracts';
import type { ExtendReply } from '@meritorder/counters';
import { ManualClock } from '@meritorder/kernel';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { GrowingHold } from './extend-hold.js';

const { worker, extendedAt: _at, ...example } = EXAMPLES.events['usage.attempt-extended.v1'];
const terms: AttemptTerms = { ...example, governed: { heldTokens: 100, maxTokens: 400, sliceTokens: 50 } };
const BOUND = {
  cash: { fixedNanos: 1_000n, perOutputTokenNanos: 20n },
  full: { fixedNanos: 2_000n, perOutputTokenNanos: 30n },
};
const CHOICES = 2;
const refused: ExtendReply = {
  type: 'refused',
  binding: {
    budget: 'soft',
    window: '2026-11',
    kind: 'held',
    limitNanos: 9n,
    settledNanos: 0n,
    unconfirmedNanos: 0n,
    reservedNanos: 9n,
    neededNanos: 1n,
  },
};

function hold(world: {
  counters?: (call: number) => ExtendReply | undefined;
  recordFails?: boolean;
  terms?: AttemptTerms;
}) {
  const log: string[] = [];
  const recorded: UsageAttemptExtendedV1[] = [];
  let calls = 0;
  const growing = new GrowingHold(
    {
      clock: new ManualClock(Date.parse('2026-11-24T09:30:00.000Z')),
      admission: {
        extend: async (_id, to) => {
          log.push(`hold ${to.cashNanos} ${to.fullNanos}`);
          return world.counters?.(++calls) ?? { type: 'extended', ...to };
        },
      },
      extensions: {
        record: async (event) => {
          log.push('record');
          if (world.recordFails) throw new Error('timeout');
          recorded.push(event);
        },
      },
    },
    world.terms ?? terms,
    BOUND,
    CHOICES,
    ROOT_CONTEXT,
  );
  const ask = (outputTokens: number) =>
    growing.extend({ type: 'extend', attemptId: terms.attemptId, worker, outputTokens } as Extract<
      WorkEvent,
      { type: 'extend' }
    >);
  return { ask, log, recorded };
}

describe('an extension', () => {
  it('is held, then on record, then still held, and only then granted', async () => {
    const { ask, log, recorded } = hold({});
    expect(await ask(150)).toEqual({
      type: 'extended',
      outputTokens: 150,
      bound: { cashNanos: '2500', fullNanos: '4250' },
    });
    expect(log).toEqual(['hold 2500 4250', 'record', 'hold 2500 4250']);
    expect(recorded).toMatchObject([
      { worker, bound: { cashNanos: '2500' }, governed: { heldTokens: 150, maxTokens: 400, sliceTokens: 50 } },
    ]);
  });

  it('is never more than the request allows, and never less than is held', async () => {
    const { ask } = hold({});
    expect(await ask(9_999)).toMatchObject({ outputTokens: 400 });
    expect(await ask(150)).toMatchObject({ outputTokens: 400, bound: { cashNanos: '5000' } });
  });

  it('that is asked for again is the same fact', async () => {
    const { ask, recorded } = hold({});
    const first = await ask(150);
    expect(await ask(150)).toEqual(first);
    expect(recorded[1]!.bound).toEqual(recorded[0]!.bound);
  });

  it.each<[string, Parameters<typeof hold>[0], string[], object]>([
    [
      'no budget has room for names the budget and records nothing',
      { counters: () => refused },
      ['hold'],
      { cause: 'budget', budget: 'soft', window: '2026-11' },
    ],
    ['in a time without an epoch is refused', { counters: () => ({ type: 'epoch' }) }, ['hold'], { cause: 'closed' }],
    [
      'of a hold that is gone is refused',
      { counters: () => ({ type: 'done', was: 'settled' }) },
      ['hold'],
      { cause: 'closed' },
    ],
    ['that may not be on record is refused', { recordFails: true }, ['hold', 'record'], { cause: 'closed' }],
    [
      'that a new epoch does not hold is refused',
      { counters: (call) => (call === 2 ? refused : undefined) },
      ['hold', 'record', 'hold'],
      { cause: 'budget' },
    ],
    [
      'of a hold at the upper bound is not needed',
      { terms: { ...terms, governed: undefined } },
      [],
      { cause: 'closed' },
    ],
  ])('%s', async (_name, world, calls, reply) => {
    const { ask, log } = hold(world);
    expect(await ask(150)).toMatchObject({ type: 'not-extended', ...reply });
    expect(log.map((l) => l.split(' ')[0])).toEqual(calls);
  });
});
