import type { DecisionDraws, MeritorderConfig } from '@meritorder/contracts';
import { unlearnedLengths } from '@meritorder/estimate-core';
import { seededRandom } from '@meritorder/kernel';
import type { BackendEstimate } from '@meritorder/routing-core';
import { DEFAULT_INPUT_BOUND_FACTOR, estimateFor, LearnedOutput, type Workload } from '@meritorder/simulation-core';
import { FleetBackend } from './fleet-backend.js';
import { RouterView } from './router-view.js';

/** A request as a policy is asked about it. */
export interface Asked {
  /** Counted from 0. */
  number: number;
  inputTokens: number;
  estimate: BackendEstimate;
  draws: DecisionDraws;
  router: RouterView;
  /** Indexes of backends: of all, and of own hardware. */
  all: readonly number[];
  own: readonly number[];
  nowMs: number;
}

export interface FleetPolicy {
  name: string;
  /** Backends in the order in which they are tried. */
  order(asked: Asked): number[];
  /** Whether it lets a request wait in front of a full replica; else the next is tried, as workers refuse what they have no slot for. */
  queues: boolean;
}

export interface FleetRunSetting {
  config: MeritorderConfig;
  route: string;
  workload: Workload;
  routers: number;
  /** Between two reports of a backend; 0: routers see everything as it is. */
  heartbeatMs: number;
  seed: number;
}

/** One dispatched request. */
export interface Dispatched {
  atMs: number;
  backend: number;
  local: boolean;
  /** Slots of own hardware in use when it came, as a share. */
  ownInUse: number;
  /** How many backends had no slot for it. */
  refusals: number;
  seconds: number;
  /** What it added: cash, or energy and wear of own hardware. */
  addedUsd: number;
}

/** A workload through a policy on the simulator's backends, by one or more routers that hear of them by heartbeats. */
export function runFleet(setting: FleetRunSetting, policy: FleetPolicy): Dispatched[] {
  return new FleetRun(setting, policy).run();
}

interface Report {
  backend: number;
  atMs: number;
}

class FleetRun {
  private readonly backends: FleetBackend[];
  private readonly routers: RouterView[];
  private readonly all: number[];
  private readonly own: number[];
  private readonly ownSlots: number;
  private readonly output = new LearnedOutput([unlearnedLengths(), unlearnedLengths()]);
  private readonly draws: () => number;
  private readonly drawsOfRouters: () => number;
  private readonly dispatched: Dispatched[] = [];
  private readonly sentBy: number[] = [];
  private readonly reports: Report[];

  constructor(
    private readonly setting: FleetRunSetting,
    private readonly policy: FleetPolicy,
  ) {
    const { config, route, workload, routers, heartbeatMs, seed } = setting;
    const [fromMs, toMs] = [workload.atMs[0]!, workload.atMs.at(-1)!];
    const ids = config.routes.find((r) => r.id === route)?.backends ?? [];
    this.backends = ids.map((id) => new FleetBackend(config, id, { fromMs, toMs }));
    this.all = ids.map((_, i) => i);
    this.own = this.all.filter((i) => this.backends[i]!.simulated.local);
    this.ownSlots = this.own.reduce((sum, i) => sum + this.backends[i]!.simulated.station.capacity, 0);
    this.routers = Array.from(
      { length: routers },
      () => new RouterView(config, route, this.backends, heartbeatMs === 0),
    );
    this.draws = seededRandom(seed);
    this.drawsOfRouters = seededRandom(seed ^ 0x5eed);
    // Hosts start when they start, so their heartbeats do not come together.
    this.reports =
      heartbeatMs === 0
        ? []
        : this.all.map((backend) => ({ backend, atMs: fromMs + heartbeatMs * this.drawsOfRouters() }));
  }

  run(): Dispatched[] {
    const { atMs } = this.setting.workload;
    for (let i = 0; i < atMs.length; i++) this.arrive(i, atMs[i]!);
    this.until(Infinity);
    return this.dispatched;
  }

  private arrive(number: number, nowMs: number): void {
    this.until(nowMs);
    const draws = { holdOut: this.draws(), explore: this.draws(), replica: this.draws() };
    const routerIndex = Math.floor(this.drawsOfRouters() * this.routers.length);
    const inputTokens = this.setting.workload.inputTokens[number]!;
    const estimate = estimateFor(this.output, undefined, inputTokens, DEFAULT_INPUT_BOUND_FACTOR);
    const { all, own } = this;
    const router = this.routers[routerIndex]!;
    const order = this.policy.order({ number, inputTokens, estimate, draws, router, all, own, nowMs });
    const full = (i: number): boolean => {
      const { capacity, inFlight } = this.backends[i]!.simulated.station;
      return inFlight >= capacity;
    };
    const tried = this.policy.queues ? 0 : order.findIndex((i) => !full(i));
    const backend = order[tried];
    if (backend === undefined) throw new RangeError(`${this.policy.name}: nobody has a slot for request ${number}`);
    this.sentBy[number] = routerIndex;
    this.start(number, backend, tried, nowMs);
  }

  private start(number: number, index: number, refusals: number, nowMs: number): void {
    const { simulated } = this.backends[index]!;
    const inUse = this.own.reduce((sum, i) => sum + this.backends[i]!.simulated.station.inFlight, 0);
    this.dispatched[number] = {
      atMs: nowMs,
      backend: index,
      local: simulated.local,
      ownInUse: inUse / this.ownSlots,
      refusals,
      seconds: NaN,
      addedUsd: NaN,
    };
    this.routers[this.sentBy[number]!]!.began(index);
    simulated.station.enter(number, this.workOf(number, index), nowMs);
  }

  /** All ends and reports up to a time, in their order. */
  private until(untilMs: number): void {
    for (;;) {
      const [ending, endMs] = this.nextEnd();
      const report = this.nextReport();
      if (report && report.atMs < endMs && report.atMs <= untilMs && this.anythingElse(untilMs, endMs)) {
        for (const router of this.routers) router.heard(report.backend);
        report.atMs += this.setting.heartbeatMs;
      } else if (ending !== undefined && endMs <= untilMs) this.finish(ending, endMs);
      else return;
    }
  }

  /** After the last arrival reports change nothing. */
  private anythingElse(untilMs: number, endMs: number): boolean {
    return untilMs < Infinity || endMs < Infinity;
  }

  private nextEnd(): [backend: number | undefined, endMs: number] {
    let [next, nextMs]: [number | undefined, number] = [undefined, Infinity];
    for (const i of this.all) {
      const { nextEndMs } = this.backends[i]!.simulated.station;
      if (nextEndMs < nextMs) [next, nextMs] = [i, nextEndMs];
    }
    return [next, nextMs];
  }

  private nextReport(): Report | undefined {
    let next: Report | undefined;
    for (const report of this.reports) if (!next || report.atMs < next.atMs) next = report;
    return next;
  }

  private finish(index: number, nowMs: number): void {
    const backend = this.backends[index]!;
    const number = backend.simulated.station.finish();
    const work = this.workOf(number, index);
    backend.simulated.learn(work);
    this.output.learn(work.outputTokens, backend.simulated.config.maxOutputTokens);
    this.routers[this.sentBy[number]!]!.left(index);
    const of = this.dispatched[number]!;
    of.seconds = (nowMs - of.atMs) / 1_000;
    of.addedUsd = backend.addedUsd(work.inputTokens, work.outputTokens, nowMs);
  }

  private workOf(number: number, index: number) {
    const { inputTokens, outputTokens } = this.setting.workload;
    const { maxOutputTokens } = this.backends[index]!.simulated.config;
    return { inputTokens: inputTokens[number]!, outputTokens: Math.min(maxOutputTokens, outputTokens[number]!) };
  }
}
