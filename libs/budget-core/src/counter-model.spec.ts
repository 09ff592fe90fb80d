import { describe, expect, it } from 'vitest';
import {
  applyCommand,
  emptyCounters,
  type CandidateWindow,
  type CounterCommand,
  type CounterState,
  type ReserveCandidate,
} from './index.js';

const MINUTE = 60_000_000;
const START = 1_790_000_000_000_000;

const candidate = (nanos: bigint, more: Partial<CandidateWindow> = {}, local = false): ReserveCandidate => ({
  backend: 'b',
  maxTokens: 1,
  minTokens: 1,
  cash: { fixedNanos: nanos, perOutputTokenNanos: 0n },
  full: { fixedNanos: nanos, perOutputTokenNanos: 0n },
  windows: [{ budget: 'b', window: 'total', basis: 'cash', limitNanos: 100n, limitVersion: 1, ...more }],
  local,
});
const reserve = (attemptId: string, ...candidates: ReserveCandidate[]): CounterCommand => ({
  verb: 'reserve',
  attemptId,
  leaseMs: 1_000,
  candidates,
});
function spend(state: CounterState, attemptId: string, nanos: bigint, atMicros = START): string {
  const { type } = applyCommand(state, reserve(attemptId, candidate(nanos)), atMicros);
  if (type === 'granted')
    applyCommand(state, { verb: 'settle', attemptId, cashNanos: nanos, fullNanos: nanos }, atMicros);
  return type;
}

describe('a budget', () => {
  it('is a ledger of its window, not a rate that refills (pitfall 33)', () => {
    const state = emptyCounters();
    const said = Array.from({ length: 12 }, (_, i) => spend(state, `a${i}`, 10n, START + i * 60 * MINUTE));
    expect(said).toEqual([...Array<string>(10).fill('granted'), 'refused', 'refused']);
    expect(state.windows.get('b:total')!.settledNanos).toBe(100n);
  });

  it('relaxes its stages with a new window and with a higher limit', () => {
    const stages = { rejectFromNanos: 80n };
    const state = emptyCounters();
    spend(state, 'spent', 80n);
    expect(applyCommand(state, reserve('a', candidate(1n, { stages })), START)).toMatchObject({
      candidates: [{ kind: 'stage' }],
    });
    expect(applyCommand(state, reserve('b', candidate(1n, { stages, window: 'next' })), START).type).toBe('granted');
    const raised = { limitNanos: 200n, limitVersion: 2, stages: { rejectFromNanos: 160n } };
    expect(applyCommand(state, reserve('c', candidate(1n, raised)), START).type).toBe('granted');
  });

  it('that throttles admits again when its time has come, and lets the free through meanwhile', () => {
    const stages = { throttles: [{ fromNanos: 50n, requestsPerMinute: 2 }] };
    const state = emptyCounters();
    spend(state, 'spent', 50n);
    const ask = (attemptId: string, nanos: bigint, atMicros: number) =>
      applyCommand(state, reserve(attemptId, candidate(nanos, { stages })), atMicros);
    expect(ask('a', 1n, START).type).toBe('granted');
    expect(ask('b', 1n, START + 1)).toMatchObject({ candidates: [{ kind: 'throttled', waitMicros: MINUTE / 2 - 1 }] });
    expect(ask('free', 0n, START + 1).type).toBe('granted');
    expect(ask('b', 1n, START + MINUTE / 2).type).toBe('granted');
  });
});

describe('a hold', () => {
  it('that was never opened is not carried into a new epoch; opened and unconfirmed ones are (invariant 6)', () => {
    const state = emptyCounters();
    for (const id of ['reserved', 'opened', 'unsure']) applyCommand(state, reserve(id, candidate(10n)), START);
    applyCommand(state, { verb: 'open', attemptId: 'opened' }, START);
    applyCommand(state, { verb: 'unconfirm', attemptId: 'unsure' }, START);
    applyCommand(state, { verb: 'close' }, START);
    expect(applyCommand(state, reserve('x', candidate(1n)), START)).toEqual({ type: 'epoch' });
    applyCommand(state, { verb: 'rebuild' }, START);
    expect([...state.holds.keys()]).toEqual(['opened', 'unsure']);
    expect(state.windows.get('b:total')).toMatchObject({ reservedNanos: 10n, unconfirmedNanos: 10n, settledNanos: 0n });
  });

  it('expires with its lease, not before, and never once it was opened (pitfall 3)', () => {
    const state = emptyCounters();
    for (const id of ['lost', 'opened']) applyCommand(state, reserve(id, candidate(10n)), START);
    applyCommand(state, { verb: 'open', attemptId: 'opened' }, START);
    for (const id of ['lost', 'opened']) applyCommand(state, { verb: 'expire', attemptId: id }, START + 999_999);
    expect(state.windows.get('b:total')!.reservedNanos).toBe(20n);
    for (const id of ['lost', 'opened']) applyCommand(state, { verb: 'expire', attemptId: id }, START + 1_000_000);
    expect(state.windows.get('b:total')!.reservedNanos).toBe(10n);
  });
});
