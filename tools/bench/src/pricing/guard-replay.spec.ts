import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inForce, measureGuard, measureSlips } from './guard-replay.js';
import { rateOf, readPriceEvents, revisionsOf, type PriceEvent } from './price-events.js';
import { labeller } from './price-labels.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');
const tables = data ? readdirSync(join(data, 'prices')).filter((name) => /price-events.*\.csv$/.test(name)) : [];

/** Rows of `date model field old new last`. */
function table(...lines: string[]): PriceEvent[] {
  return lines.map((text, index) => {
    const [date = '', model = '', field = '', old = '', next = '', last = ''] = text
      .split(' ')
      .map((cell) => (cell === '-' ? '' : cell));
    return { line: index + 2, date, model, field, old, next, last };
  });
}

describe('labels by hindsight', () => {
  it.each([
    ['a value that is repaired 1,000x later', 0, 'absurd'],
    ['its repair', 1, 'repair'],
    ['a first price that stays', 2, 'ordinary'],
    ['a cut of 80 %', 3, 'ordinary'],
    ['a zero', 4, 'zero'],
    ['a price that is taken back within weeks', 5, 'unclear'],
    ['what took it back', 6, 'ordinary'],
    ['a negative price', 7, 'absurd'],
  ])('%s', (_, index, label) => {
    const events = table(
      '2025-01-01 m added - 0.0025 0.01',
      '2025-01-05 m input_cost_per_token 0.0025 2.5e-06 acme',
      '2025-02-01 n added - 1e-05 4e-05',
      '2025-06-01 n input_cost_per_token 1e-05 2e-06 acme',
      '2025-06-02 o added - 0 0',
      '2025-07-01 p added - 1e-06 4e-06',
      '2025-07-20 p input_cost_per_token 1e-06 5e-06 acme',
      '2025-08-01 q added - -1e-06 4e-06',
    );
    expect(labeller(events)(revisionsOf(events, false)[index]!)).toBe(label);
  });

  it.each([
    ['input_cost_per_token', 'input'],
    ['input_cost_per_token_above_200k_tokens', 'inputAbove200k'],
    ['output_cost_per_token_batches', 'outputBatch'],
    ['cache_read_input_token_cost_priority', 'cacheReadPriority'],
    ['input_cost_per_pixel', undefined],
  ])('the field %s is the rate %s', (field, rate) => {
    expect(rateOf(field)).toBe(rate);
  });
});

describe('a table of price changes', () => {
  it('holds what is no number at all, and goes on with the last good price', () => {
    const { versions } = measureGuard(
      table('2025-01-01 m added - 1e-06 4e-06', '2025-01-02 m input_cost_per_token 1e-06 NaN acme'),
      true,
    );
    expect(versions.map((v) => v.applied)).toEqual([true, false]);
    expect(versions[1]!.reasons[0]!.message).toContain('"NaN" is not a price');
    expect(inForce(versions).get('m')!.rates['input']).toBe(1_000_000n);
  });
});

if (!data) it.skip('real tables of price changes (MERITORDER_TEST_DATA is not set)');
else it('there are real tables of price changes to replay', () => expect(tables.length).toBeGreaterThan(0));

describe.each(tables)('the changes of %s', (name) => {
  const { events } = readPriceEvents(join(data!, 'prices', name));
  const byRevision = measureGuard(events, true);

  it('are all read: a removal, or part of one revision', () => {
    const removed = events.filter((e) => e.field === 'removed').length;
    expect(byRevision.versions.reduce((sum, v) => sum + v.revision.events.length, removed)).toBe(events.length);
    expect(events.length).toBeGreaterThan(100);
  });

  it('every absurd price is held, and at least 98 % of the ordinary ones apply at once', () => {
    expect(byRevision.tally.absurd.held).toBeGreaterThan(0);
    expect(byRevision.recall).toBe(1);
    expect(byRevision.appliedAtOnce).toBeGreaterThanOrEqual(0.98);
  });

  it('every repair of an absurd price applies at once, for that one was held; one that was in force before asks a person', () => {
    const repairs = byRevision.versions.filter((v) => v.label === 'repair');
    expect(repairs.filter((v) => !v.applied && v.reasons.every((r) => r.code !== 'repair'))).toEqual([]);
    expect(repairs.some((v) => v.applied)).toBe(true);
  });

  it('so it is when the table brings one rate at a time; a repair applies with the last rate that is repaired', () => {
    const { recall, appliedAtOnce, versions } = measureGuard(events, false);
    expect(recall).toBe(1);
    expect(appliedAtOnce).toBeGreaterThanOrEqual(0.98);

    const repaired = versions.filter((v) => v.label === 'repair').map((v) => v.revision.model);
    const last = new Map(versions.map((v) => [v.revision.model, v.price]));
    const force = inForce(versions);
    expect(repaired.filter((model) => force.get(model) !== last.get(model))).toEqual([]);
  });

  it('what is above $1,000 per 1M tokens is held also where nobody repaired it', () => {
    const above = byRevision.versions.filter(({ price }) =>
      Object.values(price?.rates ?? {}).some((picos) => picos! > 1_000_000_000n),
    );
    expect(above.filter((v) => v.applied)).toEqual([]);
  });

  it('no zero and no blank comes into force but where output is not charged or the seller says free', () => {
    const added = byRevision.versions.filter((v) => v.revision.added && v.applied).map((v) => v.price!);
    expect(added.filter((p) => p.rates['input'] === undefined)).toEqual([]);
    const zero = added.filter((p) => p.rates['input'] === 0n).map((p) => p.model);
    expect(zero.filter((model) => !model.endsWith(':free'))).toEqual([]);
  });

  it('every ordinary price is held that slips by 1,000,000, and nearly all that slip by 1,000', () => {
    const caught = measureSlips(byRevision.versions);
    expect(caught['x 1000000']).toBe(1);
    expect(caught['/ 1000000']).toBe(1);
    expect(caught['x 1000']).toBeGreaterThanOrEqual(0.98);
    expect(caught['/ 1000']).toBeGreaterThanOrEqual(0.98);
  });

  it('nothing is lost: each held price names its reasons, and confirmed, what is in force is what the table says last', () => {
    const confirmed = byRevision.versions.map((v) => ({ ...v, applied: true }));
    expect(byRevision.versions.filter((v) => !v.applied && v.reasons.length === 0)).toEqual([]);
    const last = new Map(byRevision.versions.map((v) => [v.revision.model, v.price]));
    expect(inForce(confirmed)).toEqual(last);
  });
});
