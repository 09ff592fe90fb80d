import type { KnownConversions } from '../run/conversions.js';
import type { BookedUsage } from '../run/usage.js';
import type {
  Attribution,
  DecisionDraws,
  Kind,
  MeritorderOptions,
  PeriodOpening,
  PriceVersion,
} from '@meritorder/contracts';

/** What many requests of a workload have in common. Undefined: what the configuration takes first. */
export interface RequestProfile {
  org?: string | undefined;
  /** Route or backend that is asked for. */
  route?: string | undefined;
  attributes: Omit<Partial<Attribution>, 'org'>;
  wishes?: MeritorderOptions | undefined;
  /** Undefined: nobody says; what holds for streams alone is then taken to hold. */
  streams?: boolean | undefined;
  /** A durable job: its deadline breaks off no call. */
  isJob?: boolean | undefined;
}

/** What a decision's record knows of one candidate, whatever policy asks for it. */
export interface RecordedCandidate {
  quality: number;
  qualityVariance: number;
  priorQuality: number;
  outcomes: number;
  conversion?: number | undefined;
  conversionVariance?: number | undefined;
  priorConversion?: number | undefined;
  /** Input tokens that its provider's cache was expected to have. */
  cacheReadTokens: number;
  /** By which it was decided; undefined: it had no price. */
  priceVersion?: string | undefined;
  /** What was expected of the request there, as its tokenizer and what had been learned of it said; absent: as of the request. */
  inputTokensExpected?: number | undefined;
  outputTokensExpected?: number | undefined;
}

/** What a decision's record knows of a request beside its lengths. */
export interface RecordedRequest extends KnownConversions {
  inputTokensBound: number;
  maxTokens: number | undefined;
  /** Answers that were asked for, whose tokens are counted together; `maxTokens` and what is expected is of each. */
  choices: number;
  /** Of a job that may be asked in a batch: how long until it must be answered, milliseconds. */
  batchWithinMs: number | undefined;
  outputTokensExpected: number;
  kind: Kind;
  /** Backends that could not serve what it was, under any policy; of others nobody knows. */
  unable: ReadonlySet<string>;
  candidates: ReadonlyMap<string, RecordedCandidate>;
  draws: DecisionDraws | undefined;
  /** Undefined: what it used is not known, but for its lengths. */
  booked: BookedUsage | undefined;
}

/** What an export says beside its records. */
export interface ExportedBooks {
  /** Oldest first; of the same instant the later in the book last. */
  prices: readonly PriceVersion[];
  /** Undefined: what was spent before is not known. */
  opening: PeriodOpening | undefined;
}

/**
 * Requests in the order in which they came, column by column, so that a month of them fits into memory. The same workload goes
 * through every policy.
 */
export interface Workload {
  /** Whole milliseconds since the epoch, as clocks of routers have them; never falls. */
  readonly atMs: Float64Array;
  readonly inputTokens: Int32Array;
  readonly outputTokens: Int32Array;
  /** Index into `profiles`. */
  readonly profile: Int32Array;
  readonly profiles: readonly RequestProfile[];
  /** By request, where it is a period of the ledger. */
  readonly recorded?: readonly RecordedRequest[];
  /** Undefined: it is no period of the ledger, or does not say. */
  readonly books?: ExportedBooks | undefined;
}

/** One request, as readers of traces find it. */
export interface WorkloadRow {
  atMs: number;
  inputTokens: number;
  outputTokens: number;
  profile: RequestProfile;
  recorded?: RecordedRequest;
  books?: Partial<ExportedBooks>;
}

/** What some programs write before a text. */
export const BYTE_ORDER_MARK = /^\uFEFF/;

/** A trace or record that cannot be used; the message names the line. */
export class WorkloadError extends Error {
  override readonly name = 'WorkloadError';
}

/** Requests of one run. Memory is 24 bytes a request and what is in flight. */
export const MOST_REQUESTS = 20_000_000;
const MOST_PROFILES = 100_000;
const MOST_TOKENS = 100_000_000;

/** Sorts rows by time and finds the profiles that they share. @throws WorkloadError beyond the limits */
export function workloadOf(rows: readonly WorkloadRow[]): Workload {
  if (rows.length === 0) throw new WorkloadError('there are no requests in it');
  if (rows.length > MOST_REQUESTS) throw new WorkloadError(`more than ${MOST_REQUESTS} requests`);
  const sorted = rows.toSorted((a, b) => a.atMs - b.atMs);
  const profiles = new Profiles();
  const workload = {
    ...emptyWorkload(sorted.length),
    profiles: profiles.all,
    ...(sorted.some((r) => r.recorded) ? { recorded: sorted.map((r) => r.recorded!) } : {}),
    ...booksOf(sorted),
  };
  sorted.forEach((row, i) => {
    if (!Number.isFinite(row.atMs)) throw new WorkloadError(`request ${i + 1} has no time`);
    for (const tokens of [row.inputTokens, row.outputTokens])
      if (!Number.isInteger(tokens) || tokens < 0 || tokens > MOST_TOKENS)
        throw new WorkloadError(`tokens must be 0 to ${MOST_TOKENS}, not ${tokens}`);
    workload.atMs[i] = Math.floor(row.atMs);
    workload.inputTokens[i] = row.inputTokens;
    workload.outputTokens[i] = row.outputTokens;
    workload.profile[i] = profiles.indexOf(row.profile);
  });
  return workload;
}

/** Of several exports one after the other the first says what was spent before. */
function booksOf(rows: readonly WorkloadRow[]): { books?: ExportedBooks } {
  const told = rows.flatMap(({ books }) => books ?? []);
  if (told.length === 0) return {};
  const prices = new Map(told.flatMap((books) => books.prices ?? []).map((version) => [version.id, version]));
  const openings = told.flatMap(({ opening }) => opening ?? []);
  const [opening] = openings.toSorted((a, b) => Date.parse(a.from) - Date.parse(b.from));
  return { books: { prices: [...prices.values()], opening } };
}

/** @internal Columns for so many requests, all 0. */
export function emptyWorkload(requests: number): Pick<Workload, 'atMs' | 'inputTokens' | 'outputTokens' | 'profile'> {
  return {
    atMs: new Float64Array(requests),
    inputTokens: new Int32Array(requests),
    outputTokens: new Int32Array(requests),
    profile: new Int32Array(requests),
  };
}

class Profiles {
  readonly all: RequestProfile[] = [];
  private readonly known = new Map<string, number>();

  indexOf(profile: RequestProfile): number {
    const { org, route, attributes, wishes, streams, isJob } = profile;
    const key = JSON.stringify([org, route, Object.entries(attributes).sort(), wishes, streams, isJob]);
    let index = this.known.get(key);
    if (index === undefined) {
      if (this.all.length >= MOST_PROFILES)
        throw new WorkloadError(`more than ${MOST_PROFILES} different sets of attributes`);
      index = this.all.push(profile) - 1;
      this.known.set(key, index);
    }
    return index;
  }
}
