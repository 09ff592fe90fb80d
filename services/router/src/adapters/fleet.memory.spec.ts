import { describe, expect, it } from 'vitest';
import { HeartbeatFleet } from './fleet.memory.js';

function fleetAt(draw: number): { fleet: HeartbeatFleet; pass(ms: number): void } {
  let nowMs = 1_000_000;
  const fleet = new HeartbeatFleet({ nowMs: () => nowMs }, () => draw);
  return { fleet, pass: (ms) => void (nowMs += ms) };
}

describe('the health of backends', () => {
  it('is lost after five calls that reached nothing, comes back with a probe, and is of each backend alone', () => {
    const { fleet, pass } = fleetAt(0);
    for (let i = 0; i < 5; i++) fleet.failed('a', 'connect');
    expect([fleet.allows('a'), fleet.allows('b')]).toEqual([false, true]);
    pass(3_750);
    expect(fleet.allows('a')).toBe(true);
    fleet.probing('a');
    expect(fleet.allows('a')).toBe(false);
    fleet.succeeded('a');
    expect(fleet.allows('a')).toBe(true);
  });

  it('is not lost by quotas, which cool down for as long as they ask', () => {
    const { fleet, pass } = fleetAt(0.5);
    fleet.quota('a', 120_000);
    pass(119_999);
    expect(fleet.allows('a')).toBe(false);
    pass(1);
    expect(fleet.allows('a')).toBe(true);
  });
});
