import type { BackendConfig, ChatRequest, OrgConfig } from '@meritorder/contracts';
import type { RequestForecast } from '@meritorder/estimate-core';
import { expect, it } from 'vitest';
import { countTokens, type ComparePorts } from './compare-request.js';
import type { Catalogue } from './ports.js';

const route = { id: 'gpus', backends: [] as BackendConfig[], settings: undefined };
const catalogue: Partial<Catalogue> = {
  route: (id) => (id === route.id ? route : undefined),
  tier: () => undefined,
  routeIds: () => [route.id],
  providersOf: () => [],
};
const ports = { catalogue, estimator: { estimate: () => ({}) as RequestForecast } } as unknown as ComparePorts;
const count = (model: string) => {
  const body: ChatRequest = { model, messages: [{ role: 'user', content: 'x' }] };
  return countTokens(ports, { body, attribution: { org: 'acme' }, org: { id: 'acme' } as OrgConfig }, 0);
};

it('tokens of a route that no host has joined yet are refused, to be asked again', () => {
  expect(count('gpus')).toMatchObject({
    code: 'backend_unavailable',
    message: expect.stringContaining('"gpus"'),
    retryAfterSeconds: 1,
  });
  expect(count('none')).toMatchObject({ code: 'route_unknown' });
});
