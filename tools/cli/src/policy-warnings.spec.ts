import { expect, it } from 'vitest';
import { MeritorderConfig } from '@meritorder/contracts';
import { policyWarnings } from './policy-warnings.js';

const backend = (id: string, prior?: number): object => ({
  id,
  kind: 'cloud',
  provider: 'p',
  model: id,
  baseUrl: 'http://127.0.0.1:1/v1',
  contextTokens: 1_000,
  maxOutputTokens: 100,
  ...(prior === undefined ? {} : { quality: { prior } }),
});
const warned = (route: object, ...tiers: object[]): string[] =>
  policyWarnings(
    MeritorderConfig.parse({
      version: 1,
      orgs: [{ id: 'acme' }],
      backends: [backend('good', 0.9), backend('plain')],
      routes: [{ id: 'auto', backends: ['good', 'plain'], ...route }],
      tiers,
    }),
  );

it.each<[string, string[], object, object[]]>([
  ['settings that all can be met', [], { minQuality: 0.9, targetLatencyMs: 100, maxLatencyMs: 200, hedging: {} }, []],
  ['a floor above what anybody begins at', ['route auto finds nobody: its floor'], { minQuality: 0.95 }, []],
  ['the same of a tier', ['tier gold at route auto finds nobody: its floor'], {}, [{ id: 'gold', minQuality: 0.95 }]],
  ['a tier that lifts the floor', ['route auto finds nobody'], { minQuality: 0.95 }, [{ id: 'free', minQuality: 0 }]],
  [
    'a tier that narrows whom its floor is for',
    ['tier gold at route auto finds nobody: its floor of quality is 0.8 and the best of its backends begins at 0.75'],
    { minQuality: 0.8 },
    [{ id: 'gold', backends: ['plain'] }],
  ],
  [
    'a tier whose backends are of no use here',
    ['tier gold at route auto finds nobody: they have no backend in common'],
    { backends: ['plain'] },
    [{ id: 'gold', backends: ['good'] }],
  ],
  [
    'a target that nobody can be later than',
    ['route auto has a targetLatencyMs that changes nothing'],
    { targetLatencyMs: 500, maxLatencyMs: 200 },
    [],
  ],
  ['a hedge with nobody', ['route auto has hedging and no second'], { backends: ['good'], hedging: {} }, []],
])('%s', (_name, expected, route, tiers) => {
  const lines = warned(route, ...tiers);
  expect(lines).toHaveLength(expected.length);
  expected.forEach((beginning, i) => expect(lines[i]).toContain(beginning));
});
