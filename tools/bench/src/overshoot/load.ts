import type { Plan } from './plan.js';
import type { Outcome, RefusalNumbers, Target } from './target.js';

export interface LoadOptions {
  clients: number;
  seconds: number;
  /** Ends earlier when so many were sent. */
  requests?: number | undefined;
  /** A refused client asks again after up to this long. */
  pauseMs: number;
}

export interface LoadResult {
  requests: number;
  admitted: number;
  unanswered: number;
  refused: Record<string, number>;
  /** Refusals by the budget that bound. */
  refusedByBudget: Record<string, number>;
  falseRefusals: RefusalNumbers[];
  refusalMs: number[];
  /** From the first request that was sent to the last. */
  seconds: number;
}

/** Clients that each send the next request as soon as the last one has ended. */
export async function runLoad(
  target: Target,
  plan: Plan,
  options: LoadOptions,
  random: () => number,
): Promise<LoadResult> {
  const result: LoadResult = {
    requests: 0,
    admitted: 0,
    unanswered: 0,
    refused: {},
    refusedByBudget: {},
    falseRefusals: [],
    refusalMs: [],
    seconds: 0,
  };
  const started = performance.now();
  const over = (): boolean =>
    result.requests >= (options.requests ?? Infinity) || performance.now() - started >= options.seconds * 1_000;
  const client = async (): Promise<void> => {
    while (!over()) {
      result.requests++;
      const sent = performance.now();
      result.seconds = (sent - started) / 1_000;
      const outcome = await target.request(plan.next());
      count(result, outcome, performance.now() - sent);
      if (outcome.type !== 'admitted') await new Promise((r) => setTimeout(r, random() * options.pauseMs));
    }
  };
  await Promise.all(Array.from({ length: options.clients }, client));
  return result;
}

function count(result: LoadResult, outcome: Outcome, tookMs: number): void {
  if (outcome.type === 'admitted') result.admitted++;
  else if (outcome.type === 'unanswered') result.unanswered++;
  else {
    result.refused[outcome.code] = (result.refused[outcome.code] ?? 0) + 1;
    if (!outcome.budget) return;
    result.refusalMs.push(tookMs);
    const { numbers } = outcome;
    if (!numbers) return;
    result.refusedByBudget[numbers.budget] = (result.refusedByBudget[numbers.budget] ?? 0) + 1;
    if (isFalseRefusal(numbers)) result.falseRefusals.push(numbers);
  }
}

/** Refused although it would have fitted, by the script's own numbers. */
export function isFalseRefusal(n: RefusalNumbers): boolean {
  return n.limitNanos - n.settledNanos - n.unconfirmedNanos - n.heldNanos >= n.neededNanos;
}
