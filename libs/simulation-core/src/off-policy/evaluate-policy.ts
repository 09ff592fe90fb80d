import type { ExportedDecision, MeritorderConfig, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import {
  estimateOffPolicy,
  LEAST_EFFECTIVE_SAMPLE,
  UNKNOWN_PRIOR,
  type LoggedDecision,
  type OffPolicyResult,
} from '@meritorder/quality-core';
import { asGoodAs, candidatesOf, chargedUsd, decide, type ScoreCandidate } from '@meritorder/routing-core';
import { conversionsOf, unlearnedConversion, withRevenueThen } from '../run/conversions.js';
import { askedOf } from '../run/scenario.js';

export const METRICS = ['quality', 'cashUsd', 'fullUsd'] as const;
export type Metric = (typeof METRICS)[number];

/** Why a request says nothing of the policy. */
export type LeftOut = 'refused-then' | 'refused-now' | 'too-old' | 'nothing-came-of-it';

export interface EvaluatedMetric {
  metric: Metric;
  /** Of which it is known. */
  requests: number;
  /** As many decisions of the policy's own would say as much (Kish). */
  effectiveSample: number;
  /** Null: refused. */
  estimate: Omit<Extract<OffPolicyResult, { enough: true }>, 'enough' | 'effectiveSample'> | null;
  /** Why, for people; null: there is an estimate. */
  refusal: string | null;
}

export interface EvaluatedPolicy {
  requests: number;
  leftOut: Record<LeftOut, number>;
  /** Of the policy's choices, the share that had no chance then, so that nothing is known of them; by backend. */
  untriedShare: number;
  untried: Record<string, number>;
  /** Requests that count as untried since the policy allows a backend that was no candidate then, as a share; by backend. */
  unknown: Record<string, number>;
  /** Requests that it decides by conversions which are not on record, so that the learner's prior stands for them. */
  conversionsUnlearned: number;
  metrics: EvaluatedMetric[];
}

/** Estimates do not see what was never tried: they are off by at most so much of their range. */
const MOST_UNTRIED = 0.05;

/** Why a backend without numbers could not have served the request under any policy, or would not beside another that was able. */
const OUT_ANYHOW: ReadonlySet<string | undefined> = new Set(['unable', 'busy', 'unavailable', 'too-short']);

/**
 * What a configuration would have made of logged requests, by inverse propensities: each decision is taken again by the policy of
 * the configuration from the numbers of then, and what came of it counts by how much likelier that makes the choice of then. What
 * came of a choice is what came of the whole request, also where a budget or a failure had another backend answer. What the
 * decision expected of its candidates, before anything came of it, is the model of the doubly robust estimate.
 */
export class PolicyEvaluation {
  private requests = 0;
  private judged = 0;
  private readonly leftOut: Record<LeftOut, number> = {
    'refused-then': 0,
    'refused-now': 0,
    'too-old': 0,
    'nothing-came-of-it': 0,
  };
  private readonly untried = new Map<string, number>();
  private readonly unknown = new Map<string, number>();
  private ofUnknown = 0;
  private conversionsUnlearned = 0;
  private readonly logs: Record<Metric, LoggedDecision[]> = { quality: [], cashUsd: [], fullUsd: [] };

  constructor(private readonly config: MeritorderConfig) {}

  take({ record, booked, quality }: ExportedDecision): void {
    this.requests++;
    const { draws, order } = record;
    if (draws === undefined || order === undefined) return this.leaveOut('too-old');
    const [first] = order;
    if (first === undefined || !(record.probability > 0)) return this.leaveOut('refused-then');
    if (booked === undefined && quality === undefined) return this.leaveOut('nothing-came-of-it');
    const { chances, unknown } = this.chancesOf(record, draws);
    if (chances.size === 0 && unknown.length === 0) return this.leaveOut('refused-now');
    this.judged++;
    if (unknown.length > 0) this.noteUnknown(unknown);
    else this.noteUntried(record, chances);
    if (chances.size === 0) return;
    const add = (metric: Metric, outcome: number, expected: (of: ScoreCandidate) => number): void => {
      let expectedOfPolicy = 0;
      let expectedOfLogged = 0;
      let policyProbability = 0;
      for (const candidate of candidatesOf(record)) {
        const chance = chances.get(candidate.id) ?? 0;
        expectedOfPolicy += chance * expected(candidate);
        if (candidate.id === first) [expectedOfLogged, policyProbability] = [expected(candidate), chance];
      }
      const { probability } = record;
      this.logs[metric].push({ probability, policyProbability, outcome, expectedOfLogged, expectedOfPolicy });
    };
    if (quality) add('quality', quality.value, (of) => of.quality);
    if (!booked) return;
    add('cashUsd', Number(booked.cashNanos) / 1e9, (of) => of.cashUsd);
    add('fullUsd', Number(booked.fullNanos) / 1e9, (of) => of.fullUsd);
  }

  result(): EvaluatedPolicy {
    const share = (mass: number): number => (this.judged > 0 ? mass / this.judged : 0);
    const untried = Object.fromEntries([...this.untried].map(([id, mass]) => [id, share(mass)]));
    const untriedShare = share([...this.untried.values()].reduce((sum, mass) => sum + mass, this.ofUnknown));
    const unknown = Object.fromEntries([...this.unknown].map(([id, count]) => [id, share(count)]));
    const unseen = untriedShare > MOST_UNTRIED ? unseenOf({ untriedShare, untried, unknown }) : null;
    return {
      requests: this.requests,
      leftOut: { ...this.leftOut },
      untriedShare,
      untried,
      unknown,
      conversionsUnlearned: this.conversionsUnlearned,
      metrics: METRICS.map((metric) => {
        const log = this.logs[metric];
        const { effectiveSample, ...result } = estimateOffPolicy(log);
        const refusal = unseen ?? tooFew(log.length, { effectiveSample, ...result });
        if (refusal !== null || !('ips' in result))
          return { metric, requests: log.length, effectiveSample, estimate: null, refusal };
        const { enough: _enough, ...estimate } = result;
        return { metric, requests: log.length, effectiveSample, estimate, refusal };
      }),
    };
  }

  private leaveOut(why: LeftOut): void {
    this.leftOut[why]++;
  }

  /** With which the policy takes each candidate first; none: it refuses the request. And whom it may take, of whom nothing is known. */
  private chancesOf(record: RoutingDecisionMadeV1, draws: NonNullable<RoutingDecisionMadeV1['draws']>) {
    const { org, ...attributes } = record.attribution;
    const { route, wishes, streams } = record;
    const asked = askedOf(this.config, { org, route, attributes, wishes, streams });
    if (asked.refusal !== undefined) return { chances: new Map<string, number>(), unknown: [] };
    const { tier, backends } = asked;
    const policy =
      asked.named === undefined ? asked.policy : asGoodAs(asked.policy, this.qualityOf(asked.named, record));
    const known = conversionsOf(record);
    // The caller's deadline is what it was, whatever the policy: the times of the record are held against it.
    const { deadlineSeconds } = record.policy ?? {};
    const score = { ...withRevenueThen(policy, known).score, deadlineSeconds };
    const able = candidatesOf(record).filter((of) => backends.includes(of.id));
    const isUnlearned = score.objective === 'margin' && able.some((of) => of.conversion === undefined);
    const unlearned = isUnlearned ? unlearnedConversion(known) : undefined;
    if (isUnlearned) this.conversionsUnlearned++;
    const candidates = able.map((of): ScoreCandidate => ({
      ...(of.conversion === undefined ? unlearned : undefined),
      ...of,
      chargedUsd: chargedUsd(tier, of.fullUsd),
    }));
    const { order, probabilities } = decide(score, candidates, draws);
    return {
      chances: new Map(order.map((s, i) => [s.candidate.id, probabilities[i]!])),
      unknown: backends.filter((id) => this.isUnknown(id, record, policy.score.maxCostUsd)),
    };
  }

  /** As the decision had it; of one that could not serve the request, as it is configured. */
  private qualityOf(named: string, { candidates }: RoutingDecisionMadeV1): number {
    const of = candidates.find((c) => c.backend === named)?.numbers;
    const configured = this.config.backends.find((b) => b.id === named)?.quality;
    return of?.quality ?? configured?.prior ?? UNKNOWN_PRIOR.quality;
  }

  private noteUntried(record: RoutingDecisionMadeV1, chances: ReadonlyMap<string, number>): void {
    for (const { backend, probability = 0 } of record.candidates) {
      const chance = chances.get(backend) ?? 0;
      if (chance > 0 && probability === 0) this.untried.set(backend, (this.untried.get(backend) ?? 0) + chance);
    }
  }

  /** A backend that may serve the request and has no numbers to be decided by, though what kept it out then may not do so now. */
  private isUnknown(id: string, { candidates, policy, decidedAt }: RoutingDecisionMadeV1, cap: number | null): boolean {
    const then = candidates.find((c) => c.backend === id);
    if (then?.numbers !== undefined || OUT_ANYHOW.has(then?.exclusionCode)) return false;
    const capThen = policy?.maxCostUsd ?? null;
    if (then?.exclusionCode === 'above-cap' && capThen !== null) return cap === null || cap > capThen;
    if (then?.exclusionCode !== 'unpriced') return true;
    const { prices } = this.config.backends.find((b) => b.id === id)!;
    return prices.some((price) => Date.parse(price.effectiveFrom) <= Date.parse(decidedAt));
  }

  /** The policy may well have taken one of them, so the request counts as untried. */
  private noteUnknown(backends: readonly string[]): void {
    this.ofUnknown++;
    for (const id of backends) this.unknown.set(id, (this.unknown.get(id) ?? 0) + 1);
  }
}

/** Why nothing can be said of the policy, however much is on record. */
function unseenOf({ untriedShare, untried, unknown }: Pick<EvaluatedPolicy, 'untriedShare' | 'untried' | 'unknown'>) {
  const [news, others] = [Object.keys(unknown), Object.keys(untried)];
  const reasons = [
    ...(news.length > 0 ? [`nothing is known of ${news.join(', ')}: ${were(news)} no candidate then`] : []),
    ...(others.length > 0 ? [`${others.join(', ')} had no chance for such requests`] : []),
  ];
  const share = `${(100 * untriedShare).toFixed(1)} %`;
  if (news.length === 0)
    return `nothing is known of ${share} of what it would choose: ${reasons[0]}; let them be explored first`;
  return `${reasons.join('; ')}; that is ${share} of the requests: let them be explored first`;
}

const were = ({ length }: readonly string[]): string => (length > 1 ? 'they were' : 'it was');

function tooFew(
  requests: number,
  { enough, effectiveSample }: Pick<OffPolicyResult, 'enough' | 'effectiveSample'>,
): string | null {
  if (enough) return null;
  return `not enough data: ${requests} requests say as much of this policy as ${Math.floor(effectiveSample)} of its own, and ${LEAST_EFFECTIVE_SAMPLE} are needed; take a longer period, or explore more of what it would choose`;
}
