import { readFileSync } from 'node:fs';
import { instantMs } from '@meritorder/kernel';

/** One request of a trace: when it came (ms from the first), how long it was, how long its answer. */
export interface TraceRequest {
  atMs: number;
  inputTokens: number;
  outputTokens: number;
  /** Ids of 512-token blocks of the prompt, where the trace has them: equal ids are equal text. */
  blocks?: number[];
}

/**
 * Reads a trace: Azure (`TIMESTAMP,ContextTokens,GeneratedTokens`), BurstGPT (`Timestamp,...,Request tokens,Response tokens`)
 * or Mooncake (JSON lines with `timestamp`, `input_length`, `output_length`, `hash_ids`).
 * @throws Error naming file and line of what cannot be read.
 */
export function readTrace(file: string): TraceRequest[] {
  const lines = readFileSync(file, 'utf8')
    .split(/\r?\n/)
    .filter((l) => l.trim() !== '');
  if (lines.length === 0) throw new Error(`${file} is empty`);
  const requests = lines[0]!.trimStart().startsWith('{')
    ? lines.map((l, i) => mooncake(file, i + 1, l))
    : csv(file, lines);
  requests.sort((a, b) => a.atMs - b.atMs);
  const first = requests[0]!.atMs;
  return requests.map((r) => ({ ...r, atMs: r.atMs - first }));
}

function mooncake(file: string, line: number, text: string): TraceRequest {
  const row = JSON.parse(text) as {
    timestamp: number;
    input_length: number;
    output_length: number;
    hash_ids?: number[];
  };
  return checked(file, line, {
    atMs: row.timestamp,
    inputTokens: row.input_length,
    outputTokens: row.output_length,
    ...(row.hash_ids ? { blocks: row.hash_ids } : {}),
  });
}

function csv(file: string, lines: string[]): TraceRequest[] {
  const columns = lines[0]!.split(',').map((c) => c.trim().toLowerCase());
  const column = (...names: string[]): number => columns.findIndex((c) => names.includes(c));
  const [time, input, output] = [
    column('timestamp'),
    column('contexttokens', 'request tokens'),
    column('generatedtokens', 'response tokens'),
  ];
  if (time < 0 || input < 0 || output < 0) {
    throw new Error(
      `${file}:1: the columns are neither Azure's (TIMESTAMP,ContextTokens,GeneratedTokens) nor BurstGPT's (Timestamp, Request tokens, Response tokens)`,
    );
  }
  return lines.slice(1).map((line, i) => {
    const cells = line.split(',');
    return checked(file, i + 2, {
      atMs: timeMs(cells[time]!),
      inputTokens: Number(cells[input]),
      outputTokens: Number(cells[output]),
    });
  });
}

/** Seconds, or an instant; NaN: neither. */
function timeMs(text: string): number {
  const seconds = Number(text);
  if (!Number.isNaN(seconds)) return seconds * 1_000;
  try {
    return instantMs(text.trim());
  } catch {
    return Number.NaN;
  }
}

function checked(file: string, line: number, request: TraceRequest): TraceRequest {
  const counts = [request.inputTokens, request.outputTokens];
  if (!Number.isFinite(request.atMs) || counts.some((n) => !Number.isInteger(n) || n < 0))
    throw new Error(`${file}:${line}: not a request of a trace`);
  return request;
}

const WORDS = [
  'alder',
  'birch',
  'cedar',
  'doum',
  'elm',
  'fir',
  'gum',
  'holly',
  'iroko',
  'jute',
  'kapok',
  'larch',
  'maple',
  'nut',
  'oak',
  'pine',
];
const TEMPLATE_TOKENS = 7;
const REQUEST_TOKENS = 3;
const BLOCK_TOKENS = 512;

/** A prompt of that many tokens by the simulator's rule (a word is a token), that asks for an answer of that length. */
export function promptFor(request: TraceRequest): string {
  const count = Math.max(0, request.inputTokens - TEMPLATE_TOKENS - REQUEST_TOKENS);
  const words: string[] = [];
  for (let i = 0; i < count; i++) {
    const block = request.blocks?.[Math.floor(i / BLOCK_TOKENS)] ?? 0;
    words.push(WORDS[(i * 7 + block * 31 + Math.floor(i / 16) * block) % WORDS.length]!);
  }
  words.push(`Write ${Math.max(1, request.outputTokens)} words.`);
  return words.join(' ');
}
