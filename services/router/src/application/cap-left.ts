import type { Refusal } from '@meritorder/contracts';
import { nanosToUsd, type Nanos } from '@meritorder/kernel';
import { boundNanos } from '@meritorder/pricing-core';
import type { Able, Excluded, RequestPolicy } from '@meritorder/routing-core';

/**
 * What is left of a request's cap on what others may charge for it. The cap is one of all attempts together, hedges too: each that
 * was sent has its bound, until it is known to have cost nothing.
 */
export class CapLeft {
  private readonly sent = new Map<string, { backend: string; nanos: Nanos }>();

  /** @param maxTokens what the backend is asked for, of one choice */
  sending(attemptId: string, { backend, bound }: Pick<Able, 'backend' | 'bound'>, maxTokens: number): void {
    this.sent.set(attemptId, { backend: backend.id, nanos: boundNanos(bound.cash, maxTokens) });
  }

  costNothing(attemptId: string): void {
    this.sent.delete(attemptId);
  }

  /** The policy with as much of its cap as is left. */
  of(policy: RequestPolicy): RequestPolicy {
    const { maxCostNanos: cap } = policy;
    const spent = this.spentNanos();
    if (cap === undefined || spent === 0n) return policy;
    const maxCostNanos = spent < cap ? cap - spent : 0n;
    return { ...policy, maxCostNanos, score: { ...policy.score, maxCostUsd: Number(maxCostNanos) / 1e9 } };
  }

  /** Whom a hedge may be sent to: beside an answer that is whole, one that the rest of the cap would cut short is of no use. */
  forHedge(able: readonly Able[], policy: RequestPolicy): { able: Able[]; excluded: Excluded[] } {
    const { maxCostNanos: left = undefined } = this.of(policy);
    const excluded: Excluded[] = [];
    const fitting = able.filter(({ backend, bound, maxTokens }) => {
      const leastNanos = boundNanos(bound.cash, maxTokens);
      if (left === undefined || leastNanos <= left) return true;
      const why = `may cost $${nanosToUsd(leastNanos)} beside what was sent, with $${nanosToUsd(left)} of the cap left`;
      excluded.push({ backend, code: 'above-cap', why, leastNanos });
      return false;
    });
    return { able: fitting, excluded };
  }

  /** Where nobody is left for want of what attempts before may have been charged; undefined: that is not why. @param last how the last one ended */
  refusal(
    { maxCostNanos: cap }: RequestPolicy,
    excluded: readonly Excluded[],
    last: Refusal | undefined,
  ): Refusal | undefined {
    const spent = this.spentNanos();
    if (cap === undefined || spent === 0n) return undefined;
    const short = excluded.filter(({ leastNanos }) => leastNanos !== undefined && leastNanos <= cap);
    if (short.length === 0) return undefined;
    const backends = [...new Set([...this.sent.values()].map(({ backend }) => backend))].join(', ');
    const need = short.map((e) => `${e.backend.id} ${e.why}`).join('; ');
    return {
      code: 'cost_cap',
      message:
        `Of the cap of $${nanosToUsd(cap)}, $${nanosToUsd(spent)} may have been charged already, by ${backends}; ${need}.` +
        (last === undefined ? '' : ` ${last.message}`),
      param: 'meritorder.max_cost_usd',
      details: { ...last?.details, cap_usd: nanosToUsd(cap), spent_usd: nanosToUsd(spent) },
    };
  }

  private spentNanos(): Nanos {
    let sum = 0n;
    for (const { nanos } of this.sent.values()) sum += nanos;
    return sum;
  }
}
