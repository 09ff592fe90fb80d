import { expect, it, vi } from 'vitest';
import type { IncomingCall } from './answer-call.js';
import { withConversation, type ReadCall } from './kept-conversation.js';
import type { KeptResponse, ResponseStore } from './ports/responses.js';

type Any = Record<string, any>;
const SAID = { id: 'msg_1', type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'fine' }] };
const RESPONSE = { id: 'resp_1', output: [SAID], store: false };

/** A store of one turn, or one that is away. */
function world(isAway = false) {
  const kept: KeptResponse[] = [];
  const errors: string[] = [];
  const asked = <T>(value: T): Promise<T> => (isAway ? Promise.reject(new Error('away')) : Promise.resolve(value));
  const responses: ResponseStore = {
    keep: async (one) => void kept.push(await asked(one)),
    turnsUpTo: (_org, id) =>
      asked(
        id === 'resp_1'
          ? [{ input: '[{"role":"user","content":"one"}]', response: JSON.stringify(RESPONSE) }]
          : undefined,
      ),
    itemsById: (_org, ids) =>
      asked(new Map(ids.filter((id) => id === 'msg_1').map((id) => [id, JSON.stringify(SAID)]))),
    responseById: () => asked(undefined),
    forget: () => asked(false),
  };
  const ports = { responses, mostBytes: 1_000, onError: (error: Error) => void errors.push(error.message) };
  const read = (body: unknown, more: Partial<typeof ports> | { responses: undefined } = {}) =>
    withConversation(
      { ...ports, ...more } as never,
      {
        org: 'acme',
        requestId: 'r',
        body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
      } as IncomingCall,
    );
  return { read, kept, errors };
}
const bodyOf = (call: unknown): Any => JSON.parse((call as ReadCall).body.toString());

it('puts in place of an id what it stands for, and keeps only what was new', async () => {
  const { read, kept } = world();
  const call = (await read({ model: 'm', previous_response_id: 'resp_1', input: 'two' })) as ReadCall;
  expect(bodyOf(call)).toEqual({
    model: 'm',
    input: [{ role: 'user', content: 'one' }, SAID, { role: 'user', content: 'two' }],
  });
  const told = await call.keep!({ id: 'resp_2', output: [{ ...SAID, id: 'msg_2' }], store: false });
  expect(told).toMatchObject({ store: true, previous_response_id: 'resp_1' });
  expect(kept).toMatchObject([
    {
      org: 'acme',
      id: 'resp_2',
      previous: 'resp_1',
      input: '[{"role":"user","content":"two"}]',
      items: [{ id: 'msg_2' }],
    },
  ]);
  expect(JSON.parse(kept[0]!.response)).toEqual(told);
  const referring = await read({ model: 'm', input: [{ type: 'item_reference', id: 'msg_1' }] });
  expect(bodyOf(referring)['input']).toEqual([SAID]);
});

it.each<[string, unknown]>([
  ['what refers to nothing', { model: 'm', input: 'one' }],
  ['what is not JSON', '{"model"'],
  ['what is no object', '[1]'],
  ['an input that is neither text nor items', { model: 'm', input: 7 }],
  ['items that are none', { model: 'm', input: ['x'], previous_response_id: 'resp_1' }],
  ['an id that is no text', { model: 'm', input: 'x', previous_response_id: 7 }],
])('passes on as it came %s', async (_what, body) => {
  const call = (await world().read(body)) as ReadCall;
  expect(call.body.toString()).toBe(typeof body === 'string' ? body : JSON.stringify(body));
});

it('keeps nothing where that was asked, or where nothing is kept at all', async () => {
  expect(await world().read({ model: 'm', input: 'one', store: false })).toMatchObject({ keep: undefined });
  const body = { model: 'm', input: 'one', previous_response_id: 'resp_1' };
  const call = await world().read(body, { responses: undefined });
  expect(call).toMatchObject({ keep: undefined });
  expect(bodyOf(call)).toEqual(body);
});

it.each<[string, Any, string]>([
  ['a response', { previous_response_id: 'resp_2' }, 'previous_response_id'],
  ['a response that no database can name', { previous_response_id: 'a\u0000' }, 'previous_response_id'],
  [
    'an item',
    {
      input: [
        { role: 'user', content: 'x' },
        { type: 'item_reference', id: 'msg_9' },
      ],
    },
    'input.1',
  ],
])('refuses %s that is not kept, by its place', async (_what, more, param) => {
  expect(await world().read({ model: 'm', input: 'x', ...more })).toMatchObject({ code: 'body_invalid', param });
});

it('refuses what becomes too large by what it refers to', async () => {
  const body = { model: 'm', previous_response_id: 'resp_1', input: 'x'.repeat(900) };
  expect(await world().read(body)).toMatchObject({ code: 'body_too_large' });
});

it('does not run what refers to something while that cannot be read; an answer that cannot be kept is told, and says so', async () => {
  const { read, errors } = world(true);
  expect(await read({ model: 'm', input: 'x', previous_response_id: 'resp_1' })).toMatchObject({
    code: 'responses_unavailable',
  });
  const call = (await read({ model: 'm', input: 'x' })) as ReadCall;
  expect(await call.keep!(RESPONSE)).toEqual(RESPONSE);
  expect(errors).toEqual(['away', 'away']);
});

it('passes on as it came what is nested too deep to be written again: the router says so', async () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const body = `{"model":"m","input":"x","previous_response_id":"resp_1","deep":${deep}}`;
  const call = (await world().read(body, { mostBytes: 1_000_000 })) as ReadCall;
  expect(call.body.toString()).toBe(body);
});

it('the end of an answer waits two seconds for a store that says nothing, and then says that it is not kept', async () => {
  vi.useFakeTimers();
  try {
    const { read, errors } = world();
    const silent = { keep: () => new Promise<void>(() => {}) } as unknown as ResponseStore;
    const call = (await read({ model: 'm', input: 'x' }, { responses: silent })) as ReadCall;
    const told = call.keep!(RESPONSE);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await told).toEqual(RESPONSE);
    expect(errors).toEqual(['a response was not kept within 2000 ms']);
  } finally {
    vi.useRealTimers();
  }
});
