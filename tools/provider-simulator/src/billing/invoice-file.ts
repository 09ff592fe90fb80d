import { closeSync, createReadStream, existsSync, openSync, statSync, truncateSync, writeSync } from 'node:fs';
import { z } from 'zod';
import type { InvoiceLine } from './invoice.js';

const count = z.number().int().min(0);
const lineSchema: z.ZodType<InvoiceLine> = z.strictObject({
  callId: z.string(),
  clientRequestId: z.string().nullable(),
  model: z.string(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime(),
  inputTokens: count,
  cachedInputTokens: count,
  cacheWriteTokens: count,
  outputTokens: count,
  requests: count,
  usd: z.string(),
  nanoUsd: z.string().regex(/^\d+$/),
  outcome: z.enum(['completed', 'cut', 'cancelled']),
});

/**
 * The invoice as JSON Lines. A line is handed to the operating system in one write before the client can see the end
 * of the call, so it survives `kill -9` of the simulator (not a power failure: there is no fsync).
 */
export class InvoiceFile {
  #descriptor: number | undefined;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /**
   * Reads every line and opens the file for appending. Half a line at the end, left by a write that the disk or the
   * kernel broke off, was never a charge that a client saw completed: it is cut away, with a warning.
   * @throws Error with the line number when a whole line is not an invoice line.
   */
  static async open(path: string, onLine: (line: InvoiceLine) => void): Promise<InvoiceFile> {
    if (existsSync(path) && statSync(path).isFile()) {
      const wholeBytes = await readLines(path, onLine);
      const torn = statSync(path).size - wholeBytes;
      if (torn > 0) {
        process.stderr.write(`provider-simulator: ${path} ended in a torn line of ${torn} bytes, cut away\n`);
        truncateSync(path, wholeBytes);
      }
    }
    return new InvoiceFile(openSync(path, 'a'));
  }

  append(line: InvoiceLine): void {
    if (this.#descriptor === undefined) throw new Error('the invoice file is closed');
    writeWhole(this.#descriptor, Buffer.from(JSON.stringify(line) + '\n'));
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

function writeWhole(descriptor: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
}

/** Calls `onLine` for each terminated line; returns the bytes that they fill. */
async function readLines(path: string, onLine: (line: InvoiceLine) => void): Promise<number> {
  let wholeBytes = 0;
  let number = 0;
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let start = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
      onLine(parseLine(bytes.toString('utf8', start, end), path, ++number));
      wholeBytes += end + 1 - start;
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  return wholeBytes;
}

function parseLine(text: string, path: string, number: number): InvoiceLine {
  try {
    return lineSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new Error(`${path}, line ${number} is not an invoice line`, { cause: error });
  }
}
