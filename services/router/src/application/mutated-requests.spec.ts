import { expect, it } from 'vitest';
import { EXAMPLES, type BackendConfig, type Kind } from '@meritorder/contracts';
import { chatOfMessages, chatOfResponses } from '@meritorder/dialect-core';
import { emptyLearned, forecastRequest } from '@meritorder/estimate-core';
import { seededRandom } from '@meritorder/kernel';
import { requirementsOf } from '@meritorder/routing-core';
import { promptPrefix } from './draws.js';
import { readRequest } from './read-request.js';
import { uncarriedBy } from './uncarried-by.js';
import { upstreamBody } from './upstream-body.js';

type Any = any;
const MUTATIONS = 10_000;
const IMAGE = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } };
/** Requests with something of everything. */
const VALID: Record<Kind, Any> = {
  chat: {
    ...EXAMPLES.request,
    messages: [
      { role: 'system', content: 's' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'x' },
          { type: 'image_url', image_url: { url: 'u' } },
        ],
      },
      { role: 'assistant', content: null, tool_calls: [{ id: 'a', function: { name: 'f', arguments: '{}' } }] },
    ],
    tools: [{ type: 'function', function: { name: 'f', parameters: {} } }],
    response_format: { type: 'json_object' },
    n: 2,
  },
  embeddings: { ...EXAMPLES.embeddings.request, dimensions: 8, user: 'u' },
  messages: {
    ...EXAMPLES.messages.request,
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }, IMAGE] },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 's' },
          { type: 'tool_use', id: 'a', name: 'f', input: { b: [1] } },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [IMAGE], is_error: true }] },
    ],
    tools: [
      { name: 'f', input_schema: { type: 'object' } },
      { type: 'web_search_20250305', name: 'web_search' },
    ],
    tool_choice: { type: 'tool', name: 'f' },
    thinking: { type: 'enabled', budget_tokens: 100 },
    output_config: { format: { type: 'json_schema', schema: {} } },
    stop_sequences: ['END'],
  },
  responses: {
    ...EXAMPLES.responses.request,
    instructions: 's',
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'x' },
          { type: 'input_image', image_url: 'u', detail: 'low' },
        ],
      },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'y', annotations: [] }] },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: [{ type: 'input_text', text: 'z' }] },
      { type: 'item_reference', id: 'msg_1' },
    ],
    tools: [{ type: 'function', name: 'f', parameters: {} }, { type: 'web_search' }],
    tool_choice: { type: 'function', name: 'f' },
    text: { format: { type: 'json_schema', name: 's', schema: {} }, verbosity: 'low' },
    reasoning: { effort: 'low', summary: null },
    include: ['message.output_text.logprobs'],
  },
};
const INHERITED = Object.getOwnPropertyNames(Object.prototype);
const JUNK: readonly unknown[] = [
  null,
  0,
  -1,
  1e99,
  0.5,
  '',
  'x',
  '\ud800',
  true,
  [],
  {},
  [[]],
  [null],
  { type: 'image' },
  { type: 'tool_result' },
  { type: 1 },
  'ephemeral',
  'tool',
  ...INHERITED,
  undefined,
];

/** One to three places of a value replaced, removed, or doubled. */
/** Also by a name that every object has from its prototype. */
function name(at: Any, field: string, value: unknown): void {
  Object.defineProperty(at, field, { value, enumerable: true, configurable: true, writable: true });
}

function mutated(value: unknown, random: () => number): unknown {
  const copy = structuredClone(value) as Any;
  const pick = (n: number): number => Math.floor(random() * n);
  for (let left = 1 + pick(3); left > 0; left--) {
    let at = copy;
    for (;;) {
      const keys = Object.keys(at);
      if (keys.length === 0) break;
      const key = keys[pick(keys.length)]!;
      const next = at[key];
      if (typeof next === 'object' && next !== null && Object.keys(next).length > 0 && pick(4) > 0) {
        at = next;
        continue;
      }
      const how = pick(4);
      if (how === 0) delete at[key];
      else if (how === 1 && Array.isArray(at)) at.push(structuredClone(next));
      else if (how === 2) name(at, pick(2) > 0 ? `${key}x` : INHERITED[pick(INHERITED.length)]!, next);
      else at[key] = structuredClone(JUNK[pick(JUNK.length)]);
      break;
    }
  }
  return copy;
}

const backend = {
  id: 'b',
  kind: 'cloud',
  provider: 'p',
  model: 'm',
  templateTokensPerMessage: 4,
  maxOutputTokens: 50,
  maxTokensPerImage: 9,
  maxTokensPerFile: 9,
  maxTokensPerAudio: 9,
} as BackendConfig;

it.each(['chat', 'embeddings', 'messages', 'responses'] as const)(
  'ten thousand mutations of a valid request of kind %s: each is read to its end or refused by a field, none breaks anything',
  (kind) => {
    const random = seededRandom(23);
    const learned = emptyLearned({ tokenizerOf: () => undefined, sharesLearning: () => false });
    const seen = { read: 0, refused: 0 };
    for (let i = 0; i < MUTATIONS; i++) {
      const value = mutated(VALID[kind], random);
      const reading = readRequest(kind, value);
      if ('code' in reading) {
        expect(reading).toMatchObject({ code: 'body_invalid', message: expect.stringMatching(/^\S.*: \S/) });
        seen.refused++;
        continue;
      }
      const { body, source } = reading;
      const { embeddings, placeOf } = source ?? {};
      requirementsOf(body, source);
      for (const protocol of ['gemini', 'bedrock', 'anthropic']) uncarriedBy(body)(protocol);
      const forecast = forecastRequest(learned, { body, embeddings, placeOf, org: 'acme', route: 'r' }, 0).of(backend);
      expect(forecast.inputTokensExpected).toBeGreaterThanOrEqual(1);
      expect(forecast.inputTokensUpper).toBeLessThanOrEqual(forecast.inputTokensBound ?? Number.POSITIVE_INFINITY);
      promptPrefix('acme', body);
      if (kind === 'messages') chatOfMessages(source!.sent as Any, 'wire');
      if (kind === 'responses') chatOfResponses(source!.sent as Any);
      JSON.stringify(upstreamBody(reading, 5));
      seen.read++;
    }
    expect(Math.min(seen.read, seen.refused)).toBeGreaterThan(MUTATIONS / 20);
  },
);
