import { describe, expect, it } from 'vitest';
import { MeritorderConfig } from './meritorder-config.js';

const backend = {
  id: 'fake',
  kind: 'cloud',
  provider: 'p',
  model: 'm',
  baseUrl: 'http://127.0.0.1:1',
  contextTokens: 1_000,
  maxOutputTokens: 100,
};
const key = { id: 'bot', sha256: '0'.repeat(64), tier: 'premum' };
const wrong = (tiers: unknown[]): string[] => {
  const config = { version: 1, orgs: [{ id: 'acme', keys: [key] }], backends: [backend], tiers };
  const { error } = MeritorderConfig.safeParse(config);
  return (error?.issues ?? []).map((i) => `${i.path.join('.')}: ${i.message}`);
};

describe('the tier of a key', () => {
  it('is one of its org, since every request of the key would be refused', () => {
    expect(wrong([{ id: 'premium' }])).toEqual(['orgs.0.keys.0.tier: "premum" is not a tier of this org']);
    expect(wrong([{ id: 'premum' }])).toEqual([]);
  });

  it('is any name where the org has no tiers', () => {
    expect(wrong([])).toEqual([]);
  });
});
