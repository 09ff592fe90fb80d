const DAY = /^\d{4}-\d\d-\d\d$/;
const INSTANT = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$/;
const TIME = /^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$/;
const ZONE = /^[+-]([01]\d|2[0-3]):[0-5]\d$/;

/** Whether it is written as a date; it may name a day that is none. */
export function isDayText(text: string): boolean {
  return DAY.test(text);
}

/** When a day such as 2026-11-01 begins in UTC, ms since the epoch. @throws RangeError saying what is wrong with the text */
export function dayMs(text: string): number {
  if (!DAY.test(text)) throw new RangeError('it is not written like 2026-11-01');
  const ms = Date.parse(`${text}T00:00:00Z`);
  // Read by itself, the 31st of February is a day of March.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text)
    throw new RangeError(`there is no day ${text}`);
  return ms;
}

/**
 * An instant such as 2026-11-01T00:00:00Z, ms since the epoch: a day and a time of it, after a T or a space, with up to nine fraction
 * digits of a second (below a millisecond they are a fraction of one), in UTC unless it names another offset.
 * @throws RangeError saying what is wrong with the text
 */
export function instantMs(text: string): number {
  const match = INSTANT.exec(text);
  if (!match) throw new RangeError('it is not written like 2026-11-01T00:00:00Z');
  const [, day, time, fraction = '', zone = 'Z'] = match as unknown as [string, string, string, string?, string?];
  dayMs(day);
  if (!TIME.test(time)) throw new RangeError(`there is no time of day ${time}`);
  if (zone !== 'Z' && !ZONE.test(zone)) throw new RangeError(`there is no offset ${zone} from UTC`);
  return Date.parse(`${day}T${time}${zone}`) + Number(`0${fraction}`) * 1_000;
}
