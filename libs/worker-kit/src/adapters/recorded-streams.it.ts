import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { aliasesIn, backendOf, PRICE_OF_ALL, serve, workerFor } from './provider-world.for-tests.js';
import { sendStream, type SendOptions } from './raw-server.for-tests.js';
import { PLAYED_WIRES, tokensOf, type PlayedWire, type RecordedStream } from './recorded-streams.for-tests.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

/** Plays a stream so far as said, through the worker's own wire, and checks what its caller saw and what is booked. */
async function player(wire: PlayedWire) {
  let play: { stream: RecordedStream; options: SendOptions };
  const server = await serve((_request, socket) => sendStream(socket, play.stream.bytes, play.options));
  const aliases = aliasesIn(wire.streams(data!).map(({ bytes }) => bytes.toString()));
  const call = workerFor(backendOf(`${wire.backend}, ${aliases}, baseUrl: "${server.url}"`));
  return async (stream: RecordedStream, options: SendOptions): Promise<void> => {
    play = { stream, options };
    const sentBefore = server.requests.length;
    const heard: string[] = [];
    const { closed, finished, sent, log } = await call({
      kind: wire.kind,
      stream: true,
      work: { includeUsage: true, price: PRICE_OF_ALL },
      onChunk: (_seq, _abort, json) => heard.push(json),
    });
    const at = `${stream.name} ${JSON.stringify(options)}`;
    const bytes = options.bytes ?? stream.bytes.length;
    // Where the end of the connection is how an answer ends, its last event needs no empty line behind it.
    const isClean = options.framing === 'until-close' && options.cut !== 'reset';
    const whole = stream.events.filter((event) => (isClean ? event.dataEnd : event.end) <= bytes);
    const end = whole.findIndex(({ data }) => wire.ends(data));
    const came = (end < 0 ? whole : whole.slice(0, end)).map(({ data }) => data);

    expect(server.requests.length - sentBefore, `${at}: one physical call`).toBe(1);
    const expected = wire.seen(came);
    // A reset may overtake what was sent before it.
    if (options.cut === 'reset') expect(expected.slice(0, heard.length), at).toEqual(heard);
    else expect(heard, at).toEqual(expected);

    expect(closed, at).toHaveLength(1);
    const { outcome, usage, usageBasis, code } = closed[0]!;
    if (end >= 0) {
      expect(outcome, at).toBe('finished');
      expect(finished, at).toHaveLength(1);
    } else {
      expect({ outcome, code, sent: closed[0]!.sent }, at).toEqual({ outcome: 'failed', code: 'cut', sent: true });
      // Before the first token somebody else may answer; after it the caller is told.
      if (heard.length === 0) expect(sent.at(-1), at).toMatchObject({ type: 'failed', retryable: true });
      else expect(log, at).toContain('error stream_cut');
    }
    // Booked as confirmed when, and only when, the provider's last word came; else at the bound, until an invoice tells.
    const word = options.cut === 'reset' && usageBasis !== 'reported' ? undefined : wire.lastWord(came);
    if (word) {
      expect({ ...tokensOf(usage!), usageBasis }, at).toEqual({ ...word, usageBasis: 'reported' });
      if (end >= 0) expect(finished[0].meritorder.cost.basis, at).toBe('confirmed');
    } else expect(usageBasis, at).toBe('estimated');
  };
}

describe.skipIf(!data)('recorded streams, byte for byte (MERITORDER_TEST_DATA)', () => {
  describe.each(PLAYED_WIRES)('$name', (wire) => {
    it('whole: the caller sees every event, and the usage is the recorded one', async () => {
      const play = await player(wire);
      for (const stream of wire.streams(data!))
        for (const framing of ['chunked', 'until-close'] as const)
          for (const pieceBytes of [stream.bytes.length, 1_000, 7]) await play(stream, { framing, pieceBytes });
    });

    it('cut at every event: what came before it is seen, and nothing is confirmed that was not said', async () => {
      const play = await player(wire);
      for (const stream of wire.streams(data!))
        for (const [i, end] of [0, ...stream.events.map((event) => event.end)].entries())
          await play(stream, { bytes: end, framing: i % 2 === 0 ? 'chunked' : 'until-close' });
    });

    it('cut at random bytes, in random pieces, by an end or a reset', async () => {
      const play = await player(wire);
      const random = seededRandom(61);
      const upTo = (most: number): number => Math.floor(random() * (most + 1));
      for (const stream of wire.streams(data!))
        for (let i = 0; i < 40; i++)
          await play(stream, {
            bytes: upTo(stream.bytes.length - 1),
            pieceBytes: 1 + upTo(400),
            framing: random() < 0.5 ? 'chunked' : 'until-close',
            cut: random() < 0.3 ? 'reset' : 'end',
          });
    });
  });
});
