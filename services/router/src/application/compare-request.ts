import type {
  Attribution,
  BackendConfig,
  CountedTokens,
  EstimateReply,
  EstimateRequest,
  OrgConfig,
  Refusal,
} from '@meritorder/contracts';
import { compareBackends, type RequestForecast } from '@meritorder/estimate-core';
import { ableCandidates, isTooSlow, notAllowed, policyFor, requirementsOf } from '@meritorder/routing-core';
import { tokensOf, tooSlow } from './choose-backend.js';
import type { Catalogue, Estimator, Fleet, Loads } from './ports.js';
import { routeUnknown, tierUnknown } from './refusals.js';
import { uncarriedBy } from './uncarried-by.js';
import { viewsOf } from './views-of.js';

export interface ComparePorts {
  catalogue: Catalogue;
  fleet: Fleet;
  loads: Loads;
  estimator: { estimate(request: Parameters<Estimator['estimate']>[0]): RequestForecast };
}

export interface CompareRequest extends EstimateRequest {
  attribution: Attribution;
  org: OrgConfig;
}

/**
 * What a request would cost at each backend of its route, or at those that are named: by the code that scores, reserves and
 * settles. Nothing is reserved and nothing is sent.
 */
export function compareRequest(
  { catalogue, fleet, loads, estimator }: ComparePorts,
  { body, backends, attribution, org }: CompareRequest,
  atMs: number,
): Extract<EstimateReply, { rows: unknown }> | Refusal {
  const route = catalogue.route(body.model, org.routes);
  if (!route) return routeUnknown(catalogue, org, body.model);
  const unknown = backends?.find((id) => !catalogue.backend(id) || (org.routes && !org.routes.includes(id)));
  if (unknown !== undefined) return { ...routeUnknown(catalogue, org, unknown), param: 'backends' };
  const compared: BackendConfig[] = backends?.map((id) => catalogue.backend(id)!) ?? route.backends;
  const tier = catalogue.tier(org.id, attribution.tier);
  if (tier === 'none') return tierUnknown(catalogue, org, attribution.tier);
  const policy = policyFor({
    route: route.settings,
    tier,
    wishes: body.meritorder,
    streams: body.stream === true,
  });
  const requirements = { ...requirementsOf(body), uncarriedBy: uncarriedBy(body) };
  const forecast = estimator.estimate({ body, attribution, route: route.id });
  const views = viewsOf(compared, catalogue, fleet, atMs);
  // The router's own filters say who is able, so that an estimate never promises what a request would not get.
  const { able, excluded } = ableCandidates(views, requirements, (backend) => forecast.of(backend), undefined, atMs);
  const unable = new Map(excluded.filter((e) => e.code !== 'unpriced').map((e) => [e.backend.id, e.why]));
  const { usdPerSecondLate, maxLatencySeconds, maxFirstTokenSeconds } = policy.score;
  const wish = { targetSeconds: Infinity, usdPerSecondLate, maxLatencySeconds, maxFirstTokenSeconds };
  for (const candidate of able) {
    const { backend } = candidate;
    const numbers = loads.numbers(backend, tokensOf(candidate, requirements.choices), wish, atMs);
    if (isTooSlow(policy.score, numbers))
      unable.set(backend.id, tooSlow(backend, numbers, { loads, policy, nowMs: atMs }).why);
  }
  for (const backend of compared) {
    const why = notAllowed(policy, backend);
    if (why !== undefined) unable.set(backend.id, why);
  }
  return {
    route: route.id,
    estimatedAt: new Date(atMs).toISOString(),
    rows: compareBackends(
      forecast,
      views.map(({ backend, price, otherPrices }) => ({
        backend,
        price,
        otherPrices,
        unitBounds: backend.unitBounds,
        unable: unable.get(backend.id),
      })),
      {
        choices: requirements.choices,
        standardTierOnly: requirements.standardTierOnly,
        inputModalities: requirements.inputModalities,
        outputModalities: requirements.outputModalities,
        atMs,
      },
    ),
  };
}

/** How many tokens a request has, as expected at the cheapest backend that is able: tokenizers differ. */
export function countTokens(ports: ComparePorts, request: CompareRequest, atMs: number): CountedTokens | Refusal {
  const compared = compareRequest(ports, request, atMs);
  if ('code' in compared) return compared;
  const [cheapest] = compared.rows;
  if (cheapest) return { input_tokens: cheapest.input.expectedTokens };
  const message = `No backend of "${compared.route}" has joined yet.`;
  return { code: 'backend_unavailable', message, retryAfterSeconds: 1 };
}
