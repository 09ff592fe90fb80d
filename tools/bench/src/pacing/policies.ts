import {
  beginShadowPrice,
  beginWindow,
  countRequest,
  countSettlement,
  demandLevel,
  isLogDue,
  learned,
  LEAST_REQUESTS,
  pathPrice,
  spareRoomNanos,
  tick,
  WARM_START_REQUESTS,
  warmStart,
  withLog,
  type LoggedCandidate,
  type LoggedRequest,
  type ShadowPrice,
} from '@meritorder/pacing-core';
import { Arrivals } from './arrivals.js';
import type { Candidate } from './estimates.js';
import { DAY_MS, type Request, type Traffic } from './traffic.js';
import { END_MS, type BudgetPlan, type BudgetView, type Policy } from './simulation.js';

/** In descending order of value less what the money counts. */
export function rankAt(candidates: readonly Candidate[], lambda: number): Candidate[] {
  const score = (c: Candidate): number => c.valueUsd - (1 + lambda) * c.expectedUsd;
  return candidates.toSorted((a, b) => score(b) - score(a) || a.expectedUsd - b.expectedUsd);
}

/** One price for each team, for the whole time. */
export function fixedPrices(lambdaByTeam: readonly number[]): Policy {
  // The same prompts come again and again, and hindsight tries many prices.
  const ranked = lambdaByTeam.map(() => new Map<readonly Candidate[], Candidate[]>());
  return {
    rank: ({ team, candidates }) => {
      const known = ranked[team]!.get(candidates) ?? rankAt(candidates, lambdaByTeam[team]!);
      ranked[team]!.set(candidates, known);
      return known;
    },
  };
}

/** The model with the most expected quality as long as it fits, then nothing. */
export function bestModel(): Policy {
  return {
    rank: (request) => [request.candidates.reduce((a, b) => (b.valueUsd > a.valueUsd ? b : a))],
  };
}

export interface Start {
  traffic: Traffic;
  budgets: BudgetPlan;
  /** Of the time before, with budget names `0` for the organisation and `1 + team`. */
  log: readonly LoggedRequest[];
  /** By model: the most that an attempt can cost. */
  boundsNanos: readonly number[];
  /** The controller knows neither the log nor the forecast: both are what has come. */
  isNew: boolean;
}

type Forecast = (budget: number, fromMs: number, toMs: number) => number;

/** Requests forecast for a budget between two instants. */
function forecastOf({ traffic, budgets }: Start): Forecast {
  const between = (team: number, fromMs: number, toMs: number): number =>
    traffic.forecastUntil(team, toMs) - traffic.forecastUntil(team, fromMs);
  const teams = budgets.limitsNanos.slice(1).map((_, team) => team);
  return (budget, fromMs, toMs) =>
    budget > 0 ? between(budget - 1, fromMs, toMs) : teams.reduce((sum, t) => sum + between(t, fromMs, toMs), 0);
}

function startPrices(start: Start): Map<string, number> {
  const forecast = forecastOf(start);
  const endMs = Math.min(END_MS, start.budgets.windowDays * DAY_MS);
  // Of a daily window the first day of the forecast says too little of the days: all of them.
  const share = endMs / END_MS;
  const limited = start.budgets.limitsNanos.flatMap((limitNanos, budget) =>
    limitNanos === Infinity
      ? []
      : [{ budget: String(budget), affordableUsdPerRequest: limitNanos / 1e9 / (share * forecast(budget, 0, END_MS)) }],
  );
  return warmStart(start.log, limited);
}

/** The controller of pacing-core, told of everything when it happens. */
export function shadowPrices(
  start: Start,
  { ignoresInFlight = false, keepsRoom = true } = {},
): Policy & { changes(): number } {
  const { budgets, boundsNanos, isNew } = start;
  const arrivals = isNew ? new Arrivals(budgets.limitsNanos.length) : undefined;
  const forecast: Forecast = arrivals ? (...of) => arrivals.between(...of) : forecastOf(start);
  const windowMs = budgets.windowDays * DAY_MS;
  const windowOf = (index: number): ShadowPrice['window'] => ({
    id: `w${index}`,
    startMs: index * windowMs,
    endMs: (index + 1) * windowMs,
  });
  const prices: ShadowPrice[] = [];
  const logs: LoggedRequest[][] = [];
  const first = startPrices(start);
  for (const [id, lambda] of first) {
    const budget = Number(id);
    logs[budget] = isNew ? [] : start.log.flatMap((r) => (r.budgets.includes(id) ? [without(r, id, first)] : []));
    const known = isNew ? {} : learned(logs[budget], lambda);
    prices[budget] = beginShadowPrice({ window: windowOf(0), ...known }, 0);
  }
  const cheapest = logs.map(meanCheapest);
  const seen: BudgetView[] = [];
  const roomNanos = (budget: number, atMs: number): number => {
    const view = seen[budget];
    const price = prices[budget]!;
    const endMs = price.window.endMs!;
    if (!keepsRoom || !view || atMs >= endMs) return Infinity;
    const reading = {
      limitNanos: BigInt(view.held.limitNanos),
      spentNanos: BigInt(view.held.settledNanos),
      reservedNanos: BigInt(view.held.reservedNanos),
      forecastRequestsToEnd: forecast(budget, atMs, Math.min(END_MS, endMs)),
      cheapestUsdPerRequest: cheapest[budget]!.usd,
    };
    return Number(spareRoomNanos(price, reading));
  };
  const learn = (budget: number, price: ShadowPrice, view: BudgetView, atMs: number): ShadowPrice => {
    const log = logs[budget]!.slice(-WARM_START_REQUESTS);
    if (price.curve) return withLog(price, log);
    const leftUsd = (view.held.limitNanos - view.held.settledNanos) / 1e9 - view.inFlightUsd;
    const requests = demandLevel(price.demand) * forecast(budget, atMs, Math.min(END_MS, price.window.endMs!));
    const affordableUsdPerRequest = Math.max(0, leftUsd) / Math.max(1, requests);
    const known = learned(
      log,
      warmStart(log, [{ budget: String(budget), affordableUsdPerRequest }]).get(String(budget))!,
    );
    return { ...price, ...beginShadowPrice({ window: price.window, ...known }, atMs), demand: price.demand };
  };
  let changes = 0;
  const update = (budget: number, view: BudgetView, atMs: number): void => {
    let price = prices[budget]!;
    const window = windowOf(view.window);
    if (price.window.id !== window.id) {
      price = beginWindow(price, window);
      changes += 1;
    }
    if (price.open.requests >= LEAST_REQUESTS) {
      if (isLogDue(price)) price = learn(budget, price, view, atMs);
      const done = tick(
        price,
        {
          limitNanos: BigInt(view.held.limitNanos),
          spentNanos: BigInt(view.held.settledNanos),
          inFlightUsd: ignoresInFlight ? 0 : view.inFlightUsd,
          forecastRequests: forecast(budget, price.demand.atMs, atMs),
          forecastRequestsToEnd: forecast(budget, atMs, Math.min(END_MS, window.endMs!)),
          cheapestUsdPerRequest: cheapest[budget]!.usd,
        },
        atMs,
      );
      price = done.price;
      if (done.change) changes += 1;
    }
    prices[budget] = price;
  };
  const paths = budgets.limitsNanos.slice(1).map((limit, team) => (limit === Infinity ? [0] : [0, team + 1]));
  return {
    rank: (request: Request) => {
      const path = paths[request.team]!.map((b) => ({ basis: 'cash' as const, lambda: prices[b]!.published }));
      const ranked = rankAt(request.candidates, pathPrice(path).cash);
      const room = Math.min(...paths[request.team]!.map((budget) => roomNanos(budget, request.atMs)));
      return behindWithoutRoom(ranked, room, boundsNanos);
    },
    asked: (path, chosen, atMs, views, { candidates }) =>
      path.forEach((budget, index) => {
        seen[budget] = views[index]!;
        arrivals?.count(budget, atMs);
        const others = new Map(path.map((other) => [String(other), prices[other]!.published]));
        logs[budget]!.push(without({ candidates, budgets: path.map(String) }, String(budget), others));
        if (logs[budget]!.length >= 2 * WARM_START_REQUESTS) logs[budget] = logs[budget]!.slice(-WARM_START_REQUESTS);
        cheapest[budget] = withOne(cheapest[budget]!, cheapestUsd(candidates));
        prices[budget] = countRequest(prices[budget]!, chosen?.expectedUsd ?? 0);
        update(budget, views[index]!, atMs);
      }),
    settled: (path, { expectedUsd, costNanos }) => {
      for (const budget of path)
        prices[budget] = countSettlement(prices[budget]!, { expectedUsd, actualUsd: costNanos / 1e9 });
    },
    changes: () => changes,
  };
}

/**
 * Dual descent as textbooks have it: lambda <- max(0, lambda + step x (s/n - rho)), rho = the limit / all requests forecast,
 * step = start / (rho x square root of the ticks); as often ticked and as warmly started as the controller.
 */
export function dualDescent(start: Start): Policy {
  const { budgets } = start;
  const forecast = forecastOf(start);
  const prices = startPrices(start);
  const greatest = Math.max(...prices.values());
  const state = budgets.limitsNanos.map((limitNanos, budget) => {
    const total = forecast(budget, 0, END_MS);
    const rho = ((limitNanos / 1e9) * (END_MS / (budgets.windowDays * DAY_MS))) / total;
    const lambda = prices.get(String(budget)) ?? 0;
    return { lambda, rho, step: greatest / (rho * Math.sqrt(total / LEAST_REQUESTS)), requests: 0, spentUsd: 0 };
  });
  const paths = budgets.limitsNanos.slice(1).map((limit, team) => (limit === Infinity ? [0] : [0, team + 1]));
  return {
    rank: (request) =>
      rankAt(
        request.candidates,
        paths[request.team]!.reduce((sum, b) => sum + state[b]!.lambda, 0),
      ),
    asked: (path, chosen) => {
      for (const budget of path) {
        const of = state[budget]!;
        of.requests += 1;
        of.spentUsd += chosen?.expectedUsd ?? 0;
        if (of.requests < LEAST_REQUESTS) continue;
        of.lambda = Math.max(0, of.lambda + of.step * (of.spentUsd / of.requests - of.rho));
        of.requests = 0;
        of.spentUsd = 0;
      }
    },
  };
}

/** A request as one budget sees it: values less what the others on its path count. */
function without(request: LoggedRequest, budget: string, prices: ReadonlyMap<string, number>): LoggedRequest {
  const others = request.budgets.reduce((sum, b) => sum + (b === budget ? 0 : (prices.get(b) ?? 0)), 0);
  return {
    budgets: [budget],
    candidates: request.candidates.map(({ valueUsd, expectedUsd }) => ({
      valueUsd: valueUsd - others * expectedUsd,
      expectedUsd,
    })),
  };
}

/** Of the log at first, then more and more of what came: a mean over as many as a warm start reads. */
function meanCheapest(log: readonly LoggedRequest[]): Mean {
  return log.reduce((mean, { candidates }) => withOne(mean, cheapestUsd(candidates)), { usd: 0, requests: 0 });
}

interface Mean {
  usd: number;
  requests: number;
}

function withOne({ usd, requests }: Mean, next: number): Mean {
  const counted = Math.min(WARM_START_REQUESTS, requests + 1);
  return { usd: usd + (next - usd) / counted, requests: counted };
}

function cheapestUsd(candidates: readonly LoggedCandidate[]): number {
  return Math.min(...candidates.map((c) => c.expectedUsd));
}

function behindWithoutRoom(ranked: Candidate[], roomNanos: number, boundsNanos: readonly number[]): Candidate[] {
  if (roomNanos === Infinity) return ranked;
  const cheapest = ranked.reduce((a, b) => (b.expectedUsd < a.expectedUsd ? b : a));
  const fits = (c: Candidate): boolean => c === cheapest || boundsNanos[c.model]! <= roomNanos;
  return [...ranked.filter(fits), ...ranked.filter((c) => !fits(c))];
}
