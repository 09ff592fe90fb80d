import type { Invoice, InvoiceLine, Period } from './invoice.js';

export interface InvoiceDocument {
  provider: string;
  currency: 'USD';
  lines: InvoiceLine[];
  /** The period asked for, else from the first start to the last end of the lines; null without lines. */
  from: string | null;
  to: string | null;
  totalNanoUsd: string;
}

const COLUMNS = [
  'callId',
  'clientRequestId',
  'model',
  'startedAt',
  'endedAt',
  'inputTokens',
  'cachedInputTokens',
  'cacheWriteTokens',
  'outputTokens',
  'requests',
  'usd',
  'nanoUsd',
  'outcome',
] as const satisfies (keyof InvoiceLine)[];

const PIECE_CHARACTERS = 64 * 1024;

/** What stands under the lines: the total of exactly these lines, though more calls end while they are written. */
class Foot {
  from: string | null;
  to: string | null;
  #totalNanos = 0n;
  readonly #period: Period;

  constructor(period: Period) {
    this.#period = period;
    this.from = period.fromMs === undefined ? null : new Date(period.fromMs).toISOString();
    this.to = period.toMs === undefined ? null : new Date(period.toMs).toISOString();
  }

  add(line: InvoiceLine): void {
    this.#totalNanos += BigInt(line.nanoUsd);
    if (this.#period.fromMs === undefined && (this.from === null || line.startedAt < this.from)) {
      this.from = line.startedAt;
    }
    if (this.#period.toMs === undefined && (this.to === null || line.endedAt > this.to)) this.to = line.endedAt;
  }

  fields(): Pick<InvoiceDocument, 'from' | 'to' | 'totalNanoUsd'> {
    return { from: this.from, to: this.to, totalNanoUsd: this.#totalNanos.toString() };
  }
}

/** The invoice of a period as one object. */
export function invoiceDocument(provider: string, invoice: Invoice, period: Period = {}): InvoiceDocument {
  const foot = new Foot(period);
  const lines: InvoiceLine[] = [];
  for (const line of invoice.lines(period)) {
    foot.add(line);
    lines.push(line);
  }
  return { provider, currency: 'USD', lines, ...foot.fields() };
}

/** The same as JSON in pieces, because an invoice may be longer than a string can be. */
export function invoiceJson(provider: string, invoice: Invoice, period: Period): Generator<string> {
  return inPieces(jsonParts(provider, invoice, period));
}

function* jsonParts(provider: string, invoice: Invoice, period: Period): Generator<string> {
  const foot = new Foot(period);
  yield `{"provider":${JSON.stringify(provider)},"currency":"USD","lines":[`;
  let separator = '\n';
  for (const line of invoice.lines(period)) {
    foot.add(line);
    yield separator + JSON.stringify(line);
    separator = ',\n';
  }
  yield `\n],${JSON.stringify(foot.fields()).slice(1)}\n`;
}

/** RFC 4180, with a header line. */
export function invoiceCsv(invoice: Invoice, period: Period): Generator<string> {
  return inPieces(csvParts(invoice, period));
}

function* csvParts(invoice: Invoice, period: Period): Generator<string> {
  yield COLUMNS.join(',') + '\r\n';
  for (const line of invoice.lines(period)) yield COLUMNS.map((column) => csvField(line[column])).join(',') + '\r\n';
}

function csvField(value: string | number | null): string {
  const text = value === null ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function* inPieces(parts: Iterable<string>): Generator<string> {
  let piece = '';
  for (const part of parts) {
    piece += part;
    if (piece.length >= PIECE_CHARACTERS) {
      yield piece;
      piece = '';
    }
  }
  if (piece !== '') yield piece;
}
