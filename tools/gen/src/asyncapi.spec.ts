import { Parser } from '@asyncapi/parser';
import { expect, it } from 'vitest';
import { asyncApi } from './asyncapi.js';

it('the AsyncAPI document passes the official parser without an error', async () => {
  const { document, diagnostics } = await new Parser().parse(JSON.stringify(asyncApi('0.0.0')));
  const errors = diagnostics.filter((d) => d.severity === 0).map((d) => `${d.path.join('.')}: ${d.message}`);
  expect(errors).toEqual([]);
  expect(
    document
      ?.channels()
      .all()
      .map((c) => c.address()),
  ).toContain('budget.threshold-crossed.v1.{org}.{budget}');
});

it('every kind of request is there, and its answer, with its example', () => {
  const { components, channels } = asyncApi('0.0.0') as any;
  for (const channel of ['inferenceRequest', 'inferenceJob'])
    expect(Object.keys(channels[channel].messages)).toEqual([
      'inferenceRequest',
      'embeddingsRequest',
      'messagesRequest',
      'responsesRequest',
    ]);
  for (const name of Object.keys({ ...channels.inferenceRequest.messages, ...channels.replyInbox.messages }))
    expect(components.messages[name]?.examples[0].payload, name).toBeDefined();
});

it('every subject that an org may publish to is a channel of the document', () => {
  const { channels } = asyncApi('0.0.0') as { channels: Record<string, { address: string | null }> };
  const addresses = Object.values(channels).map((c) => c.address);
  const inference = ['request', 'job', 'cancel', 'ack', 'estimate'].map((name) => `inference.${name}`);
  for (const subject of [...inference, 'outcome.reported', 'deliver-ack'])
    expect(
      addresses.some((address) => address?.startsWith(`${subject}.v1.{org}`)),
      subject,
    ).toBe(true);
});
