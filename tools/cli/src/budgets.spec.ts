import { describe, expect, it } from 'vitest';
import { BudgetsRequest } from '@meritorder/contracts';
import { setRequest, windowsTable } from './budgets.js';

const by = 'ada';

describe('what is asked of budget-policy', () => {
  it('names only what an option named', () => {
    expect(setRequest('acme-month', { limit: '250', by })).toEqual({
      verb: 'set',
      id: 'acme-month',
      change: { limitUsd: '250' },
      by,
    });
  });

  it('makes a template with stages', () => {
    const request = setRequest('per-customer', {
      limit: '5',
      select: ['org=acme'],
      per: 'customer',
      window: 'day',
      timeZone: 'Asia/Kolkata',
      stage: ['0.8:prefer-local', '0.9:throttle:6', '1:reject'],
      carryOver: '0.25',
      by,
    });
    expect(BudgetsRequest.parse(request)).toEqual({
      verb: 'set',
      id: 'per-customer',
      change: {
        selector: { org: 'acme' },
        per: ['customer'],
        window: 'day',
        timeZone: 'Asia/Kolkata',
        limitUsd: '5',
        stages: [
          { at: 0.8, action: 'prefer-local' },
          { at: 0.9, action: 'throttle', requestsPerMinute: 6 },
          { at: 1, action: 'reject' },
        ],
        carryOver: { maxShare: 0.25 },
      },
      by,
    });
  });

  it('gives one instance its own limit, or the one of its template again', () => {
    const values = { customer: 'a=b' };
    expect(setRequest('t', { for: ['customer=a=b'], limit: '20', by })).toEqual({
      verb: 'except',
      id: 't',
      values,
      limitUsd: '20',
      by,
    });
    expect(setRequest('t', { for: ['customer=a=b'], limit: 'template', by })).toMatchObject({ limitUsd: null });
  });

  it.each([
    [{ by }, /nothing to set/],
    [{ limit: 'many', by }, /limitUsd/],
    [{ stage: ['0.8:throttle'], by }, /stages.*throttle needs requestsPerMinute/],
    [{ select: ['acme'], by }, /key=value/],
    [{ for: ['customer=a'], by }, /--for needs --limit/],
  ])('%j is refused', (options, message) => {
    expect(() => setRequest('b', options)).toThrow(message);
  });
});

it('what is above a limit is shown by its cause', () => {
  const text = windowsTable([
    {
      budget: 'b',
      name: 'B',
      window: '2026-11',
      windowStart: null,
      windowEnd: null,
      basis: 'cash',
      limitNanos: '1000000000',
      carriedNanos: '0',
      settledNanos: '3000000000',
      unconfirmedNanos: '0',
      heldNanos: null,
      stage: 'reject',
      requestsPerMinute: null,
      exhausted: true,
      above: { loweredNanos: '1500000000', correctedNanos: '500000000', overrunNanos: '0' },
    },
  ]);
  expect(text).toContain('1.5 limit lowered, 0.5 corrected');
  expect(text).toContain('unknown');
});
