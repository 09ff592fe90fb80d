import type { RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { decide, type Decision } from './decide.js';
import type { ScoreCandidate } from './score.js';

/** What came of deciding a record again. */
export type Replay =
  | { replayable: false; why: string }
  | {
      replayable: true;
      decision: Decision;
      same: boolean;
      /** What is different, for people; empty: nothing. */
      differences: string[];
    };

/** The candidates of a record as the score takes them: those that were able, whatever came of them. */
export function candidatesOf(record: RoutingDecisionMadeV1): ScoreCandidate[] {
  return record.candidates.flatMap(({ backend, numbers, expectedCashUsd, expectedFullUsd }) =>
    numbers === undefined || expectedCashUsd === null || expectedFullUsd === null
      ? []
      : [{ id: backend, ...numbers, cashUsd: expectedCashUsd, fullUsd: expectedFullUsd }],
  );
}

/** Decides again from the record alone, by the function that decided (design, section 6, number 13). */
export function replay(record: RoutingDecisionMadeV1): Replay {
  const { policy, draws, order } = record;
  if (policy === undefined || draws === undefined || order === undefined)
    return { replayable: false, why: 'it is of a version that did not keep policy, draws and order' };
  const decision = decide(policy, candidatesOf(record), draws);
  const again = decision.order.map((s) => s.candidate.id);
  const differences: string[] = [];
  if (again.join() !== order.join()) differences.push(`order: ${again.join(' ')} instead of ${order.join(' ')}`);
  if (record.choice !== null && !again.includes(record.choice)) differences.push(`${record.choice} would not be able`);
  const probability = decision.probabilities[0] ?? 0;
  if (probability !== record.probability)
    differences.push(`probability: ${probability} instead of ${record.probability}`);
  if (decision.order.length > 0 && decision.kind !== record.choiceKind)
    differences.push(`kind: ${decision.kind} instead of ${record.choiceKind ?? 'none'}`);
  if (record.explorationIncomeUsd !== decision.guard?.incomeUsd)
    differences.push(
      `income: ${decision.guard?.incomeUsd ?? 'none'} instead of ${record.explorationIncomeUsd ?? 'none'}`,
    );
  differences.push(...differencesOfCandidates(record, decision));
  return { replayable: true, decision, same: differences.length === 0, differences };
}

/** Of scores and probabilities, as far as the record kept them, and of what the exploration guard said. */
function differencesOfCandidates(record: RoutingDecisionMadeV1, decision: Decision): string[] {
  const again = new Map(
    decision.order.map(({ candidate: { id }, scoreUsd }, i) => [
      id,
      { scoreUsd, probability: decision.probabilities[i] as number },
    ]),
  );
  return record.candidates.flatMap(({ backend, scoreUsd, probability, mostExplored }) => {
    const now = again.get(backend);
    const most = decision.guard?.most.get(backend);
    return [
      ...(scoreUsd === undefined || scoreUsd === now?.scoreUsd
        ? []
        : [`score of ${backend}: ${now?.scoreUsd ?? 'none'} instead of ${scoreUsd}`]),
      ...(probability === undefined || probability === now?.probability
        ? []
        : [`probability of ${backend}: ${now?.probability ?? 'none'} instead of ${probability}`]),
      ...(mostExplored === most
        ? []
        : [`most exploration of ${backend}: ${most ?? 'none'} instead of ${mostExplored ?? 'none'}`]),
    ];
  });
}
