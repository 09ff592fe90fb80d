import { describe, expect, it } from 'vitest';
import { BudgetDefinition, parseConfig } from '../index.js';

const base = `
version: 1
orgs: [{ id: acme, departments: [v] }]
backends:
  - { id: b, kind: cloud, provider: p, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10, maxOutputTokens: 5 }
`;
const budget = (fields: string): string =>
  `${base}budgets: [{ id: x, selector: { org: acme }, window: day, limitUsd: 5, ${fields} }]`;
const said = (text: string): string => {
  try {
    parseConfig(text, 'my.yaml', {});
    return 'accepted';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('a configured budget', () => {
  it.each<[string, string]>([
    ['a template', 'per: [customer], exceptions: [{ values: { customer: big }, limitUsd: 50 }], maxInstances: 7'],
    ['stages', 'stages: [{ at: 0.5, action: prefer-local }, { at: 0.9, action: throttle, requestsPerMinute: 6 }]'],
    ['a tolerant budget', 'strictness: tolerant, sliceTokens: 200'],
    ['a carry-over', 'carryOver: { maxShare: 0.25 }'],
  ])('%s is accepted', (_name, fields) => {
    expect(said(budget(fields))).toBe('accepted');
  });

  it.each<[string, string, RegExp]>([
    ['a throttle without a rate', 'stages: [{ at: 1, action: throttle }]', /requestsPerMinute/],
    ['a rate without a throttle', 'stages: [{ at: 1, action: reject, requestsPerMinute: 5 }]', /requestsPerMinute/],
    ['a stage at nothing', 'stages: [{ at: 0, action: reject }]', /stages/],
    ['exceptions of no template', 'exceptions: []', /need per/],
    ['a template by org', 'per: [org]', /per/],
    ['a template by what is fixed twice', 'per: [team, team]', /twice/],
    [
      'an exception without all values',
      'per: [team, user], exceptions: [{ values: { team: a }, limitUsd: 1 }]',
      /team, user/,
    ],
    [
      'the same exception twice',
      'per: [team], exceptions: [{ values: { team: a }, limitUsd: 1 }, { values: { team: a }, limitUsd: 2 }]',
      /twice/,
    ],
    [
      'an exception beyond 2^53',
      'per: [team], exceptions: [{ values: { team: a }, limitUsd: "9007199.254740992" }]',
      /split the budget/,
    ],
    ['a slice of a strict budget', 'sliceTokens: 100', /tolerant/],
    ['a carry-over of a template', 'per: [team], carryOver: { maxShare: 1 }', /template/],
  ])('%s is refused with the reason', (_name, fields, reason) => {
    expect(said(budget(fields))).toMatch(reason);
  });

  it('a total that is always paced is refused: it has no end to pace it to', () => {
    const total = budget('pacing: always').replace('window: day', 'window: total');
    expect(said(total)).toMatch(/no end to pace it to/);
    expect(said(total.replace('always', 'projected'))).toBe('accepted');
  });

  it('an id that could be an instance of a template is refused', () => {
    expect(said(budget('').replace('id: x', 'id: x--0123456789abcdef'))).toMatch(/instance/);
    expect(said(budget('per: [team]').replace('id: x', `id: ${'x'.repeat(47)}`))).toMatch(/46 characters/);
  });

  it('an org cannot take the name that stands for budgets across orgs', () => {
    expect(said(base.replace('id: acme', 'id: operator'))).toMatch(/span orgs/);
  });

  it('an org whose budgets select by too many sets of attributes is refused', () => {
    const keys = ['department', 'team', 'customer', 'feature', 'task', 'tier', 'user'];
    const entries = Array.from({ length: 65 }, (_, i) => {
      const chosen = keys.filter((_key, bit) => (i + 1) & (1 << bit));
      return `{ id: b${i}, selector: { org: acme, ${chosen.map((k) => `${k}: v`).join(', ')} }, window: day, limitUsd: 1 }`;
    });
    expect(said(`${base}budgets: [${entries.slice(0, 64).join(', ')}]`)).toBe('accepted');
    expect(said(`${base}budgets: [${entries.join(', ')}]`)).toMatch(/64 sets/);
  });

  it("an account's allocation and rates are accepted, and its budget's id is its own", () => {
    const account =
      'accounts: [{ provider: p, allocation: { limitUsd: 5000, throttleFrom: 0.8 }, requestsPerMinute: 500 }]';
    expect(said(`${base}${account}`)).toBe('accepted');
    expect(said(`${base}${account.replace('provider: p', 'provider: q')}`)).toMatch(/"q" is not the provider of any/);
    expect(said(`${budget('').replace('id: x', 'id: account-p')}\n${account}`)).toMatch(/a budget already/);
  });
});

it('a definition that was stored before templates and stages is still read', () => {
  const stored = {
    id: 'x',
    name: 'x',
    selector: { org: 'acme' },
    window: 'day',
    timeZone: 'UTC',
    limitNanos: '5',
    limitVersion: 1,
    basis: 'cash',
    thresholds: [1],
  };
  expect(BudgetDefinition.parse(stored)).toEqual(stored);
});

describe('a budget by a name that nobody has', () => {
  const named = `
version: 1
orgs: [{ id: acme, departments: [eng] }, { id: other, departments: [sales] }]
tiers: [{ id: std, orgs: [acme] }]
backends:
  - { id: b, kind: cloud, provider: p, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10, maxOutputTokens: 5 }
`;
  const by = (selector: string, more = ''): string =>
    said(`${named}budgets: [{ id: x, selector: { ${selector} }, window: day, limitUsd: 5${more} }]`);

  it.each<[string, RegExp]>([
    ['org: acne', /selector\.org: "acne" is not an org, so nothing would ever count here/],
    ['org: acme, department: egn', /selector\.department: "egn" is not a department of this org/],
    ['org: acme, department: sales', /"sales" is not a department of this org/],
    ['org: acme, tier: standard', /selector\.tier: "standard" is not a tier of this org/],
    ['org: acme, model: god', /selector\.model: "god" is not the model of any backend/],
    ['org: acme, provider: q', /selector\.provider: "q" is not the provider of any backend/],
    ['org: acme, backend: c', /selector\.backend: "c" is not a backend/],
  ])('%s is refused', (selector, reason) => {
    expect(by(selector)).toMatch(reason);
  });

  it.each([
    'org: acme, department: eng, tier: std, model: m, provider: p, backend: b',
    'org: acme, team: any, feature: any, customer: any',
    // Of an org without tiers the attribute is a name like any other.
    'org: other, tier: any',
  ])('%s is accepted', (selector) => {
    expect(by(selector)).toBe('accepted');
  });

  it('is refused in an exception of a template, too', () => {
    const exception = (department: string) =>
      by('org: acme', `, per: [department], exceptions: [{ values: { department: ${department} }, limitUsd: 1 }]`);
    expect(exception('eng')).toBe('accepted');
    expect(exception('egn')).toMatch(/exceptions\.0\.values\.department: "egn" is not a department of this org/);
  });
});

describe('a stage', () => {
  const stages = (text: string): string => said(budget(`stages: [${text}]`));
  it.each<[string, RegExp]>([
    [
      '{ at: 0.5, action: reject }, { at: 1, action: prefer-local }',
      /prefer-local at 1 never acts: reject does from 0.5/,
    ],
    ['{ at: 1, action: local-only }, { at: 0.8, action: reject }', /stages\.0: local-only at 1 never acts/],
    ['{ at: 0.5, action: reject }, { at: 0.5, action: reject }', /stages\.1: reject at 0.5 never acts/],
    [
      '{ at: 0.5, action: throttle, requestsPerMinute: 5 }, { at: 0.8, action: throttle, requestsPerMinute: 9 }',
      /throttle at 0.8 never acts/,
    ],
  ])('that another overrules is refused: %s', (text, reason) => {
    expect(stages(text)).toMatch(reason);
  });
  it.each([
    '{ at: 0.5, action: prefer-local }, { at: 0.8, action: throttle, requestsPerMinute: 9 }, { at: 1, action: reject }',
    '{ at: 0.5, action: throttle, requestsPerMinute: 9 }, { at: 0.8, action: prefer-local }',
    '{ at: 0.5, action: throttle, requestsPerMinute: 9 }, { at: 0.8, action: throttle, requestsPerMinute: 5 }',
    '{ at: 1, action: reject }, { at: 1.5, action: notify }',
  ])('that does more, or something else, is accepted: %s', (text) => {
    expect(stages(text)).toBe('accepted');
  });
});
