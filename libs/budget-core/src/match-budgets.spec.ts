import { describe, expect, it } from 'vitest';
import type { BudgetDefinition } from '@meritorder/contracts';
import { indexBudgets, matchingBudgets, reachedThresholds } from './index.js';

const budget = (id: string, selector: BudgetDefinition['selector']): BudgetDefinition => ({
  id,
  name: id,
  selector,
  window: 'month',
  timeZone: 'UTC',
  limitNanos: '1',
  limitVersion: 1,
  basis: 'cash',
  thresholds: [],
});

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
  ])('%j meets %j', (attributes, ids) => {
    expect(
      matchingBudgets(index, attributes)
        .map((b) => b.id)
        .sort(),
    ).toEqual(ids);
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
