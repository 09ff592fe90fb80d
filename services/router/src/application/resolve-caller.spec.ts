import { describe, expect, it } from 'vitest';
import type { KeyConfig, OrgConfig } from '@meritorder/contracts';
import { narrowed, resolveCaller, type CallerDirectory } from './resolve-caller.js';

const org = (id: string, more: Partial<OrgConfig> = {}): [string, OrgConfig] => [
  id,
  { id, departments: ['eng', 'support'], keys: [], requireKey: false, ...more } as unknown as OrgConfig,
];

/** `stale`: no word of the keys, so that none is found. */
function directory(keys: Record<string, { org: string; key: KeyConfig }>, stale?: string): CallerDirectory {
  return {
    orgs: new Map([org('acme', { routes: ['auto', 'fast'] }), org('globex', { requireKey: true })]),
    keys: { find: (presented) => (stale ? undefined : keys[presented]), stale: () => stale },
  };
}
const bound: KeyConfig = { id: 'app', department: 'eng', customer: 'c-1', tier: 'free' };
const known = directory({
  secret: { org: 'acme', key: bound },
  plain: { org: 'acme', key: { id: 'plain' } },
  narrow: { org: 'acme', key: { id: 'narrow', routes: ['fast', 'other'] } },
  theirs: { org: 'globex', key: { id: 'theirs' } },
});

describe('metadata narrows what a key is bound to, and never widens it', () => {
  it('what the key binds is there unasked, and what it leaves open may be said', () => {
    expect(resolveCaller(known, 'acme', 'secret', { team: 'search', user: 'u', customer: 'c-1' })).toMatchObject({
      attribution: {
        org: 'acme',
        key: 'app',
        department: 'eng',
        customer: 'c-1',
        tier: 'free',
        team: 'search',
        user: 'u',
      },
    });
  });

  it('a tier that nobody names is the default of the org, so that its budgets are charged', () => {
    const tiered: CallerDirectory = { ...known, orgs: new Map([org('acme', { defaultTier: 'plain' })]) };
    const tierOf = (key?: string, metadata?: Record<string, string>) =>
      resolveCaller(tiered, 'acme', key, metadata) as { attribution: { tier?: string } };
    expect(tierOf().attribution.tier).toBe('plain');
    expect(tierOf('secret').attribution.tier).toBe('free');
    expect(tierOf(undefined, { tier: 'premium' }).attribution.tier).toBe('premium');
  });

  it.each([
    ['department', 'support'],
    ['customer', 'c-2'],
    ['tier', 'premium'],
    ['customer', ''],
  ])('another %s ("%s") is refused', (name, value) => {
    expect(resolveCaller(known, 'acme', 'secret', { [name]: value })).toMatchObject({
      code: 'attribution_conflict',
      param: `metadata.${name}`,
    });
  });

  it.each(['org', 'key'])('%s is not taken from it at all', (name) => {
    expect(resolveCaller(known, 'acme', 'secret', { [name]: 'globex' })).toMatchObject({
      attribution: { org: 'acme', key: 'app' },
    });
  });

  it('a department that the org has not is refused, whoever asks', () => {
    expect(resolveCaller(known, 'acme', 'plain', { department: 'sales' })).toMatchObject({
      code: 'department_unknown',
    });
  });
});

it('a key of one org is no key on the subject of another', () => {
  expect(resolveCaller(known, 'globex', 'secret', null)).toMatchObject({ code: 'key_invalid' });
  expect(resolveCaller(known, 'acme', 'theirs', null)).toMatchObject({ code: 'key_invalid' });
  expect(resolveCaller(known, 'nobody', 'secret', null)).toMatchObject({ code: 'org_unknown' });
});

it('an org that asks for keys takes nobody without one', () => {
  expect(resolveCaller(known, 'globex', undefined, null)).toMatchObject({ code: 'key_required' });
  expect(resolveCaller(known, 'globex', 'theirs', null)).toMatchObject({ attribution: { key: 'theirs' } });
});

it('routes of a key are left of those of its org', () => {
  expect(resolveCaller(known, 'acme', 'narrow', null)).toMatchObject({ org: { routes: ['fast'] } });
  expect(resolveCaller(known, 'acme', 'plain', null)).toMatchObject({ org: { routes: ['auto', 'fast'] } });
  const [, free] = org('free');
  expect(narrowed(free, ['any']).routes).toEqual(['any']);
  expect(narrowed(free, undefined)).toBe(free);
});

it('a key that cannot be looked up is not called invalid, but to be tried again; the key itself is in no message', () => {
  const stale = directory({ secret: { org: 'acme', key: bound } }, 'no word of the keys for 11 s');
  expect(resolveCaller(stale, 'acme', 'secret', null)).toEqual({
    code: 'keys_unavailable',
    message: 'no word of the keys for 11 s; try again.',
    retryAfterSeconds: 2,
  });
  for (const refusal of [
    resolveCaller(known, 'acme', 'mo_app_secret', null),
    resolveCaller(stale, 'acme', 'mo_app_secret', null),
  ])
    expect(JSON.stringify(refusal)).not.toContain('mo_app_secret');
});
