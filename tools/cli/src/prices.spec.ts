import { describe, expect, it } from 'vitest';
import { triedLines } from './prices.js';

const tried = {
  priceVersion: 'pv-1',
  since: '2026-02-15T11:00:00.000Z',
  attempts: 2,
  complete: true,
  cashNanos: '2000000',
  fullNanos: '2000000',
  triedCashNanos: '2000000000000',
  triedFullNanos: '2000000000000',
};

describe('what is printed of a price that was only tried', () => {
  it.each<[string, Partial<typeof tried>, string[]]>([
    ['a slip', {}, ['the 2 attempts since 2026-02-15 11:00 cost $0.002; at this price $2000, 1000000x dearer']],
    [
      'a cut, of the latest of many',
      { complete: false, triedCashNanos: '1600000', triedFullNanos: '1600000' },
      ['the latest 2 attempts since 2026-02-15 11:00 cost $0.002; at this price $0.0016, 1.25x cheaper'],
    ],
    [
      'own hardware, which pays nobody',
      { cashNanos: '0', triedCashNanos: '0', triedFullNanos: '0' },
      [
        'the 2 attempts since 2026-02-15 11:00 cost $0; at this price $0',
        'the 2 attempts since 2026-02-15 11:00 cost $0.002 in full; at this price $0, nothing',
      ],
    ],
  ])('%s', (_name, more, lines) => {
    expect(triedLines({ ...tried, ...more })).toEqual(['nothing was taken in', ...lines]);
  });

  it('no attempt to try it on', () => {
    expect(triedLines({ ...tried, attempts: 0 })).toEqual([
      'nothing was taken in; no attempt was confirmed since 2026-02-15 11:00 that it could be tried on',
    ]);
  });
});
