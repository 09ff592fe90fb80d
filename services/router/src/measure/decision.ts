import { performance } from 'node:perf_hooks';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import type { RoutingDecisionMadeV1 } from '@meritorder/contracts';
import type { ReserveCommand, ReserveReply } from '@meritorder/counters';
import { seededRandom } from '@meritorder/kernel';
import { dispatchRequest, type DispatchPorts, type DispatchRequest } from '../application/dispatch-request.js';
import type { RequestEstimate } from '../application/ports.js';
import { Durations, type Quantiles } from './durations.js';
import { BACKENDS, World } from './world.js';

const WARM_UP = 5_000;
/** As workers do. */
const HEARTBEAT_MS = 1_000;
/** Requests that are prepared together, so that only decisions lie between two looks at the processor's time. */
const BLOCK = 200;

/** What lies between the marks that the ports make: these add up to the decision. */
const PARTS = ['policy', 'promptRead', 'able', 'weighed', 'decidedAndHeld', 'command'] as const;
const WEIGHED = PARTS.indexOf('weighed') + 1;

export interface DecisionSpeed {
  decisions: number;
  backends: number;
  /** From the request, its tokens estimated, to the command that reserves: candidates in order, with their bounds. */
  decision: Quantiles;
  parts: Record<(typeof PARTS)[number], Quantiles>;
  /** Processor time of a decision and the answer that follows it, garbage collection included; the mean. */
  cpuMeanUs: number;
  /** Before it: the text read, and all backends forecast. */
  estimate: Quantiles;
  /** After it, from the grant to the message for the worker; and, when that is sent, the decision's record. */
  grantToWork: Quantiles;
  record: Quantiles;
}

/**
 * The decision of the router itself, `dispatchRequest`, with its adapters that hold what is known in memory. Redis and the worker
 * are ports that note the instant and agree.
 */
export class DecisionMeasurement {
  private readonly world = new World();
  private readonly random = seededRandom(3);
  private readonly marks = new Float64Array(PARTS.length + 1);
  private marked = 0;
  private grantedAt = 0;
  private sentAt = 0;
  private estimate: RequestEstimate | undefined;
  private makeRecord: (() => RoutingDecisionMadeV1) | undefined;
  private beatAt = -Infinity;
  private grants = true;

  private readonly ports = this.portsThatMark();

  constructor() {
    this.world.loads.onLooked = () => this.remark(WEIGHED);
    this.world.fleet.onBegan = () => this.mark(WEIGHED + 1);
  }

  async measure(decisions: number): Promise<DecisionSpeed> {
    for (let i = 0; i < WARM_UP; i++) await this.one(i);
    const parts = PARTS.map(() => new Durations(decisions));
    const [whole, estimate, grantToWork, record] = [1, 2, 3, 4].map(() => new Durations(decisions)) as [
      Durations,
      Durations,
      Durations,
      Durations,
    ];
    for (let i = 0; i < decisions; i++) {
      estimate.add(await this.one(i));
      for (let part = 0; part < PARTS.length; part++) parts[part]!.add(this.marks[part + 1]! - this.marks[part]!);
      whole.add(this.marks[PARTS.length]! - this.marks[0]!);
      grantToWork.add(this.sentAt - this.grantedAt);
      const from = performance.now();
      this.makeRecord!();
      record.add(performance.now() - from);
    }
    return {
      decisions,
      backends: BACKENDS,
      decision: whole.quantiles(),
      parts: Object.fromEntries(PARTS.map((part, i) => [part, parts[i]!.quantiles()])) as DecisionSpeed['parts'],
      cpuMeanUs: await this.cpuMeanUs(decisions),
      estimate: estimate.quantiles(),
      grantToWork: grantToWork.quantiles(),
      record: record.quantiles(),
    };
  }

  /** @returns how long its estimate took, ms */
  private async one(index: number): Promise<number> {
    this.keepAlive();
    const request = this.world.request(index);
    const from = performance.now();
    this.estimate = this.world.estimate(request.body);
    const estimatedMs = performance.now() - from;
    await this.dispatch(request);
    return estimatedMs;
  }

  private dispatch(request: Omit<DispatchRequest, 'context' | 'cancelled'>): Promise<unknown> {
    const whole = { ...request, context: ROOT_CONTEXT, cancelled: new AbortController().signal };
    this.marked = 0;
    this.mark(0);
    return dispatchRequest(this.ports, this.world.config.limits, whole);
  }

  /** In blocks, since a process is told its time in coarse steps. */
  private async cpuMeanUs(decisions: number): Promise<number> {
    this.grants = false;
    let usedUs = 0;
    for (let from = 0; from < decisions; from += BLOCK) {
      this.keepAlive();
      const prepared = Array.from({ length: BLOCK }, (_, i) => {
        const request = this.world.request(from + i);
        return { request, estimate: this.world.estimate(request.body) };
      });
      const before = process.cpuUsage();
      for (const { request, estimate } of prepared) {
        this.estimate = estimate;
        await this.dispatch(request);
      }
      const { user, system } = process.cpuUsage(before);
      usedUs += user + system;
    }
    this.grants = true;
    return usedUs / (BLOCK * Math.ceil(decisions / BLOCK));
  }

  /** The first of each counts; `PARTS` lie between them. */
  private mark(index: number): void {
    if (this.marked !== index) return;
    this.marks[index] = performance.now();
    this.marked++;
  }

  /** The last counts. */
  private remark(index: number): void {
    if (this.marked !== index && this.marked !== index + 1) return;
    this.marks[index] = performance.now();
    this.marked = index + 1;
  }

  private portsThatMark(): DispatchPorts {
    const { world } = this;
    return {
      clock: world.clock,
      catalogue: world.catalogue,
      loads: world.loads,
      fleet: world.fleet,
      estimator: { estimate: () => this.estimate! },
      qualities: {
        read: (request) => {
          this.mark(1);
          const reading = world.qualities.read(request);
          this.mark(2);
          return reading;
        },
      },
      random: () => {
        this.mark(3);
        return this.random();
      },
      admission: {
        epochId: () => 1,
        reserve: async (command) => {
          this.mark(PARTS.length);
          const reply: ReserveReply = this.grants ? grant(command) : { type: 'epoch' };
          await Promise.resolve();
          this.grantedAt = performance.now();
          return reply;
        },
        open: async () => true,
        renew: async () => {},
        extend: () => unused('extend'),
        release: async () => {},
      },
      workers: {
        dispatch: (work) => {
          Buffer.from(JSON.stringify(work));
          this.sentAt = performance.now();
          const { attemptId } = work.terms;
          return {
            taken: Promise.resolve(),
            go: () => {},
            next: async () => ({ signal: { type: 'finished', attemptId, status: 'ok' }, reply: () => {} }),
            stop: () => {},
            close: () => {},
          };
        },
      },
      caller: {
        refuse: (_to, _id, { code, message }) => void (code === 'admission_closed' || unused(`refusal: ${message}`)),
      },
      decisions: { record: (make) => void (this.makeRecord = make) },
      conversions: { read: () => unused('conversions') },
      retries: { earn: () => {}, spend: () => unused('retries') },
      hedges: {
        earn: () => {},
        spend: () => unused('hedges'),
        giveBack: () => unused('hedges'),
        count: () => unused('hedges'),
      },
      attempts: { recorder: 'none', opened: async () => {}, closed: () => unused('attempts') },
      extensions: { record: () => unused('extensions') },
      keys: { claim: () => unused('claim'), answered: () => unused('answered'), free: () => unused('free') },
      slots: world.slots,
      every: () => () => {},
    };
  }

  private keepAlive(): void {
    if (performance.now() - this.beatAt < HEARTBEAT_MS) return;
    this.world.beat();
    this.beatAt = performance.now();
  }
}

function grant({ candidates }: ReserveCommand): ReserveReply {
  const { maxTokens, cash, full, windows } = candidates[0]!;
  return {
    type: 'granted',
    epochId: 1,
    candidateIndex: 0,
    maxTokens,
    cashNanos: cash.fixedNanos + cash.perOutputTokenNanos * BigInt(maxTokens),
    fullNanos: full.fixedNanos + full.perOutputTokenNanos * BigInt(maxTokens),
    leaseUntilMs: 0,
    decidedAtMicros: 0,
    left: windows.map((w) => ({ budget: w.budget, window: w.window, basis: w.basis, leftNanos: w.limitNanos })),
  };
}

function unused(what: string): never {
  throw new Error(`a decision that is measured does not come to this: ${what}`);
}
