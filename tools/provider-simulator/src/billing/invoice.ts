import { InvoiceFile } from './invoice-file.js';
import { nanosToUsd } from './prices.js';

export const OUTCOMES = ['completed', 'cut', 'cancelled'] as const;
/** `cut`: the simulator broke the connection; `cancelled`: the client did. */
export type Outcome = (typeof OUTCOMES)[number];

/** One charged physical call. Token counts are disjoint and are what was really processed and generated. */
export interface InvoiceLine {
  callId: string;
  clientRequestId: string | null;
  model: string;
  /** ISO 8601 with milliseconds, UTC. */
  startedAt: string;
  endedAt: string;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
  requests: number;
  /** Exact, nine decimals. */
  usd: string;
  nanoUsd: string;
  outcome: Outcome;
}

/** A line as the simulator charges it. */
export interface Charge {
  callId: string;
  clientRequestId: string | null;
  model: string;
  startedAtMs: number;
  endedAtMs: number;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
  nanoUsd: bigint;
  outcome: Outcome;
}

/** A period of the invoice: lines with `fromMs` <= endedAt < `toMs`. */
export interface Period {
  fromMs?: number | undefined;
  toMs?: number | undefined;
}

const PAGE_LINES = 4_096;
const TOKEN_COLUMNS = 4;

/** Lines by column: about 150 bytes a line, two thirds of them the two ids. */
class Page {
  readonly callIds: string[] = [];
  readonly clientRequestIds: (string | null)[] = [];
  readonly models: string[] = [];
  readonly times = new Float64Array(PAGE_LINES * 2);
  readonly tokens = new Uint32Array(PAGE_LINES * TOKEN_COLUMNS);
  readonly nanoUsd = new BigInt64Array(PAGE_LINES);
  readonly outcomes = new Uint8Array(PAGE_LINES);
}

/** The simulator's own books. A line exists in the file, when there is one, before it exists here. */
export class Invoice {
  readonly #pages: Page[] = [];
  #count = 0;
  #file: InvoiceFile | undefined;
  readonly #maxLines: number;

  private constructor(maxLines: number) {
    this.#maxLines = maxLines;
  }

  /** Reads back what an earlier run charged. @throws Error when the file is not an invoice or holds too many lines. */
  static async open(maxLines: number, path?: string): Promise<Invoice> {
    const invoice = new Invoice(maxLines);
    if (path !== undefined) {
      invoice.#file = await InvoiceFile.open(path, (line) => {
        if (invoice.isFull) throw new Error(`${path} holds more than maxInvoiceLines (${maxLines}) lines`);
        invoice.#keep(chargeOf(line));
      });
    }
    return invoice;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= this.#maxLines;
  }

  /** Books a call. @throws Error when the file cannot be written; the line is not kept then. */
  add(charge: Charge): void {
    this.#file?.append(lineOf(charge));
    this.#keep(charge);
  }

  /** The lines of a period in the order in which they were charged; lines added meanwhile are left out. */
  *lines(period: Period = {}): Generator<InvoiceLine> {
    for (const charge of this.charges(period)) yield lineOf(charge);
  }

  *charges({ fromMs = -Infinity, toMs = Infinity }: Period = {}): Generator<Charge> {
    const count = this.#count;
    for (let index = 0; index < count; index++) {
      const endedAtMs = this.#pages[Math.floor(index / PAGE_LINES)]!.times[(index % PAGE_LINES) * 2 + 1]!;
      if (endedAtMs >= fromMs && endedAtMs < toMs) yield this.#read(index);
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #keep(charge: Charge): void {
    const row = this.#count % PAGE_LINES;
    if (row === 0) this.#pages.push(new Page());
    const page = this.#pages.at(-1)!;
    page.callIds.push(charge.callId);
    page.clientRequestIds.push(charge.clientRequestId);
    page.models.push(charge.model);
    page.times[row * 2] = charge.startedAtMs;
    page.times[row * 2 + 1] = charge.endedAtMs;
    page.tokens[row * TOKEN_COLUMNS] = charge.inputTokens;
    page.tokens[row * TOKEN_COLUMNS + 1] = charge.cachedInputTokens;
    page.tokens[row * TOKEN_COLUMNS + 2] = charge.cacheWriteTokens;
    page.tokens[row * TOKEN_COLUMNS + 3] = charge.outputTokens;
    page.nanoUsd[row] = charge.nanoUsd;
    page.outcomes[row] = OUTCOMES.indexOf(charge.outcome);
    this.#count++;
  }

  #read(index: number): Charge {
    const page = this.#pages[Math.floor(index / PAGE_LINES)]!;
    const row = index % PAGE_LINES;
    return {
      callId: page.callIds[row]!,
      clientRequestId: page.clientRequestIds[row]!,
      model: page.models[row]!,
      startedAtMs: page.times[row * 2]!,
      endedAtMs: page.times[row * 2 + 1]!,
      inputTokens: page.tokens[row * TOKEN_COLUMNS]!,
      cachedInputTokens: page.tokens[row * TOKEN_COLUMNS + 1]!,
      cacheWriteTokens: page.tokens[row * TOKEN_COLUMNS + 2]!,
      outputTokens: page.tokens[row * TOKEN_COLUMNS + 3]!,
      nanoUsd: page.nanoUsd[row]!,
      outcome: OUTCOMES[page.outcomes[row]!]!,
    };
  }
}

function lineOf(charge: Charge): InvoiceLine {
  return {
    callId: charge.callId,
    clientRequestId: charge.clientRequestId,
    model: charge.model,
    startedAt: new Date(charge.startedAtMs).toISOString(),
    endedAt: new Date(charge.endedAtMs).toISOString(),
    inputTokens: charge.inputTokens,
    cachedInputTokens: charge.cachedInputTokens,
    cacheWriteTokens: charge.cacheWriteTokens,
    outputTokens: charge.outputTokens,
    requests: 1,
    usd: nanosToUsd(charge.nanoUsd),
    nanoUsd: charge.nanoUsd.toString(),
    outcome: charge.outcome,
  };
}

function chargeOf(line: InvoiceLine): Charge {
  return {
    callId: line.callId,
    clientRequestId: line.clientRequestId,
    model: line.model,
    startedAtMs: Date.parse(line.startedAt),
    endedAtMs: Date.parse(line.endedAt),
    inputTokens: line.inputTokens,
    cachedInputTokens: line.cachedInputTokens,
    cacheWriteTokens: line.cacheWriteTokens,
    outputTokens: line.outputTokens,
    nanoUsd: BigInt(line.nanoUsd),
    outcome: line.outcome,
  };
}
