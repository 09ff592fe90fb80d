import type { BackendConfig, ChatRequest, MeteringUsageRatedV1 } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { boundedByOrg } from './bounded-by-org.js';
import { forecastRequest, type ForecastBackend } from './forecast-request.js';
import { learnFromUsage, observationOf, type Observation } from './learn-from-usage.js';
import { emptyLearned, forgetOrg, hasRoom, LEARNED_LIMITS, POOL, type Learned } from './learned.js';
import { learnedOrgs, restoreLearned, snapshotOf } from './snapshot.js';

const NOW = Date.parse('2026-11-24T10:00:00Z');
const backend: ForecastBackend = {
  id: 'gpt',
  kind: 'cloud',
  provider: 'openai',
  model: 'some-model',
  templateTokensPerMessage: 16,
  maxOutputTokens: 16_000,
};
const body = {
  model: 'auto',
  messages: [{ role: 'user', content: 'Please write a story of some length about it. '.repeat(40) }],
} as ChatRequest;

const empty = (shares: readonly string[] = []): Learned =>
  emptyLearned({ tokenizerOf: () => undefined, sharesLearning: (org) => shares.includes(org) });
interface Asked {
  org?: string;
  route?: string;
  task?: string;
  backend?: ForecastBackend;
}
const forecast = (learned: Learned, { org = 'acme', route = 'auto', task, backend: at = backend }: Asked = {}) =>
  forecastRequest(learned, { body, org, route, task }, NOW).of(at);
/** Answers of a length, as usage reports them of requests that were forecast. */
function answer(
  learned: Learned,
  times: number,
  outputTokens: number,
  asked: Asked & Omit<Partial<Observation>, 'backend'> = {},
): void {
  const { org = 'acme', route = 'auto', task, backend: at = backend, ...more } = asked;
  for (let i = 0; i < times; i++) {
    const expectation = forecastRequest(learned, { body, org, route, task }, NOW).expectation(at, 16_000);
    learnFromUsage(learned, {
      org,
      task,
      backend: at.id,
      model: at.model,
      expected: { ...expectation, route, maxTokens: 16_000, choices: 1 },
      inputTokens: 700,
      cacheReadTokens: 0,
      outputTokens,
      reported: true,
      cut: false,
      ...more,
    });
  }
}

describe('what is learned', () => {
  it('is kept by route, task and backend, and lent to those that have not learned yet within the org', () => {
    const learned = empty();
    answer(learned, 500, 900, { task: 'story' });
    answer(learned, 500, 12, { task: 'label' });
    expect(forecast(learned, { task: 'story' }).output.expected).toBeCloseTo(900, -2);
    expect(forecast(learned, { task: 'label' }).output.expected).toBeCloseTo(12, 0);
    const mean = forecast(learned, {}).output.expected;
    expect(mean).toBeGreaterThan(300);
    expect(mean).toBeLessThan(600);
    expect(forecast(learned, { task: 'unheard of' }).output.expected).toBeCloseTo(mean, 3);
    const other = { ...backend, id: 'other' };
    expect(forecast(learned, { task: 'label', backend: other }).output.expected).toBeCloseTo(12, 0);
    answer(learned, 400, 3_000, { task: 'label', backend: other });
    expect(forecast(learned, { task: 'label', backend: other }).output.expected).toBeCloseTo(3_000, -2);
    expect(forecast(learned, { task: 'label' }).output.expected).toBeCloseTo(12, 0);
  });

  it('lends how dense the texts of an org are to a model that reported nothing yet, so that the known one does not look cheaper', () => {
    const learned = empty();
    const other = { ...backend, id: 'claude', model: 'another-model' };
    const unlearned = forecast(learned, { backend: other });
    answer(learned, 5, 100, { inputTokens: Math.round(unlearned.input.expected / 2) });
    const lent = forecast(learned, { backend: other });
    expect(lent.input.expected / forecast(learned).input.expected).toBeCloseTo(1, 1);
    // It is nothing of its own: no coverage, no margin, and gone with the first report.
    expect(lent).toMatchObject({ input: { basis: 'classes' }, inputCoverage: undefined });
    expect(lent.input.upper).toBe(unlearned.input.upper);
    answer(learned, 1, 100, { backend: other, inputTokens: unlearned.input.expected });
    expect(forecast(learned, { backend: other }).input.expected / unlearned.input.expected).toBeCloseTo(1, 1);
    expect(forecast(learned, { org: 'beta', backend: other })).toEqual(unlearned);
  });

  it('says how many answers it rests on, and how many of the later ones stayed within what was stated', () => {
    const learned = empty();
    expect(forecast(learned).output).toMatchObject({ basis: 'prior', seen: 0 });
    answer(learned, 300, 40);
    const { output, inputCoverage, input, split } = forecast(learned);
    expect(output).toMatchObject({ basis: 'learned', seen: 300 });
    expect(output.coverage!.p99).toBeGreaterThan(0.99);
    expect(output.coverage!.judged).toBeGreaterThan(280);
    expect(input.basis).toBe('learned');
    expect(input.expected).toBeGreaterThan(660);
    expect(input.expected).toBeLessThan(740);
    expect(inputCoverage!.share).toBeGreaterThan(0.99);
    expect(split.basis).toBe('learned');
  });

  it('never reaches another org, in any figure (invariant 10)', () => {
    const learned = empty();
    const before = forecast(learned, { org: 'beta' });
    answer(learned, 500, 2_000, { cacheReadTokens: 600 });
    forecastRequest(learned, { body, org: 'acme', route: 'auto' }, NOW).sentTo(backend, NOW);
    expect(forecast(learned, { org: 'acme' }).output.expected).toBeCloseTo(2_000, -2);
    expect(forecast(learned, { org: 'beta' })).toEqual(before);
    expect(learnedOrgs(learned)).toEqual(['acme']);
  });

  it('reaches the pool, and from there only orgs that share, by opt-in alone', () => {
    const learned = empty(['acme', 'gamma']);
    answer(learned, 500, 2_000);
    expect(forecast(learned, { org: 'gamma' }).output.expected).toBeCloseTo(2_000, -2);
    expect(forecast(learned, { org: 'gamma' }).input.basis).toBe('learned');
    expect(forecast(learned, { org: 'beta' }).output.basis).toBe('prior');
    expect(forecast(learned, { org: 'beta' }).input.basis).toBe('classes');
    // An own tail of 400 answers is all that counts, so nobody can push what another has learned.
    answer(learned, 450, 30, { org: 'gamma' });
    expect(forecast(learned, { org: 'gamma' }).output.expected).toBeCloseTo(30, 0);
    expect(learnedOrgs(learned).toSorted()).toEqual([POOL, 'acme', 'gamma']);
  });

  it('of the input is the provider’s own count only, and of lengths only what ended by itself', () => {
    const learned = empty();
    answer(learned, 50, 100, { reported: false });
    expect(forecast(learned)).toMatchObject({
      input: { basis: 'classes' },
      split: { basis: 'none' },
      output: { seen: 50 },
    });
    const cut = empty();
    answer(cut, 300, 500);
    answer(cut, 300, 20, { cut: true });
    expect(forecast(cut).output.expected).toBeGreaterThan(480);
    answer(cut, 10, 0);
    expect(forecast(cut).output.seen).toBe(600);
  });

  it('of several choices is their mean length', () => {
    const learned = empty();
    const expectation = forecastRequest(learned, { body, org: 'acme', route: 'auto' }, NOW).expectation(backend, 1_000);
    for (let i = 0; i < 450; i++)
      learnFromUsage(learned, {
        org: 'acme',
        backend: 'gpt',
        model: 'some-model',
        expected: { ...expectation, route: 'auto', maxTokens: 1_000, choices: 4 },
        inputTokens: 700,
        cacheReadTokens: 0,
        outputTokens: 401,
        reported: true,
        cut: false,
      });
    expect(forecast(learned).output.p95).toBeGreaterThanOrEqual(101);
    expect(forecast(learned).output.p95).toBeLessThanOrEqual(104);
  });
});

describe('the memory of a router', () => {
  it('is bounded: an org that asks for ever new tasks forgets its own, never those of others', () => {
    const learned = empty();
    answer(learned, 30, 77, { org: 'quiet', task: 'steady' });
    for (let i = 0; i < 2_000; i++) answer(learned, 1, 50, { org: 'loud', task: `task ${i}` });
    expect([...learned.lengths.entries('loud')].length).toBe(LEARNED_LIMITS.lengths.perOrg);
    expect(forecast(learned, { org: 'quiet', task: 'steady' }).output.seen).toBe(30);
    // What it uses all the time, it keeps.
    expect(forecast(learned, { org: 'loud', task: 'new' }).output.seen).toBe(2_000);
  });

  it('when full, takes from the org that holds most, and there what was used longest ago', () => {
    const bounded = boundedByOrg<number>({ perOrg: 4, total: 6 });
    for (const key of ['a', 'b', 'c', 'd']) bounded.set('large', key, 1);
    bounded.set('small', 'a', 1);
    bounded.get('large', 'a');
    for (const org of ['one', 'two', 'three']) bounded.set(org, 'a', 1);
    expect(bounded.size).toBe(6);
    expect([...bounded.entries('large')].map(([key]) => key)).toEqual(['d', 'a']);
    expect(bounded.get('small', 'a')).toBe(1);
    bounded.set('large', 'a', 2);
    expect(bounded.size).toBe(6);
  });

  it('has room while any org may fill its share, and again when one was let go, of which only what it sent is left', () => {
    const learned = empty();
    let orgs = 0;
    for (; hasRoom(learned); orgs++) answer(learned, 1, 50, { org: `o-${orgs}`, route: `r-${orgs}` });
    const first = snapshotOf(learned, 'o-0');
    for (let i = 0; i < LEARNED_LIMITS.inputs.perOrg - 2; i++)
      answer(learned, 1, 50, { org: 'late', backend: { ...backend, model: `m-${i}` } });
    expect(snapshotOf(learned, 'o-0')).toEqual(first);
    for (let i = 0; !hasRoom(learned); i++) forgetOrg(learned, `o-${i}`);
    expect(snapshotOf(learned, 'o-0')).toEqual({ format: 1, lengths: [], inputs: [], hits: [] });
    expect(forecast(learned, { org: 'o-0', route: 'r-0' }).output.basis).toBe('prior');
    expect(restoreLearned(learned, 'o-0', JSON.parse(JSON.stringify(first)))).toBe(true);
    expect(snapshotOf(learned, 'o-0')).toEqual(first);
  });
});

describe('a snapshot', () => {
  const learned = empty(['acme']);
  let next = 1;
  for (let i = 0; i < 300; i++) {
    answer(learned, 2, 1 + ((next = (next * 7_919) % 5_003) % 3_000), { task: `task ${i % 5}` });
    answer(learned, 1, 5, { org: 'beta' });
  }

  it('of an org, through JSON, forecasts the same after a restart', () => {
    const restarted = empty(['acme']);
    for (const org of learnedOrgs(learned))
      expect(restoreLearned(restarted, org, JSON.parse(JSON.stringify(snapshotOf(learned, org))))).toBe(true);
    expect(learnedOrgs(restarted).toSorted()).toEqual(learnedOrgs(learned).toSorted());
    for (const asked of [{ task: 'task 1' }, { task: 'other' }, { org: 'beta' }]) {
      const [before, after] = [forecast(learned, asked), forecast(restarted, asked)];
      expect(after.output.expected / before.output.expected).toBeCloseTo(1, 3);
      expect([after.output.p95, after.output.p99, after.output.seen]).toEqual([
        before.output.p95,
        before.output.p99,
        before.output.seen,
      ]);
      expect(after.input).toEqual(before.input);
      expect(after.split.cacheRead).toBeCloseTo(before.split.cacheRead, 3);
    }
  });

  it('holds nothing of another org', () => {
    const text = JSON.stringify(snapshotOf(learned, 'beta'));
    expect(text).not.toContain('task');
    expect(snapshotOf(learned, 'nobody')).toEqual({ format: 1, lengths: [], inputs: [], hits: [] });
  });

  it('of 256 keys with answers of every length is below 1.6 MB', () => {
    const full = empty();
    for (let i = 0; i < LEARNED_LIMITS.lengths.perOrg; i++) answer(full, 1, 10, { task: `task ${i}` });
    for (const [, lengths] of full.lengths.entries('acme')) lengths.counts.fill(0.123_456_789);
    expect(JSON.stringify(snapshotOf(full, 'acme')).length).toBeLessThan(1_600_000);
  });

  it.each<[string, unknown]>([
    ['nothing', null],
    ['a text', 'x'],
    ['another format', { ...snapshotOf(learned, 'beta'), format: 2 }],
    [
      'a bin that does not exist',
      { ...snapshotOf(learned, 'beta'), lengths: [['k', { bins: [99_999], counts: [1] }]] },
    ],
    ['a weight that is no number', { ...snapshotOf(learned, 'beta'), hits: [['k', { planned: 'many' }]] }],
    ['too few sums', { ...snapshotOf(learned, 'beta'), inputs: [['m', { weight: 1, squares: [1] }]] }],
    ['a list without end', { ...snapshotOf(learned, 'beta'), hits: Array.from({ length: 9_999 }, () => ['k', {}]) }],
  ])('that is %s is refused, and nothing is changed', (_label, snapshot) => {
    const untouched = empty();
    expect(restoreLearned(untouched, 'beta', snapshot)).toBe(false);
    expect(learnedOrgs(untouched)).toEqual([]);
  });
});

describe('a rated attempt', () => {
  const expected = {
    ...forecastRequest(empty(), { body, org: 'acme', route: 'auto' }, NOW).expectation(backend, 100),
    route: 'auto',
    maxTokens: 100,
    choices: 1,
  };
  const event = {
    state: 'confirmed',
    cause: 'closed',
    attribution: { org: 'acme', task: 'story' },
    backend: 'gpt',
    model: 'some-model',
    usage: {
      inputTokens: 10,
      cacheReadTokens: 20,
      cacheWrite5mTokens: 3,
      cacheWrite1hTokens: 0,
      outputTokens: 7,
      requests: 1,
      units: { inputImageTokens: 100, outputImageTokens: 50 },
    },
    expected,
  } as unknown as MeteringUsageRatedV1;

  it('teaches all its input, whatever kind, and its output', () => {
    expect(observationOf(event)).toMatchObject({
      org: 'acme',
      task: 'story',
      inputTokens: 133,
      cacheReadTokens: 20,
      outputTokens: 7,
      reported: true,
      cut: false,
    });
    expect(observationOf({ ...event, usageBasis: 'estimated' })!.reported).toBe(false);
    expect(observationOf(event, { cut: true })!.cut).toBe(true);
  });

  it.each<[string, Partial<MeteringUsageRatedV1>]>([
    ['unconfirmed', { state: 'unconfirmed' }],
    ['a correction', { cause: 'price-correction' }],
    ['late usage', { cause: 'late-usage' }],
    ['without usage', { usage: undefined as never }],
    ['without an expectation', { expected: undefined as never }],
  ])('that is %s teaches nothing', (_label, more) => expect(observationOf({ ...event, ...more })).toBeUndefined());
});

describe('an expectation', () => {
  it('is whole tokens within what was granted, for the record of the attempt', () => {
    const learned = empty();
    answer(learned, 100, 900);
    const made = forecastRequest(learned, { body, org: 'acme', route: 'auto' }, NOW).expectation(
      backend as BackendConfig,
      50,
    );
    expect(made).toMatchObject({ outputTokens: 50, outputP95Tokens: 50, outputP99Tokens: 50, cachePlannedTokens: 0 });
    expect(
      Object.values(made)
        .filter((value) => typeof value === 'number')
        .every(Number.isInteger),
    ).toBe(true);
  });
});
