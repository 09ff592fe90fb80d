import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** One answer of a backend as it was recorded: a body, or the events of a stream. */
export interface RecordedAnswer {
  /** File inside the folder, and the row or part of it. */
  name: string;
  file: string;
  stream: boolean;
  /** The text of the body, or of each event. */
  texts: string[];
  /** The same as JSON; undefined where a text is none. */
  events: unknown[];
  host: string | undefined;
  path: string | undefined;
  requestedModel: string | undefined;
  status: number;
}

export interface Recordings {
  answers: RecordedAnswer[];
  files: number;
  /** Files of another kind than answers are recorded in. */
  otherFiles: string[];
}

/**
 * Every recorded answer below a folder:
 * - `*.jsonl`: a row each, with the body in `response` or the stream in `sse` (and `host`, `path`, `request_model`, `status`),
 *   or the row is itself a body;
 * - `*.json`: a body, a list of events, or a reply with its `body`;
 * - `*.sse`, `*.txt`: a stream, as server-sent events or one JSON a line.
 * A recording of several streams one after the other is several answers.
 */
export function recordedAnswers(folder: string): Recordings {
  const answers: RecordedAnswer[] = [];
  const otherFiles: string[] = [];
  let files = 0;
  for (const path of filesBelow(folder)) {
    const file = relative(folder, path);
    const kind = /\.(jsonl|json|sse|txt)$/.exec(file)?.[1];
    if (!kind) {
      otherFiles.push(file);
      continue;
    }
    files++;
    const text = readFileSync(path, 'utf8');
    if (kind === 'jsonl') answers.push(...rowsOf(file, text));
    else if (kind === 'json') answers.push(...bodyOf(file, text));
    else answers.push(...streamsOf({ file, name: file }, eventTexts(text)));
  }
  return { answers, files, otherFiles };
}

function* filesBelow(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

interface Origin {
  file: string;
  name: string;
  host?: string | undefined;
  path?: string | undefined;
  requestedModel?: string | undefined;
  status?: number | undefined;
}

function rowsOf(file: string, text: string): RecordedAnswer[] {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .flatMap((line, index) => {
      const row = JSON.parse(line) as Record<string, unknown>;
      const origin: Origin = {
        file,
        name: `${file}:${index + 1}`,
        host: asText(row['host']),
        path: asText(row['path']),
        requestedModel: asText(row['request_model']),
        status: typeof row['status'] === 'number' ? row['status'] : undefined,
      };
      if (typeof row['sse'] === 'string') return streamsOf(origin, eventTexts(row['sse']));
      return [answerOf(origin, false, [JSON.stringify('response' in row ? row['response'] : row)])];
    });
}

function bodyOf(file: string, text: string): RecordedAnswer[] {
  const origin = { file, name: file };
  const value = parsed(text);
  if (Array.isArray(value))
    return streamsOf(
      origin,
      value.map((event) => JSON.stringify(event)),
    );
  const reply = value as { body?: unknown; headers?: unknown; status?: unknown } | undefined;
  if (reply?.headers !== undefined && reply.body !== undefined)
    return [answerOf({ ...origin, status: Number(reply.status) }, false, [JSON.stringify(reply.body)])];
  return [answerOf(origin, false, [text])];
}

function eventTexts(text: string): string[] {
  if (text.trimStart().startsWith('[')) return (JSON.parse(text) as unknown[]).map((event) => JSON.stringify(event));
  const lines = text.split(/\r?\n/);
  if (!lines.some((line) => line.startsWith('data:'))) return lines.filter((line) => line.trim() !== '');
  const events: string[] = [];
  let data: string[] = [];
  for (const line of [...lines, '']) {
    if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
    else if (line === '' && data.length > 0) {
      events.push(data.join('\n'));
      data = [];
    }
  }
  return events.filter((event) => event !== '[DONE]');
}

/** Events that end a stream, so that what follows is another answer. */
const LAST_EVENTS: ReadonlySet<unknown> = new Set([
  'message_stop',
  'response.completed',
  'response.incomplete',
  'response.failed',
]);

function streamsOf(origin: Origin, texts: string[]): RecordedAnswer[] {
  const parts: string[][] = [[]];
  for (const text of texts) {
    parts.at(-1)!.push(text);
    const type = (parsed(text) as { type?: unknown } | null | undefined)?.type;
    if (LAST_EVENTS.has(type)) parts.push([]);
  }
  if (parts.length > 1 && parts.at(-1)!.length === 0) parts.pop();
  return parts.map((part, index) =>
    answerOf(parts.length > 1 ? { ...origin, name: `${origin.name}#${index + 1}` } : origin, true, part),
  );
}

function answerOf(origin: Origin, stream: boolean, texts: string[]): RecordedAnswer {
  return {
    name: origin.name,
    file: origin.file,
    stream,
    texts,
    events: texts.map(parsed),
    host: origin.host,
    path: origin.path,
    requestedModel: origin.requestedModel,
    status: origin.status ?? 200,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
