import { expect, it } from 'vitest';
import type { DecisionDraws, DecisionPolicy, ExplorationSettings } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { decide, scoreCandidates, type ScoreCandidate, type Scored } from '../index.js';
import { choose } from './explore.js';

/** What `decide` means, without regard to time: a map for everything. */
function decidePlainly(policy: DecisionPolicy, candidates: readonly ScoreCandidate[], draws: DecisionDraws) {
  const { scored, refused } = scoreCandidates(policy, candidates);
  if (scored.length === 0) return { order: [], refused, kind: 'best', probabilities: [] };
  const soonest = scored.toSorted((a, b) => latencyOf(a) - latencyOf(b));
  const late = soonest.filter((s) => latencyOf(s) > (policy.deadlineSeconds ?? Infinity));
  const inTime = scored.filter((s) => !late.includes(s));
  const serving = inTime.length > 0 ? inTime : late;
  const some = serving.filter((s) => !s.candidate.beyondRoom);
  const fitting = some.length > 0 ? some : serving;
  const beyond = [...serving.filter((s) => !fitting.includes(s)), ...(inTime.length > 0 ? late : [])];
  const groups = Map.groupBy(fitting, groupOf);
  const worthAsking = new Map(Array.from(groups, ([name, group]) => [name, worthAskingOf(group, fitting)]));
  const shares = new Map(Array.from(worthAsking.values()).flatMap((group) => sharesOf(group)));
  const asked = new Map(Array.from(worthAsking, ([name, group]) => [name, askedOf(group, shares, draws.replica)]));
  const standing = new Map(
    Array.from(groups, ([name, group]) => [name, isByBest(group) ? group[0]!.candidate.id : asked.get(name)!]),
  );
  const eligible = fitting.filter((s) => standing.get(groupOf(s)) === s.candidate.id);
  const prior = unlearnedOf(policy, eligible);
  const explores = policy.exploration !== null && inTime.length > 0;
  const choice = !explores ? undefined : choose(eligible, prior, policy.exploration!, draws);
  const chances = new Map(
    eligible.map((s, i) => [groupOf(s), choice === undefined ? (i === 0 ? 1 : 0) : choice.probabilities[i]!]),
  );
  const chosen = choice?.chosen ?? eligible[0]!;
  const first = fitting.find((s) => s.candidate.id === asked.get(groupOf(chosen)))!;
  const order = [first, ...fitting.filter((s) => s !== first), ...beyond];
  const chanceOf = (s: Scored): number => (chances.get(groupOf(s)) ?? 0) * (shares.get(s.candidate.id) ?? 0);
  return {
    order,
    refused,
    kind: choice?.kind ?? 'best',
    probabilities: order.map((s) => (fitting.includes(s) ? chanceOf(s) : 0)),
  };
}

const groupOf = ({ candidate }: Scored): string => candidate.replicaOf ?? candidate.id;
const latencyOf = ({ candidate }: Scored): number => candidate.latencySeconds ?? 0;
const byId = (a: Scored, b: Scored): number => (a.candidate.id < b.candidate.id ? -1 : 1);

const isByBest = (group: readonly Scored[]): boolean =>
  group.length > 1 && group.some((s) => s.candidate.replicaBy !== undefined);

/** The members that are better than the next that is none; of those that nobody would ask, the best. */
function worthAskingOf(group: readonly Scored[], fitting: readonly Scored[]): readonly Scored[] {
  if (!isByBest(group)) return group;
  const rest = fitting.slice(fitting.indexOf(group[0]!));
  const others = rest.findIndex((s) => groupOf(s) !== groupOf(group[0]!));
  const better = others < 0 ? rest : rest.slice(0, others);
  return better.some((s) => (s.candidate.replicaChance ?? 0) > 0) ? better : [group[0]!];
}

function sharesOf(group: readonly Scored[]): [string, number][] {
  const sorted = group.toSorted(byId);
  const total = sorted.reduce((sum, { candidate }) => sum + (candidate.replicaChance ?? 0), 0);
  return sorted.map(({ candidate: { id, replicaChance = 0 } }) => [
    id,
    total > 0 ? replicaChance / total : 1 / group.length,
  ]);
}

function askedOf(group: readonly Scored[], shares: ReadonlyMap<string, number>, draw: number): string {
  let left = draw;
  let asked = '';
  for (const { candidate } of group.toSorted(byId)) {
    const share = shares.get(candidate.id)!;
    if (share > 0 && (asked === '' || left >= 0)) asked = candidate.id;
    left -= share;
    if (left < 0) break;
  }
  return asked;
}

function unlearnedOf(policy: DecisionPolicy, eligible: readonly Scored[]): string | undefined {
  const worth = { cheapest: 0, margin: policy.revenueUsd, value: policy.usdPerQuality, quality: policy.usdPerQuality };
  const withPriors = eligible
    .filter(({ candidate }) => candidate.priorQuality >= policy.leastQuality)
    .map(({ candidate, scoreUsd, valueUsd }) => ({
      id: candidate.id,
      usd: scoreUsd - valueUsd + (candidate.inTimeChance ?? 1) * worth[policy.objective] * candidate.priorQuality,
    }));
  const most = Math.max(...withPriors.map((w) => w.usd));
  return withPriors.find((w) => w.usd === most)?.id;
}

it('a decision is, to the last bit, what its plain formulation makes of the same numbers', () => {
  const random = seededRandom(11);
  const maybe = <T>(share: number, of: () => T): T | undefined => (random() < share ? of() : undefined);
  // Few levels, so that equal scores, equal costs and candidates without a spread are met too.
  const level = (): number => Math.floor(random() * 6) / 5;
  const exploration = (): ExplorationSettings => ({
    spendShare: level() / 10,
    leastCostUsd: level() / 1_000,
    requestShare: level() / 4,
    holdOutShare: level() / 4,
  });
  const kinds = { best: 0, explored: 0, 'hold-out': 0 };
  let behind = 0;
  let late = 0;
  let hopeless = 0;
  for (let round = 0; round < 5_000; round++) {
    const known = maybe(0.3, () => 1) ?? 0.7;
    // Of before groups were compared by their best, and since.
    const newer = maybe(0.5, () => 0.7) ?? 0;
    const candidates = Array.from({ length: Math.floor(random() * 30) }, (_, i): ScoreCandidate => ({
      id: `b${i}`,
      quality: level(),
      qualityVariance: level() / 10,
      priorQuality: level(),
      outcomes: 0,
      conversion: maybe(0.2, level),
      conversionVariance: maybe(0.2, level),
      marginalUsd: random() < 0.5 ? level() / 100 : random() / 100,
      chargedUsd: maybe(0.3, level),
      cashUsd: level() / 100,
      fullUsd: level() / 100,
      shadowCash: level(),
      shadowFull: level(),
      beyondRoom: maybe(0.2, () => true),
      gpuSeconds: level(),
      usdPerGpuSecond: level() / 100,
      lateSeconds: level(),
      latencySeconds: maybe(known, level),
      inTimeChance: maybe(0.5, level),
      replicaOf: maybe(0.4, () => `m/${Math.floor(random() * 4)}`),
      replicaChance: maybe(0.5, level),
      replicaBy: maybe(newer, () => 'prefix' as const),
    }));
    const policy: DecisionPolicy = {
      objective: (['cheapest', 'value', 'margin', 'quality'] as const)[Math.floor(random() * 4)]!,
      tier: null,
      usdPerQuality: level() / 50,
      revenueUsd: level() / 50,
      leastQuality: maybe(0.5, level) ?? 0,
      maxCostUsd: maybe(0.2, () => level() / 100) ?? null,
      usdPerSecondLate: level() / 100,
      leastMarginShare: maybe(0.2, level) ?? null,
      deadlineSeconds: maybe(0.4, level),
      exploration: maybe(0.8, exploration) ?? null,
    };
    const draws = { holdOut: random(), explore: random(), replica: random() };
    const decision = decide(policy, candidates, draws);
    expect(decision).toEqual(decidePlainly(policy, candidates, draws));
    for (const s of decision.order) expect(candidates[s.place]).toBe(s.candidate);
    kinds[decision.kind]++;
    if (decision.order.at(-1)?.candidate.beyondRoom) behind++;
    const isLate = (s: Scored): boolean => latencyOf(s) > (policy.deadlineSeconds ?? Infinity);
    if (decision.order.some(isLate)) late++;
    if (decision.order.length > 1 && decision.order.every(isLate)) hopeless++;
  }
  for (const met of [...Object.values(kinds), behind, late, hopeless]) expect(met).toBeGreaterThan(50);
});
