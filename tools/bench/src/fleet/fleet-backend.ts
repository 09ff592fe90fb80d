import type { MeritorderConfig } from '@meritorder/contracts';
import { expectedCost } from '@meritorder/pricing-core';
import { priceTimeline, SimulatedBackend } from '@meritorder/simulation-core';

/** A backend of the simulator, and what its attempts cost. */
export class FleetBackend {
  readonly simulated: SimulatedBackend;

  constructor(config: MeritorderConfig, id: string, period: { fromMs: number; toMs: number }) {
    const backend = config.backends.find((b) => b.id === id);
    if (!backend) throw new RangeError(`${id} is no backend`);
    const prices = priceTimeline(backend, config, () => [], period);
    this.simulated = new SimulatedBackend(backend, prices, 0);
  }

  /** What an attempt added: paid to others, or energy and wear of own hardware. USD. */
  addedUsd(inputTokens: number, outputTokens: number, atMs: number): number {
    const { price } = this.simulated.prices.inForce(atMs);
    if (!price) throw new RangeError(`${this.simulated.config.id} has no price`);
    const usage = {
      inputTokens,
      cacheReadTokens: 0,
      cacheWrite5mTokens: 0,
      cacheWrite1hTokens: 0,
      outputTokens,
      requests: 1,
    };
    return expectedCost(price, usage, { atMs }).marginalUsd;
  }
}
