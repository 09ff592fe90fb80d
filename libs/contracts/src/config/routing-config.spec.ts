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

describe('a margin that a tier asks for', () => {
  it.each<[string, object, boolean]>([
    ['a markup gives it', { charge: { markup: '1.25' }, minMargin: 0.2 }, true],
    ['a markup gives less', { charge: { markup: '1.2' }, minMargin: 0.5 }, false],
    ['nothing is charged', { charge: { markup: '0' }, minMargin: 0.2 }, false],
    ['a price per request may give it', { charge: { markup: '1', usdPerRequest: '0.01' }, minMargin: 0.5 }, true],
    ['it is a loss', { charge: { markup: '0.5' }, minMargin: -1 }, true],
  ])('%s', (_name, settings, isMet) => {
    expect(wrong([{ id: 'premum', ...settings }])).toEqual(
      isMet ? [] : [expect.stringMatching(/^tiers\.0\.minMargin: is never met/)],
    );
  });
});

describe('settings that belong together', () => {
  const settings = (route: object, tiers: object[] = []): string[] => {
    const config = {
      version: 1,
      orgs: [{ id: 'acme' }],
      backends: [{ ...backend, region: 'eu' }],
      routes: [{ id: 'auto', backends: ['fake'], ...route }],
      tiers,
    };
    const { error } = MeritorderConfig.safeParse(config);
    return (error?.issues ?? []).map((i) => i.path.join('.'));
  };
  const worth = { usdPerQualityPoint: '0.4' };

  it('value needs what quality is worth, on the route, the tier, or said to be nothing', () => {
    expect(settings({ objective: 'value' })).toEqual(['routes.0.usdPerQualityPoint']);
    expect(settings({}, [{ id: 'gold', objective: 'value' }])).toEqual(['tiers.0.usdPerQualityPoint']);
    expect(settings({ objective: 'value', ...worth }, [{ id: 'gold', objective: 'value' }])).toEqual([]);
    expect(settings({ objective: 'value', usdPerQualityPoint: '0' })).toEqual([]);
    expect(settings({ objective: 'quality' })).toEqual([]);
  });

  it('what would count nothing is refused, and what a tier can make count is not', () => {
    expect(settings({ objective: 'cheapest', ...worth })).toEqual(['routes.0.usdPerQualityPoint']);
    expect(settings({ objective: 'cheapest', ...worth }, [{ id: 'gold', objective: 'value' }])).toEqual([]);
    expect(settings({ ...worth, revenueUsd: '1' })).toEqual(['routes.0.revenueUsd']);
    expect(settings({ revenueUsd: '1' }, [{ id: 'gold', objective: 'margin' }])).toEqual([]);
    expect(settings({ objective: 'margin' }, [{ id: 'gold', revenueUsd: '1' }])).toEqual([]);
  });

  it('a further name of a route is of nothing else', () => {
    expect(settings({ aliases: ['gpt-4.1', 'claude-sonnet-4-5'] })).toEqual([]);
    expect(settings({ aliases: ['gpt-4.1', 'gpt-4.1'] })).toEqual(['routes.0.aliases.1']);
    expect(settings({ aliases: ['auto'] })).toEqual(['routes.0.aliases.0']);
    expect(settings({ aliases: ['fake'] })).toEqual(['routes.0.aliases.0']);
  });

  it('a backend is on a route once', () => {
    expect(settings({ backends: ['fake', 'fake'] })).toEqual(['routes.0.backends.1']);
  });

  it('a region is one of a backend', () => {
    expect(settings({ regions: ['eu'] })).toEqual([]);
    expect(settings({ regions: ['eu', 'mars'] }, [{ id: 'gold', regions: ['venus'] }])).toEqual([
      'routes.0.regions.1',
      'tiers.0.regions.0',
    ]);
  });
});
