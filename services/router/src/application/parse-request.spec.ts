import { expect, it } from 'vitest';
import { countRequestOf, parseRequest } from './parse-request.js';

function parse(idempotencyKey: string, body: object, kind = 'chat') {
  const headers: Record<string, string> = { idempotencyKey, kind };
  const data = Buffer.from(JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'x' }], ...body }));
  return parseRequest({ data, header: (name) => headers[name] ?? '' }, 'r-1', 10_000);
}

it.each([
  ['chat', {}],
  ['messages', { max_tokens: 5 }],
  ['embeddings', { input: 'x' }],
])('an idempotency key in the header is that of the body, of kind %s too, and no wish is lost', (kind, body) => {
  expect(parse('k', { ...body, meritorder: { max_cost_usd: '1' } }, kind)).toMatchObject({
    body: { meritorder: { max_cost_usd: '1', idempotency_key: 'k' } },
  });
  expect(parse('k', { ...body, meritorder: { idempotency_key: 'k' } }, kind)).toMatchObject({
    body: { meritorder: { idempotency_key: 'k' } },
  });
});

it('two different keys, or one that is too long, are refused', () => {
  expect(parse('k', { meritorder: { idempotency_key: 'other' } })).toMatchObject({ code: 'header_invalid' });
  expect(parse('k'.repeat(256), {})).toMatchObject({ code: 'header_invalid' });
});

it('without one nothing is added', () => {
  expect(parse('', {})).not.toHaveProperty('body.meritorder');
});

const MANY = Array.from({ length: 32 }, (_, i) => `a-${i}`);

it.each([
  ['those of the body', 'b-1', ['a-1'], ['a-1', 'b-1']],
  ['those of the body, as far as there is room', 'b-1', MANY, MANY],
  ['each once, and no more than names', ' a-1, b-1,a-1,, Not A Name', undefined, ['a-1', 'b-1']],
  ['nothing', '', undefined, undefined],
])('betas of Anthropic in the header join %s', (_, anthropicBeta, betas, expected) => {
  const body = { model: 'auto', max_tokens: 5, messages: [{ role: 'user', content: 'x' }], betas };
  const headers: Record<string, string> = { anthropicBeta, kind: 'messages' };
  const message = { data: Buffer.from(JSON.stringify(body)), header: (name: string) => headers[name] ?? '' };
  expect((parseRequest(message, 'r-1', 10_000) as { source: { sent: unknown } }).source.sent).toMatchObject(
    expected === undefined ? { model: 'auto' } : { betas: expected },
  );
});

it('what is counted needs no max_tokens, keeps one that it has, and is not read where it cannot be', () => {
  const text = (data: string) => Buffer.from(countRequestOf(Buffer.from(data))).toString();
  expect(JSON.parse(text('{"model":"m"}'))).toEqual({ model: 'm', max_tokens: 1 });
  const deep = `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
  for (const same of ['{"max_tokens":7}', '7', 'null', '{', deep]) expect(text(same)).toBe(same);
});
