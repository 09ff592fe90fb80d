import { mkdirSync } from 'node:fs';
import { seededRandom } from '@meritorder/kernel';
import type { ServiceName, Stack } from '@meritorder/launcher';
import { waitFor } from '@meritorder/testing';
import type { ReservationRate } from './bare-script.js';
import { FAULTS, type Fault } from './faults.js';
import { runLoad } from './load.js';
import { MeritorderTarget } from './meritorder-target.js';
import { OpenAiTarget, type OpenAiOptions } from './openai-target.js';
import { PeakSampler } from './peak-sampler.js';
import { planBudgets, type Plan } from './plan.js';
import { reportOf, type OvershootReport } from './report.js';
import { startProbe } from './reservation-probe.js';

export interface LoadSettings {
  clients: number;
  seconds: number;
  /** Default: as many as the time allows. */
  requests?: number | undefined;
  seed: number;
  /** A refused client asks again after up to this long. */
  pauseMs: number;
}

export interface StackSettings {
  routers: number;
  /** Router processes when it starts; default all. */
  routersAtStart?: number | undefined;
  requestDeadlineMs: number;
  /** Requests that the caps are sized for. */
  plannedRequests: number;
  seed: number;
  dataDir: string;
  cacheDir: string;
  log: (line: string) => void;
}

/** Requests that caps are sized for, a second. */
export const PLANNED_PER_SECOND = 60;
const BACK_LIMIT_MS = 60_000;

/** Meritorder itself, on this machine, to be hammered under one fault after the other. */
export class OvershootStack {
  private constructor(
    private readonly settings: StackSettings,
    private readonly plan: Plan,
    private readonly target: MeritorderTarget,
  ) {}

  static async start(settings: StackSettings): Promise<OvershootStack> {
    mkdirSync(settings.dataDir, { recursive: true });
    const plan = planBudgets(settings.plannedRequests, settings.seed);
    const instances = { router: settings.routersAtStart ?? settings.routers };
    const target = new MeritorderTarget({ ...settings, plan, instances });
    try {
      for (const budget of plan.budgets) await target.setBudget(budget);
      await target.start();
    } catch (error) {
      await target.stop();
      throw error;
    }
    return new OvershootStack(settings, plan, target);
  }

  async run(fault: string, load: LoadSettings, rate?: ReservationRate): Promise<OvershootReport> {
    const { target, settings } = this;
    const { stack, redis } = target;
    settings.log(`${fault}: ${faultNamed(fault).describe}`);
    const sampler = await PeakSampler.start(redis.urls);
    const probe = await startProbe(redis.url);
    const running = countByName(stack);
    const striking = this.strike(faultNamed(fault), load, sampler);
    const result = await runLoad(target, this.plan, load, seededRandom(load.seed + 1));
    const strikes = await striking;
    const reserveMs = await probe.stop();
    await waitFor(() => [...running].every(([name, count]) => (countByName(stack).get(name) ?? 0) >= count), {
      message: 'killed services to be back',
      timeoutMs: BACK_LIMIT_MS,
    });
    settings.log(`${result.requests} requests, ${result.admitted} admitted; waiting for the books`);
    const { spends, checks } = await target.settle();
    await sampler.stop();
    return reportOf(
      { fault, target: 'meritorder', routers: settings.routers, clients: load.clients },
      { load: result, peakOvershoot: sampler.overshoot, spends, checks, reserveMs, rate, strikes },
    );
  }

  stop(): Promise<void> {
    return this.target.stop();
  }

  private strike(fault: Fault, load: LoadSettings, sampler: PeakSampler): Promise<number> {
    const { stack, redis, operator } = this.target;
    const started = performance.now();
    return fault.run({
      stack,
      redis,
      operator,
      routers: this.settings.routers,
      seconds: load.seconds,
      seed: load.seed,
      at: (share) =>
        new Promise((r) => setTimeout(r, Math.max(0, started + share * load.seconds * 1_000 - performance.now()))),
      sample: () => sampler.sample(),
    });
  }
}

/** @throws Error that lists the faults there are. */
export function faultNamed(name: string): Fault {
  const fault = FAULTS[name];
  if (!fault) throw new Error(`there is no fault "${name}"; there are: ${Object.keys(FAULTS).join(', ')}, all`);
  return fault;
}

function countByName(stack: Stack): Map<ServiceName, number> {
  const counts = new Map<ServiceName, number>();
  for (const { name } of stack.services) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** Another gateway, without faults: only its keys' budgets, since levels differ from product to product. */
export async function overshootOf(
  gateway: OpenAiOptions,
  options: LoadSettings & { budgets: number; log: (line: string) => void },
): Promise<OvershootReport> {
  const plan = planBudgets(options.requests ?? options.seconds * PLANNED_PER_SECOND, options.seed);
  plan.keys.splice(options.budgets);
  const target = new OpenAiTarget(gateway);
  try {
    for (const budget of plan.budgets)
      if (plan.keys.includes(budget.selector.key ?? '')) await target.setBudget(budget);
    await target.start();
    const load = await runLoad(target, plan, options, seededRandom(options.seed + 1));
    options.log(`${load.requests} requests, ${load.admitted} admitted; waiting for the books`);
    const { spends, checks } = await target.settle();
    return reportOf(
      { fault: 'none', target: gateway.url, routers: 0, clients: options.clients },
      { load, peakOvershoot: undefined, spends, checks, reserveMs: [], rate: undefined, strikes: 0 },
    );
  } finally {
    await target.stop();
  }
}
