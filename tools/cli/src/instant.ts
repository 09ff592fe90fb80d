import { InvalidArgumentError } from 'commander';

/** A date (UTC) or an instant, ms. */
export function instant(text: string): number {
  const value = Date.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text);
  if (Number.isNaN(value)) throw new InvalidArgumentError('a date, or an instant such as 2026-11-01T00:00:00Z');
  return value;
}
