import { valuesOf, type PriceEvent, type Revision } from './price-events.js';

/*
 * Labels by hindsight. They know what the table said later, which the guard cannot, and nothing of the guard's rules. A value is
 *
 * - absurd:   the next different value that the table gives to the same rate of the same model is 100x or more away, or it is
 *             not a number, or negative. (A list price never moved 100x at once; it is the table that was wrong.)
 * - zero:     0 or blank where a price is added, or a move from or to them. Whether it is free or unknown cannot be told
 *             from the table, so these are excluded and looked at by themselves.
 * - repair:   follows an absurd value, and would be ordinary but for that.
 * - ordinary: within $0.005 and $600 per 1M tokens (the cheapest hosted model and the output of o1-pro; $0.001 for a cache
 *             hit; $5 at most where only input is charged, above which such tables hold prices per second or
 *             slips of 1,000), within 10x of the value before, and not taken back: neither moved by more than 3x within
 *             45 days nor by 10x at any time later.
 * - unclear:  everything else, excluded and counted.
 *
 * A revision is absurd when one of its values is; ordinary when all are ordinary or repairs; else zero or unclear.
 */
export const LABELS = ['absurd', 'ordinary', 'repair', 'zero', 'unclear'] as const;
export type Label = (typeof LABELS)[number];

const ABSURD_FACTOR = 99.9;
const ORDINARY_FACTOR = 10;
const TAKEN_BACK_FACTOR = 3;
const TAKEN_BACK_WITHIN_DAYS = 45;

interface Saying {
  date: string;
  line: number;
  usdPerMillion: number;
}

/** @param events all of the table, in order. */
export function labeller(events: readonly PriceEvent[]): (revision: Revision) => Label {
  const history = historyOf(events);
  const labelOf = (event: PriceEvent, rate: string, text: string, inputOnly: boolean): Label => {
    const usd = text === '' ? 0 : Number(text) * 1e6;
    if (!(usd >= 0)) return 'absurd';
    if (usd === 0 || (event.field !== 'added' && Number(event.old || '1') === 0)) {
      return rate === 'output' && inputOnly ? 'ordinary' : 'zero';
    }
    const all = history.get(`${event.model} ${rate}`)!;
    const said = all.find((s) => s.line === event.line)!;
    if (isAbsurd(said, all)) return 'absurd';
    const [least, most] = [rate.startsWith('cacheRead') ? 0.001 : 0.005, inputOnly ? 5 : 600];
    if (usd < least || usd > most || isTakenBack(said, all)) return 'unclear';
    const before = all.findLast((s) => s.line < said.line);
    if (before === undefined || before.usdPerMillion === 0) return 'ordinary';
    if (isAbsurd(before, all)) return 'repair';
    return factor(before.usdPerMillion, usd) <= ORDINARY_FACTOR ? 'ordinary' : 'unclear';
  };
  return (revision) => {
    const labels = revision.events.flatMap((event) => {
      const inputOnly = event.field === 'added' && Number(event.next) > 0 && Number(event.last) === 0;
      return valuesOf(event).map(([rate, text]) => labelOf(event, rate, text, inputOnly));
    });
    for (const label of ['absurd', 'unclear', 'zero', 'repair'] as const) if (labels.includes(label)) return label;
    return 'ordinary';
  };
}

/** What the table said of each rate of each model, in order; the first is what stood there before the file begins. */
function historyOf(events: readonly PriceEvent[]): Map<string, Saying[]> {
  const history = new Map<string, Saying[]>();
  for (const event of events) {
    if (event.field === 'removed') continue;
    for (const [rate, text] of valuesOf(event)) {
      const key = `${event.model} ${rate}`;
      if (!history.has(key))
        history.set(key, event.old === '' ? [] : [{ date: '', line: 0, usdPerMillion: Number(event.old) * 1e6 }]);
      if (text !== '')
        history.get(key)!.push({ date: event.date, line: event.line, usdPerMillion: Number(text) * 1e6 });
    }
  }
  return history;
}

/** A hair less than exact, so that 10x in floating point is 10x. */
function factor(a: number, b: number): number {
  return Math.max(a / b, b / a) * (1 - 1e-9);
}

function isAbsurd(said: Saying, all: readonly Saying[]): boolean {
  const later = all.find((s) => s.line > said.line && s.usdPerMillion !== said.usdPerMillion);
  return (
    said.usdPerMillion > 0 &&
    later !== undefined &&
    later.usdPerMillion > 0 &&
    factor(said.usdPerMillion, later.usdPerMillion) >= ABSURD_FACTOR
  );
}

function isTakenBack(said: Saying, all: readonly Saying[]): boolean {
  const days = (s: Saying): number => (Date.parse(s.date) - Date.parse(said.date)) / 86_400_000;
  return all.some(
    (s) =>
      s.line > said.line &&
      factor(s.usdPerMillion, said.usdPerMillion) >
        (days(s) <= TAKEN_BACK_WITHIN_DAYS ? TAKEN_BACK_FACTOR : ORDINARY_FACTOR - 0.01),
  );
}
