import { ATTRIBUTION_KEYS, Attribution, MeritorderOptions, Slug } from '@meritorder/contracts';
import { instantMs } from '@meritorder/kernel';
import { WorkloadError, type RequestProfile, type WorkloadRow } from './workload.js';

const TIME = ['timestamp', 'time'];
const INPUT = ['contexttokens', 'request tokens', 'input_tokens', 'inputtokens'];
const OUTPUT = ['generatedtokens', 'response tokens', 'output_tokens', 'outputtokens'];
const ROUTE = ['route', 'model'];
const WISHES = [
  'max_cost_usd',
  'min_quality',
  'value_usd',
  'deadline_ms',
  'max_latency_ms',
  'max_first_token_ms',
] as const;
const ATTRIBUTES = ['org', 'key', ...ATTRIBUTION_KEYS];
/** What BurstGPT has beside these, and a simulation has no use for. */
const UNUSED = ['total tokens', 'log type', 'session id', 'elapsed time'];

/**
 * Requests of a trace in CSV: time, input and output tokens as Azure (`TIMESTAMP,ContextTokens,GeneratedTokens`) and BurstGPT name
 * them; beside these, columns named org, key, department, team, customer, feature, task, tier, user, route, and the wishes
 * max_cost_usd, min_quality, value_usd, deadline_ms, max_latency_ms, max_first_token_ms. Cells are not quoted. Numbers as time are seconds since the epoch.
 * A column of another name is refused: a slip in a name would otherwise be a simulation without what the column says.
 * @throws WorkloadError naming the line
 */
export function rowsOfCsv(text: string): WorkloadRow[] {
  const lines = text.split(/\r?\n/);
  const names = (lines[0] ?? '').split(',').map((name) => name.trim().toLowerCase());
  const column = (of: readonly string[]): number => names.findIndex((name) => of.includes(name));
  const [time, input, output, route] = [column(TIME), column(INPUT), column(OUTPUT), column(ROUTE)];
  if (time < 0 || input < 0 || output < 0)
    throw new WorkloadError(
      `line 1: needs the columns TIMESTAMP, ContextTokens, GeneratedTokens, and has ${names.join(', ')}`,
    );
  refuseUnknown(names);
  const wishes = WISHES.map((name) => [name, names.indexOf(name)] as const).filter(([, at]) => at >= 0);
  const attributes = ATTRIBUTES.map((name) => [name, names.indexOf(name)] as const).filter(([, at]) => at >= 0);
  const profileOf = memo((cells) => profile(cells, attributes, route, wishes));
  const rows: WorkloadRow[] = [];
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!;
    if (line.trim() === '') continue;
    const cells = line.split(',').map((cell) => cell.trim());
    try {
      if (cells.length > names.length)
        throw new WorkloadError(`has ${cells.length} cells for ${names.length} columns; cells cannot be quoted`);
      rows.push({
        atMs: timeMs(cells[time] ?? ''),
        inputTokens: count(cells[input]),
        outputTokens: count(cells[output]),
        profile: profileOf(cells.filter((_, at) => at !== time && at !== input && at !== output).join(), cells),
      });
    } catch (error) {
      throw new WorkloadError(`line ${i + 1}: ${(error as Error).message}`);
    }
  }
  return rows;
}

function refuseUnknown(names: readonly string[]): void {
  const used = [TIME, INPUT, OUTPUT, ROUTE, ...[...ATTRIBUTES, ...WISHES].map((name) => [name])];
  for (const name of names)
    if (!used.flat().includes(name) && !UNUSED.includes(name))
      throw new WorkloadError(
        `line 1: there is no column "${name}"; rename it or leave it out. Columns are TIMESTAMP, ContextTokens, GeneratedTokens, ${[ROUTE[0], ...ATTRIBUTES, ...WISHES].join(', ')}`,
      );
  for (const same of used) {
    const given = names.filter((name) => same.includes(name));
    if (given.length > 1) throw new WorkloadError(`line 1: ${given.join(' and ')} say the same; leave one out`);
  }
}

/** Most rows of a trace look alike but for their lengths. */
function memo(
  make: (cells: readonly string[]) => RequestProfile,
): (key: string, cells: readonly string[]) => RequestProfile {
  const known = new Map<string, RequestProfile>();
  return (key, cells) => {
    let found = known.get(key);
    if (!found) known.set(key, (found = make(cells)));
    return found;
  };
}

type Column = readonly [string, number];

function profile(
  cells: readonly string[],
  attributes: readonly Column[],
  route: number,
  wishes: readonly Column[],
): RequestProfile {
  const given = (columns: readonly Column[]): [string, string][] =>
    columns.flatMap(([name, at]) => (cells[at] ? [[name, cells[at]] as [string, string]] : []));
  const { org, ...rest } = Object.fromEntries(given(attributes)) as Record<string, string>;
  const wished = given(wishes).map(([name, text]) => [name, name.endsWith('_usd') ? text : Number(text)]);
  return {
    org: org === undefined ? undefined : checked(Slug, org, 'org'),
    route: cells[route] ? cells[route] : undefined,
    attributes: checked(Attribution.omit({ org: true }), rest, 'the attributes'),
    wishes: wished.length === 0 ? undefined : checked(MeritorderOptions, Object.fromEntries(wished), 'the wishes'),
  };
}

interface Schema<T> {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { issues: { message: string; path: PropertyKey[] }[] } };
}

function checked<T>(schema: Schema<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new WorkloadError(`${[what, ...path.map(String)].join(' ')}: ${message}`);
}

function count(text: string | undefined): number {
  if (text === undefined || !/^\d{1,9}$/.test(text))
    throw new WorkloadError(`"${text ?? ''}" is not a number of tokens`);
  return Number(text);
}

/** Seconds since the epoch, or an instant; of a date alone all requests would be at midnight. */
function timeMs(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return within(Number(text) * 1_000, text);
  try {
    return within(instantMs(text), text);
  } catch (error) {
    if (error instanceof RangeError) throw new WorkloadError(`"${text}" is not a time: ${error.message}`);
    throw error;
  }
}

const LATEST_MS = Date.UTC(2100, 0);

/** A time in another unit would be one of another century, and its windows, prices and load all wrong. Traces may begin at 0. */
function within(ms: number, text: string): number {
  if (ms < LATEST_MS) return ms;
  const hint = ms / 1_000 < LATEST_MS ? ': it looks like milliseconds, and seconds are asked for' : '';
  throw new WorkloadError(`"${text}" is after the year 2100${hint}`);
}
