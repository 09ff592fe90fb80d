import { describe, expect, it } from 'vitest';
import type { PriceVersion, RateCard } from '@meritorder/contracts';
import { judgeVersion, type HoldReason, type PricePeer } from '@meritorder/pricing-core';
import { bundledPeers } from './catalogue-peers.js';

/*
 * The whole catalogue as data that the guard was not made from: each of its prices as a new one, compared with those of all
 * other models.
 */
const peers = await bundledPeers('catalogue');

function judge(peer: PricePeer, cash: RateCard): HoldReason[] {
  const proposed: PriceVersion = {
    id: 'pv-new',
    backend: 'b',
    effectiveFrom: '2026-01-01T00:00:00.000Z',
    cash,
    full: cash,
    source: peer.source!,
  };
  return judgeVersion({
    previous: undefined,
    proposed,
    zeroIsExplicit: false,
    backend: { kind: 'cloud', provider: peer.provider, model: peer.model },
    peers,
  });
}

/** Every rate of a card, wherever it is, times a fraction. */
function scaled<T>(card: T, numerator: bigint, denominator: bigint): T {
  return JSON.parse(
    JSON.stringify(card, (_key, value: unknown) =>
      typeof value === 'string' && /^\d+$/.test(value)
        ? (value === '0' ? 0n : (BigInt(value) * numerator) / denominator || 1n).toString()
        : value,
    ),
  ) as T;
}

const plain = peers.filter(({ price: { cash } }) => cash.inputPicosPerToken !== '0');

describe('the guard on every price of the catalogue', () => {
  it('has a catalogue to look at', () => {
    expect(peers.length).toBeGreaterThan(1_000);
  });

  it('lets at least 99 % of them act at once', () => {
    const held = peers
      .map((p) => ({ model: p.model, reasons: judge(p, p.price.cash) }))
      .filter((h) => h.reasons.length > 0);
    if (process.env['MERITORDER_PRINT'] === '1')
      for (const { model, reasons } of held) console.log(model, reasons.map((r) => r.message).join('; '));
    expect(held.length / peers.length).toBeLessThan(0.01);
  });

  it.each<[string, bigint, bigint, number]>([
    ['x 1,000,000', 1_000_000n, 1n, 1],
    ['/ 1,000,000', 1n, 1_000_000n, 1],
    ['x 1,000', 1_000n, 1n, 0.98],
    ['/ 1,000', 1n, 1_000n, 0.98],
  ])('holds them when all rates slip by %s', (name, numerator, denominator, least) => {
    const held = plain.filter((p) => judge(p, scaled(p.price.cash, numerator, denominator)).length > 0);
    if (process.env['MERITORDER_PRINT'] === '1') console.log(`${name}: ${held.length} of ${plain.length} held`);
    expect(held.length / plain.length).toBeGreaterThanOrEqual(least);
  });

  it('lets a cut of every price by half or by 80 % act at once', () => {
    for (const [numerator, denominator] of [
      [1n, 2n],
      [1n, 5n],
    ] as const) {
      const held = plain.filter((peer) => {
        const cash = scaled(peer.price.cash, numerator, denominator);
        const previous = {
          id: 'pv-old',
          backend: 'b',
          effectiveFrom: '2025-01-01T00:00:00.000Z',
          cash: peer.price.cash,
          full: peer.price.cash,
          source: '',
        };
        const proposed = { ...previous, id: 'pv-new', cash, full: cash };
        const backend = { kind: 'cloud' as const, provider: peer.provider, model: peer.model };
        return judgeVersion({ previous, proposed, zeroIsExplicit: false, backend, peers }).length > 0;
      });
      expect(held.length / plain.length).toBeLessThan(0.01);
    }
  });
});
