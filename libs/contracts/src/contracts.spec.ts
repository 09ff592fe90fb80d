import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  ChatRequest,
  ConfigError,
  EmbeddingsRequest,
  ERRORS,
  EstimateReply,
  EstimateRequest,
  EVENTS,
  EXAMPLES,
  isOrgReply,
  MessagesRequest,
  parseConfig,
  Receipt,
  subjects,
  type EventType,
} from './index.js';

describe('contracts', () => {
  it.each(Object.keys(EVENTS) as EventType[])('the example of %s matches its schema exactly', (type) => {
    const schema = EVENTS[type] as unknown as z.ZodType;
    expect(schema.parse(EXAMPLES.events[type])).toEqual(EXAMPLES.events[type]);
  });

  it('the example request and receipt match theirs', () => {
    expect(ChatRequest.parse(EXAMPLES.request)).toEqual(EXAMPLES.request);
    expect(Receipt.parse(EXAMPLES.receipt)).toEqual(EXAMPLES.receipt);
    expect(EmbeddingsRequest.parse(EXAMPLES.embeddings.request)).toEqual(EXAMPLES.embeddings.request);
    expect(MessagesRequest.parse(EXAMPLES.messages.request)).toEqual(EXAMPLES.messages.request);
    for (const answer of [EXAMPLES.embeddings.answer, EXAMPLES.messages.answer, EXAMPLES.messages.lastEvent])
      expect(Receipt.parse(answer.meritorder)).toEqual(answer.meritorder);
    expect(EstimateRequest.parse(EXAMPLES.estimate.request)).toEqual(EXAMPLES.estimate.request);
    expect(EstimateReply.parse(EXAMPLES.estimate.reply)).toEqual(EXAMPLES.estimate.reply);
  });

  // A released version never changes but by optional fields: a change here asks for a new version beside it.
  it.each(Object.keys(EVENTS) as EventType[])('the schema of %s is the released one', (type) => {
    expect(z.toJSONSchema(EVENTS[type] as unknown as z.ZodType)).toMatchSnapshot();
  });

  it('error codes keep their status', () => {
    expect(
      Object.fromEntries(Object.entries(ERRORS).map(([code, e]) => [code, `${e.status} ${e.type}`])),
    ).toMatchSnapshot();
  });
});

describe('subjects', () => {
  it('refuse what would widen them', () => {
    for (const token of ['*', '>', 'a.b', '', 'A', 'x'.repeat(65), 'a b'])
      expect(() => subjects.work({ id: token })).toThrow(/token/);
  });

  it.each([
    ['_INBOX_acme.abc', true],
    ['_INBOX_acme.abc.1', true],
    ['_INBOX_acme', false],
    ['_INBOX_acme.', false],
    ['_INBOX_acme2.abc', false],
    ['_INBOX_globex.abc', false],
    ['_INBOX_acme.>', false],
    ['_INBOX_acme.*', false],
    ['_INBOX_acme.a..b', false],
    ['$JS.API.STREAM.PURGE.USAGE', false],
    [undefined, false],
  ])('the reply subject %s of acme is honoured: %s', (reply, honoured) => {
    expect(isOrgReply('acme', reply)).toBe(honoured);
  });
});

describe('the configuration', () => {
  const good = `
version: 1
orgs: [{ id: acme }]
backends:
  - { id: b, kind: cloud, provider: p, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10, maxOutputTokens: 5 }
`;
  const message = (text: string): string => {
    try {
      parseConfig(text, 'my.yaml', {});
      return 'accepted';
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      return (error as Error).message;
    }
  };

  it('is accepted, with defaults', () => {
    expect(parseConfig(good, 'my.yaml').limits.requestDeadlineMs).toBe(600_000);
  });

  it.each<[string, string, RegExp]>([
    ['YAML that is none', 'a: [', /my.yaml:1: not valid YAML/],
    ['an unknown field', `${good}nonsense: 1`, /nonsense/],
    [
      'a price in floating point',
      good.replace(
        'maxOutputTokens: 5',
        'maxOutputTokens: 5, prices: [{effectiveFrom: 2025-01-01T00:00:00Z, cash: {inputUsdPerMillionTokens: 1e-7, outputUsdPerMillionTokens: 1}}]',
      ),
      /not a decimal number/,
    ],
    [
      'a price with too many digits',
      good.replace(
        'maxOutputTokens: 5',
        'maxOutputTokens: 5, prices: [{effectiveFrom: 2025-01-01T00:00:00Z, cash: {inputUsdPerMillionTokens: "0.0000001", outputUsdPerMillionTokens: 1}}]',
      ),
      /more than 6 digits/,
    ],
    [
      'an unknown backend of a route',
      `${good}routes: [{ id: auto, backends: [nope] }]`,
      /my.yaml:6: routes.0.backends.0: "nope" is not a backend/,
    ],
    [
      'a budget of an unknown org',
      `${good}budgets: [{ id: x, selector: { org: nope }, window: day, limitUsd: 1 }]`,
      /"nope" is not an org/,
    ],
    [
      'a time zone that is none',
      `${good}budgets: [{ id: x, selector: { org: acme }, window: day, limitUsd: 1, timeZone: Mars/Base }]`,
      /IANA/,
    ],
    [
      'a limit beyond 2^53 nano-dollars',
      `${good}budgets: [{ id: x, selector: { org: acme }, window: day, limitUsd: "9007199.254740992" }]`,
      /split the budget/,
    ],
    ['a negative limit', `${good}budgets: [{ id: x, selector: { org: acme }, window: day, limitUsd: -1 }]`, /negative/],
    ['a variable that is not set', good.replace('127.0.0.1:1', '${NOWHERE}'), /NOWHERE.*no default/],
  ])('%s is refused with file, line and reason', (_name, text, expected) => {
    expect(message(text)).toMatch(expected);
  });

  it('takes variables from the environment', () => {
    expect(parseConfig(good.replace('127.0.0.1:1', '${HOST_X:-127.0.0.1:9}'), 'f', {}).backends[0]!.baseUrl).toContain(
      ':9/',
    );
    expect(
      parseConfig(good.replace('127.0.0.1:1', '${HOST_X:-127.0.0.1:9}'), 'f', { HOST_X: '127.0.0.1:8' }).backends[0]!
        .baseUrl,
    ).toContain(':8/');
  });
});
