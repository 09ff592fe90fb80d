import { expect, it } from 'vitest';
import { MeritorderConfig } from '@meritorder/contracts';
import { bundledCatalogue } from '@meritorder/price-catalogue';
import { warningsOf } from './check.js';

const cash = { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' };
const price = (more: object = {}) => ({
  prices: [{ effectiveFrom: '2026-01-01T00:00:00Z', cash: { ...cash, ...more } }],
});
function warned(...backends: object[]): string[] {
  const config = MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme' }],
    backends: backends.map((more, i) => ({
      id: `b-${i}`,
      kind: 'cloud',
      provider: 'acme',
      model: 'm',
      baseUrl: 'http://127.0.0.1:1/v1',
      contextTokens: 1_000,
      maxOutputTokens: 100,
      ...more,
    })),
  });
  return warningsOf(config, bundledCatalogue('as bundled'));
}

it('says of a backend without a price that it gets no traffic, and what to add', () => {
  expect(warned({}, price())).toEqual([
    expect.stringMatching(/^backend b-0 gets no budgeted traffic: .*add to it prices/),
  ]);
});

it('says of one that is asked in batches that its price has no rate of theirs', () => {
  const batched = { batch: {} };
  expect(
    warned(
      { ...batched, ...price() },
      { ...batched, ...price({ serviceTiers: { batch: { percentOfStandard: '50' } } }) },
      { ...batched, provider: 'openai', model: 'gpt-4.1-mini' },
    ),
  ).toEqual([
    expect.stringMatching(/^backend b-0 gets no jobs: .*serviceTiers: \{ batch/),
    // The catalogue knows the model, and no rate of batches.
    expect.stringMatching(/^backend b-2 gets no jobs/),
  ]);
});

it('says of batches that need more jobs than a router has in flight that they may never be large enough', () => {
  const places = { input: 's3://calls', output: 's3://answers', roleArn: 'arn:aws:iam::123456789012:role/Batches' };
  const aws = {
    protocol: 'bedrock',
    region: 'eu-west-1',
    maxConcurrency: 100,
    credentials: [{ id: 'main', accessKeyIdEnv: 'ID', secretAccessKeyEnv: 'SECRET' }],
    ...price({ serviceTiers: { batch: { percentOfStandard: '50' } } }),
  };
  expect(
    warned({ ...aws, batch: { bedrock: places } }, { ...aws, batch: { bedrock: { ...places, minRecords: 32 } } }),
  ).toEqual([expect.stringMatching(/^backend b-0 may get no batch together: it takes 100 jobs .* has 32 in flight/)]);
});

it('says what of a price cannot be used', () => {
  const tooFine = price({
    serviceTiers: { batch: { percentOfStandard: '33.333333' } },
    cacheReadUsdPerMillionTokens: '0.000001',
  });
  expect(warned(tooFine)).toEqual([expect.stringContaining('finer than a pico-USD')]);
});
