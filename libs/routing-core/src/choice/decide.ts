import type { DecisionDraws, DecisionPolicy } from '@meritorder/contracts';
import { choose, type ExplorationGuard } from './explore.js';
import { incomeOf } from './guard.js';
import { missesDeadline, scoreCandidates, type BelowFloor, type ScoreCandidate, type Scored } from './score.js';

export interface Decision {
  /**
   * The first is the choice; the others stand by for when it does not fit a budget or fails: by score, then those that are beyond
   * the room of a budget, then those that are expected to miss the deadline, the soonest first.
   */
  readonly order: readonly Scored[];
  readonly refused: readonly BelowFloor[];
  readonly kind: 'best' | 'explored' | 'hold-out';
  /** Of every one of `order`, to be the first for such a request. */
  readonly probabilities: readonly number[];
  /** What the exploration guard took the request to bring, USD, and by candidate how often it may be explored at most. */
  readonly guard?: { readonly incomeUsd: number; readonly most: ReadonlyMap<string, number> };
}

/**
 * The whole choice from its numbers: what the router does, what the simulator does, and what a replay of a record does.
 * Pure: the same policy, candidates and draws give the same decision.
 */
export function decide(policy: DecisionPolicy, candidates: readonly ScoreCandidate[], draws: DecisionDraws): Decision {
  const { scored, refused } = scoreCandidates(policy, candidates);
  if (scored.length === 0) return { order: [], refused, kind: 'best', probabilities: [] };
  const { inTime, late } = byDeadline(policy, scored);
  const isHopeless = inTime.length === 0;
  const { fitting, beyond } = byRoom(isHopeless ? late : inTime);
  const groups = replicaGroups(fitting, draws.replica);
  const eligible = groups === undefined ? fitting : fitting.filter((s) => isAsked(s, groups));
  const choice =
    // Where nobody is expected in time, the soonest is asked: there is no score to explore by.
    policy.exploration === null || isHopeless
      ? undefined
      : choose(
          eligible,
          unlearned(policy, eligible),
          policy.exploration,
          draws,
          incomeOf(policy, eligible[0] as Scored),
        );
  const first = choice?.chosen ?? (eligible[0] as Scored);
  const chances = chancesOf(fitting, eligible, groups, choice?.probabilities);
  const order = [first];
  const probabilities = [0];
  for (let i = 0; i < fitting.length; i++) {
    const s = fitting[i] as Scored;
    if (s === first) probabilities[0] = chances[i] as number;
    else {
      order.push(s);
      probabilities.push(chances[i] as number);
    }
  }
  for (const s of isHopeless ? beyond : [...beyond, ...late]) {
    order.push(s);
    probabilities.push(0);
  }
  return { order, refused, kind: choice?.kind ?? 'best', probabilities, ...guardOf(choice?.guard, eligible) };
}

type Groups = ReadonlyMap<string, ReplicaGroup>;

const groupOf = ({ candidate: { replicaOf } }: Scored, groups: Groups): ReplicaGroup | undefined =>
  replicaOf === undefined ? undefined : groups.get(replicaOf);

/** Of each group one is asked; who has no replica is asked itself. */
function isAsked(s: Scored, groups: Groups): boolean {
  const group = groupOf(s, groups);
  return group === undefined || group.asked === s.candidate.id;
}

/** Of each of `fitting` to be the first: of a replica, that of the one that is asked for its group, times its share in the group. */
function chancesOf(
  fitting: readonly Scored[],
  eligible: readonly Scored[],
  groups: Groups | undefined,
  probabilities: readonly number[] | undefined,
): readonly number[] {
  const ofEligible = probabilities ?? eligible.map((_, i) => (i === 0 ? 1 : 0));
  if (groups === undefined) return ofEligible;
  const ofGroup = new Map<ReplicaGroup, number>();
  eligible.forEach((s, i) => {
    const group = groupOf(s, groups);
    if (group !== undefined) ofGroup.set(group, ofEligible[i] as number);
  });
  let next = 0;
  return fitting.map((s) => {
    const isEligible = s === eligible[next];
    const own = isEligible ? (ofEligible[next++] as number) : 0;
    const group = groupOf(s, groups);
    return group === undefined ? own : (ofGroup.get(group) ?? 0) * (group.chances.get(s.candidate.id) ?? 0);
  });
}

function guardOf(guard: ExplorationGuard | undefined, eligible: readonly Scored[]): Pick<Decision, 'guard'> {
  if (guard === undefined) return {};
  const most = new Map<string, number>();
  guard.most.forEach((chance, i) => {
    if (chance !== undefined) most.set((eligible[i] as Scored).candidate.id, chance);
  });
  return { guard: { incomeUsd: guard.incomeUsd, most } };
}

/**
 * Whoever is expected after the deadline would be broken off and charged for nothing, so it stands behind all others whatever its
 * score: by how late it would be.
 */
function byDeadline(policy: DecisionPolicy, scored: Scored[]): { inTime: Scored[]; late: Scored[] } {
  if (!scored.some(({ candidate }) => missesDeadline(policy, candidate))) return { inTime: scored, late: [] };
  const { inTime = [], late = [] } = Object.groupBy(scored, ({ candidate }) =>
    missesDeadline(policy, candidate) ? 'late' : 'inTime',
  );
  const secondsOf = ({ candidate: { latencySeconds = 0 } }: Scored): number => latencySeconds;
  return { inTime, late: late.toSorted((a, b) => secondsOf(a) - secondsOf(b)) };
}

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

/** Those that have more than one member; undefined: none has. */
function replicaGroups(scored: readonly Scored[], draw: number): Groups | undefined {
  let members: Map<string, ScoreCandidate[]> | undefined;
  for (const { candidate } of scored) {
    if (candidate.replicaOf === undefined) continue;
    members ??= new Map();
    const group = members.get(candidate.replicaOf);
    if (group === undefined) members.set(candidate.replicaOf, [candidate]);
    else group.push(candidate);
  }
  if (members === undefined) return undefined;
  let groups: Map<string, ReplicaGroup> | undefined;
  for (const [name, group] of members) {
    if (group.length < 2) continue;
    // By id, so that the draw means the same whatever the scores.
    (groups ??= new Map()).set(name, drawn(group.toSorted(byId), draw));
  }
  return groups;
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
    const { priorQuality, priorConversion = priorQuality, inTimeChance = 1 } = scored.candidate;
    if (priorQuality < policy.leastQuality) continue;
    const priorUsd = inTimeChance * worthUsd * (margin ? priorConversion : priorQuality);
    const scoreUsd = scored.scoreUsd - scored.valueUsd + priorUsd;
    if (scoreUsd > bestUsd) [best, bestUsd] = [scored, scoreUsd];
  }
  return best?.candidate.id;
}
