import { seededRandom } from '@meritorder/kernel';
import {
  emptyOrgQuality,
  learnAnswer,
  learnOutcome,
  learnReport,
  NO_PROMPT,
  predictQuality,
} from '@meritorder/quality-core';
import { choose, DEFAULT_EXPLORATION, scoreCandidates } from '@meritorder/routing-core';
import { describe, expect, it } from 'vitest';
import { cloudCandidate, valuePolicy } from './scored-candidate.js';

describe('learning by choosing', () => {
  /** 3,000 requests over backends of a true quality and cost; the share of each among requests `from` on. */
  function serve(
    truth: Record<string, { quality: number; costUsd: number; fullUsd?: number; fromRequest?: number }>,
    from: number,
    usdPerQuality = 0.01,
  ) {
    const random = seededRandom(4);
    const state = emptyOrgQuality(0);
    const counts: Record<string, number> = {};
    for (let i = 0; i < 3_000; i++) {
      const context = { tags: ['chat'], prompt: NO_PROMPT };
      const live = Object.entries(truth).filter(([, { fromRequest = 0 }]) => i >= fromRequest);
      const candidates = live.map(([id, { costUsd, fullUsd = costUsd }]) => {
        const { quality, variance } = predictQuality(state, id, context);
        return { ...cloudCandidate(id, { quality, variance, costUsd, shadowPrice: 0 }), fullUsd };
      });
      const { scored } = scoreCandidates(valuePolicy(usdPerQuality), candidates);
      const { chosen } = choose(scored, undefined, DEFAULT_EXPLORATION, { holdOut: random(), explore: random() });
      const { id } = chosen.candidate;
      if (i >= from) counts[id] = (counts[id] ?? 0) + 1;
      learnOutcome(state, { model: id, context, quality: random() < truth[id]!.quality ? 1 : 0 }, i * 1_000);
    }
    return (id: string) => (counts[id] ?? 0) / (3_000 - from);
  }

  it('takes the traffic from a dearer and worse backend without being told', () => {
    const share = serve({ good: { quality: 0.8, costUsd: 0.0002 }, dominated: { quality: 0.6, costUsd: 0.0004 } }, 500);
    expect(share('dominated')).toBeLessThan(0.03);
  });

  it('gives a better backend that comes later its chance', () => {
    const share = serve(
      { old: { quality: 0.6, costUsd: 0.0002 }, late: { quality: 0.9, costUsd: 0.0003, fromRequest: 1_000 } },
      2_000,
    );
    expect(share('late')).toBeGreaterThan(0.85);
  });

  it('gives it also beside own hardware, which costs next to nothing for one request more', () => {
    const own = { quality: 0.82, costUsd: 0.00002, fullUsd: 0.0004 };
    const share = serve({ own, late: { quality: 0.97, costUsd: 0.002, fromRequest: 500 } }, 2_500, 0.05);
    expect(share('late')).toBeGreaterThan(0.85);
  });
});

describe('learning by choosing, of complaints alone', () => {
  const TAGS = ['feature:chat', 'feature:chat task:summary'];
  interface Truth {
    prior: number;
    costUsd: number;
    /** Of its answers, how many are retried. */
    retried: number;
  }

  /** Who answers the last half of 4,000 requests, of which nothing is ever told but that some are retried. */
  function serve(truth: Record<string, Truth>, seed: number) {
    const random = seededRandom(seed);
    const state = emptyOrgQuality(0);
    const counts: Record<string, number> = {};
    for (let i = 0; i < 4_000; i++) {
      const atMs = i * 1_000;
      const context = { tags: TAGS, prompt: NO_PROMPT };
      const candidates = Object.entries(truth).map(([id, { prior, costUsd }]) => {
        const { quality, variance } = predictQuality(state, id, context, { quality: prior, outcomes: 20 });
        return cloudCandidate(id, { quality, variance, costUsd, shadowPrice: 0 });
      });
      const { scored } = scoreCandidates(valuePolicy(0.02), candidates);
      const { chosen } = choose(scored, undefined, DEFAULT_EXPLORATION, { holdOut: random(), explore: random() });
      const { id } = chosen.candidate;
      if (i >= 2_000) counts[id] = (counts[id] ?? 0) + 1;
      learnAnswer(state, { model: id, tags: TAGS, atMs }, atMs);
      if (random() >= truth[id]!.retried) continue;
      const prior = { quality: truth[id]!.prior, outcomes: 20 };
      learnReport(
        state,
        { model: id, context, quality: 0, weight: 0.5, prior, judged: false, decidedAtMs: atMs, atMs },
        atMs,
      );
    }
    return (id: string) => (counts[id] ?? 0) / 2_000;
  }
  const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

  it('a few among many answers do not move the traffic to a worse backend', () => {
    for (const seed of SEEDS) {
      const share = serve(
        { good: { prior: 0.9, costUsd: 0.0002, retried: 0.025 }, poor: { prior: 0.7, costUsd: 0.0001, retried: 0.1 } },
        seed,
      );
      expect(share('good')).toBeGreaterThan(0.9);
    }
  });

  it('a backend whose answers are often retried loses its traffic, though it was believed the better one', () => {
    for (const seed of SEEDS) {
      const share = serve(
        { bad: { prior: 0.9, costUsd: 0.0002, retried: 0.4 }, fair: { prior: 0.7, costUsd: 0.0002, retried: 0.05 } },
        seed,
      );
      expect(share('bad')).toBeLessThan(0.1);
    }
  });
});
