import { expect, it } from 'vitest';
import { spanOf, whyNothing } from './exported-decisions.js';

const [from, to] = [Date.parse('2026-11-01T00:00:00Z'), Date.parse('2026-11-02T00:00:00Z')];
const acme = { org: 'acme', from: '2026-11-05T08:00:00.000Z', to: '2026-11-24T09:30:00.000Z' };
const initech = { org: 'initech', from: '2026-11-06T00:00:00.000Z', to: '2026-11-07T00:00:00.000Z' };

it.each<[string, string | undefined, (typeof acme)[] | undefined, string]>([
  [
    'another time, of the org that is asked for',
    'acme',
    [acme, initech],
    'no decisions of org acme from 2026-11-01T00:00:00.000Z until before 2026-11-02T00:00:00.000Z are on record; there are those of acme from 2026-11-05T08:00:00.000Z to 2026-11-24T09:30:00.000Z: choose --from and --to to match',
  ],
  [
    'another time, of all orgs',
    undefined,
    [acme, initech],
    'no decisions from 2026-11-01T00:00:00.000Z until before 2026-11-02T00:00:00.000Z are on record; there are those of acme from 2026-11-05T08:00:00.000Z to 2026-11-24T09:30:00.000Z, initech from 2026-11-06T00:00:00.000Z to 2026-11-07T00:00:00.000Z: choose --from and --to to match',
  ],
  [
    'other orgs',
    'globex',
    [acme],
    'no decisions of org globex from 2026-11-01T00:00:00.000Z until before 2026-11-02T00:00:00.000Z are on record; there are those of acme from 2026-11-05T08:00:00.000Z to 2026-11-24T09:30:00.000Z: choose one of these with --org',
  ],
  [
    'nothing',
    'globex',
    [],
    'no decisions of org globex from 2026-11-01T00:00:00.000Z until before 2026-11-02T00:00:00.000Z are on record, nor of any other: none was made yet, metering did not run, or all are older than `limits.decisionRetentionDays`',
  ],
  [
    'what it does not know, where metering is of a version that does not tell',
    undefined,
    undefined,
    'no decisions from 2026-11-01T00:00:00.000Z until before 2026-11-02T00:00:00.000Z are on record',
  ],
])('a period without decisions says so, and that there is %s instead', (_name, org, onRecord, why) => {
  expect(whyNothing(spanOf(org, from, to), onRecord)).toBe(why);
});

it('a period that ends before it begins is refused', () => {
  expect(() => spanOf('acme', to, from)).toThrow(
    '--from 2026-11-02T00:00:00.000Z is not before --to 2026-11-01T00:00:00.000Z',
  );
});
