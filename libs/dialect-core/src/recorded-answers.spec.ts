import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { recordedAnswers, type RecordedAnswer } from '@meritorder/testing';
import { readUsage, usageReader } from '@meritorder/usage-core';
import { ResponsesRequest } from '@meritorder/contracts';
import { EventsOfChunks, EventsOfResponse, messageOfChat, responseOfChat } from './index.js';
import { readEvents, said } from './read-events.for-tests.js';
import { readResponse } from './responses/read-response.for-tests.js';

type Any = Record<string, any>;
const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');
const ASKED = { stopSequences: [] };
const NAMES = { id: 'unnamed', model: 'unnamed' };
const RESPONSE = ResponsesRequest.parse({ model: 'auto', input: 'hi' });

/** OpenAI's chat answers, whoever gave them. */
function chatAnswers(): RecordedAnswer[] {
  const { answers } = recordedAnswers(join(data!, 'responses'));
  const chats = answers.filter(({ events }) =>
    events.some(
      (e) => String((e as Any)?.['object']).startsWith('chat.completion') && (e as Any)['choices']?.length > 0,
    ),
  );
  // A file may hold a single chunk.
  return chats.map((a) => ({ ...a, stream: a.events.some((e) => (e as Any)?.['object'] === 'chat.completion.chunk') }));
}

/** What the recording says, read without the code under test: the first choice's text, and its calls' names and arguments. */
function recorded({ events, stream }: RecordedAnswer): { text: string; calls: { name: string; input: unknown }[] } {
  const text: string[] = [];
  const calls: { name: string; args: string }[] = [];
  for (const event of events as Any[]) {
    const choice = event?.['choices']?.find((c: Any) => (c['index'] ?? 0) === 0);
    const said = choice?.[stream ? 'delta' : 'message'];
    if (!said) continue;
    const { content } = said;
    if (typeof content === 'string') text.push(content);
    else for (const part of content ?? []) if (typeof part.text === 'string') text.push(part.text);
    if (typeof said.refusal === 'string') text.push(said.refusal);
    for (const [place, made] of (said.tool_calls ?? []).entries()) {
      const at = stream ? (made.index ?? place) : place;
      calls[at] ??= { name: '', args: '' };
      calls[at].name ||= made.function.name ?? '';
      calls[at].args += made.function.arguments ?? '';
    }
  }
  return { text: text.join(''), calls: calls.map(({ name, args }) => ({ name, input: JSON.parse(args || '{}') })) };
}

const callsOf = (message: Any) => message['calls'].map(({ name, input }: Any) => ({ name, input }));

describe.skipIf(!data)(`recorded chat answers${data ? '' : ' (MERITORDER_TEST_DATA is not set)'}`, () => {
  const answers = data ? chatAnswers() : [];

  it('are many, streamed and whole, with and without calls', () => {
    const withCalls = answers.filter((a) => recorded(a).calls.length > 0);
    expect(answers.filter((a) => a.stream).length).toBeGreaterThan(10);
    expect(answers.filter((a) => !a.stream).length).toBeGreaterThan(10);
    expect(withCalls.filter((a) => a.stream).length).toBeGreaterThan(3);
    expect(withCalls.filter((a) => !a.stream).length).toBeGreaterThan(3);
  });

  it.each(answers.map((a) => [a.name, a] as const))(
    '%s: the text, the calls and the usage are the same',
    (_name, answer) => {
      const expected = recorded(answer);
      const events = answer.events.filter((e): e is Any => typeof e === 'object' && e !== null);
      let message: Any;
      if (answer.stream) {
        const reader = usageReader('openai-chat');
        const translator = new EventsOfChunks(NAMES, ASKED);
        const told = events.flatMap((event) => {
          reader.feed(event);
          return translator.feed(event);
        });
        message = readEvents([...told, ...translator.end(reader.read().usage)]);
      } else message = messageOfChat(events[0]!, ASKED, readUsage('openai-chat', events[0]).usage);
      const read = said(message);
      expect(read.text).toBe(expected.text);
      expect(callsOf(read)).toEqual(expected.calls);
      const block = events.map((e) => e['usage'] ?? e['x_groq']?.usage).findLast((u) => u?.prompt_tokens !== undefined);
      const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens } = read.usage;
      if (block) expect(input_tokens + cache_creation_input_tokens + cache_read_input_tokens).toBe(block.prompt_tokens);
      expect(read.stop_reason).toBe(
        events.some((e) => e['choices']?.[0]?.finish_reason === 'length')
          ? 'max_tokens'
          : expected.calls.length > 0
            ? 'tool_use'
            : 'end_turn',
      );
    },
  );

  it.each(answers.map((a) => [a.name, a] as const))('%s: as a response, too', (_name, answer) => {
    const expected = recorded(answer);
    const events = answer.events.filter((e): e is Any => typeof e === 'object' && e !== null);
    const names = { ...NAMES, createdSeconds: 1 };
    const translator = new EventsOfResponse(names, RESPONSE);
    const { usage } = readUsage('openai-chat', answer.events);
    const response: Any = answer.stream
      ? readResponse([
          ...events.flatMap((event) => translator.feed(event)),
          ...translator.end(usage),
          translator.last(false),
        ])
      : responseOfChat(events[0]!, RESPONSE, names, usage);
    const parts = response['output'].flatMap((item: Any) => item['content'] ?? []);
    expect(parts.map((part: Any) => part['text'] ?? part['refusal']).join('')).toBe(expected.text);
    const calls = response['output'].filter((item: Any) => item['type'] === 'function_call');
    expect(calls.map((c: Any) => ({ name: c['name'], input: JSON.parse(c['arguments'] || '{}') }))).toEqual(
      expected.calls,
    );
    const isCut = events.some((e) => e['choices']?.[0]?.finish_reason === 'length');
    expect(response['status']).toBe(isCut ? 'incomplete' : 'completed');
  });
});
