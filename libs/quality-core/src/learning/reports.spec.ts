import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { NO_PROMPT, readPrompt } from '../prompt/prompt-features.js';
import { emptyOrgQuality, predictQuality, type OrgQuality, type QualityPrior } from './quality.js';
import { learnAnswer, learnReport } from './reports.js';
import { restoreQuality, snapshotQuality } from './snapshot.js';

const DAY_MS = 86_400_000;
const TAGS = ['feature:chat', 'feature:chat task:qa', 'feature:chat task:qa short'];
const PRIOR: QualityPrior = { quality: 0.9, outcomes: 20 };

interface Told {
  tags?: readonly string[];
  quality?: number;
  weight?: number;
  decidedAtMs?: number;
  atMs?: number;
  text?: string;
  judged?: boolean;
}

function report(state: OrgQuality, model: string, told: Told = {}, pool?: OrgQuality) {
  const { tags = TAGS, quality = 0, weight = 0.5, atMs = 0, decidedAtMs = atMs, text, judged = false } = told;
  const context = { tags, prompt: text === undefined ? NO_PROMPT : readPrompt(text) };
  return learnReport(state, { model, context, quality, weight, prior: PRIOR, judged, decidedAtMs, atMs }, atMs, pool);
}
const answer = (state: OrgQuality, model: string, tags: readonly string[] = TAGS, atMs = 0, pool?: OrgQuality) =>
  learnAnswer(state, { model, tags, atMs }, atMs, pool);
const qualityOf = (state: OrgQuality, model: string, prior = PRIOR, tags: readonly string[] = TAGS, text?: string) =>
  predictQuality(state, model, { tags, prompt: text === undefined ? NO_PROMPT : readPrompt(text) }, prior).quality;

/** Answers, each complained of with that chance, and nothing else said of them. */
function answered(state: OrgQuality, model: string, answers: number, complaintShare: number, seed = 1): void {
  const random = seededRandom(seed);
  for (let i = 0; i < answers; i++) {
    answer(state, model);
    if (random() < complaintShare) report(state, model);
  }
}
/** One that began it. */
function complainedOf(): OrgQuality {
  const state = emptyOrgQuality(0);
  report(state, 'other');
  return state;
}

describe('complaints', () => {
  it('are a share of the answers: two retries of 36 good ones leave them good', () => {
    const state = complainedOf();
    for (let i = 0; i < 36; i++) answer(state, 'm');
    for (let i = 0; i < 2; i++) report(state, 'm');
    expect(qualityOf(state, 'm')).toBeGreaterThan(0.9);
  });

  it.each([0.02, 0.1, 0.3, 0.8])('come to what they are of many answers, at a share of %d', (share) => {
    const state = complainedOf();
    answered(state, 'm', 5_000, share);
    expect(Math.abs(qualityOf(state, 'm') - (1 - share))).toBeLessThan(0.02);
  });

  it('of nearly every answer overrule the prior as soon as other reports, of few of them half as fast', () => {
    const all = complainedOf();
    answered(all, 'm', 20, 1);
    expect(qualityOf(all, 'm')).toBeCloseTo(0.45, 2);
    const none = complainedOf();
    answered(none, 'm', 40, 0);
    expect(qualityOf(none, 'm', { quality: 0.5, outcomes: 20 })).toBeCloseTo(0.75, 2);
  });

  it('put two backends in the order of their shares, whatever is praised of neither', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const state = complainedOf();
      answered(state, 'better', 2_000, 0.02, seed);
      answered(state, 'worse', 2_000, 0.05, 100 + seed);
      expect(qualityOf(state, 'better')).toBeGreaterThan(qualityOf(state, 'worse'));
    }
  });

  it('of requests that came before answers were counted say nothing, nor does the first', () => {
    const state = emptyOrgQuality(0);
    for (let i = 0; i < 200; i++) report(state, 'm', { decidedAtMs: -DAY_MS + i, atMs: i });
    expect(qualityOf(state, 'm')).toBe(PRIOR.quality);
  });

  it('teach nothing of the text', () => {
    const state = complainedOf();
    for (let i = 0; i < 100; i++) {
      answer(state, 'm');
      if (i % 10 === 0) report(state, 'm', { text: 'please sum it up' });
    }
    expect(qualityOf(state, 'm', PRIOR, TAGS, 'please sum it up')).toBe(qualityOf(state, 'm', PRIOR, TAGS, 'other'));
  });

  it('of an edit count as much as was not kept', () => {
    const state = complainedOf();
    for (let i = 0; i < 5_000; i++) {
      answer(state, 'm');
      // One in five is edited, and half of that thrown away; those that nobody edits are not reported.
      if (i % 5 === 0) report(state, 'm', { quality: 0.05, weight: 0.7 });
    }
    expect(qualityOf(state, 'm')).toBeCloseTo(1 - 0.2 * 0.95, 1);
  });
});

describe('silence', () => {
  it('says nothing where nobody complains, where answers are praised too, or once reports have ended', () => {
    const state = emptyOrgQuality(0);
    expect(answer(state, 'm')).toBe(false);
    report(state, 'm', { tags: ['feature:search'] });
    expect([answer(state, 'm'), answer(state, 'm', ['feature:search'])]).toEqual([false, true]);
    report(state, 'm', { tags: ['feature:search'], quality: 1, weight: 1 });
    expect(answer(state, 'm', ['feature:search'])).toBe(false);

    const ended = complainedOf();
    expect(answer(ended, 'm', TAGS, 13 * DAY_MS)).toBe(true);
    expect(answer(ended, 'm', TAGS, 15 * DAY_MS)).toBe(false);
  });

  it('says nothing beside a judge, who finds good and bad, however bad he finds them all', () => {
    const state = emptyOrgQuality(0);
    for (let i = 0; i < 20; i++) {
      report(state, 'm', { weight: 1, judged: true });
      expect(answer(state, 'm')).toBe(false);
    }
    expect(qualityOf(state, 'm')).toBeCloseTo(0.45, 2);
  });

  it('does not count where good and bad are reported: those are learned one by one', () => {
    const state = emptyOrgQuality(0);
    for (let i = 0; i < 200; i++) {
      for (let silent = 0; silent < 10; silent++) answer(state, 'm');
      report(state, 'm', { quality: i % 10 < 6 ? 1 : 0, weight: 1 });
    }
    expect(qualityOf(state, 'm')).toBeCloseTo(0.62, 1);
  });

  it('of an org that shares is the pool’s as far as it is its own', () => {
    const [state, quiet, pool] = [complainedOf(), emptyOrgQuality(0), emptyOrgQuality(0)];
    for (let i = 0; i < 100; i++) {
      answer(state, 'm', TAGS, 0, pool);
      answer(quiet, 'm', TAGS, 0, pool);
    }
    for (let i = 0; i < 50; i++) report(state, 'm', {}, pool);
    const { answers, lost } = pool.models.get('m')!.all;
    expect([answers, lost]).toEqual([100, 50]);
  });
});

describe('what is kept', () => {
  it('has the answers and how reports are read', () => {
    const state = complainedOf();
    answered(state, 'm', 100, 0.2);
    const again = restoreQuality(JSON.parse(JSON.stringify(snapshotQuality(state))))!;
    expect(qualityOf(again, 'm')).toBe(qualityOf(state, 'm'));
    expect(answer(again, 'm')).toBe(true);
    expect(again.reports).toEqual(state.reports);
  });

  it('of a version that counted no answers is read as it is, and goes on', () => {
    const state = emptyOrgQuality(0);
    for (let i = 0; i < 30; i++) report(state, 'm', { quality: i % 3 === 2 ? 0 : 1, weight: 1 });
    const { reports: _reports, ...kept } = JSON.parse(JSON.stringify(snapshotQuality(state))) as {
      reports: unknown;
      models: [string, { all: object; tags: [string, object][] }][];
    };
    for (const [, model] of kept.models) {
      const outcomes = ({ weight, sum, squares }: Record<string, number>) => ({ weight, sum, squares });
      model.all = outcomes(model.all as Record<string, number>);
      model.tags = model.tags.map(([tag, own]) => [tag, outcomes(own as Record<string, number>)]);
    }
    const again = restoreQuality(kept)!;
    expect(qualityOf(again, 'm')).toBeCloseTo(qualityOf(state, 'm'), 6);
    report(again, 'm');
    expect(answer(again, 'm')).toBe(true);
  });

  it('with reports that cannot be read is refused', () => {
    const kept = JSON.parse(JSON.stringify(snapshotQuality(complainedOf()))) as Record<string, unknown>;
    for (const reports of [
      [['a', {}]],
      [[1, {}]],
      {},
      [['a', { all: 1, praise: 0, lastAtMs: 0, countedSinceMs: 'x' }]],
    ])
      expect(restoreQuality({ ...kept, reports })).toBeUndefined();
  });
});
