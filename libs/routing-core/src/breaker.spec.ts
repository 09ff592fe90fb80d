import { describe, expect, it } from 'vitest';
import { breakerAllows, CLOSED, nextBreaker, type BreakerEvent, type BreakerState } from './breaker.js';

const CONNECT: BreakerEvent = { type: 'failure', kind: 'connect' };
const FAILURE: BreakerEvent = { type: 'failure', kind: 'answer' };
const SUCCESS: BreakerEvent = { type: 'success' };
const PROBE: BreakerEvent = { type: 'probe' };
const NO_JITTER = 0.5;

/** Events from a time on, one each `everyMs`. */
function after(
  state: BreakerState,
  events: readonly BreakerEvent[],
  { fromMs = 1_000_000, everyMs = 0, draw = NO_JITTER } = {},
): BreakerState {
  return events.reduce((s, e, i) => nextBreaker(s, e, fromMs + i * everyMs, draw), state);
}
const times = (count: number, event: BreakerEvent): BreakerEvent[] => Array<BreakerEvent>(count).fill(event);
const AT = 1_000_000;
const open = after(CLOSED, times(5, CONNECT));

describe('the breaker opens', () => {
  it('after five calls in a row that could not connect, and not after four, nor with an answer between them', () => {
    expect(breakerAllows(after(CLOSED, times(4, CONNECT)), AT)).toBe(true);
    for (const between of [SUCCESS, FAILURE, { type: 'quota', retryAfterMs: 0 } as const]) {
      expect(breakerAllows(after(CLOSED, [...times(4, CONNECT), between, ...times(4, CONNECT)]), AT)).toBe(true);
    }
    expect(breakerAllows(open, AT)).toBe(false);
  });

  it('when half of at least twenty calls failed within 30 s', () => {
    expect(breakerAllows(after(CLOSED, times(19, FAILURE)), AT)).toBe(true);
    expect(breakerAllows(after(CLOSED, times(20, FAILURE)), AT)).toBe(false);
    expect(breakerAllows(after(CLOSED, [...times(11, SUCCESS), ...times(10, FAILURE)]), AT)).toBe(true);
    expect(breakerAllows(after(CLOSED, [...times(10, SUCCESS), ...times(10, FAILURE)]), AT)).toBe(false);
  });

  it('not for failures too few in any 33 s', () => {
    const slow = after(CLOSED, times(200, FAILURE), { everyMs: 1_750 });
    expect(breakerAllows(slow, AT + 200 * 1_750)).toBe(true);
    const quick = after(CLOSED, times(30, FAILURE), { everyMs: 1_400 });
    expect(quick.trips).toBeGreaterThan(0);
  });

  it("never for what is the caller's or says nothing", () => {
    expect(after(CLOSED, times(1_000, { type: 'neutral' }))).toEqual(CLOSED);
  });

  it('in a state of bounded size', () => {
    let state = CLOSED;
    for (let i = 0; i < 5_000; i++) state = nextBreaker(state, i % 3 === 0 ? FAILURE : SUCCESS, AT + i * 97, 0);
    expect(state.slots.length).toBeLessThanOrEqual(11);
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
  });
});

describe('an open breaker', () => {
  it('lets one probe through after 5 s, and closes when it succeeds', () => {
    expect(breakerAllows(open, AT + 4_999)).toBe(false);
    expect(breakerAllows(open, AT + 5_000)).toBe(true);
    const probing = nextBreaker(open, PROBE, AT + 5_000, NO_JITTER);
    expect(breakerAllows(probing, AT + 5_001)).toBe(false);
    const closed = nextBreaker(probing, SUCCESS, AT + 5_002, NO_JITTER);
    expect(closed).toEqual(CLOSED);
  });

  it('stays open twice as long each time a probe fails, at most 5 minutes', () => {
    let [state, now] = [open, AT];
    const lengths: number[] = [];
    for (let i = 0; i < 12; i++) {
      lengths.push(state.openUntilMs - now);
      now = state.openUntilMs;
      state = nextBreaker(nextBreaker(state, PROBE, now, NO_JITTER), FAILURE, now, NO_JITTER);
    }
    expect(lengths.slice(0, 7)).toEqual([5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000]);
    expect(Math.max(...lengths)).toBe(300_000);
  });

  it('comes back a quarter sooner or later, as drawn', () => {
    const length = (draw: number): number => after(CLOSED, times(5, CONNECT), { draw }).openUntilMs - AT;
    expect([length(0), length(NO_JITTER)]).toEqual([3_750, 5_000]);
    expect(length(1 - 2 ** -53)).toBeCloseTo(6_250, 6);
  });

  it('does not count what was sent before it opened', () => {
    expect(after(open, times(50, FAILURE))).toEqual(open);
    expect(after(open, [SUCCESS]).openUntilMs).toBe(open.openUntilMs);
  });

  it('sends the next probe when one said nothing', () => {
    const probing = nextBreaker(open, PROBE, AT + 5_000, NO_JITTER);
    expect(breakerAllows(nextBreaker(probing, { type: 'neutral' }, AT + 5_001, NO_JITTER), AT + 5_001)).toBe(true);
  });
});

describe('a quota answer', () => {
  const quota = (retryAfterMs: number | undefined): BreakerState => after(CLOSED, [{ type: 'quota', retryAfterMs }]);
  it('cools the backend down for as long as it asks, at most an hour; for a second where it does not say', () => {
    for (const [asked, ms] of [
      [3_000, 3_000],
      [600_000, 600_000],
      [9e9, 3_600_000],
      [undefined, 1_000],
      [-5, 0],
    ] as const) {
      if (ms > 0) expect(breakerAllows(quota(asked), AT + ms - 1)).toBe(false);
      expect(breakerAllows(quota(asked), AT + ms)).toBe(true);
    }
  });

  it('is neither a failure nor over when another call succeeds', () => {
    expect(after(CLOSED, times(100, { type: 'quota', retryAfterMs: 0 })).trips).toBe(0);
    expect(breakerAllows(nextBreaker(quota(3_000), SUCCESS, AT + 1, NO_JITTER), AT + 2_999)).toBe(false);
  });

  it('to a probe says that the backend is well', () => {
    const probing = nextBreaker(open, PROBE, AT + 5_000, NO_JITTER);
    const cooling = nextBreaker(probing, { type: 'quota', retryAfterMs: 2_000 }, AT + 5_000, NO_JITTER);
    expect(cooling).toEqual({ ...CLOSED, quotaUntilMs: AT + 7_000 });
  });
});
