import { InvariantError } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { countDemand, demandLevel, DEMAND_MEMORY_MS, newDemand } from './demand.js';

const HOUR = 3_600_000;

function after(days: number, requests: number, forecastRequests: number): number {
  let demand = newDemand(0);
  for (let hour = 1; hour <= days * 24; hour++)
    demand = countDemand(demand, { requests, forecastRequests }, hour * HOUR);
  return demandLevel(demand);
}

describe('demand against its forecast', () => {
  it('is as forecast until something is counted, and one tick does not change that by much', () => {
    expect(demandLevel(newDemand(0))).toBe(1);
    expect(demandLevel(countDemand(newDemand(0), { requests: 30, forecastRequests: 60 }, 0))).toBeGreaterThan(0.85);
  });

  it('is learned within days', () => {
    expect(after(6, 180, 100)).toBeCloseTo(1.8, 1);
    expect(after(6, 50, 100)).toBeCloseTo(0.5, 1);
  });

  it('stays between a third and three times', () => {
    expect(after(6, 1_000, 100)).toBe(3);
    expect(after(6, 1, 100)).toBe(1 / 3);
  });

  it('a surge weighs 1 - 1/e after a day', () => {
    let demand = { atMs: 0, requests: 2_400, forecastRequests: 2_400 };
    for (let hour = 1; hour <= 24; hour++)
      demand = countDemand(demand, { requests: 200, forecastRequests: 100 }, hour * HOUR);
    expect(DEMAND_MEMORY_MS).toBe(24 * HOUR);
    expect(demandLevel(demand)).toBeCloseTo(1 + (1 - Math.exp(-1)), 1);
  });

  it('is defined where nothing was forecast', () => {
    expect(demandLevel({ atMs: 0, requests: 5, forecastRequests: 0 })).toBe(3);
    expect(demandLevel({ atMs: 0, requests: 0, forecastRequests: 0 })).toBe(1);
  });

  it('does not take back what was counted when a clock goes back', () => {
    const demand = countDemand(newDemand(HOUR), { requests: 10, forecastRequests: 10 }, 0);
    expect(demand).toEqual({ atMs: HOUR, requests: 210, forecastRequests: 210 });
  });

  it('less than no requests is a broken invariant', () => {
    expect(() => countDemand(newDemand(0), { requests: -1, forecastRequests: 1 }, 0)).toThrow(InvariantError);
  });
});
