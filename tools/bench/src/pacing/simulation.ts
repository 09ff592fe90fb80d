import { newWindow, overspendNanos, reserve, settle, type HeldWindow } from './budget-holds.js';
import type { Candidate } from './estimates.js';
import { DAY_MS, DAYS, type Request, type Traffic } from './traffic.js';

/** The organisation's budget is 0, a team's is 1 + its number. */
export interface BudgetPlan {
  windowDays: number;
  /** By budget; Infinity where there is none. */
  limitsNanos: readonly number[];
}

/** What a policy may know of a budget's window. */
export interface BudgetView {
  window: number;
  held: HeldWindow;
  /** Sum of E[cost] of what is not settled, USD. */
  inFlightUsd: number;
}

/** How requests are dispatched: the order of candidates, of which the first that fits in all budgets is taken. */
export interface Policy {
  rank(request: Request): readonly Candidate[];
  asked?(
    path: readonly number[],
    chosen: Candidate | null,
    atMs: number,
    views: readonly BudgetView[],
    request: Request,
  ): void;
  settled?(path: readonly number[], candidate: Candidate, atMs: number): void;
}

export interface Outcome {
  /** Mean over all requests; a rejected one has none. */
  reward: number;
  rejectedShare: number;
  overspendNanos: number;
  spentNanos: number;
}

/** What a team's requests are charged to, in the window that is open. */
interface Account {
  path: readonly number[];
  views: readonly BudgetView[];
  held: readonly HeldWindow[];
}

interface Flight {
  atMs: number;
  account: Account;
  candidate: Candidate;
}

/** @param boundsNanos by model: the most that an attempt can cost, which is what is held. */
export function simulate(
  traffic: Traffic,
  budgets: BudgetPlan,
  boundsNanos: readonly number[],
  policy: Policy,
): Outcome {
  const paths = budgets.limitsNanos.slice(1).map((limit, team) => (limit === Infinity ? [0] : [0, team + 1]));
  const all: HeldWindow[] = [];
  let accounts: Account[] = [];
  let windowEndMs = 0;
  const flights = new Flights();
  let reward = 0;
  let rejected = 0;
  const land = (untilMs: number): void => {
    for (let flight = flights.next(untilMs); flight; flight = flights.next(untilMs)) {
      const { account, candidate, atMs } = flight;
      settle(account.held, boundsNanos[candidate.model]!, candidate.costNanos);
      for (const view of account.views) view.inFlightUsd -= candidate.expectedUsd;
      policy.settled?.(account.path, candidate, atMs);
    }
  };
  for (const request of traffic.requests) {
    land(request.atMs);
    if (request.atMs >= windowEndMs) {
      const window = Math.floor(request.atMs / (budgets.windowDays * DAY_MS));
      windowEndMs = (window + 1) * budgets.windowDays * DAY_MS;
      const views = budgets.limitsNanos.map((limit) => ({
        window,
        held: newWindow(limit === Infinity ? Number.MAX_SAFE_INTEGER : limit),
        inFlightUsd: 0,
      }));
      all.push(...views.map((v) => v.held));
      accounts = paths.map((path) => {
        const own = path.map((budget) => views[budget]!);
        return { path, views: own, held: own.map((v) => v.held) };
      });
    }
    const account = accounts[request.team]!;
    const chosen = policy.rank(request).find((c) => reserve(account.held, boundsNanos[c.model]!)) ?? null;
    if (chosen) {
      reward += chosen.reward;
      for (const view of account.views) view.inFlightUsd += chosen.expectedUsd;
      flights.add({ atMs: request.atMs + request.settlesAfterMs, account, candidate: chosen });
    } else rejected += 1;
    policy.asked?.(account.path, chosen, request.atMs, account.views, request);
  }
  land(Infinity);
  const orgs = all.filter((_, index) => index % budgets.limitsNanos.length === 0);
  return {
    reward: reward / traffic.requests.length,
    rejectedShare: rejected / traffic.requests.length,
    overspendNanos: overspendNanos(all),
    spentNanos: orgs.reduce((sum, window) => sum + window.settledNanos, 0),
  };
}

export const END_MS = DAYS * DAY_MS;

/** What is in flight, by when it lands: a binary heap. */
class Flights {
  private readonly heap: Flight[] = [];

  add(flight: Flight): void {
    const { heap } = this;
    let at = heap.push(flight) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.atMs <= flight.atMs) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = flight;
  }

  next(untilMs: number): Flight | undefined {
    const { heap } = this;
    const first = heap[0];
    if (!first || first.atMs > untilMs) return undefined;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.atMs < heap[child]!.atMs) child += 1;
      if (heap[child]!.atMs >= last.atMs) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
