import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import type { PacingEvent } from './decide-pacing.js';
import { openWindow, policyOf } from './decide-pacing.js';
import { newPacedBudget } from './paced-budget.js';
import { costAt, daily, DAY, DAY_MS, DEAR_USD, Desk, HOUR_MS, MIDNIGHT_MS, word } from './fixture.for-tests.js';

const TEN_MS = MIDNIGHT_MS + 10 * HOUR_MS;
const kinds = (events: readonly PacingEvent[]) => events.map(({ kind, event }) => `${kind} ${event.why}`);
const prices = (events: readonly PacingEvent[]) => events.filter((e) => e.kind === 'shadow-price');

/** `perHour` requests an hour from one instant to another, looked at every ten minutes. */
function run(desk: Desk, fromMs: number, untilMs: number, perHour: (hour: number) => number): void {
  for (let ms = fromMs; ms < untilMs; ms += HOUR_MS / 6)
    desk.look(ms, Math.round(perHour(((ms - MIDNIGHT_MS) / HOUR_MS) % 24) / 6));
}

it('spending that outlasts its money tightens, prices, and says why', () => {
  const desk = new Desk(daily());
  const events = desk.look(TEN_MS, 40);
  expect(kinds(events)).toEqual(['forecast stage', 'shadow-price stage']);
  expect(events[0]!.event).toMatchObject({ from: 'steady', to: 'tighten', window: DAY, sequence: 1 });
  expect(events[0]!.event.reason).toMatch(/likely above the limit of \$1, which tightens from 80 %/);
  expect(events[1]!.event).toMatchObject({ from: 0, direction: 'tightened', sequence: 2 });
  expect(costAt(desk.state.shown)).toBeLessThan(DEAR_USD);
  expect(policyOf(desk.state)).toMatchObject({ budget: 'org', window: DAY, stage: 'tighten', pinned: false });
});

it('a budget that lasts has no price, and no event but its first projection', () => {
  const desk = new Desk(daily({ limitNanos: '100000000000' }));
  run(desk, TEN_MS, TEN_MS + 6 * HOUR_MS, () => 300);
  expect(desk.state).toMatchObject({ stage: 'steady', shown: 0, inForce: false });
  expect(kinds(desk.events)[0]).toBe('forecast window');
  expect(prices(desk.events)).toEqual([]);
});

it('a budget that is never paced has no price however it ends, one that always is has one while it lasts', () => {
  const off = new Desk(daily({ pacing: 'off' }));
  off.look(TEN_MS, 60);
  expect(off.state).toMatchObject({ stage: 'tighten', shown: 0 });
  const always = new Desk(daily({ pacing: 'always', limitNanos: '1000000000000' }));
  always.look(TEN_MS, 60);
  expect(always.state).toMatchObject({ stage: 'steady', inForce: true });
  expect(always.state.shown).toBeGreaterThan(0);
});

it('a budget that is paced from its first request learns how spending follows its price as soon as a tick has come', () => {
  const desk = new Desk(daily({ pacing: 'always', limitNanos: '1000000000000' }));
  for (const second of [0, 1]) desk.look(TEN_MS + 1_000 * second, 20);
  expect(desk.state).toMatchObject({ shown: 1 });
  expect(desk.state.price!.curve).toBeUndefined();
  desk.look(TEN_MS + 2_000, 20);
  expect(desk.state.price!.curve!.requests).toBe(60);
  // There is money for every dear answer, so that it counts for next to nothing at once.
  expect(desk.state.shown).toBeLessThan(0.1);
  const requests = [3, 4].map((second) => {
    desk.look(TEN_MS + 1_000 * second, 30);
    return desk.state.price!.curve!.requests;
  });
  expect(requests).toEqual([60, 120]);
});

it("a new budget's first day is projected by the shape of its org's other budgets", () => {
  const byHour = (hour: number): number => (hour % 24 >= 10 ? 10 : 1);
  const hours = Array.from({ length: 60 * 24 }, (_, i) => ({
    budget: 'org',
    hour: MIDNIGHT_MS / HOUR_MS - 60 * 24 + i,
    spendUsd: byHour(i),
    requests: byHour(i),
  }));
  const expectedUsd = (of: typeof hours): number => {
    const desk = new Desk(daily(), { budgets: [newPacedBudget('org', MIDNIGHT_MS)], hours: of, attempts: [], log: [] });
    desk.definition = daily({ id: 'team', limitNanos: '100000000000' });
    desk.others.set('org', daily());
    for (let ms = MIDNIGHT_MS; ms < MIDNIGHT_MS + 9 * HOUR_MS; ms += HOUR_MS) desk.look(ms, 10);
    return desk.state.unconstrained!.expectedUsd;
  };
  const nothing = expectedUsd([]);
  expect(nothing).toBeGreaterThan(2);
  expect(nothing).toBeLessThan(4);
  // Fourteen hours with nearly ten times as much are to come.
  expect(expectedUsd(hours)).toBeGreaterThan(3 * nothing);
});

it('a daily cap shifts traffic before it binds: nothing is refused that the first hours would have eaten', () => {
  // 2,400 requests a day; all by the dear backend cost $24, all by the cheap one $2.4.
  const desk = new Desk(daily({ limitNanos: '8000000000' }));
  const history = new Desk(daily({ pacing: 'off', limitNanos: '8000000000' }));
  run(desk, MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS, () => 100);
  run(history, MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS, () => 100);
  const spent = (of: Desk) => Number(of.totals.get(`org ${DAY}`)!.settledNanos) / 1e9;
  const refused = (of: Desk) => of.state.decisions - of.state.charges;
  expect(refused(history)).toBeGreaterThan(1_000);
  expect(refused(desk)).toBe(0);
  expect(spent(desk)).toBeLessThanOrEqual(8);
});

it('three days of a daily rhythm change policy some dozens of times a day, and stages do not flap', () => {
  const desk = new Desk(daily({ limitNanos: '8000000000' }));
  run(desk, MIDNIGHT_MS, MIDNIGHT_MS + 4 * DAY_MS, (hour) => 100 + 60 * Math.sin((hour / 24) * 2 * Math.PI));
  const last = desk.events.filter(({ event }) => event.window === '2026-11-27');
  const stages = last.filter((e) => e.kind === 'forecast' && e.event.from !== e.event.to);
  expect(stages.length).toBeLessThanOrEqual(2);
  expect(last.length).toBeLessThanOrEqual(60);
  for (let i = 1; i < desk.events.length; i++)
    expect(desk.events[i]!.event.sequence).toBe(desk.events[i - 1]!.event.sequence + 1);
});

it('a new window begins steady where nothing is projected, with the mean price kept for when it tightens', () => {
  const desk = new Desk(daily());
  desk.look(TEN_MS, 40);
  const tightened = desk.state.price!.lambda;
  const events = desk.step(MIDNIGHT_MS + DAY_MS);
  expect(desk.state).toMatchObject({ windowId: '2026-11-25', spentNanos: '0' });
  expect(desk.state.price!.window.id).toBe('2026-11-25');
  expect(desk.state.price!.lambda).toBeCloseTo(tightened, 6);
  expect(events.every(({ event }) => event.window === '2026-11-25')).toBe(true);
});

it('a price that is kept of the last window is the first of the next where no request of it is logged', () => {
  const desk = new Desk(daily());
  desk.look(TEN_MS, 40);
  const kept = desk.state.price!.lambda;
  expect(kept).toBeGreaterThan(1.5);
  const next = new Desk(daily(), { budgets: [desk.state], hours: [], attempts: [], log: [] });
  next.step(MIDNIGHT_MS + DAY_MS);
  expect(next.state).toMatchObject({ stage: 'steady', inForce: false });
  next.words.set('org', word({ stage: 'tighten', changedAt: '2026-11-25T00:00:01.000Z' }));
  next.step(MIDNIGHT_MS + DAY_MS + 1_000);
  expect(next.state.inForce).toBe(true);
  expect(next.state.shown).toBeCloseTo(kept, 6);
});

it('an operator pins a price and a stage, pauses and lets go, and every event says who', () => {
  const desk = new Desk(daily());
  desk.look(TEN_MS, 40);
  desk.words.set('org', word({ shadowPrice: 7, changedAt: '2026-11-24T10:00:01.000Z' }));
  expect(kinds(desk.step(TEN_MS + 1_000))).toEqual(['forecast operator', 'shadow-price operator']);
  expect(policyOf(desk.state)).toMatchObject({ shadowPrice: 7, pinned: true, paused: false });
  expect(desk.events.at(-1)!.event).toMatchObject({ by: 'ada', to: 7 });
  desk.words.set('org', word({ stage: 'steady', changedAt: '2026-11-24T10:00:02.000Z' }));
  desk.step(TEN_MS + 2_000);
  desk.look(TEN_MS + 120_000, 60);
  expect(policyOf(desk.state)).toMatchObject({ shadowPrice: 0, stage: 'steady', pinned: true });
  desk.words.set('org', word({ paused: true, changedAt: '2026-11-24T10:00:03.000Z' }));
  desk.step(TEN_MS + 180_000);
  const told = desk.events.length;
  desk.look(TEN_MS + 300_000, 60);
  expect(policyOf(desk.state)).toMatchObject({ shadowPrice: 0, stage: 'steady', paused: true });
  expect(desk.events.slice(told).filter((e) => e.kind === 'shadow-price')).toEqual([]);
  desk.words.set('org', word({ changedAt: '2026-11-24T10:00:04.000Z' }));
  desk.step(TEN_MS + 360_000);
  expect(desk.state).toMatchObject({ stage: 'tighten', inForce: true });
  expect(desk.events.at(-1)!.event.reason).toContain('ada');
});

describe('a price event', () => {
  const reasons = (of: readonly PacingEvent[]) => prices(of).map(({ event }) => event.reason.replace(/^.*?: /, ''));

  it('says of the first price that it is, and from how many requests, not that a window began', () => {
    const desk = new Desk(daily({ pacing: 'always', limitNanos: '1000000000000' }));
    const events = [0, 1, 2].flatMap((second) => desk.look(TEN_MS + 1_000 * second, 20));
    expect(reasons(events)).toEqual(['it is always paced', 'it is the first price, from the last 60 requests']);
    expect(prices(events).map(({ event }) => event.why)).toEqual(['stage', 'stage']);
  });

  it.each(['always', 'projected'] as const)('tells of a window when one began and at no other look: %s', (pacing) => {
    const random = seededRandom(11);
    for (let trial = 0; trial < 10; trial++) {
      const desk = new Desk(daily({ pacing, limitNanos: String(Math.round(4e9 * random() + 0.2e9)) }));
      const seen = new Set<string>();
      let told = 0;
      for (let ms = MIDNIGHT_MS + 1_000; ms < MIDNIGHT_MS + 3 * DAY_MS; ms += HOUR_MS / 6) {
        const events = desk.look(ms, Math.floor(40 * random() ** 2));
        const began = !seen.has(desk.state.windowId!);
        seen.add(desk.state.windowId!);
        const ofWindow = prices(events).filter(({ event }) => event.why === 'window' || /window/.test(event.reason));
        if (!began) expect(reasons(ofWindow as PacingEvent[])).toEqual([]);
        told += ofWindow.length;
      }
      expect(seen.size).toBe(3);
      if (pacing === 'always') expect(told).toBeGreaterThan(0);
    }
  });
});

describe('what a budget can spare', () => {
  const EVENING_MS = MIDNIGHT_MS + 23 * HOUR_MS;

  /** A day of 12 requests an hour, spent by its evening: by the dear backend they would cost $2.88, by the cheap one $0.288. */
  function spentDay(): Desk {
    const desk = new Desk(daily({ pacing: 'always' }));
    for (let ms = MIDNIGHT_MS + 1_000; ms < EVENING_MS; ms += HOUR_MS / 6) desk.look(ms, 2);
    desk.spend('org', DAY, 1);
    desk.look(EVENING_MS - 1_000, 2);
    expect(policyOf(desk.state)).toMatchObject({ window: DAY, spareRoomNanos: '0' });
    return desk;
  }

  it('is no rule at a price that an operator pins, and is one again when it is let go', () => {
    const desk = spentDay();
    desk.words.set('org', word({ shadowPrice: 0, changedAt: '2026-11-24T23:00:00.000Z' }));
    desk.step(EVENING_MS);
    expect(policyOf(desk.state)).toMatchObject({ shadowPrice: 0, pinned: true });
    expect(policyOf(desk.state)).not.toHaveProperty('spareRoomNanos');
    desk.look(EVENING_MS + 60_000, 1);
    expect(policyOf(desk.state)).not.toHaveProperty('spareRoomNanos');
    desk.words.set('org', word({ changedAt: '2026-11-24T23:02:00.000Z' }));
    desk.step(EVENING_MS + 120_000);
    expect(policyOf(desk.state)).toMatchObject({ spareRoomNanos: '0', pinned: false });
  });

  it('stays a rule at a pinned stage, whose price is found as ever', () => {
    const desk = spentDay();
    desk.words.set('org', word({ stage: 'tighten', changedAt: '2026-11-24T23:00:00.000Z' }));
    desk.step(EVENING_MS);
    expect(policyOf(desk.state)).toMatchObject({ spareRoomNanos: '0', pinned: true });
  });

  it('is read on while an operator pauses: nothing of a spent evening is left in the next day', () => {
    const desk = spentDay();
    desk.words.set('org', word({ paused: true, changedAt: '2026-11-24T23:00:00.000Z' }));
    desk.look(EVENING_MS, 1);
    const { shown } = desk.state;
    for (const hour of [1, 6, 12]) {
      desk.look(MIDNIGHT_MS + DAY_MS + hour * HOUR_MS, 1);
      const policy = policyOf(desk.state);
      expect(policy).toMatchObject({ window: '2026-11-25', shadowPrice: shown, paused: true });
      // $1 less some thousandths, and less what the rest of a day like the last costs by the cheapest.
      expect(Number(policy.spareRoomNanos)).toBeGreaterThan(0.6e9);
      expect(Number(policy.spareRoomNanos)).toBeLessThan(1e9);
    }
  });

  it('is not known of a window that was opened and not looked at yet', () => {
    const desk = spentDay();
    const opened = openWindow(desk.state, desk.definition, MIDNIGHT_MS + DAY_MS + 1_000);
    expect(opened).toMatchObject({ windowId: '2026-11-25', roomNanos: null });
  });
});

it('a chance that wavers between relaxing and warning changes nothing, however often', () => {
  const desk = new Desk(daily({ limitNanos: '1000000000000' }));
  desk.look(TEN_MS, 60);
  const { expectedUsd } = desk.state.unconstrained!;
  /** The limit that is exceeded with a chance, of whose normal quantile the first argument is. */
  const limit = (quantile: number): string =>
    Math.round(1e9 * (0.6 + (expectedUsd - 0.6) * Math.exp(quantile * (Math.LN2 / 1.2816)))).toString();
  const [at90, at70, at55, at40, at20] = [-1.2816, -0.5244, -0.1257, 0.2533, 0.8416].map(limit);
  const stages = [at40, at20, at40, at55, at40, at55, at90, at70, at40, at55, at40, at20, at40].map((limitNanos) => {
    desk.definition = daily({ limitNanos: limitNanos! });
    desk.step(TEN_MS);
    return desk.state.stage;
  });
  expect(stages.slice(0, 6)).toEqual(['steady', 'steady', 'steady', 'warn', 'warn', 'warn']);
  expect(stages.slice(6)).toEqual(['tighten', 'tighten', 'tighten', 'tighten', 'tighten', 'steady', 'steady']);
});

it('a total has no end to be paced to', () => {
  const desk = new Desk(daily({ window: 'total' }));
  desk.step(TEN_MS);
  expect(desk.state).toMatchObject({ windowId: 'total', price: null, shown: 0, stage: 'steady' });
});
