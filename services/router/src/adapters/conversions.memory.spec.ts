import { EXAMPLES, type MeteringUsageRatedV1, type OutcomeRecordedV1 } from '@meritorder/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryConversions } from './conversions.memory.js';

const MINUTE = 60_000;
const attribution = { org: 'acme', tier: 'premium' };
const rated = EXAMPLES.events['metering.usage-rated.v1'] as MeteringUsageRatedV1;

const EXPECTED = {
  route: 'auto',
  inputTokens: 10,
  inputUpperTokens: 12,
  inputFeatures: { text: 10, tools: 0, messages: 1, images: 0 },
  cacheReadTokens: 0,
  outputTokens: 20,
  outputP95Tokens: 60,
  outputP99Tokens: 90,
  maxTokens: 100,
  choices: 1,
};

let nowMs: number;
let next: number;
let conversions: MemoryConversions;

beforeEach(() => {
  nowMs = Date.parse('2026-09-01T00:00:00Z');
  next = 0;
  conversions = new MemoryConversions({ nowMs: () => nowMs });
});

/** @returns its outcome, to be told */
function request(
  backend: string,
  quality?: number,
): (converted: boolean, more?: Pick<OutcomeRecordedV1, 'wasConverted'>) => void {
  const id = next++;
  const at = new Date(nowMs).toISOString();
  conversions.learnUsage({
    ...rated,
    attemptId: `a${id}`,
    requestId: `r${id}`,
    attribution,
    backend,
    occurredAt: at,
    revision: 1,
    outcome: 'finished',
    expected: quality === undefined ? undefined : { ...EXPECTED, quality },
  });
  return (converted, more) =>
    conversions.learnOutcome({
      outcomeId: `o${next++}`,
      requestId: `r${id}`,
      attribution,
      backend,
      kind: 'conversion',
      converted,
      tags: [],
      decidedAt: at,
      reportedAt: at,
      occurredAt: at,
      ...more,
    });
}

/** All windows are over. */
function read(backend: string, quality = 0.8): ReturnType<ReturnType<MemoryConversions['read']>['of']> {
  nowMs += 15 * 24 * 60 * MINUTE;
  request(backend);
  return conversions.read(attribution).of({ id: backend } as never, { quality, priorQuality: 0.5 });
}

describe('a report of no conversion', () => {
  it('says what silence says', () => {
    const rate = (isReported: boolean): number => {
      for (let i = 0; i < 2_000; i++, nowMs += MINUTE) {
        const outcome = request('gpt');
        if (i % 20 === 0) outcome(true);
        else if (isReported) outcome(false);
      }
      return read('gpt').conversion;
    };
    expect(rate(true)).toBeCloseTo(0.05, 2);
  });

  it('takes back the one that was reported before, also where this router did not hear of that', () => {
    for (let i = 0; i < 2_000; i++, nowMs += MINUTE) {
      const outcome = request('gpt');
      if (i % 10 === 0) outcome(true);
      if (i % 20 === 0) outcome(false, { wasConverted: true });
    }
    expect(read('gpt').conversion).toBeCloseTo(0.05, 2);
  });
});

it('what better answers are worth is learned from all, so that a new backend is expected to convert by its quality', () => {
  for (let i = 0; i < 8_000; i++, nowMs += MINUTE) {
    const isGood = i % 2 === 0;
    const outcome = request(isGood ? 'good' : 'fair', isGood ? 0.8 : 0.6);
    if (i % (isGood ? 50 : 100) === i % 2) outcome(true);
  }
  const [better, worse] = [read('new', 0.9), read('new', 0.5)];
  expect(better.conversion).toBeGreaterThan(1.5 * worse.conversion);
  // By the prior quality, which is .5.
  expect(better.priorConversion).toBeLessThan(0.75 * better.conversion);
});
