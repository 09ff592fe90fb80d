import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { BackendConfig } from '@meritorder/contracts';
import type { SdkProtocol } from '@meritorder/dialect-core';
import { seededRandom } from '@meritorder/kernel';
import { recordedAnswers, type RecordedAnswer } from '@meritorder/testing';
import { readUsage, usageReader } from '@meritorder/usage-core';
import { attempt, credentialed, terms } from '../../application/attempt-world.for-tests.js';
import { framesOf, protocolOf, PROTOCOLS, saidBy, startProvider } from './recorded-providers.for-tests.js';
import { readByOpenAi } from './read-by-openai.for-tests.js';
import { SdkUpstream } from './sdk-upstream.js';

type Any = Record<string, any>;
const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

/** What the next answer is, and how many bytes of it are sent before the connection breaks, or is ended as if that were all. */
let next: { body: Uint8Array; cutAt?: number; politely?: boolean } = { body: new Uint8Array() };
const provider = await startProvider((response) => {
  const { body, cutAt, politely } = next;
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  if (cutAt === undefined) return void response.end(body);
  if (politely) return void response.end(body.subarray(0, cutAt));
  response.write(body.subarray(0, cutAt), () => response.destroy());
  if (cutAt === 0) response.flushHeaders();
});
const wires = new Map(
  PROTOCOLS.map((protocol) => {
    const wire = new SdkUpstream(protocol);
    const accessKey = { id: 'AKIAEXAMPLE', secret: 'secret' };
    const credential = { id: 'default', baseUrl: provider.url, region: 'eu-central-1', apiKey: undefined, accessKey };
    return [protocol, { wire, upstream: credentialed(wire, [credential]) }] as const;
  }),
);
afterAll(async () => {
  await Promise.all([...wires.values()].map(({ wire }) => wire.close()));
  await provider.stop();
});

interface Told {
  chunks: Any[];
  finished: Any | undefined;
  closed: Any;
  failed: Any | undefined;
}

async function play(protocol: SdkProtocol, stream: boolean, answer: typeof next): Promise<Told> {
  next = answer;
  const chunks: Any[] = [];
  const before = provider.calls.length;
  const { closed, finished, sent } = await attempt({
    wire: wires.get(protocol)!.upstream,
    stream,
    nowMs: Date.now(),
    backend: {
      id: 'm',
      model: MODELS[protocol],
      connectTimeoutMs: 5_000,
      firstTokenTimeoutMs: 20_000,
      betweenTokensTimeoutMs: 20_000,
    } as Partial<BackendConfig>,
    onChunk: (_seq, _abort, json) => chunks.push(JSON.parse(json)),
    work: {
      terms: { ...terms, deadlineAt: new Date(Date.now() + 30_000).toISOString() },
      body: { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 100 },
      includeUsage: true,
      inputTokensExpected: 10,
    },
  });
  expect(provider.calls.length - before).toBe(1);
  expect(closed).toHaveLength(1);
  return { chunks, finished: finished[0], closed: closed[0]!, failed: sent.find(({ type }) => type === 'failed') };
}

const MODELS: Readonly<Record<SdkProtocol, string>> = {
  gemini: 'gemini-2.5-pro',
  bedrock: 'eu.amazon.nova-pro-v1:0',
  anthropic: 'claude-sonnet-4-5',
};

const textOf = (chunks: Any[]): string => chunks.map((c) => c['choices'][0]?.delta.content ?? '').join('');

const callsOf = (message: Any): unknown[] =>
  (message['tool_calls'] ?? []).map((c: Any) => ({
    name: c.function.name,
    input: JSON.parse(c.function.arguments || '{}'),
  }));

describe.skipIf(!data)(`recorded answers${data ? '' : ' (MERITORDER_TEST_DATA is not set)'}`, () => {
  const answers = data ? recordedAnswers(join(data, 'responses')).answers : [];
  const byProtocol = answers.flatMap((a) => {
    const protocol = protocolOf(a);
    return protocol ? [[a.name, protocol, a] as const] : [];
  });
  const bodyOf = (protocol: SdkProtocol, { stream, texts }: RecordedAnswer): Uint8Array =>
    stream ? Buffer.concat(framesOf(protocol, texts)) : Buffer.from(texts[0]!);
  const isWhole = (protocol: SdkProtocol, answer: RecordedAnswer): boolean =>
    !answer.stream || readsToTheEnd(protocol, answer.events);
  const streams = byProtocol.filter(
    ([, protocol, a]) => a.stream && isWhole(protocol, a) && !saidBy(protocol, a.events).isForeign,
  );

  it('are many of each protocol, streamed and whole', () => {
    for (const protocol of PROTOCOLS) {
      const of = byProtocol.filter(([, p]) => p === protocol);
      expect(of.filter(([, , a]) => a.stream).length).toBeGreaterThan(5);
      expect(of.filter(([, , a]) => !a.stream).length).toBeGreaterThan(5);
    }
  });

  it.each(byProtocol)(
    '%s: the caller is told what was said, and booked is what was counted',
    async (_n, protocol, a) => {
      const said = saidBy(protocol, a.events);
      const { usage, complete } = readUsage(DIALECTS[protocol], a.events);
      const { chunks, finished, closed, failed } = await play(protocol, a.stream, { body: bodyOf(protocol, a) });
      // Whoever is told that it cannot be told ends the stream there.
      if (complete && !(said.isForeign && a.stream)) expect(closed).toMatchObject({ usage, usageBasis: 'reported' });
      if (said.isForeign || !isWhole(protocol, a)) {
        if (failed) expect(['protocol', 'cut']).toContain(failed['code']);
        return;
      }
      expect(closed['outcome']).toBe('finished');
      const { message, finish_reason } = (a.stream ? await readByOpenAi(chunks) : finished!)['choices'][0];
      expect(message.content ?? '').toBe(said.text);
      expect(callsOf(message)).toEqual(said.calls);
      expect(['stop', 'length', 'tool_calls', 'content_filter']).toContain(finish_reason);
      const block = a.stream ? chunks.at(-1)!['usage'] : finished!['usage'];
      if (usage && complete)
        expect(block.prompt_tokens).toBeGreaterThanOrEqual(usage.inputTokens + usage.cacheReadTokens);
    },
  );

  it.each(PROTOCOLS)('%s: damaged bytes end in an answer or in a failure, and are booked once', async (protocol) => {
    const random = seededRandom(41);
    const outcomes = new Set<string>();
    const of = byProtocol.filter(([, p, a]) => p === protocol && a.texts.join('').length < 20_000);
    for (let i = 0; i < 150; i++) {
      const [, , answer] = of[Math.floor(random() * of.length)]!;
      const body = Buffer.from(bodyOf(protocol, answer));
      for (let flips = 0; flips < 3; flips++) body[Math.floor(random() * body.length)] = Math.floor(random() * 256);
      const { closed } = await play(protocol, answer.stream, { body });
      outcomes.add(closed['outcome']);
    }
    expect(outcomes).toContain('failed');
    outcomes.delete('finished');
    expect(outcomes.size).toBe(1);
  });

  it.each(streams)(
    '%s: cut at every event and at random bytes, the caller has a beginning and nothing is booked that was not counted',
    async (name, protocol, a) => {
      const frames = framesOf(protocol, a.texts);
      const body = Buffer.concat(frames);
      const boundaries = frames.slice(0, -1).map((_, i) => frames.slice(0, i + 1).reduce((n, f) => n + f.length, 0));
      const said = saidBy(protocol, a.events);
      const random = seededRandom([...name].reduce((n, c) => (n * 31 + c.charCodeAt(0)) >>> 0, 7));
      const bytes = Array.from({ length: 10 }, () => Math.floor(random() * body.length));
      for (const [place, cutAt] of [0, 0, ...boundaries, ...bytes].entries()) {
        const { chunks, closed, failed } = await play(protocol, true, { body, cutAt, politely: place % 2 === 1 });
        const heard = usageReader(DIALECTS[protocol]);
        let end = 0;
        for (const [i, frame] of frames.entries()) if ((end += frame.length) <= cutAt) heard.feed(a.events[i]);
        const { usage, complete } = heard.read();
        expect(said.text.startsWith(textOf(chunks)), `text at ${cutAt}`).toBe(true);
        if (complete) expect(closed, `usage at ${cutAt}`).toMatchObject({ usage, usageBasis: 'reported' });
        else expect(closed['usageBasis'], `basis at ${cutAt}`).toBe('estimated');
        // Gemini's last event may be followed by nothing more than its own end.
        if (closed['outcome'] === 'finished') expect(complete && textOf(chunks)).toBe(said.text);
        else {
          expect(closed).toMatchObject({ outcome: 'failed', sent: true, refusedUpstream: false, code: 'cut' });
          expect(
            chunks.every((c) => !c['choices'][0]?.finish_reason),
            `an end at ${cutAt}`,
          ).toBe(true);
        }
        if (failed) expect(failed).toMatchObject({ code: 'cut', retryable: true });
      }
    },
    60_000,
  );
});

const DIALECTS = { gemini: 'google-gemini', bedrock: 'bedrock-converse', anthropic: 'anthropic-messages' } as const;

/** Some recordings are of the beginning of a stream alone. */
function readsToTheEnd(protocol: SdkProtocol, events: readonly unknown[]): boolean {
  const objects = events as Any[];
  if (protocol === 'anthropic') return objects.some((e) => e['type'] === 'message_stop');
  if (protocol === 'bedrock') return objects.some((e) => e['metadata']) && objects.some((e) => e['messageStop']);
  return objects.some((e) => e['promptFeedback']?.blockReason || e['candidates']?.[0]?.finishReason);
}
