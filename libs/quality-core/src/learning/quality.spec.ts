import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { NO_PROMPT, readPrompt } from '../prompt/prompt-features.js';
import { calibrationErrorOf } from './calibration.js';
import {
  adoptShift,
  emptyOrgQuality,
  HALF_LIFE_MS,
  learnOutcome,
  MODELS_PER_ORG,
  predictQuality,
  TAGS_PER_MODEL,
  UNKNOWN_PRIOR,
  type OrgQuality,
  type QualityContext,
  type QualityPrior,
} from './quality.js';
import { restoreQuality, snapshotQuality } from './snapshot.js';

const tagged = (...tags: string[]): QualityContext => ({ tags, prompt: NO_PROMPT });
const asked = (text: string): QualityContext => ({ tags: [], prompt: readPrompt(text) });

function learnMany(state: OrgQuality, context: QualityContext, rate: number, times: number, random = seededRandom(7)) {
  const shifts = [];
  for (let i = 0; i < times; i++) {
    const shift = learnOutcome(state, { model: 'm', context, quality: random() < rate ? 1 : 0 }, 0);
    if (shift) shifts.push({ ...shift, after: i });
  }
  return shifts;
}

describe('quality by tag', () => {
  it('is the prior before anything is learned, with all of its uncertainty', () => {
    const { quality, outcomes } = predictQuality(emptyOrgQuality(0), 'm', tagged('a'));
    expect({ quality, outcomes }).toEqual({ quality: UNKNOWN_PRIOR.quality, outcomes: 0 });
  });

  it('shrinks the model to the prior and the tag to the model: (S + k * parent) / (N + k)', () => {
    const state = emptyOrgQuality(0);
    const prior = { quality: 0.5, outcomes: 20 };
    const learn = (tag: string, quality: number) =>
      learnOutcome(state, { model: 'm', context: tagged(tag), quality, prior }, 0);
    for (let i = 0; i < 10; i++) learn('a', 1);
    const said = (tag: string) => predictQuality(state, 'm', tagged(tag), prior).uncalibrated;
    const model = (10 + 20 * 0.5) / 30;
    expect(said('b')).toBeCloseTo(model, 12);
    // The same ten are not in what the tag is shrunken to: each counts once.
    expect(said('a')).toBeCloseTo(model, 12);
    for (let i = 0; i < 30; i++) learn('b', 0);
    const others = (20 * 0.5) / 50;
    expect(said('a')).toBeCloseTo((10 + 20 * others) / 30, 12);
  });

  describe.each([
    ['no tags', tagged()],
    ['three tags', tagged('feature:chat', 'feature:chat task:qa', 'feature:chat task:qa short')],
    ['three tags and text', undefined],
  ])('of a prior of N outcomes, with %s', (_, context) => {
    const words = 'alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu'.split(' ');
    /** Prompts as they come: much is the same in all, some words are not. */
    const contextOf = (random: () => number): QualityContext =>
      context ?? {
        tags: ['feature:chat', 'feature:chat task:qa', 'feature:chat task:qa short'],
        prompt: readPrompt(
          `please tell me of ${Array.from({ length: 5 }, () => words[Math.floor(random() * words.length)]).join(' ')}`,
        ),
      };
    const after = (prior: QualityPrior, reports: number, qualityOf: (random: () => number) => number): number => {
      const [state, random] = [emptyOrgQuality(0), seededRandom(prior.outcomes)];
      for (let i = 0; i < reports; i++)
        learnOutcome(state, { model: 'm', context: contextOf(random), quality: qualityOf(random), prior }, 0);
      return predictQuality(state, 'm', contextOf(random), prior).quality;
    };

    it.each([2, 20, 200, 10_000])('N = %d reports overrule it by half, to a hundredth', (outcomes) => {
      const prior = { quality: 0.9, outcomes };
      expect(after(prior, outcomes, () => 0)).toBeCloseTo(0.45, 2);
      expect(after({ quality: 0.2, outcomes }, outcomes, () => 1)).toBeCloseTo(0.6, 2);
    });

    it('a few reports change little of a prior that says to count for thousands', () => {
      expect(after({ quality: 0.9, outcomes: 10_000 }, 20, () => 0)).toBeGreaterThan(0.89);
    });

    it('what varies overrules it by half as well, to a twentieth, and no shift is seen in a prior that was wrong', () => {
      const prior = { quality: 0.9, outcomes: 2_000 };
      expect(Math.abs(after(prior, 2_000, (random) => (random() < 0.5 ? 1 : 0)) - 0.7)).toBeLessThan(0.05);
    });
  });

  it('lets a prior hold that counts for more than what others have learned', () => {
    const pool = emptyOrgQuality(0);
    learnMany(pool, tagged(), 0.2, 100);
    const prior = { quality: 0.9, outcomes: 10_000 };
    expect(predictQuality(emptyOrgQuality(0), 'm', tagged('a'), prior, pool).quality).toBeGreaterThan(0.89);
  });

  it('of an org that shares counts what it told once, though the pool has it too', () => {
    const [own, pool] = [emptyOrgQuality(0), emptyOrgQuality(0)];
    const prior = { quality: 0.9, outcomes: 20 };
    for (const state of [own, pool])
      for (let i = 0; i < 20; i++) learnOutcome(state, { model: 'm', context: tagged('a'), quality: 0, prior }, 0);
    expect(predictQuality(own, 'm', tagged('a'), prior, pool).quality).toBeCloseTo(0.45, 2);
  });

  it('grows certain with outcomes, and is less so for a tag that is new', () => {
    const state = emptyOrgQuality(0);
    const before = predictQuality(state, 'm', tagged('a')).variance;
    learnMany(state, tagged('a'), 0.8, 200);
    const known = predictQuality(state, 'm', tagged('a')).variance;
    expect(known).toBeLessThan(before / 10);
    expect(predictQuality(state, 'm', tagged('b')).variance).toBeGreaterThan(4 * known);
  });

  it('forgets half of its evidence in 14 days', () => {
    const state = emptyOrgQuality(0);
    learnMany(state, tagged('a'), 1, 64);
    learnOutcome(state, { model: 'other', context: tagged('a'), quality: 1 }, HALF_LIFE_MS);
    expect(predictQuality(state, 'm', tagged('a')).outcomes).toBeCloseTo(32, 9);
  });

  it('keeps a bounded number of models and tags, those learned of last', () => {
    const state = emptyOrgQuality(0);
    for (let i = 0; i < MODELS_PER_ORG + 3; i++)
      learnOutcome(state, { model: `m${i}`, context: tagged('a'), quality: 1 }, 0);
    expect([state.models.size, state.models.has('m2'), state.models.has('m3')]).toEqual([MODELS_PER_ORG, false, true]);
    for (let i = 0; i < TAGS_PER_MODEL + 3; i++)
      learnOutcome(state, { model: 'm', context: tagged(`t${i}`), quality: 1 }, 0);
    expect(state.models.get('m')?.tags.size).toBe(TAGS_PER_MODEL);
  });

  it('lets a pool of other orgs speak first, and be overruled by a hundred own outcomes', () => {
    const pool = emptyOrgQuality(0);
    learnMany(pool, tagged(), 0.2, 5_000);
    const own = emptyOrgQuality(0);
    expect(predictQuality(own, 'm', tagged(), UNKNOWN_PRIOR, pool).quality).toBeCloseTo(0.2, 1);
    learnMany(own, tagged(), 0.9, 100);
    expect(predictQuality(own, 'm', tagged(), UNKNOWN_PRIOR, pool).quality).toBeGreaterThan(0.75);
  });

  it('refuses what is not a quality', () => {
    const learn = (quality: number, weight?: number) => () =>
      learnOutcome(
        emptyOrgQuality(0),
        { model: 'm', context: tagged(), quality, ...(weight === undefined ? {} : { weight }) },
        0,
      );
    for (const bad of [learn(1.1), learn(-0.1), learn(Number.NaN), learn(1, 0), learn(1, 2)])
      expect(bad).toThrow(/within|above/);
  });
});

describe('quality by text', () => {
  it('tells apart what no tag tells apart', () => {
    const state = emptyOrgQuality(0);
    const random = seededRandom(3);
    const [good, bad] = ['translate this sentence to French', 'prove the following theorem of topology'];
    for (let i = 0; i < 300; i++) {
      const text = random() < 0.5 ? good : bad;
      const quality = random() < (text === good ? 0.9 : 0.4) ? 1 : 0;
      learnOutcome(state, { model: 'm', context: asked(`${text} ${Math.floor(random() * 1e6)}`), quality }, 0);
    }
    expect(predictQuality(state, 'm', asked(`${good} 123456`)).quality).toBeGreaterThan(0.8);
    expect(predictQuality(state, 'm', asked(`${bad} 123456`)).quality).toBeLessThan(0.5);
  });

  it('counts one outcome as a few at most for the same text, and as fewer for another, however short or odd', () => {
    const prior = { quality: 0.82, outcomes: 20 };
    const after = (failures: number): number => (0.82 * 20) / (20 + failures);
    for (const text of ['Say it.', 'Write 5 words.', 'OK', 'Tell me how a merit order works. '.repeat(60)]) {
      const state = emptyOrgQuality(0);
      learnOutcome(state, { model: 'm', context: asked(text), quality: 0, prior }, 0);
      expect(predictQuality(state, 'm', asked(text), prior).uncalibrated).toBeGreaterThan(after(5));
      const other = predictQuality(state, 'm', asked('What is the capital of France?'), prior);
      expect(other.uncalibrated).toBeGreaterThan(after(3));
    }
  });

  it('reads a prompt of any length in bounded features, and numbers as their length', () => {
    expect(readPrompt('the price of tea '.repeat(100_000)).buckets.length).toBeLessThan(20);
    expect(readPrompt('add 12 and 34').buckets).toEqual(readPrompt('add 98 and 76').buckets);
    expect(readPrompt('')).toBe(NO_PROMPT);
  });

  it('reads a prompt that counts as shorter as if its middle were left out', () => {
    const text = Array.from({ length: 2_000 }, (_, i) => `word${i % 7}? ${i} `).join('');
    const without = text.slice(0, 2_048) + text.slice(-2_048);
    expect(readPrompt(text, 4_096)).toEqual(readPrompt(without));
    expect(readPrompt(text, 4_096)).not.toEqual(readPrompt(text));
  });

  it('of a model is its own, whatever models come and go beside it', () => {
    const lessons = Array.from({ length: 40 }, (_, i) => ({
      context: asked(`${i % 2 ? 'prove the theorem' : 'say hello'} number ${i}`),
      quality: i % 2,
    }));
    const [alone, among] = [emptyOrgQuality(0), emptyOrgQuality(0)];
    lessons.forEach(({ context, quality }, i) => {
      learnOutcome(alone, { model: 'm', context, quality }, 0);
      learnOutcome(among, { model: 'm', context, quality }, 0);
      // More than there is room for: columns are given back and taken again.
      for (let other = 0; other < 5; other++)
        learnOutcome(among, { model: `other-${i}-${other}`, context, quality: 1 - quality }, 0);
    });
    expect(among.models.size).toBe(MODELS_PER_ORG);
    for (const { context } of lessons)
      expect(predictQuality(among, 'm', context)).toEqual(predictQuality(alone, 'm', context));
    for (const state of [among, alone])
      learnOutcome(state, { model: 'new', context: lessons[1]!.context, quality: 0.5 }, 0);
    expect(predictQuality(among, 'new', lessons[0]!.context)).toEqual(
      predictQuality(alone, 'new', lessons[0]!.context),
    );
  });

  it('is finite for every text', () => {
    const state = emptyOrgQuality(0);
    for (const text of ['\u{1f600}', 'ÄÖ ß', '漢字かな', '\0', 'a'.repeat(5_000), '((((', ' ', '\ud800']) {
      learnOutcome(state, { model: 'm', context: asked(text), quality: 1 }, 0);
      const { quality, variance } = predictQuality(state, 'm', asked(text));
      expect([quality >= 0 && quality <= 1, variance > 0]).toEqual([true, true]);
    }
  });
});

describe('a silent update of a model', () => {
  it('is noticed within 100 outcomes of a fall from .9 to .6, and the old evidence gives way', () => {
    const state = emptyOrgQuality(0);
    const random = seededRandom(11);
    learnMany(state, tagged('a'), 0.9, 1_000, random);
    const shifts = learnMany(state, tagged('a'), 0.6, 200, random);
    expect(shifts[0]).toMatchObject({ model: 'm', direction: 'worse' });
    expect(shifts[0]?.after).toBeLessThan(100);
    expect(predictQuality(state, 'm', tagged('a')).quality).toBeLessThan(0.7);
  });

  it('is told with since when, and with what was expected and what came of the same requests', () => {
    const state = emptyOrgQuality(0);
    const random = seededRandom(11);
    let shift;
    for (let i = 0; i < 1_200 && shift === undefined; i++) {
      const quality = random() < (i < 1_000 ? 0.9 : 0.6) ? 1 : 0;
      shift = learnOutcome(state, { model: 'm', context: tagged('a'), quality, atMs: i }, 5_000);
    }
    expect(shift).toMatchObject({ model: 'm', direction: 'worse', threshold: 16 });
    expect(shift!.deviations).toBeGreaterThanOrEqual(16);
    // It fell at 1,000.
    expect(Math.abs(shift!.sinceMs - 1_000)).toBeLessThan(25);
    expect(shift!.outcomes).toBe(shift!.noticedAtMs - shift!.sinceMs + 1);
    expect(shift!.expected).toBeGreaterThan(0.75);
    // Of some 50 outcomes at .6 the mean is within .14 of it in 95 of 100 cases.
    expect(Math.abs(shift!.observed - 0.6)).toBeLessThan(0.14);
  });

  it('that another noticed first is taken over once, and not noticed again', () => {
    const [first, second] = [emptyOrgQuality(0), emptyOrgQuality(0)];
    const random = seededRandom(11);
    const noticed: [string, number][] = [];
    for (let i = 0; i < 1_400; i++) {
      const quality = random() < (i < 1_000 ? 0.9 : 0.6) ? 1 : 0;
      const outcome = { model: 'm', context: tagged('a'), quality, atMs: i };
      const shift = learnOutcome(first, outcome, 0);
      if (shift) {
        noticed.push(['first', i]);
        expect(adoptShift(second, shift)).toBe(true);
        expect(adoptShift(second, shift)).toBe(false);
        expect(adoptShift(first, shift)).toBe(false);
      }
      // It was away for a while and knows less.
      if ((i < 300 || i > 500) && learnOutcome(second, outcome, 0)) noticed.push(['second', i]);
    }
    expect(noticed).toEqual([['first', expect.any(Number)]]);
  });

  it('is watched on by one that starts from what a version before kept', () => {
    const state = emptyOrgQuality(0);
    learnMany(state, tagged('a'), 0.9, 200, seededRandom(3));
    const kept = JSON.parse(JSON.stringify(snapshotQuality(state))) as { models: [string, { shift: object }][] };
    const { better, worse, outcomes } = kept.models[0]![1].shift as Record<string, number>;
    kept.models[0]![1].shift = { better, worse, outcomes };
    const again = restoreQuality(kept)!;
    expect(learnMany(again, tagged('a'), 0.4, 200, seededRandom(4))[0]).toMatchObject({ direction: 'worse' });
  });

  it('is noticed when it is an improvement', () => {
    const state = emptyOrgQuality(0);
    const random = seededRandom(12);
    learnMany(state, tagged('a'), 0.4, 1_000, random);
    expect(learnMany(state, tagged('a'), 0.8, 200, random)[0]?.direction).toBe('better');
  });

  it('is seldom reported of a model that did not change: at most 2 times in 20,000 outcomes at any rate', () => {
    for (const rate of [0.1, 0.5, 0.9, 0.98]) {
      const state = emptyOrgQuality(0);
      expect(learnMany(state, tagged('a'), rate, 20_000, seededRandom(rate * 100)).length).toBeLessThanOrEqual(2);
    }
  });
});

describe('calibration', () => {
  it('brings what the text overstates back to what happens', () => {
    const state = emptyOrgQuality(0);
    const random = seededRandom(5);
    for (let i = 0; i < 2_000; i++) {
      const words = Array.from({ length: 8 }, () => `w${'abcdefghij'[Math.floor(random() * 10)]}`).join(' ');
      learnOutcome(state, { model: 'm', context: asked(words), quality: random() < 0.7 ? 1 : 0 }, 0);
    }
    expect(calibrationErrorOf(state.models.get('m')!.calibration)).toBeLessThan(0.05);
  });
});

describe('a snapshot', () => {
  it('through JSON predicts the same, and goes on learning the same', () => {
    const state = emptyOrgQuality(0);
    learnMany(state, { tags: ['a'], prompt: readPrompt('write a poem about the sea') }, 0.7, 50);
    const restored = restoreQuality(JSON.parse(JSON.stringify(snapshotQuality(state))));
    const context = { tags: ['a'], prompt: readPrompt('write a song about the sea') };
    expect(restored && predictQuality(restored, 'm', context).quality).toBeCloseTo(
      predictQuality(state, 'm', context).quality,
      5,
    );
    for (const own of [state, restored!]) learnOutcome(own, { model: 'm', context, quality: 1 }, 1);
    expect(predictQuality(restored!, 'm', context).variance).toBeCloseTo(
      predictQuality(state, 'm', context).variance,
      6,
    );
  });

  it('that is none, or is damaged, is refused', () => {
    const state = emptyOrgQuality(0);
    learnMany(state, tagged('a'), 0.7, 5);
    const good = JSON.parse(JSON.stringify(snapshotQuality(state))) as { models: [string, Record<string, unknown>][] };
    for (const bad of [null, {}, { ...good, format: 2 }, { ...good, models: [['m', {}]] }])
      expect(restoreQuality(bad)).toBeUndefined();
    good.models[0]![1]['words'] = [[-1, 0, 0.1]];
    expect(restoreQuality(good)).toBeUndefined();
  });
});
