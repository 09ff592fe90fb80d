import { expect, it } from 'vitest';
import { AWAKE_TICK_MS, AwakeClock } from './awake-clock.js';

it('moves with ticks', () => {
  const clock = new AwakeClock(7_000);
  for (let i = 1; i <= 8; i++) clock.tick(7_000 + i * AWAKE_TICK_MS);
  expect(clock.nowMs()).toBe(2_000);
});

it('hardly moves while nobody ticks, and goes on from there', () => {
  const clock = new AwakeClock(0);
  clock.tick(250);
  clock.tick(60_250);
  expect(clock.nowMs()).toBe(750);
  clock.tick(60_500);
  expect(clock.nowMs()).toBe(1_000);
});

it('never goes back', () => {
  const clock = new AwakeClock(1_000);
  clock.tick(900);
  expect(clock.nowMs()).toBe(0);
});
