import { seededRandom } from '@meritorder/kernel';
import { emptyOrgQuality, learnOutcome, NO_PROMPT, predictQuality } from '@meritorder/quality-core';
import { choose, DEFAULT_EXPLORATION, scoreCandidates } from '@meritorder/routing-core';
import { describe, expect, it } from 'vitest';
import { cloudCandidate, valuePolicy } from './scored-candidate.js';

describe('learning by choosing', () => {
  /** 3,000 requests over backends of a true quality and cost; the share of each among requests `from` on. */
  function serve(truth: Record<string, { quality: number; costUsd: number; fromRequest?: number }>, from: number) {
    const random = seededRandom(4);
    const state = emptyOrgQuality(0);
    const counts: Record<string, number> = {};
    for (let i = 0; i < 3_000; i++) {
      const context = { tags: ['chat'], prompt: NO_PROMPT };
      const live = Object.entries(truth).filter(([, { fromRequest = 0 }]) => i >= fromRequest);
      const candidates = live.map(([id, { costUsd }]) => {
        const { quality, variance } = predictQuality(state, id, context);
        return cloudCandidate(id, { quality, variance, costUsd, shadowPrice: 0 });
      });
      const { scored } = scoreCandidates(valuePolicy(0.01), candidates);
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
});
