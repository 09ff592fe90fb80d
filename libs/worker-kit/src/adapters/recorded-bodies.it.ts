import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Kind } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { recordedAnswers } from '@meritorder/testing';
import { readUsage, type Dialect } from '@meritorder/usage-core';
import { aliasesIn, backendOf, PRICE_OF_ALL, serve, workerFor } from './provider-world.for-tests.js';
import { plain } from './raw-server.for-tests.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

const WIRES: { name: string; backend: string; kind: Kind; path: string; dialect: Dialect }[] = [
  { name: 'OpenAI', backend: 'provider: openai', kind: 'chat', path: '/v1/chat/completions', dialect: 'openai-chat' },
  {
    name: 'Anthropic',
    backend: 'provider: anthropic, protocol: anthropic, kinds: [messages]',
    kind: 'messages',
    path: '/v1/messages',
    dialect: 'anthropic-messages',
  },
];

describe.skipIf(!data).each(WIRES)(
  'recorded answers of $name that were not streamed (MERITORDER_TEST_DATA)',
  (wire) => {
    it('are told as they came and confirmed; cut anywhere they are neither', async () => {
      const bodies = recordedAnswers(join(data!, 'responses/recorded'))
        .answers.filter((answer) => answer.path === wire.path && !answer.stream && answer.status === 200)
        .map((answer) => answer.texts[0]!);
      expect(bodies.length).toBeGreaterThan(20);
      const random = seededRandom(67);
      let answer = '';
      let cutAt: number | undefined;
      const server = await serve((_request, socket) => {
        const head = answer.indexOf('\r\n\r\n') + 4;
        if (cutAt === undefined) socket.write(answer);
        else socket.end(answer.slice(0, head + cutAt));
      });
      const call = workerFor(backendOf(`${wire.backend}, ${aliasesIn(bodies)}, baseUrl: "${server.url}"`));
      for (const body of bodies) {
        answer = plain(200, body);
        cutAt = undefined;
        const whole = await call({ kind: wire.kind, work: { price: PRICE_OF_ALL } });
        const { meritorder, ...told } = whole.finished[0];
        expect(told).toEqual(JSON.parse(body));
        expect(meritorder.cost.basis).toBe('confirmed');
        expect(whole.closed).toMatchObject([{ outcome: 'finished', usageBasis: 'reported' }]);
        expect(whole.closed[0]!.usage).toEqual(readUsage(wire.dialect, JSON.parse(body)).usage);

        cutAt = Math.floor(random() * (body.length - 1));
        const cut = await call({ kind: wire.kind });
        expect(cut.finished).toEqual([]);
        expect(cut.closed).toMatchObject([{ outcome: 'failed', code: 'cut', sent: true, refusedUpstream: false }]);
        // Nobody knows how much of it was generated, so its bound stands.
        expect(cut.closed[0]).not.toHaveProperty('usage');
      }
    });
  },
);
