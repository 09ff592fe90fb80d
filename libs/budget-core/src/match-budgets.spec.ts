import { describe, expect, it, vi } from 'vitest';
import type { BudgetDefinition, SelectorKey } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import {
  allEnforcedAt,
  budgetsOfRequest,
  dropBudget,
  enforce,
  enforcedAt,
  indexBudgets,
  instanceId,
  matchingBudgets,
  putBudget,
  reachedThresholds,
  type Attributes,
  type BudgetIndex,
} from './index.js';

const budget = (
  id: string,
  selector: BudgetDefinition['selector'],
  more: Partial<BudgetDefinition> = {},
): BudgetDefinition => ({
  id,
  name: id,
  selector,
  window: 'month',
  timeZone: 'UTC',
  limitNanos: '1',
  limitVersion: 1,
  basis: 'cash',
  thresholds: [],
  ...more,
});
const idsOf = (index: BudgetIndex, attributes: Attributes): string[] =>
  matchingBudgets(index, attributes)
    .map((b) => b.id)
    .sort();

describe('matching', () => {
  const index = indexBudgets([
    budget('acme', { org: 'acme' }),
    budget('acme-eng', { org: 'acme', department: 'eng' }),
    budget('acme-eng-gpt', { org: 'acme', department: 'eng', model: 'gpt' }),
    budget('acme-sales', { org: 'acme', department: 'sales' }),
    budget('other', { org: 'other' }),
    budget('acme-eng-2', { org: 'acme', department: 'eng' }),
  ]);
  it.each([
    [{ org: 'acme' }, ['acme']],
    [{ org: 'acme', department: 'eng', model: 'gpt' }, ['acme', 'acme-eng', 'acme-eng-2', 'acme-eng-gpt']],
    [{ org: 'acme', department: 'eng', model: 'llama' }, ['acme', 'acme-eng', 'acme-eng-2']],
    [{ org: 'nobody' }, []],
    [{ org: 'acme', department: 'eng,model' }, ['acme']],
    [{ org: '' }, []],
    [{}, []],
  ])('%j meets %j', (attributes, ids) => {
    expect(idsOf(index, attributes)).toEqual(ids);
  });

  it('a budget without an org spans orgs', () => {
    const spanning = indexBudgets([budget('account', { provider: 'p' }), budget('acme', { org: 'acme' })]);
    expect(idsOf(spanning, { org: 'acme', provider: 'p' })).toEqual(['account', 'acme']);
    expect(idsOf(spanning, { org: 'globex', provider: 'p' })).toEqual(['account']);
    expect(idsOf(spanning, { org: 'globex', provider: 'q' })).toEqual([]);
  });

  it('of one request at many backends is the same as asked for one by one, in the same order', () => {
    const random = seededRandom(7);
    const fields: SelectorKey[] = ['department', 'customer', 'provider', 'model', 'backend'];
    const some = (): SelectorKey[] => fields.filter(() => random() < 0.3);
    const valueOf = (field: SelectorKey): string => `${field}-${Math.floor(random() * 3)}`;
    const valuesOf = (of: SelectorKey[]) => Object.fromEntries(of.map((field) => [field, valueOf(field)]));
    let shared = 0;
    for (let round = 0; round < 200; round++) {
      const index = indexBudgets([]);
      for (let i = 0; i < 12; i++) {
        const per = random() < 0.3 ? some() : [];
        const selector = { ...(random() < 0.7 ? { org: 'acme' } : {}), ...valuesOf(some()) };
        putBudget(index, budget(`b${i}`, selector, per.length > 0 ? { per } : {}));
        if (random() < 0.2) dropBudget(index, `b${Math.floor(random() * (i + 1))}`);
      }
      const request = {
        org: 'acme',
        ...valuesOf(['department', 'customer'].filter(() => random() < 0.8) as SelectorKey[]),
      };
      for (let i = 0; i < 20; i++) {
        const backend = { provider: valueOf('provider'), model: valueOf('model'), backend: valueOf('backend') };
        const found = budgetsOfRequest(index, request)(backend);
        expect(found).toEqual(matchingBudgets(index, { ...request, ...backend }));
        if (found === budgetsOfRequest(index, { ...request, user: 'u' })({ ...backend, backend: 'another' })) shared++;
        if (random() < 0.1) putBudget(index, budget(`b${i}`, { org: 'acme', ...valuesOf(some()) }));
      }
    }
    expect(shared).toBeGreaterThan(0);
  });

  it('a list is in the windows that each of its budgets is in, before and after any of them ends', () => {
    const list = [
      budget('day', {}, { window: 'day' }),
      budget('month', {}),
      budget('total', {}, { window: 'total' }),
    ].map((of) => enforce(of));
    for (const at of [
      '2026-11-24T10:00:00Z',
      '2026-11-24T23:59:59.999Z',
      '2026-11-25T00:00:00Z',
      '2026-12-01T00:00:00Z',
      '2026-11-24T00:00:00Z',
    ]) {
      const nowMs = Date.parse(at);
      expect(allEnforcedAt(list, nowMs)).toEqual(list.map((of) => enforcedAt(of, nowMs)));
    }
    expect(allEnforcedAt(list, Date.parse('2026-11-24T10:00:00Z'))).toBe(
      allEnforcedAt(list, Date.parse('2026-11-24T09:00:00Z')),
    );
  });

  it('a changed budget replaces itself, a dropped one is gone, and an emptied org leaves nothing behind', () => {
    const changing = indexBudgets([budget('a', { org: 'acme', team: 'x' }), budget('b', { org: 'acme' })]);
    putBudget(changing, budget('a', { org: 'acme', team: 'y' }));
    expect(idsOf(changing, { org: 'acme', team: 'x' })).toEqual(['b']);
    expect(idsOf(changing, { org: 'acme', team: 'y' })).toEqual(['a', 'b']);
    for (const id of ['a', 'b', 'never']) dropBudget(changing, id);
    expect(idsOf(changing, { org: 'acme', team: 'y' })).toEqual([]);
    expect(changing).toEqual(indexBudgets([]));
  });

  it.each([100, 100_000])('of %i budgets is the same number of look-ups', (count) => {
    const many = indexBudgets(
      Array.from({ length: count }, (_, i) =>
        i % 2 ? budget(`c${i}`, { org: 'acme', customer: `c${i}` }) : budget(`t${i}`, { org: 'acme', team: `t${i}` }),
      ),
    );
    const get = vi.spyOn(Map.prototype, 'get');
    const found = matchingBudgets(many, { org: 'acme', customer: 'c51', team: 't50' });
    const lookups = get.mock.calls.length;
    get.mockRestore();
    expect(found.map((b) => b.id).sort()).toEqual(['c51', 't50']);
    // The org, its two groups, and those that span orgs.
    expect(lookups).toBe(4);
  });
});

describe('a template', () => {
  const template = budget(
    'each',
    { org: 'acme' },
    {
      per: ['team', 'customer'],
      limitNanos: '5',
      exceptions: [{ values: { customer: 'big', team: 't' }, limitNanos: '50' }],
    },
  );
  const index = indexBudgets([template, budget('acme', { org: 'acme' })]);
  const of = (attributes: Attributes) => matchingBudgets(index, { org: 'acme', ...attributes }).find((b) => b.instance);

  it('gives each tuple of values a budget of its own, the same one each time', () => {
    const first = of({ customer: 'a', team: 't' })!;
    expect(of({ customer: 'a', team: 't' })).toBe(first);
    expect(first.id).toBe(instanceId('each', { team: 't', customer: 'a' }));
    expect(first.id).toMatch(/^each--[0-9a-f]{16}$/);
    expect(first.instance).toEqual({ template: 'each', values: { customer: 'a', team: 't' } });
    expect(first.name).toBe('each (team t, customer a)');
    // Values that would be equal once joined are not.
    const others = [
      { customer: 't', team: 'a' },
      { customer: 'a t', team: '' },
      { customer: 'at', team: 'a' },
    ];
    for (const other of others) expect(of(other)!.id).not.toBe(first.id);
  });

  it('has its limit unless set otherwise', () => {
    expect(of({ customer: 'a', team: 't' })!.definition.limitNanos).toBe('5');
    expect(of({ customer: 'big', team: 't' })!.definition.limitNanos).toBe('50');
    expect(of({ customer: 'big', team: 'u' })!.definition.limitNanos).toBe('5');
  });

  it('does not count a request without its attributes', () => {
    expect(of({ customer: 'a' })).toBeUndefined();
  });

  it('names itself in what the counters and the books are told, in the window of the moment', () => {
    const { asked, charge } = enforcedAt(of({ customer: 'a', team: 't' })!, Date.parse('2026-11-24T10:00:00Z'));
    expect(asked).toMatchObject({ window: '2026-11', limitNanos: 5n, limitVersion: 1_000, maxInstances: 10_000 });
    expect(charge).toEqual({
      budget: asked.budget,
      window: '2026-11',
      basis: 'cash',
      template: 'each',
      values: { customer: 'a', team: 't' },
    });
  });
});

describe('the window of an enforced budget', () => {
  it('is made once a window, and changes with it (pitfall 7)', () => {
    const day = enforce(budget('d', { org: 'acme' }, { window: 'day', timeZone: 'Asia/Kolkata' }));
    const edge = Date.parse('2026-11-24T18:30:00Z');
    const before = enforcedAt(day, edge - 1);
    expect(enforcedAt(day, edge - 2)).toBe(before);
    const after = enforcedAt(day, edge);
    expect([before.asked.window, after.asked.window]).toEqual(['2026-11-24', '2026-11-25']);
    expect(after.window.startMs).toBe(edge);
  });
});

describe('thresholds', () => {
  it('are reached exactly at their share', () => {
    expect(reachedThresholds([1, 0.5, 0.8], 10n, 4n)).toEqual([]);
    expect(reachedThresholds([1, 0.5, 0.8], 10n, 5n)).toEqual([0.5]);
    expect(reachedThresholds([1, 0.5, 0.8], 10n, 8n)).toEqual([0.5, 0.8]);
    expect(reachedThresholds([1, 0.5, 0.8], 10n, 10n)).toEqual([0.5, 0.8, 1]);
    expect(reachedThresholds([0.1], 30n, 3n)).toEqual([0.1]);
  });
});
