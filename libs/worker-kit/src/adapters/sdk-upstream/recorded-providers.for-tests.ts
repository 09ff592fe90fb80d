import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventStreamCodec } from '@smithy/eventstream-codec';
import type { SdkProtocol } from '@meritorder/dialect-core';
import type { RecordedAnswer } from '@meritorder/testing';
import { dialectOf } from '@meritorder/usage-core';

type Any = Record<string, any>;

export const PROTOCOLS: SdkProtocol[] = ['gemini', 'bedrock', 'anthropic'];

export interface PhysicalCall {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: Any;
  /** Resolves when the connection of the answer is closed. */
  closed: Promise<void>;
}

/** A provider that says what it is told to, and counts how often it is asked. */
export async function startProvider(answer: (response: ServerResponse, call: PhysicalCall) => void): Promise<{
  url: string;
  calls: PhysicalCall[];
  stop(): Promise<void>;
}> {
  const calls: PhysicalCall[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const call: PhysicalCall = {
      method: request.method!,
      url: request.url!,
      headers: request.headers,
      body: JSON.parse(Buffer.concat(parts).toString('utf8') || '{}'),
      closed: new Promise((resolve) => response.on('close', resolve)),
    };
    calls.push(call);
    answer(response, call);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const utf8 = new TextEncoder();
const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString('utf8'),
  (text) => utf8.encode(text),
);

/** Each event of a stream as the provider frames it. */
export function framesOf(protocol: SdkProtocol, texts: readonly string[]): Uint8Array[] {
  return texts.map((text) => {
    if (protocol === 'gemini') return utf8.encode(`data: ${text}\r\n\r\n`);
    const event = JSON.parse(text) as Any;
    if (protocol === 'anthropic') return utf8.encode(`event: ${event['type']}\ndata: ${text}\n\n`);
    const [name, payload] = Object.entries(event)[0]!;
    const isException = name.endsWith('Exception');
    const header = (value: string) => ({ type: 'string' as const, value });
    return codec.encode({
      headers: {
        [isException ? ':exception-type' : ':event-type']: header(name),
        ':content-type': header('application/json'),
        ':message-type': header(isException ? 'exception' : 'event'),
      },
      body: utf8.encode(JSON.stringify(payload)),
    });
  });
}

const DIALECTS: Readonly<Record<string, SdkProtocol>> = {
  'google-gemini': 'gemini',
  'bedrock-converse': 'bedrock',
  'anthropic-messages': 'anthropic',
};

/** Undefined: an answer of another protocol, or of another call than for a conversation. */
export function protocolOf({ events, file, status, stream }: RecordedAnswer): SdkProtocol | undefined {
  const objects = events.filter((event): event is Any => typeof event === 'object' && event !== null);
  const isError = objects.some((event) => event['type'] === 'error' || event['error'] !== undefined);
  const isEmbedding = objects.some((event) => 'embedding' in event || 'embeddings' in event);
  if (status !== 200 || objects.length === 0 || isError || isEmbedding || /interactions|batch/.test(file))
    return undefined;
  if (!stream && objects.length !== 1) return undefined;
  return DIALECTS[dialectOf({ sample: events }) ?? ''];
}

export interface Said {
  text: string;
  calls: { name: string; input: unknown }[];
  /** What a chat completion has no words for, or does not ask for: tools that the provider ran, files, compactions. */
  isForeign: boolean;
}

/** What an answer says, read without the code under test. */
export function saidBy(protocol: SdkProtocol, events: readonly unknown[]): Said {
  const blocks: { text?: string; name?: string; args?: string; input?: unknown }[] = [];
  const foreign: unknown[] = [];
  for (const event of events as Any[]) {
    if (protocol === 'gemini') geminiBlocks(event, blocks, foreign);
    else if (protocol === 'bedrock') bedrockBlocks(event, blocks);
    else anthropicBlocks(event, blocks, foreign);
  }
  // Two answers in one stream: somebody's proxy was at fault.
  const ids = (events as Any[]).filter((e) => e['type'] === 'message_start').map((e) => e['message'].id);
  if (new Set(ids).size > 1) foreign.push(ids);
  const all = blocks.filter((block) => block !== undefined);
  return {
    text: all.map(({ text }) => text ?? '').join(''),
    calls: all
      .filter(({ name }) => name !== undefined)
      .map(({ name, args, input }) => ({ name: name!, input: args ? JSON.parse(args) : (input ?? {}) })),
    isForeign: foreign.length > 0,
  };
}

function geminiBlocks(event: Any, blocks: Any[], foreign: unknown[]): void {
  for (const part of event['candidates']?.[0]?.content?.parts ?? []) {
    if (part.executableCode || part.codeExecutionResult || part.inlineData || part.toolCall) foreign.push(part);
    // Arguments in pieces are Vertex' own; its SDK puts them together.
    else if (part.functionCall?.partialArgs || part.functionCall?.willContinue !== undefined) foreign.push(part);
    else if (part.functionCall?.name) blocks.push({ name: part.functionCall.name, input: part.functionCall.args });
    else if (typeof part.text === 'string' && part.thought !== true) blocks.push({ text: part.text });
  }
}

function bedrockBlocks(event: Any, blocks: Any[]): void {
  for (const block of event['output']?.message.content ?? []) {
    if (block.toolUse) blocks.push({ name: block.toolUse.name, input: block.toolUse.input });
    else if (typeof block.text === 'string') blocks.push({ text: block.text });
  }
  const tool = event['contentBlockStart']?.start?.toolUse;
  if (tool) blocks[event['contentBlockStart'].contentBlockIndex] = { name: tool.name, args: '' };
  const delta = event['contentBlockDelta']?.delta;
  if (!delta) return;
  const block = (blocks[event['contentBlockDelta'].contentBlockIndex] ??= { text: '' });
  if (typeof delta.text === 'string') block.text += delta.text;
  if (typeof delta.toolUse?.input === 'string') block.args += delta.toolUse.input;
}

const OF_A_CHAT = /^(text|tool_use|thinking|redacted_thinking)$/;

function anthropicBlocks(event: Any, blocks: Any[], foreign: unknown[]): void {
  const place = (block: Any, index: number): void => {
    if (!OF_A_CHAT.test(block['type'])) foreign.push(block);
    if (block['type'] === 'tool_use')
      blocks[index] = {
        name: block['name'],
        args: '',
        ...(hasFields(block['input']) ? { input: block['input'] } : {}),
      };
    else if (block['type'] === 'text') blocks[index] = { text: block['text'] };
  };
  if (event['type'] === 'message') event['content'].forEach(place);
  if (event['type'] === 'message_start') (event['message'].content ?? []).forEach(place);
  if (event['type'] === 'content_block_start') place(event['content_block'], event['index']);
  const block = blocks[event['index']];
  if (event['type'] !== 'content_block_delta' || !block) return;
  if (event['delta'].type === 'text_delta') block.text += event['delta'].text;
  if (event['delta'].type === 'input_json_delta') block.args += event['delta'].partial_json;
}

function hasFields(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}
