import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One request of a public trace. */
export interface TracedRequest {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Ids of the 512-token blocks of the prompt, where the trace has them. */
  readonly blocks?: readonly number[];
}

export interface Trace {
  readonly name: string;
  readonly requests: readonly TracedRequest[];
}

/** Rows of a file that are read: enough for a coverage to a tenth of a point, and seconds of a test. */
const MOST_ROWS = 60_000;

/**
 * All traces of single requests in the test data's folder: Azure's and BurstGPT's tables, and Mooncake's JSON lines. Requests
 * without an answer (failures, which BurstGPT lists with 0 tokens) are left out: nothing was generated.
 */
export function tracesOf(data: string): Trace[] {
  const folder = join(data, 'traces');
  return readdirSync(folder)
    .toSorted()
    .map((name) => ({ name, requests: requestsOf(readFileSync(join(folder, name), 'utf8')) }))
    .filter((trace) => trace.requests.length > 0);
}

function requestsOf(text: string): TracedRequest[] {
  const lines = text.split(/\r?\n/, MOST_ROWS).filter((line) => line.trim() !== '');
  const requests = lines[0]?.startsWith('{') ? lines.map(jsonLine) : table(lines);
  return requests.filter((request) => request.outputTokens > 0);
}

function jsonLine(line: string): TracedRequest {
  const row = JSON.parse(line) as { input_length: number; output_length: number; hash_ids: number[] };
  return { inputTokens: row.input_length, outputTokens: row.output_length, blocks: row.hash_ids };
}

function table([head = '', ...lines]: string[]): TracedRequest[] {
  const columns = head.split(',').map((name) => name.trim().toLowerCase());
  const column = (...names: string[]): number => columns.findIndex((name) => names.includes(name));
  const input = column('contexttokens', 'request tokens');
  const output = column('generatedtokens', 'response tokens');
  if (input < 0 || output < 0) return [];
  return lines.map((line) => {
    const cells = line.split(',');
    return { inputTokens: Number(cells[input]), outputTokens: Number(cells[output]) };
  });
}
