import { performance } from 'node:perf_hooks';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import type { ReserveCommand, ReserveReply } from '@meritorder/counters';
import { seededRandom } from '@meritorder/kernel';
import { dispatchRequest, type DispatchPorts } from '../application/dispatch-request.js';
import type { RequestEstimate } from '../application/ports.js';
import { World } from './world.js';

const WARM_UP = 5_000;
const HEARTBEATS_EVERY = 1_000;

/** Quantiles, microseconds. */
export interface Quantiles {
  p50Us: number;
  p99Us: number;
}

export interface DecisionSpeed {
  decisions: number;
  /** From the request, its tokens estimated, to the command that reserves: candidates in order, with their bounds. */
  decision: Quantiles;
  /** Processor time of this process for one decision and what is measured with it, garbage collection included; mean, microseconds. */
  cpuMeanUs: number;
  /** Parts of the decision, in order. */
  parts: Record<(typeof PARTS)[number], Quantiles>;
  /** Before it: the text read, and all backends forecast. */
  estimate: Quantiles;
  /** After it: from the grant to the message for the worker. */
  grantToWork: Quantiles;
}

/** What lies between the marks that the ports make. */
const PARTS = ['policy', 'quality read', 'able', 'chosen and held', 'command'] as const;

/**
 * The decision of the router itself, `dispatchRequest`, with its adapters that hold what is known in memory. Redis and the worker
 * are ports that note the instant and agree.
 */
export async function measureDecision(decisions: number): Promise<DecisionSpeed> {
  const world = new World();
  const marks = new Float64Array(PARTS.length + 1);
  let estimate: RequestEstimate;
  let grantedAt = 0;
  let sentAt = 0;
  let at = 0;
  const mark = (): void => void (marks[at++] = performance.now());
  const random = seededRandom(3);
  let drawn = false;
  const ports: DispatchPorts = {
    clock: world.clock,
    catalogue: world.catalogue,
    loads: world.loads,
    estimator: { estimate: () => estimate },
    qualities: {
      read: (request) => {
        mark();
        const reading = world.qualities.read(request);
        mark();
        return reading;
      },
    },
    conversions: { read: () => unused('conversions') },
    retries: { earn: () => {}, spend: () => true },
    random: () => {
      if (!drawn) mark();
      drawn = true;
      return random();
    },
    fleet: {
      workersAlive: (backend) => world.fleet.workersAlive(backend),
      workersWithRoom: (backend, free) => world.fleet.workersWithRoom(backend, free),
      allows: (backend) => world.fleet.allows(backend),
      began: (backend) => {
        if (at < PARTS.length) mark();
        world.fleet.began(backend);
      },
      left: (backend) => world.fleet.left(backend),
      probing: (backend) => world.fleet.probing(backend),
      succeeded: (backend) => world.fleet.succeeded(backend),
      failed: (backend, kind) => world.fleet.failed(backend, kind),
      quota: (backend, ms) => world.fleet.quota(backend, ms),
      ended: (backend) => world.fleet.ended(backend),
    },
    admission: {
      epochId: () => 1,
      reserve: (command) => {
        mark();
        const reply = grant(command);
        return Promise.resolve(reply).then((granted) => ((grantedAt = performance.now()), granted));
      },
      open: async () => true,
      renew: async () => {},
      extend: () => unused('extend'),
      release: async () => {},
    },
    workers: {
      dispatch: (work) => {
        Buffer.from(JSON.stringify(work));
        sentAt = performance.now();
        return {
          next: async () => ({
            signal: { type: 'finished', attemptId: work.terms.attemptId, status: 'ok' },
            reply: () => {},
          }),
          stop: () => {},
          close: () => {},
        };
      },
    },
    caller: { refuse: (_to, _id, refusal) => unused(`refuse ${refusal.message}`) },
    decisions: { record: () => {} },
    extensions: { record: () => unused('extensions') },
    keys: { claim: () => unused('claim'), answered: () => unused('answered'), free: () => unused('free') },
    every: () => () => {},
  };
  const spent = Array.from({ length: PARTS.length + 3 }, () => new Float64Array(decisions));
  let cpuUs = 0;
  for (let i = -WARM_UP; i < decisions; i++) {
    if (i % HEARTBEATS_EVERY === 0) world.beat();
    world.clock.advance(1);
    const body = world.body(i + WARM_UP);
    const startedAt = performance.now();
    const forecast = world.forecast(body);
    for (const backend of world.config.backends) forecast.of(backend);
    const estimatedAt = performance.now();
    estimate = forecast;
    at = 0;
    drawn = false;
    const request = {
      requestId: `request-${i + WARM_UP}`,
      kind: 'chat' as const,
      body,
      attribution: { ...world.attribution },
      org: world.config.orgs[0]!,
      replyTo: '_INBOX_acme.1',
      deadlineMs: world.clock.nowMs() + 120_000,
      context: ROOT_CONTEXT,
      cancelled: new AbortController().signal,
    };
    const before = process.cpuUsage();
    mark();
    await dispatchRequest(ports, world.config.limits, request);
    const used = process.cpuUsage(before);
    if (i < 0) continue;
    cpuUs += used.user + used.system;
    for (let part = 0; part < PARTS.length; part++) spent[part]![i] = marks[part + 1]! - marks[part]!;
    spent[PARTS.length]![i] = marks[PARTS.length]! - marks[0]!;
    spent[PARTS.length + 1]![i] = estimatedAt - startedAt;
    spent[PARTS.length + 2]![i] = sentAt - grantedAt;
  }
  const all = spent.map(quantiles);
  return {
    decisions,
    decision: all[PARTS.length]!,
    cpuMeanUs: cpuUs / decisions,
    parts: Object.fromEntries(PARTS.map((part, i) => [part, all[i]!])) as DecisionSpeed['parts'],
    estimate: all[PARTS.length + 1]!,
    grantToWork: all[PARTS.length + 2]!,
  };
}

function quantiles(ms: Float64Array): Quantiles {
  const sorted = ms.toSorted();
  const at = (share: number): number => 1_000 * sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { p50Us: at(0.5), p99Us: at(0.99) };
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
    left: windows.map(({ budget, window, basis, limitNanos }) => ({
      budget,
      window,
      basis,
      leftNanos: BigInt(limitNanos),
    })),
  };
}

function unused(what: string): never {
  throw new Error(`a decision that is measured does not come to this: ${what}`);
}
