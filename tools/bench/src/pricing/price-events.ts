import { readFileSync } from 'node:fs';

/** One line of a table of price changes: `date,model,field,old_or_blank,new,provider_or_out`, prices in USD per token. */
export interface PriceEvent {
  line: number;
  date: string;
  model: string;
  field: string;
  old: string;
  next: string;
  /** Of an `added` line the output price; else the seller. */
  last: string;
}

/** What happened to one price at once: an added model, or the lines of one model and date that stand together. */
export interface Revision {
  events: PriceEvent[];
  model: string;
  date: string;
  added: boolean;
}

/** How the guard calls the fields whose unit is certain. */
const RATE_OF: Record<string, string> = {
  input_cost_per_token: 'input',
  output_cost_per_token: 'output',
  output_cost_per_reasoning_token: 'reasoning',
  cache_read_input_token_cost: 'cacheRead',
  cache_creation_input_token_cost: 'cacheWrite5m',
  cache_creation_input_token_cost_above_1hr: 'cacheWrite1h',
  input_cost_per_audio_token: 'inputAudioTokens',
  output_cost_per_audio_token: 'outputAudioTokens',
};
const VARIANT =
  /^((?:in|out)put_cost_per_token|cache_(?:read|creation)_input_token_cost)_(above_\d+k_tokens|batches|flex|priority)$/;

/** The guard's name of a field; undefined: the file does not say what it is counted in. */
export function rateOf(field: string): string | undefined {
  const variant = VARIANT.exec(field);
  if (!variant) return RATE_OF[field];
  const suffix = variant[2]!.replace('_tokens', '').replace('batches', 'batch');
  return (
    RATE_OF[variant[1]!]! +
    suffix.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase()).replace('_', '')
  );
}

/** What a line says: the value of each rate, blank for none. */
export function valuesOf(event: PriceEvent): [rate: string, usdPerToken: string][] {
  if (event.field === 'added') {
    return [
      ['input', event.next],
      ['output', event.last],
    ];
  }
  return [[rateOf(event.field)!, event.next]];
}

/** @returns the lines that are understood, and the fields that are not, with how often they occur. */
export function readPriceEvents(path: string): { events: PriceEvent[]; notUnderstood: Record<string, number> } {
  const [, ...lines] = readFileSync(path, 'utf8').trimEnd().split(/\r?\n/);
  const events: PriceEvent[] = [];
  const notUnderstood: Record<string, number> = {};
  for (const [index, text] of lines.entries()) {
    const [date = '', model = '', field = '', old = '', next = '', last = ''] = cells(text);
    if (field !== 'added' && field !== 'removed' && rateOf(field) === undefined) {
      notUnderstood[field] = (notUnderstood[field] ?? 0) + 1;
      continue;
    }
    events.push({ line: index + 2, date, model, field, old, next, last });
  }
  return { events, notUnderstood };
}

function cells(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    (m) => m[1]?.replaceAll('""', '"') ?? m[2] ?? '',
  );
}

/** @param together lines of one model and date that stand together are one revision; else each line is. */
export function revisionsOf(events: readonly PriceEvent[], together: boolean): Revision[] {
  const revisions: Revision[] = [];
  for (const event of events) {
    if (event.field === 'removed') continue;
    const open = revisions.at(-1);
    const added = event.field === 'added';
    const joins =
      together &&
      open &&
      !added &&
      !open.added &&
      open.model === event.model &&
      open.date === event.date &&
      open.events.at(-1)!.line === event.line - 1;
    if (joins) open.events.push(event);
    else revisions.push({ events: [event], model: event.model, date: event.date, added });
  }
  return revisions;
}
