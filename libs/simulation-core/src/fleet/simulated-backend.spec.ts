import { expect, it } from 'vitest';
import { withOwn } from '../fixture.for-tests.js';
import { PriceTimeline } from '../money/price-timeline.js';
import { SimulatedBackend } from './simulated-backend.js';

it('the congestion price is what waiting costs those that it makes late: nothing where nobody is near the target', () => {
  const own = withOwn('routes: [{ id: any, backends: [own] }]\n').backends.find((b) => b.id === 'own')!;
  const backend = new SimulatedBackend(own, new PriceTimeline([]), 0);
  const work = { inputTokens: 1_000, outputTokens: 100 };
  const price = (targetSeconds: number): number =>
    backend.numbers(work, { targetSeconds, usdPerSecondLate: 0.001 }, { inFlight: 8 }).usdPerGpuSecond;
  expect(price(0.001)).toBeGreaterThan(0);
  expect(price(3) / price(0.001)).toBeGreaterThan(0.5);
  expect(price(60) / price(0.001)).toBeLessThan(0.01);
});
