import { Command } from 'commander';
import { expect, it } from 'vitest';
import { instant } from './instant.js';

function from(text: string): unknown {
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  return program.option('--from <instant>', '', instant).parse(['--from', text], { from: 'user' }).opts()['from'];
}

it.each([
  ['2026-11-01', Date.UTC(2026, 10, 1)],
  ['2026-11-01T18:00:00Z', Date.UTC(2026, 10, 1, 18)],
  // Whatever the zone of the machine is.
  ['2026-11-01T18:00', Date.UTC(2026, 10, 1, 18)],
])('an option takes %s', (text, ms) => {
  expect(from(text)).toBe(ms);
});

it.each([
  ['2026-02-31', 'there is no day 2026-02-31'],
  ['2026-02-31T10:00:00Z', 'there is no day 2026-02-31'],
  ['2026-11-01T24:00:00Z', 'there is no time of day 24:00:00'],
  ['November', 'it is not written like 2026-11-01T00:00:00Z'],
  ['11', 'it is not written like 2026-11-01T00:00:00Z'],
])('an option refuses %s with what is wrong and what is expected', (text, reason) => {
  expect(() => from(text)).toThrow(
    `option '--from <instant>' argument '${text}' is invalid. ${reason}: a date or an instant is expected, such as 2026-11-01 or `,
  );
});
