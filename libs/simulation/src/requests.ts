import type { Attribution, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';

/** One request of a trace: what was asked, and how long its answer was. */
export interface SimulatedRequest {
  readonly atMs: number;
  readonly attribution: Attribution;
  readonly route: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** By backend, where it is known; the configured prior elsewhere. 0..1 */
  readonly quality?: Readonly<Record<string, number>>;
}

/** Made requests: Poisson arrivals by the shape of a working week, lengths log-normal. */
export interface GeneratedTraffic {
  readonly requests: number;
  readonly days: number;
  readonly startMs: number;
  readonly seed: number;
  readonly org: string;
  readonly route: string;
}

const HOUR_MS = 3_600_000;

/** About `requests` requests, sorted by time. Mean input 1,200 tokens, mean output 210, as in the public Azure code trace's order. */
export function* generatedRequests(traffic: GeneratedTraffic): Generator<SimulatedRequest> {
  const random = seededRandom(traffic.seed);
  const hours = traffic.days * 24;
  const shape = (hour: number): number => {
    const ofDay = hour % 24;
    const weekend = Math.floor(hour / 24) % 7 >= 5;
    return (0.3 + Math.max(0, Math.sin(((ofDay - 6) / 14) * Math.PI))) * (weekend ? 0.4 : 1);
  };
  let total = 0;
  for (let hour = 0; hour < hours; hour++) total += shape(hour);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const attribution: Attribution = { org: traffic.org };
  for (let hour = 0; hour < hours; hour++) {
    const perMs = (traffic.requests * shape(hour)) / total / HOUR_MS;
    const endMs = (hour + 1) * HOUR_MS;
    for (let atMs = hour * HOUR_MS; ;) {
      atMs -= Math.log(1 - random()) / perMs;
      if (atMs >= endMs) break;
      yield {
        atMs: traffic.startMs + Math.floor(atMs),
        attribution,
        route: traffic.route,
        inputTokens: Math.max(1, Math.round(Math.exp(6.6 + normal()))),
        outputTokens: Math.max(1, Math.round(Math.exp(4.9 + 0.95 * normal()))),
      };
    }
  }
}

/** The request of a decision's record, as it was expected: for a period of the ledger. Undefined: it was not a first attempt. */
export function requestOfDecision(record: RoutingDecisionMadeV1): SimulatedRequest | undefined {
  if (record.attemptNumber !== 1) return undefined;
  const quality: Record<string, number> = {};
  for (const { backend, numbers } of record.candidates) if (numbers) quality[backend] = numbers.quality;
  return {
    atMs: Date.parse(record.decidedAt),
    attribution: record.attribution,
    route: record.route,
    inputTokens: Math.max(1, Math.round(record.inputTokensExpected)),
    outputTokens: Math.max(1, Math.round(record.outputTokensExpected)),
    quality,
  };
}

/** Header names of a trace that are the same as in the public Azure traces; the others are optional. */
const COLUMNS = { at: 'TIMESTAMP', input: 'ContextTokens', output: 'GeneratedTokens' } as const;
const ATTRIBUTES = ['department', 'team', 'customer', 'feature', 'task', 'tier', 'user'] as const;

/**
 * Requests of a CSV with the columns TIMESTAMP (UTC), ContextTokens, GeneratedTokens and, where they are there, org, route and the
 * attributes.
 * @throws Error naming the line and the column.
 */
export function requestsOfCsv(text: string, defaults: { org: string; route: string }): SimulatedRequest[] {
  const [head = '', ...lines] = text.split(/\r?\n/);
  const names = head.split(',').map((name) => name.trim());
  for (const name of Object.values(COLUMNS))
    if (!names.includes(name)) throw new Error(`line 1: no column ${name}; there are: ${names.join(', ')}`);
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    const cells = line.split(',');
    const cell = (name: string): string | undefined => cells[names.indexOf(name)]?.trim() || undefined;
    const number = (name: string): number => {
      const value = Number(cell(name));
      if (!Number.isFinite(value) || value < 0) throw new Error(`line ${i + 2}: ${name} is "${cell(name) ?? ''}"`);
      return value;
    };
    const text = (cell(COLUMNS.at) ?? '').replace(' ', 'T').replace(/(\.\d{3})\d*/, '$1');
    const atMs = Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
    if (Number.isNaN(atMs)) throw new Error(`line ${i + 2}: TIMESTAMP is "${cell(COLUMNS.at) ?? ''}"`);
    const attribution: Attribution = { org: cell('org') ?? defaults.org };
    for (const name of ATTRIBUTES) {
      const value = cell(name);
      if (value !== undefined) attribution[name] = value;
    }
    return [
      {
        atMs,
        attribution,
        route: cell('route') ?? defaults.route,
        inputTokens: Math.max(1, number(COLUMNS.input)),
        outputTokens: Math.max(1, number(COLUMNS.output)),
      },
    ];
  });
}

/** A trace again and again, each time right after the last, as one that is `times` as long. */
export function* repeated(requests: readonly SimulatedRequest[], times: number): Generator<SimulatedRequest> {
  const first = requests[0];
  const last = requests.at(-1);
  if (!first || !last) return;
  const periodMs = last.atMs - first.atMs + 1;
  for (let i = 0; i < times; i++)
    for (const request of requests) yield { ...request, atMs: request.atMs + i * periodMs };
}
