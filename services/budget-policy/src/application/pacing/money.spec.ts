import { describe, expect, it } from 'vitest';
import { apart, money } from './money.js';

describe('money for people', () => {
  it('has two decimals from a dollar on, and three digits below', () => {
    expect([1, 1.9, 12.345, 0.0123456, 0].map(money)).toEqual(['$1', '$1.90', '$12.35', '$0.0123', '$0']);
  });

  it('tells two amounts apart that differ', () => {
    expect(apart(1.9, 1)).toEqual(['$1.90', '$1']);
    expect(apart(1.0012, 1)).toEqual(['$1.001', '$1.000']);
    expect(apart(1.00000004, 1)).toEqual(['$1.00000004', '$1.00000000']);
    expect(apart(1, 1)).toEqual(['$1', '$1']);
  });
});
