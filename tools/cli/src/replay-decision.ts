import { replay } from '@meritorder/routing-core';
import type { Decided } from './explain-text.js';

/**
 * Decides each attempt of a request again from its record.
 * @returns what to say, and the exit code: 0 all came out the same, 1 one did not, 2 one cannot be replayed.
 */
export function replayDecisions({ attempts }: Decided): { lines: string[]; exitCode: 0 | 1 | 2 } {
  const lines: string[] = [];
  let exitCode: 0 | 1 | 2 = 0;
  for (const { record } of attempts) {
    const name = `replay of attempt ${record.attemptNumber}`;
    const again = replay(record);
    if (!again.replayable) {
      lines.push(`${name}: not replayable, ${again.why}`);
      if (exitCode === 0) exitCode = 2;
    } else if (again.same) {
      const { order, kind } = again.decision;
      const candidates = `${order.length} candidate${order.length === 1 ? '' : 's'}`;
      lines.push(
        order.length === 0
          ? `${name}: the same, no candidate is able`
          : `${name}: the same order of ${candidates}, first ${order[0]!.candidate.id} (${kind}), every score and probability to the last digit`,
      );
    } else {
      lines.push(`${name}: NOT the same`, ...again.differences.map((difference) => `  ${difference}`));
      exitCode = 1;
    }
  }
  return { lines, exitCode };
}
