import { describe, expect, it } from 'vitest';
import { EXAMPLES, type BackendConfig, type PriceVersion } from '@meritorder/contracts';
import { emptyLearned, forecastRequest } from '@meritorder/estimate-core';
import { parseRequest } from './parse-request.js';
import { readRequest } from './read-request.js';
import { onlyStandardTier, upstreamBody } from './upstream-body.js';

const read = (kind: 'chat' | 'embeddings' | 'messages', value: unknown) => {
  const reading = readRequest(kind, value);
  if ('code' in reading) throw new Error(reading.message);
  return reading;
};
const refusal = (kind: 'chat' | 'embeddings' | 'messages', value: unknown) => {
  const reading = readRequest(kind, value);
  return 'code' in reading ? reading : undefined;
};

describe('a request by its kind', () => {
  it('chat is its own reading', () => {
    const reading = read('chat', EXAMPLES.request);
    expect(reading).toMatchObject({ body: EXAMPLES.request, metadata: EXAMPLES.request.metadata });
    expect(reading.source).toBeUndefined();
    expect(upstreamBody(reading, 20)).toEqual({ model: 'auto', messages: EXAMPLES.request.messages, max_tokens: 20 });
  });

  it('embeddings go upstream as they came, without what is meant for Meritorder', () => {
    const { request } = EXAMPLES.embeddings;
    const reading = read('embeddings', request);
    expect(reading).toMatchObject({
      body: { model: request.model, max_tokens: 0 },
      source: { kind: 'embeddings', embeddings: request },
      metadata: request.metadata,
    });
    const { metadata: _metadata, ...rest } = request;
    expect(upstreamBody(reading, 1)).toEqual(rest);
  });

  it('a part of messages that nothing bounds is named where the caller sent it', () => {
    const source = { type: 'base64', media_type: 'application/pdf', data: 'aGk=' };
    const { body, source: sent } = read('messages', {
      model: 'auto',
      max_tokens: 5,
      system: 'Be brief.',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't', content: 'x' },
            { type: 'document', source },
          ],
        },
      ],
    });
    const learned = emptyLearned({ tokenizerOf: () => undefined, sharesLearning: () => false });
    const request = { body, placeOf: sent!.placeOf, org: 'acme', route: 'r' };
    const backend = { id: 'b', kind: 'cloud', provider: 'p', model: 'm', maxOutputTokens: 5 } as BackendConfig;
    expect(forecastRequest(learned, request, 0).of(backend).inputUnbounded).toMatch(
      /^messages\.0\.content\.1 is a PDF document: /,
    );
  });

  it("messages go upstream as they came, clamped, with Anthropic's own metadata and all marks", () => {
    const { request } = EXAMPLES.messages;
    const reading = read('messages', request);
    expect(reading).toMatchObject({
      body: { messages: [{ role: 'system' }, { role: 'user' }], meritorder: { max_cost_usd: '0.01' } },
      source: { kind: 'messages', uncarried: undefined, unbounded: undefined },
      metadata: request.meritorder.metadata,
    });
    const { meritorder: _options, ...rest } = request;
    expect(upstreamBody(reading, 64)).toEqual({ ...rest, max_tokens: 64 });
  });

  it.each([
    ['chat', EXAMPLES.request, 'default'],
    ['messages', EXAMPLES.messages.request, 'standard_only'],
    ['embeddings', EXAMPLES.embeddings.request, undefined],
  ] as const)(
    'of kind %s names the standard tier where it alone may serve, unless it names one',
    (kind, request, name) => {
      const tierOf = (more: object, onlyStandard = true) =>
        upstreamBody(read(kind, { ...request, ...more }), 64, onlyStandard)['service_tier'];
      expect(tierOf({})).toBe(name);
      if (name === undefined) return;
      expect(tierOf({ service_tier: 'auto' })).toBe(name);
      if (kind === 'chat') expect(tierOf({ service_tier: 'priority' })).toBe('priority');
      expect(tierOf({}, false)).toBeUndefined();
    },
  );

  it('the standard tier alone may serve where the provider would choose, and no other has a price', () => {
    const { version } = EXAMPLES.events['price.version-published.v1'] as { version: PriceVersion };
    const { cash } = version;
    const priced = (...tiers: string[]) =>
      ({
        ...version,
        cash: { ...cash, serviceTiers: Object.fromEntries(tiers.map((t) => [t, cash])) },
      }) as PriceVersion;
    const of = (provider: string, price = version) => onlyStandardTier({ provider, batch: undefined }, price);
    expect([of('openai'), of('anthropic'), of('openai', priced('batch'))]).toEqual([true, true, true]);
    expect([of('azure'), of('groq'), of('openai', priced('priority')), of('openai', priced('flex'))]).not.toContain(
      true,
    );
  });

  it('what a chat completion cannot say of messages is named, with its path', () => {
    const { request } = EXAMPLES.messages;
    expect(read('messages', { ...request, top_k: 3, speed: 'fast' }).source).toMatchObject({
      uncarried: 'sampling by rank (top_k), a field that is not known (speed)',
      unbounded: 'speed',
    });
    const thinking = { type: 'enabled', budget_tokens: 1_024 };
    expect(read('messages', { ...request, thinking }).source).toMatchObject({ leastTokens: 1_025 });
    const later = { type: 'thinking_of_tomorrow', budget_tokens: 2_000 };
    expect(read('messages', { ...request, thinking: later }).source).toMatchObject({ leastTokens: 2_001 });
  });

  it("what Anthropic's SDK may send goes to its API as it came", () => {
    const { meritorder: _options, ...rest } = EXAMPLES.messages.request;
    const request = {
      ...rest,
      speed: 'standard',
      diagnostics: { previous_message_id: null },
      thinking: { type: 'between_tools' },
      messages: [...rest.messages, { role: 'system', content: 'Be brief.' }],
      tools: [
        { type: 'tool_search_tool_regex_20251119', name: 'tool_search_tool_regex' },
        { name: 'look', input_schema: { type: 'object' }, defer_loading: true },
      ],
    };
    const reading = read('messages', request);
    expect(reading.source).toMatchObject({ unbounded: undefined, leastTokens: undefined });
    expect(upstreamBody(reading, rest.max_tokens)).toEqual(request);
  });

  it('the body of one kind is refused as another, by the field that is wrong', () => {
    expect(refusal('embeddings', EXAMPLES.request)).toMatchObject({ code: 'body_invalid', param: 'input' });
    expect(refusal('messages', EXAMPLES.embeddings.request)).toMatchObject({
      code: 'body_invalid',
      param: 'max_tokens',
    });
  });

  it.each<['chat' | 'messages', unknown, string]>([
    ['messages', { type: 'text', text: 'x', cache_control: { type: 'ephemeral', ttl: '1d' } }, '0.cache_control.ttl'],
    ['messages', { type: 'tool_use', id: 'x', name: 'y', input: 'z' }, '0.input'],
    ['chat', { text: 'no type' }, '0.type'],
  ])('of %s, a broken part is named by its own path, not by the union around it', (kind, part, path) => {
    const body = { model: 'm', max_tokens: 1, messages: [{ role: 'user', content: [part] }] };
    expect(refusal(kind, body)).toMatchObject({ param: `messages.0.content.${path}` });
  });

  it('a kind that is none is refused by its header', () => {
    const message = { data: new TextEncoder().encode('{}'), header: (n: string) => (n === 'kind' ? 'images' : '') };
    expect(parseRequest(message, 'r', 100)).toMatchObject({ code: 'header_invalid' });
  });
});
