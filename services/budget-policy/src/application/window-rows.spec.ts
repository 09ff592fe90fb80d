import { describe, expect, it } from 'vitest';
import { BudgetWindowRow } from '@meritorder/contracts';
import { MONTH, ORG, stored } from './fixture.for-tests.js';
import { aboveLimit, windowRow } from './window-rows.js';

describe('what is spent above a limit is counted by its cause', () => {
  it.each([
    ['nothing', { spentNanos: 900n, correctedNanos: 0n, limitNanos: 1_000n, highestNanos: 1_000n }, [0n, 0n, 0n]],
    [
      'a limit lowered below what was spent',
      { spentNanos: 900n, correctedNanos: 0n, limitNanos: 600n, highestNanos: 1_000n },
      [300n, 0n, 0n],
    ],
    [
      'late prices',
      { spentNanos: 1_100n, correctedNanos: 150n, limitNanos: 1_000n, highestNanos: 1_000n },
      [0n, 100n, 0n],
    ],
    ['both', { spentNanos: 1_100n, correctedNanos: 150n, limitNanos: 600n, highestNanos: 1_000n }, [350n, 150n, 0n]],
    [
      'grants beyond every limit there was',
      { spentNanos: 1_100n, correctedNanos: 0n, limitNanos: 1_000n, highestNanos: 1_000n },
      [0n, 0n, 100n],
    ],
    [
      'prices that became lower',
      { spentNanos: 900n, correctedNanos: -50n, limitNanos: 1_000n, highestNanos: 1_000n },
      [0n, 0n, 0n],
    ],
  ] as const)('%s', (_name, of, [lowered, corrected, overrun]) => {
    expect(aboveLimit(of)).toEqual({
      loweredNanos: lowered.toString(),
      correctedNanos: corrected.toString(),
      overrunNanos: overrun.toString(),
    });
  });
});

it('a row is what an operator needs, and valid', () => {
  const row = windowRow(
    ORG,
    stored({ stages: [{ at: 1, action: 'reject' }] }),
    {
      total: { settledNanos: 1_200n, unconfirmedNanos: 0n, correctedNanos: 0n },
      heldNanos: 5n,
      definitions: [{ ...MONTH, limitNanos: '1500' }, MONTH],
    },
    Date.parse('2026-11-24T10:00:00Z'),
  );
  expect(BudgetWindowRow.parse(row)).toMatchObject({
    window: '2026-11',
    heldNanos: '5',
    stage: 'reject',
    exhausted: true,
    above: { loweredNanos: '200', correctedNanos: '0', overrunNanos: '0' },
  });
});
