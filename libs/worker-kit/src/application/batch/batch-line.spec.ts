import { parseConfig, type BackendConfig } from '@meritorder/contracts';
import { expect, it } from 'vitest';
import { AnthropicUpstream } from '../../adapters/anthropic-upstream.js';
import { SdkUpstream } from '../../adapters/sdk-upstream/sdk-upstream.js';
import { callOf, endOfLine } from './batch-line.js';
import { lineOf } from './batch-world.for-tests.js';

const WIRES = {
  bedrock: { chat: new SdkUpstream('bedrock') },
  anthropic: { messages: new AnthropicUpstream(), chat: new SdkUpstream('anthropic') },
};
const bedrock = (format: string): BackendConfig =>
  parseConfig(
    `version: 1
orgs: [{ id: acme }]
backends:
  - id: nova-batch
    kind: cloud
    provider: aws
    protocol: bedrock
    model: eu.amazon.nova-pro-v1:0
    region: eu-west-1
    contextTokens: 1000
    maxOutputTokens: 1000
    maxConcurrency: 100
    credentials: [{ id: main, accessKeyIdEnv: ID, secretAccessKeyEnv: SECRET }]
    batch:
      bedrock:
        input: s3://calls/in
        output: s3://calls/out
        roleArn: arn:aws:iam::123456789012:role/Batches
        format: ${format}
`,
    'test.yaml',
    {},
  ).backends[0]!;
const TOOLS = [{ type: 'function', function: { name: 'clock', parameters: { type: 'object', properties: {} } } }];
const workOf = (more: object = {}) => {
  const { work } = lineOf('a1');
  return { ...work, body: { ...work.body, ...more } };
};
const to = { wires: WIRES, nowMs: Date.parse('2026-11-25T00:00:00Z'), maxAnswerBytes: 1_000_000, isCancelled: false };

it('a call of Bedrock is written as Converse is asked, and read so', async () => {
  const backend = bedrock('converse');
  const { path, body } = await callOf(workOf(), backend, WIRES);
  expect(path).toMatch(/^\/model\/.*\/converse$/);
  expect(body).toMatchObject({
    messages: [{ role: 'user', content: [{ text: 'Hello.' }] }],
    inferenceConfig: { maxTokens: 100 },
  });
  const said = {
    output: { message: { role: 'assistant', content: [{ text: 'Hi.' }] } },
    stopReason: 'end_turn',
    usage: { inputTokens: 7, outputTokens: 2, totalTokens: 9 },
    metrics: { latencyMs: 1 },
  };
  const end = { reply: { status: 200, body: JSON.stringify(said) } };
  const { closed, answer } = await endOfLine(lineOf('a1'), end, { ...to, backend });
  expect(closed).toMatchObject({
    outcome: 'finished',
    servedTier: 'batch',
    usage: { inputTokens: 7, outputTokens: 2 },
  });
  expect(answer).toMatchObject({ object: 'chat.completion', choices: [{ message: { content: 'Hi.' } }] });
});

it('with tools a call of the format converse is not written, for each such record would be refused', async () => {
  await expect(callOf(workOf({ tools: TOOLS }), bedrock('converse'), WIRES)).rejects.toMatchObject({
    code: 'caller-fault',
    message: 'Bedrock takes no tools in batches of the format converse',
  });
});

it('of the format messages it is in the words of Anthropic, tools too, and read so', async () => {
  const backend = bedrock('messages');
  const { path, body } = await callOf(workOf({ tools: TOOLS }), backend, WIRES);
  expect(path).toBe('/messages');
  expect(body).toMatchObject({ max_tokens: 100, tools: [{ name: 'clock' }], messages: [{ role: 'user' }] });
  const said = {
    id: 'msg_bdrk_1',
    type: 'message',
    role: 'assistant',
    model: 'claude',
    content: [{ type: 'text', text: 'Hi.' }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 7, cache_read_input_tokens: 3, output_tokens: 2 },
  };
  const end = { reply: { status: 200, body: JSON.stringify(said) } };
  const { closed } = await endOfLine(lineOf('a1'), end, { ...to, backend });
  expect(closed).toMatchObject({ outcome: 'finished', providerCallId: 'msg_bdrk_1', servedTier: 'batch' });
  expect(closed.usage).toMatchObject({ inputTokens: 7, cacheReadTokens: 3, outputTokens: 2 });
});
