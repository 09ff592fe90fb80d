import { afterEach } from 'vitest';
import { parseConfig, USAGE_UNITS, type BackendConfig, type Kind, type PriceVersion } from '@meritorder/contracts';
import { attempt, price, terms, type World } from '../application/attempt-world.for-tests.js';
import { CredentialPools } from '../application/credentialed-upstream.js';
import { upstreamFor } from '../application/upstream-for.js';
import { credentialsFromEnvironment } from './credentials-from-environment.js';
import { providerWires } from './provider-wires.js';
import { rawServer, type RawServer } from './raw-server.for-tests.js';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

/** A server that is stopped with the test. */
export async function serve(answer: Parameters<typeof rawServer>[0]): Promise<RawServer> {
  const server = await rawServer(answer);
  stops.push(() => server.stop());
  return server;
}

/** A backend as its few lines of configuration make it. @param fields in YAML's flow style */
export function backendOf(fields: string): BackendConfig {
  const yaml = `
version: 1
orgs: [{ id: acme }]
backends:
  - { id: b, kind: cloud, model: the-model, contextTokens: 1000, maxOutputTokens: 100, ${fields} }
`;
  return parseConfig(yaml, 'test.yaml', {}).backends[0]!;
}

/** The names of all models that answered, so that none is unknown: in YAML's flow style. */
export function aliasesIn(answers: readonly string[]): string {
  const names = answers.flatMap((text) => [...text.matchAll(/"model":\s*"([^"]+)"/g)].map(([, name]) => name!));
  return `modelAliases: ${JSON.stringify([...new Set(names)])}`;
}

const { cash } = price;
const cashOfAll = {
  ...cash,
  unitPicos: Object.fromEntries(USAGE_UNITS.map((unit) => [unit, '1000'])),
  serviceTiers: { flex: cash, priority: cash },
};
/** Whatever was served has a rate. */
export const PRICE_OF_ALL: PriceVersion = { ...price, cash: cashOfAll, full: cashOfAll };

const SECRETS = { K: 'key-1', K2: 'key-2' };

export interface Call extends World {
  kind?: Kind;
  body?: Record<string, unknown>;
  deadlineInMs?: number;
}

/** The attempts of one worker at a backend, over its real wires. */
export function workerFor(backend: BackendConfig): (call?: Call) => ReturnType<typeof attempt> {
  const pools = new CredentialPools(
    [backend],
    (b) => credentialsFromEnvironment(b, SECRETS),
    () => Date.now(),
  );
  const { wires, close } = providerWires([backend], pools);
  stops.push(close);
  return ({ kind = 'chat', body, deadlineInMs = 60_000, ...world } = {}) => {
    const { upstream, translated } = upstreamFor(wires, backend, kind)!;
    const nowMs = Date.now();
    return attempt({
      ...world,
      wire: upstream,
      translated,
      backend,
      nowMs,
      work: {
        ...world.work,
        terms: { ...terms, kind, deadlineAt: new Date(nowMs + deadlineInMs).toISOString() },
        body: body ?? { max_tokens: 50, messages: [{ role: 'user', content: 'hi' }] },
        inputTokensExpected: 7,
      },
    });
  };
}
