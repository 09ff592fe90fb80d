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
  const eligible = groups === undefined ? fitting : fitting.filter((s) => standsFor(s, groups));
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
  const first = askedOf(choice?.chosen ?? (eligible[0] as Scored), groups);
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

const groupOf = ({ candidate: { replicaOf } }: Scored, groups: Groups | undefined): ReplicaGroup | undefined =>
  replicaOf === undefined ? undefined : groups?.get(replicaOf);

/** Of each group one is compared with the others; who has no replica stands for itself. */
function standsFor(s: Scored, groups: Groups): boolean {
  const group = groupOf(s, groups);
  return group === undefined || group.standing === s;
}

const askedOf = (chosen: Scored, groups: Groups | undefined): Scored => groupOf(chosen, groups)?.asked ?? chosen;

/** Of each of `fitting` to be the first: of a replica, that of the one that stands for its group, times its share in the group. */
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
  /** Who is compared with the others for it. */
  standing: Scored;
  asked: Scored;
  chances: Map<string, number>;
}

/** Those that have more than one member; undefined: none has. */
function replicaGroups(fitting: readonly Scored[], draw: number): Groups | undefined {
  let members: Map<string, Scored[]> | undefined;
  for (const s of fitting) {
    const { replicaOf } = s.candidate;
    if (replicaOf === undefined) continue;
    members ??= new Map();
    const group = members.get(replicaOf);
    if (group === undefined) members.set(replicaOf, [s]);
    else group.push(s);
  }
  if (members === undefined) return undefined;
  let groups: Map<string, ReplicaGroup> | undefined;
  for (const [name, group] of members) {
    if (group.length < 2) continue;
    const byBest = group.some(({ candidate }) => candidate.replicaBy !== undefined);
    (groups ??= new Map()).set(name, byBest ? groupByBest(group, fitting, draw) : groupByAsked(group, draw));
  }
  return groups;
}

const byId = ({ candidate: a }: Scored, { candidate: b }: Scored): number => (a.id < b.id ? -1 : 1);

/**
 * A group is as good as its best, so that nobody else is asked, and paid, while that has room. Of its members those may be asked that
 * are better than whoever would be next without the group.
 */
function groupByBest(group: readonly Scored[], fitting: readonly Scored[], draw: number): ReplicaGroup {
  const standing = group[0] as Scored;
  const { replicaOf } = standing.candidate;
  const place = fitting.indexOf(standing);
  const next = fitting.findIndex((s, i) => i > place && s.candidate.replicaOf !== replicaOf);
  const better = next < 0 ? group : group.slice(0, next - place);
  const isAsked = better.some(({ candidate: { replicaChance = 0 } }) => replicaChance > 0);
  const { asked, chances } = isAsked
    ? drawn(better, draw)
    : { asked: standing, chances: new Map([[standing.candidate.id, 1]]) };
  return { standing, asked, chances };
}

/** As records of before `replicaBy` were decided: whoever is asked is compared with the others. */
function groupByAsked(group: readonly Scored[], draw: number): ReplicaGroup {
  const { asked, chances } = drawn(group, draw);
  return { standing: asked, asked, chances };
}

/** By id, so that the draw means the same whatever the scores. Where none has a chance, each has the same. */
function drawn(group: readonly Scored[], draw: number): Pick<ReplicaGroup, 'asked' | 'chances'> {
  const sorted = group.toSorted(byId);
  const total = sorted.reduce((sum, { candidate: { replicaChance = 0 } }) => sum + replicaChance, 0);
  const chances = new Map<string, number>();
  let left = draw;
  let asked: Scored | undefined;
  for (const s of sorted) {
    const { id, replicaChance = 0 } = s.candidate;
    const chance = total > 0 ? replicaChance / total : 1 / group.length;
    chances.set(id, chance);
    if (chance > 0 && (asked === undefined || left >= 0)) asked = s;
    left -= chance;
  }
  return { asked: asked as Scored, chances };
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
