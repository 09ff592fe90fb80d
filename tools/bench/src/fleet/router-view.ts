import type { DecisionDraws } from '@meritorder/contracts';
import { chooseReplica, type ReplicaLoad } from '@meritorder/fleet-core';
import {
  ableCandidates,
  decide,
  policyFor,
  requirementsOf,
  type Able,
  type BackendEstimate,
  type RequestPolicy,
  type ScoreCandidate,
} from '@meritorder/routing-core';
import type { MeritorderConfig } from '@meritorder/contracts';
import type { LoadWish } from '@meritorder/simulation-core';
import type { FleetBackend } from './fleet-backend.js';

/** One router: what it heard of each backend, and what it sent there and got back since. */
export class RouterView {
  private readonly reported: { inFlight: number; waiting: number }[];
  private readonly since: number[];
  private readonly policy: RequestPolicy;

  constructor(
    private readonly config: MeritorderConfig,
    readonly route: string,
    private readonly backends: readonly FleetBackend[],
    /** Hears nothing, and sees everything as it is. */
    private readonly fresh: boolean,
  ) {
    this.reported = backends.map(() => ({ inFlight: 0, waiting: 0 }));
    this.since = backends.map(() => 0);
    this.policy = policyFor({
      route: config.routes.find((r) => r.id === route),
      tier: undefined,
      wishes: undefined,
    });
  }

  /** A heartbeat counts all that the backend was sent. */
  heard(index: number): void {
    const { inFlight, waiting } = this.backends[index]!.simulated.station;
    this.reported[index] = { inFlight, waiting };
    this.since[index] = 0;
  }

  began(index: number): void {
    this.since[index]! += 1;
  }
  left(index: number): void {
    this.since[index]! -= 1;
  }

  /** By the last heartbeat alone. */
  lastReport(index: number): ReplicaLoad {
    return this.fresh ? this.backends[index]!.simulated.station : this.reported[index]!;
  }

  /** With own calls since. */
  load(index: number): ReplicaLoad {
    if (this.fresh) return this.backends[index]!.simulated.station;
    const { inFlight, waiting } = this.reported[index]!;
    return { inFlight: Math.max(0, inFlight + this.since[index]!), waiting };
  }

  /**
   * The router's own choice, by the functions that it calls: backends in the order in which they are tried.
   * @param among indexes of backends that may be asked
   */
  order(
    among: readonly number[],
    inputTokens: number,
    estimate: BackendEstimate,
    draws: DecisionDraws,
    nowMs: number,
  ): number[] {
    const { policy } = this;
    const { able } = ableCandidates(
      among.map((i) => this.viewOf(i, nowMs)),
      requirementsOf({ model: this.route, messages: [{ role: 'user', content: '' }] }),
      () => estimate,
      policy.maxCostNanos,
      nowMs,
    );
    const indexes = new Map(among.map((i) => [this.backends[i]!.simulated.config.id, i]));
    const numbers = able.map((of) => this.weigh(indexes.get(of.backend.id)!, of, inputTokens));
    const { order } = decide(policy.score, this.withReplicas(numbers, indexes, inputTokens, estimate), draws);
    return order.map(({ candidate }) => indexes.get(candidate.id)!);
  }

  private viewOf(index: number, nowMs: number) {
    const { simulated } = this.backends[index]!;
    const { price, others } = simulated.prices.inForce(nowMs);
    return {
      backend: simulated.config,
      price,
      otherPrices: others,
      workersAlive: 1,
      workersWithRoom: simulated.hasRoom(this.policy.slotsLeftFree, this.lastReport(index)) ? 1 : 0,
      breakerClosed: true,
    };
  }

  private weigh(index: number, able: Able, inputTokens: number): ScoreCandidate {
    const { simulated } = this.backends[index]!;
    const work = workOf(inputTokens, able.estimate, able.maxTokens);
    return {
      id: simulated.config.id,
      quality: simulated.priorQuality,
      qualityVariance: 0,
      priorQuality: simulated.priorQuality,
      outcomes: 0,
      marginalUsd: able.expectedMarginalUsd,
      cashUsd: able.expectedCashUsd,
      fullUsd: able.expectedFullUsd,
      shadowCash: 0,
      shadowFull: 0,
      ...simulated.numbers(work, this.wish, this.load(index)),
    };
  }

  private get wish(): LoadWish {
    const { score, targetSeconds = Infinity } = this.policy;
    return {
      targetSeconds: Math.min(targetSeconds, this.config.limits.requestDeadlineMs / 1_000),
      usdPerSecondLate: score.usdPerSecondLate,
      maxLatencySeconds: score.maxLatencySeconds,
      maxFirstTokenSeconds: score.maxFirstTokenSeconds,
    };
  }

  /** Own backends of one model are replicas: the faster of two drawn is asked. */
  private withReplicas(
    numbers: readonly ScoreCandidate[],
    indexes: ReadonlyMap<string, number>,
    inputTokens: number,
    estimate: BackendEstimate,
  ): ScoreCandidate[] {
    const own = numbers.filter(({ id }) => this.backends[indexes.get(id)!]!.simulated.local);
    if (own.length < 2) return [...numbers];
    const { probabilities, why } = chooseReplica(
      own.map((of) => {
        const index = indexes.get(of.id)!;
        const { simulated } = this.backends[index]!;
        const work = workOf(inputTokens, estimate, simulated.config.maxOutputTokens);
        return simulated.replica(of, work, this.wish, this.policy.score, this.load(index));
      }),
      undefined,
      [0, 0],
    );
    const chances = new Map(own.map(({ id }, i) => [id, probabilities[i]!]));
    return numbers.map((of) => {
      const replicaChance = chances.get(of.id);
      return replicaChance === undefined ? of : { ...of, replicaOf: 'own', replicaChance, replicaBy: why };
    });
  }
}

function workOf(inputTokens: number, { outputTokensExpected }: BackendEstimate, maxTokens: number) {
  return { inputTokens, outputTokens: Math.min(maxTokens, outputTokensExpected) };
}
