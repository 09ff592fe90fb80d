import { InvalidArgumentError } from 'commander';
import { dayMs, instantMs, isDayText } from '@meritorder/kernel';

/** A date (UTC) or an instant, ms since the epoch. @throws InvalidArgumentError with what is wrong and what is expected */
export function instant(text: string): number {
  try {
    return isDayText(text) ? dayMs(text) : instantMs(text);
  } catch (error) {
    throw new InvalidArgumentError(
      `${(error as Error).message}: a date or an instant is expected, such as 2026-11-01 or 2026-11-01T18:00:00Z, in UTC where it names no offset`,
    );
  }
}
