import { parseConfig, type MeritorderConfig } from '@meritorder/contracts';

/** USD for a second beyond the third; undefined: a route that says nothing, which is the product's default. */
export const LATE_PRICES = [undefined, '0.0001', '0.0003', '0.001', '0.003'] as const;
export type LatePrice = (typeof LATE_PRICES)[number];
export const TARGET_SECONDS = 3;

export function routeOf(usdPerSecondLate: LatePrice): string {
  return usdPerSecondLate === undefined ? 'fleet' : `fleet-${usdPerSecondLate.replace('.', '-')}`;
}

export interface Hardware {
  replicas: number;
  /** Beside a cloud backend. */
  cloud: boolean;
}

/**
 * Replicas of Llama 3.3 70B on 4 x H100 each and GPT-4.1 mini at its list price, as in the example configuration, taken for equally
 * good so that quality decides nothing. The cloud's latencies, and what lateness costs, are assumptions.
 */
export function fleetConfig({ replicas, cloud }: Hardware): MeritorderConfig {
  const names = Array.from({ length: replicas }, (_, i) => `gpu-${i + 1}`);
  const backends = cloud ? [...names, 'cloud'] : names;
  return parseConfig(
    `
version: 1
orgs: [{ id: acme }]
hosts:
${names
  .map(
    (name) => `  - id: host-of-${name}
    gpus: 4
    owned: { purchaseUsd: "120000", salvageUsd: "15000", lifeYears: 4, inServiceFrom: 2026-01-01T00:00:00Z }
    usdPerMonth: { maintenance: "300", hosting: "400", staff: "500" }
    power: { idleWattsPerGpu: 110, loadWattsPerGpu: 650, pue: 1.25, usdPerKilowattHour: "0.16" }
    practicalCapacity: 0.6
`,
  )
  .join('')}
backends:
${names
  .map(
    (name) => `  - id: ${name}
    kind: local
    provider: own
    host: host-of-${name}
    model: llama-3.3-70b
    baseUrl: http://127.0.0.1:1/v1
    contextTokens: 131072
    maxOutputTokens: 4096
    maxConcurrency: 24
    quality: { prior: 0.8 }
    throughput:
      gpus: 4
      prefillTokensPerSecond: 14000
      decodeTokensPerSecond:
        - { batch: 1, tokensPerSecond: 55 }
        - { batch: 8, tokensPerSecond: 400 }
        - { batch: 32, tokensPerSecond: 1400 }
        - { batch: 128, tokensPerSecond: 3600 }
      batch: 32
`,
  )
  .join('')}${
      cloud
        ? `  - id: cloud
    kind: cloud
    provider: openai
    model: gpt-4.1-mini
    baseUrl: http://127.0.0.1:1/v1
    contextTokens: 1047576
    maxOutputTokens: 4096
    maxConcurrency: 2000
    quality: { prior: 0.8 }
    latency: { firstTokenSeconds: 0.6, secondsPerToken: 0.02 }
    prices:
      - effectiveFrom: 2026-01-01T00:00:00Z
        source: list price
        cash: { inputUsdPerMillionTokens: "0.4", outputUsdPerMillionTokens: "1.6" }
`
        : ''
    }
routes:
${LATE_PRICES.map(
  (usd) => `  - id: ${routeOf(usd)}
    backends: [${backends.join(', ')}]
    exploration: false
${usd === undefined ? '' : `    usdPerSecondLate: "${usd}"\n    targetLatencyMs: ${TARGET_SECONDS * 1_000}\n`}`,
).join('')}`,
    'fleet.yaml',
    {},
  );
}
