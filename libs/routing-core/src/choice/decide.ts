import type { DecisionDraws, DecisionPolicy } from '@meritorder/contracts';
import { choose } from './explore.js';
import { scoreCandidates, type BelowFloor, type ScoreCandidate, type Scored } from './score.js';

export interface Decision {
  /** The first is the choice; the others stand by for when it does not fit a budget or fails: by score. */
  readonly order: readonly Scored[];
  readonly refused: readonly BelowFloor[];
  readonly kind: 'best' | 'explored' | 'hold-out';
  /** Of every one of `order`, to be the first for such a request. */
  readonly probabilities: readonly number[];
}

/**
 * The whole choice from its numbers: what the router does, what the simulator does, and what a replay of a record does.
 * Pure: the same policy, candidates and draws give the same decision.
 */
export function decide(policy: DecisionPolicy, candidates: readonly ScoreCandidate[], draws: DecisionDraws): Decision {
  const { scored, refused } = scoreCandidates(policy, candidates);
  if (scored.length === 0) return { order: [], refused, kind: 'best', probabilities: [] };
  const { fitting, beyond } = byRoom(scored);
  const groups = replicaGroups(fitting, draws.replica);
  const eligible =
    groups === undefined
      ? fitting
      : fitting.filter(({ candidate }) => groups.get(groupOf(candidate))!.asked === candidate.id);
  const choice =
    policy.exploration === null ? undefined : choose(eligible, unlearned(policy, eligible), policy.exploration, draws);
  const first = choice?.chosen ?? (eligible[0] as Scored);
  const chances = new Map(
    eligible.map(({ candidate }, i) => [groupOf(candidate), choice?.probabilities[i] ?? (i === 0 ? 1 : 0)]),
  );
  const chanceOf = ({ candidate }: Scored): number => {
    const ofGroup = chances.get(groupOf(candidate)) ?? 0;
    return groups === undefined ? ofGroup : ofGroup * (groups.get(groupOf(candidate))?.chances.get(candidate.id) ?? 0);
  };
  const order = [first, ...fitting.filter((s) => s !== first), ...beyond];
  return {
    order,
    refused,
    kind: choice?.kind ?? 'best',
    probabilities: order.map((s, i) => (i < fitting.length ? chanceOf(s) : 0)),
  };
}

const groupOf = ({ replicaOf, id }: ScoreCandidate): string => replicaOf ?? id;

/** Those whose bound is more than a budget can spare stand behind the others; where all are, room is no reason. */
function byRoom(scored: Scored[]): { fitting: Scored[]; beyond: Scored[] } {
  if (!scored.some(({ candidate }) => candidate.beyondRoom)) return { fitting: scored, beyond: [] };
  const fitting = scored.filter(({ candidate }) => !candidate.beyondRoom);
  if (fitting.length === 0) return { fitting: scored, beyond: [] };
  return { fitting, beyond: scored.filter(({ candidate }) => candidate.beyondRoom) };
}

interface ReplicaGroup {
  asked: string;
  chances: Map<string, number>;
}

/** Undefined: no group has two. */
function replicaGroups(scored: readonly Scored[], draw: number): Map<string, ReplicaGroup> | undefined {
  const members = new Map<string, ScoreCandidate[]>();
  let several = false;
  for (const { candidate } of scored) {
    const group = members.get(groupOf(candidate));
    if (group === undefined) members.set(groupOf(candidate), [candidate]);
    else several = group.push(candidate) > 1 || several;
  }
  if (!several) return undefined;
  // By id, so that the draw means the same whatever the scores.
  return new Map(Array.from(members, ([name, group]) => [name, drawn(group.toSorted(byId), draw)]));
}

const byId = (a: ScoreCandidate, b: ScoreCandidate): number => (a.id < b.id ? -1 : 1);

/** Where none has a chance, each has the same. */
function drawn(group: readonly ScoreCandidate[], draw: number): ReplicaGroup {
  const total = group.reduce((sum, { replicaChance = 0 }) => sum + replicaChance, 0);
  const chances = new Map(
    group.map(({ id, replicaChance = 0 }) => [id, total > 0 ? replicaChance / total : 1 / group.length]),
  );
  let left = draw;
  let asked: string | undefined;
  for (const [id, chance] of chances) {
    if (chance > 0 && (asked === undefined || left >= 0)) asked = id;
    left -= chance;
    if (left < 0) break;
  }
  return { asked: asked as string, chances };
}

/** What the configured priors alone would take: the highest score with the value that they promise. */
function unlearned(policy: DecisionPolicy, eligible: readonly Scored[]): string | undefined {
  const margin = policy.objective === 'margin';
  const worthUsd = policy.objective === 'cheapest' ? 0 : margin ? policy.revenueUsd : policy.usdPerQuality;
  let best: Scored | undefined;
  let bestUsd = -Infinity;
  for (const scored of eligible) {
    const { priorQuality } = scored.candidate;
    if (priorQuality < policy.leastQuality) continue;
    const scoreUsd = scored.scoreUsd - scored.valueUsd + worthUsd * priorQuality;
    if (scoreUsd > bestUsd) [best, bestUsd] = [scored, scoreUsd];
  }
  return best?.candidate.id;
}
