import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Kind, Usage } from '@meritorder/contracts';
import { recordedAnswers } from '@meritorder/testing';
import { totalTokensOf } from '@meritorder/usage-core';

type Json = Record<string, any>;

export interface RecordedStream {
  name: string;
  bytes: Buffer;
  /** The data of each event, and after how many bytes the event is over, and its data is. */
  events: { data: string; end: number; dataEnd: number }[];
}

/** A wire whose recorded streams are played; add one here and its streams are cut like all others. */
export interface PlayedWire {
  name: string;
  /** A backend's configuration, but for its URL. */
  backend: string;
  kind: Kind;
  streams(data: string): RecordedStream[];
  /** Whether this event ends the stream. */
  ends(data: string): boolean;
  /** What the caller is to see of the events that came, before the terminal message. */
  seen(data: string[]): string[];
  /** What the events that came say of the whole call: its tokens; undefined where they do not say the last word. */
  lastWord(data: string[]): { outputTokens: number; totalTokens: number } | undefined;
}

/** Byte for byte as it was recorded. */
export function asRecorded(name: string, sse: string): RecordedStream {
  const bytes = Buffer.from(sse);
  const events: RecordedStream['events'] = [];
  let from = 0;
  // The last event may go without an empty line behind it.
  for (const match of sse.matchAll(/\r?\n\r?\n|\s*$/g)) {
    const data = sse
      .slice(from, match.index)
      .split(/\r?\n/)
      .filter((line) => line.startsWith('data:'))
      .map((line) => line.slice(5).replace(/^ /, ''))
      .join('\n');
    from = match.index + match[0].length;
    const dataEnd = Buffer.byteLength(sse.slice(0, match.index));
    if (data !== '') events.push({ data, end: Buffer.byteLength(sse.slice(0, from)), dataEnd });
  }
  return { name, bytes, events };
}

/** Of recordings that kept the data of events alone: in the framing of their provider. */
function framed(folder: string, file: string, frame: (data: string) => string, last = ''): RecordedStream[] {
  const { answers } = recordedAnswers(join(folder, file.slice(0, file.lastIndexOf('/'))));
  const wanted = answers.filter((answer) => answer.file === file.slice(file.lastIndexOf('/') + 1) && answer.stream);
  if (wanted.length === 0) throw new Error(`no stream in ${file}`);
  return wanted.map(({ texts }) => asRecorded(file.split('/').at(-1)!, texts.map(frame).join('') + last));
}

function rawRows(data: string, file: string, path: string): RecordedStream[] {
  return readFileSync(join(data, 'responses/recorded', file), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Json)
    .filter((row) => row['path'] === path && typeof row['sse'] === 'string')
    .map((row, i) => asRecorded(`${file} ${i}`, row['sse'] as string));
}

const openAiFrame = (data: string): string => `data: ${data}\n\n`;
const DONE = 'data: [DONE]\n\n';
const vercel = (data: string): string => join(data, 'responses/vercel-ai');

function openAi(name: string, backend: string, streams: PlayedWire['streams']): PlayedWire {
  return {
    name,
    backend,
    kind: 'chat',
    streams,
    ends: (data) => data === '[DONE]',
    // Roles alone say nothing.
    seen: (data) => (data.some((text) => (JSON.parse(text) as Json)['choices'].some(saysSomething)) ? data : []),
    lastWord: (data) => {
      const events = data.map((text) => JSON.parse(text) as Json);
      const open = new Set<number>();
      let block: Json | undefined;
      let isLast = false;
      for (const { choices, usage, x_groq } of events) {
        for (const { index, finish_reason } of choices)
          if (finish_reason) open.delete(index);
          else open.add(index);
        const said = usage ?? x_groq?.usage;
        if (said) [block, isLast] = [said, choices.length === 0];
      }
      return block && (isLast || open.size === 0)
        ? { outputTokens: block['completion_tokens'], totalTokens: block['total_tokens'] }
        : undefined;
    },
  };
}

function saysSomething({ delta, finish_reason }: Json): boolean {
  const said = Object.entries((delta ?? {}) as Json).filter(([name]) => name !== 'role');
  return Boolean(finish_reason) || said.some(([, value]) => value !== null && value.length !== 0);
}

const ANTHROPIC: PlayedWire = {
  name: 'Anthropic',
  backend: 'provider: anthropic, protocol: anthropic, kinds: [messages]',
  kind: 'messages',
  streams: (data) => [
    ...rawRows(data, 'anthropic.jsonl', '/v1/messages').filter(({ bytes }) => bytes.length < 40_000),
    ...[
      'anthropic-text',
      'anthropic-code-execution-20260120-prompt-cache.1',
      'anthropic-message-delta-input-tokens',
      'anthropic-refusal',
    ].flatMap((file) =>
      framed(vercel(data), `anthropic/src/__fixtures__/${file}.chunks.txt`, (text) => {
        const { type } = JSON.parse(text) as Json;
        return `event: ${type}\ndata: ${text}\n\n`;
      }),
    ),
  ],
  ends: (data) => (JSON.parse(data) as Json)['type'] === 'message_stop',
  seen: (data) => {
    const said = data.filter((text) => (JSON.parse(text) as Json)['type'] !== 'ping');
    // The head alone says nothing.
    return said.length > 1 ? said : [];
  },
  lastWord: (data) => {
    const events = data.map((text) => JSON.parse(text) as Json);
    const delta = events.findLast((event) => event['type'] === 'message_delta');
    if (!delta) return undefined;
    // Cumulative: what a later event says stands, what it leaves out stays.
    const usage: Json = { ...events[0]!['message'].usage, ...delta['usage'] };
    // Compactions are billed beside the message's own counts.
    const beside = (usage['iterations'] ?? []).filter((one: Json) => one['type'] === 'compaction') as Json[];
    const sum = (field: string): number =>
      [usage, ...beside].reduce((tokens, block) => tokens + ((block[field] as number) ?? 0), 0);
    return {
      outputTokens: sum('output_tokens'),
      totalTokens:
        sum('output_tokens') +
        sum('input_tokens') +
        sum('cache_read_input_tokens') +
        sum('cache_creation_input_tokens'),
    };
  },
};

export const PLAYED_WIRES: PlayedWire[] = [
  openAi('OpenAI', 'provider: openai', (data) => [...rawRows(data, 'openai.jsonl', '/v1/chat/completions')]),
  openAi('Azure', 'provider: azure, protocol: azure', (data) =>
    framed(vercel(data), 'openai/src/chat/__fixtures__/azure-model-router.1.chunks.txt', openAiFrame, DONE),
  ),
  openAi('Mistral', 'provider: mistral', (data) =>
    ['mistral-text', 'mistral-incremental-tool-call', 'mistral-reasoning'].flatMap((file) =>
      framed(vercel(data), `mistral/src/__fixtures__/${file}.chunks.txt`, openAiFrame, DONE),
    ),
  ),
  openAi('DeepSeek', 'provider: deepseek', (data) =>
    framed(vercel(data), 'deepseek/src/chat/__fixtures__/deepseek-tool-call.chunks.txt', openAiFrame, DONE),
  ),
  openAi('Groq', 'provider: groq', (data) =>
    framed(vercel(data), 'groq/src/__fixtures__/groq-tool-call.chunks.txt', openAiFrame, DONE),
  ),
  openAi('Moonshot, as any other endpoint', 'provider: moonshotai', (data) =>
    framed(vercel(data), 'moonshotai/src/__fixtures__/moonshotai-stream.chunks.txt', openAiFrame, DONE),
  ),
  openAi('vLLM without usage', 'provider: vllm', (data) => [
    asRecorded('vllm', readFileSync(join(data, 'responses/recorded/vllm-stream-no-usage.sse'), 'utf8')),
  ]),
  ANTHROPIC,
];

/** What a caller and an invoice are told of a usage. */
export function tokensOf(usage: Usage): { outputTokens: number; totalTokens: number } {
  return { outputTokens: usage.outputTokens, totalTokens: totalTokensOf(usage) };
}
