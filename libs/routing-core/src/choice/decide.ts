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
  const asked = askedReplicas(scored, draws.replica);
  const eligible =
    asked === undefined ? scored : scored.filter(({ candidate }) => asked.get(groupOf(candidate)) === candidate.id);
  const choice =
    policy.exploration === null ? undefined : choose(eligible, unlearned(policy, eligible), policy.exploration, draws);
  const first = choice?.chosen ?? (eligible[0] as Scored);
  const rest = scored.filter((s) => s !== first);
  const ofGroup = new Map(
    eligible.map((s, i) => [groupOf(s.candidate), choice?.probabilities[i] ?? (i === 0 ? 1 : 0)]),
  );
  const order = [first, ...rest];
  return {
    order,
    refused,
    kind: choice?.kind ?? 'best',
    probabilities: order.map(
      ({ candidate }) => (ofGroup.get(groupOf(candidate)) ?? 0) * replicaChance(candidate, asked),
    ),
  };
}

const groupOf = ({ replicaOf, id }: ScoreCandidate): string => replicaOf ?? id;

/** By group the replica that is asked; undefined: no group has two. */
function askedReplicas(scored: readonly Scored[], draw: number): Map<string, string> | undefined {
  const groups = new Map<string, ScoreCandidate[]>();
  let several = false;
  for (const { candidate } of scored) {
    const group = groups.get(groupOf(candidate));
    if (group === undefined) groups.set(groupOf(candidate), [candidate]);
    else several = group.push(candidate) > 1;
  }
  if (!several) return undefined;
  // By id, so that the draw means the same whatever the scores.
  return new Map(Array.from(groups, ([name, group]) => [name, drawn(group.toSorted(byId), draw)]));
}

const byId = (a: ScoreCandidate, b: ScoreCandidate): number => (a.id < b.id ? -1 : 1);

function drawn(group: readonly ScoreCandidate[], draw: number): string {
  const total = group.reduce((sum, { replicaChance: chance = 0 }) => sum + chance, 0);
  let left = draw * total;
  for (const { id, replicaChance: chance = 0 } of group) {
    left -= chance;
    if (left < 0) return id;
  }
  return (group.at(-1) as ScoreCandidate).id;
}

function replicaChance(candidate: ScoreCandidate, asked: Map<string, string> | undefined): number {
  return asked === undefined || candidate.replicaOf === undefined ? 1 : (candidate.replicaChance ?? 0);
}

/** What the configured priors alone would take. */
function unlearned(policy: DecisionPolicy, eligible: readonly Scored[]): string | undefined {
  const byPrior = eligible.map(({ candidate }) => ({
    ...candidate,
    quality: candidate.priorQuality,
    conversion: candidate.priorQuality,
  }));
  return scoreCandidates(policy, byPrior).scored[0]?.candidate.id;
}
