import { describe, expect, it } from 'vitest';
import { parseConfig, urlOf } from '../index.js';

const backend = (fields: string): string => `
version: 1
orgs: [{ id: acme }]
backends:
  - { id: b, kind: cloud, model: m, contextTokens: 10, maxOutputTokens: 5, ${fields} }
`;
const parsed = (fields: string) => parseConfig(backend(fields), 'my.yaml', {}).backends[0]!;
const message = (fields: string): string => {
  try {
    parsed(fields);
    return 'accepted';
  } catch (error) {
    return (error as Error).message;
  }
};

it.each([
  [
    'kind: cloud, provider: aws, protocol: bedrock, region: eu-west-1',
    /batch.bedrock: says where the protocol bedrock has its batches/,
  ],
  ['kind: cloud, provider: google, protocol: gemini', /accepted/],
  ['kind: local, provider: own, host: h, baseUrl: "http://h/v1"', /batches are sent to cloud backends/],
  ['kind: cloud, provider: openai', /accepted/],
  ['kind: cloud, provider: azure, protocol: azure, baseUrl: "https://r.openai.azure.com/openai/v1"', /accepted/],
  [
    'kind: cloud, provider: azure, protocol: azure, kinds: [embeddings], baseUrl: "https://r.openai.azure.com/openai/v1"',
    /kinds: Azure takes no embeddings in batches/,
  ],
  ['kind: cloud, provider: openai, kinds: [embeddings]', /accepted/],
])('batches, asked of %s', (fields, said) => {
  const text = backend(`batch: {}, ${fields}`).replace('kind: cloud, model', 'model');
  let heard = 'accepted';
  try {
    parseConfig(text, 'my.yaml', {});
  } catch (error) {
    heard = (error as Error).message;
  }
  expect(heard).toMatch(said);
});

it.each([
  ['provider: openai', /accepted/],
  ['provider: azure, protocol: azure, baseUrl: "https://r.openai.azure.com/openai/v1"', /accepted/],
  ['provider: google, protocol: gemini', /kinds: embeddings are asked for over the protocols openai and azure alone/],
  ['provider: aws, protocol: bedrock, region: eu-west-1', /kinds: embeddings/],
  ['provider: anthropic, protocol: anthropic', /kinds: embeddings/],
])('embeddings, asked of %s', (fields, said) => {
  expect(message(`kinds: [embeddings], ${fields}`)).toMatch(said);
});

describe('batches of Bedrock', () => {
  const places = 'input: "s3://calls/in", output: "s3://calls/out", roleArn: "arn:aws:iam::123456789012:role/Batches"';
  const keys = 'accessKeyIdEnv: ID, secretAccessKeyEnv: SECRET';
  const batched = (fields: string, more = '', credentials = `{ id: main, ${keys} }`) =>
    `provider: aws, protocol: bedrock, ${fields}, credentials: [${credentials}], batch: { bedrock: { ${places}${more} } }`;

  it('have their buckets, their role, and no fewer records than its quota says', () => {
    expect(parsed(batched('region: eu-west-1, maxConcurrency: 100')).batch).toMatchObject({
      bedrock: { input: 's3://calls/in', minRecords: 100, format: 'converse' },
    });
  });

  it.each([
    [batched('region: eu-west-1, maxConcurrency: 99'), /maxConcurrency: .* fewer than 100/],
    [batched('region: eu-west-1, maxConcurrency: 99', ', minRecords: 99'), /accepted/],
    [batched('region: eu-west-1, maxConcurrency: 100, capabilities: [tools]'), /capabilities: Bedrock takes no tools/],
    [batched('region: eu-west-1, maxConcurrency: 100, capabilities: [tools]', ', format: messages'), /accepted/],
    [batched('region: eu-west-1, maxConcurrency: 100', '', '{ id: main, apiKeyEnv: KEY }'), /need access keys/],
    [batched('maxConcurrency: 100, baseUrl: "http://h"'), /region: batches of Bedrock are signed for a region/],
    [
      batched(
        'maxConcurrency: 100',
        '',
        `{ id: a, region: eu-west-1, ${keys} }, { id: b, region: us-east-1, ${keys} }`,
      ),
      /buckets in one region/,
    ],
    [
      batched('region: eu-west-1, maxConcurrency: 100').replace('s3://calls/in', 'https://calls/in'),
      /batch.bedrock.input/,
    ],
    ['provider: openai, batch: { bedrock: { ' + places + ' } }', /batch.bedrock: .* needed there, and only there/],
  ])('%s', (fields, said) => {
    expect(message(fields)).toMatch(said);
  });
});

describe('where a backend is called', () => {
  it.each([
    ['provider: openai', 'https://api.openai.com/v1'],
    ['provider: mistral', 'https://api.mistral.ai/v1'],
    ['provider: deepseek', 'https://api.deepseek.com/v1'],
    ['provider: groq', 'https://api.groq.com/openai/v1'],
    ['provider: openrouter', 'https://openrouter.ai/api/v1'],
    ['provider: anthropic, protocol: anthropic', 'https://api.anthropic.com/v1'],
    ['provider: google, protocol: gemini', 'https://generativelanguage.googleapis.com/v1beta'],
    ['provider: aws, protocol: bedrock, region: eu-west-1', 'https://bedrock-runtime.eu-west-1.amazonaws.com'],
    [
      'provider: aws, protocol: bedrock, credentials: [{ id: a, region: us-east-1, apiKeyEnv: A }]',
      'https://bedrock-runtime.us-east-1.amazonaws.com',
    ],
    ['provider: openai, baseUrl: "http://127.0.0.1:1/v1"', 'http://127.0.0.1:1/v1'],
  ])('%s: there', (fields, url) => {
    expect(parsed(fields).baseUrl).toBe(url);
  });

  it('may differ by credential: its own URL, its own region, else as the backend says', () => {
    const bedrock = parsed('provider: aws, protocol: bedrock, region: eu-west-1, apiKeyEnv: A');
    expect(urlOf(bedrock, { region: 'us-east-1' })).toBe('https://bedrock-runtime.us-east-1.amazonaws.com');
    expect(urlOf(bedrock, { region: 'eu-west-1' })).toBe('https://bedrock-runtime.eu-west-1.amazonaws.com');
    expect(urlOf(bedrock, { baseUrl: 'http://127.0.0.1:1' })).toBe('http://127.0.0.1:1');
    expect(urlOf(bedrock)).toBe('https://bedrock-runtime.eu-west-1.amazonaws.com');
  });
});

it.each([
  [
    'a stated charge where none is read',
    'provider: p, protocol: anthropic, statedCharge: true',
    /statedCharge: what a call was charged is said in the protocol openai alone/,
  ],
  ['an endpoint that nothing names', 'provider: somebody', /backends.0.baseUrl: is needed.*"somebody"/],
  ['Azure without its resource', 'provider: azure, protocol: azure', /backends.0.baseUrl: is needed/],
  ['Bedrock without a region', 'provider: aws, protocol: bedrock, apiKeyEnv: A', /needs a region/],
  [
    'Bedrock with a region for one of two credentials',
    'provider: aws, protocol: bedrock, credentials: [{ id: a, region: eu-west-1, apiKeyEnv: A }, { id: b, apiKeyEnv: B }]',
    /needs a region/,
  ],
  [
    'an access key elsewhere',
    'provider: openai, credentials: [{ id: a, accessKeyIdEnv: A, secretAccessKeyEnv: B }]',
    /bedrock/,
  ],
  [
    'half an access key',
    'provider: aws, protocol: bedrock, region: eu-west-1, credentials: [{ id: a, accessKeyIdEnv: A }]',
    /go together/,
  ],
  ['a credential without a secret', 'provider: openai, credentials: [{ id: a }]', /exactly one of apiKeyEnv/],
  [
    'one name twice',
    'provider: openai, credentials: [{ id: a, apiKeyEnv: A }, { id: a, apiKeyEnv: B }]',
    /"a" is used twice/,
  ],
  ['a key beside credentials', 'provider: openai, apiKeyEnv: K, credentials: [{ id: a, apiKeyEnv: A }]', /short for/],
])('%s is refused with the reason', (_what, fields, expected) => {
  expect(message(fields)).toMatch(expected);
});
