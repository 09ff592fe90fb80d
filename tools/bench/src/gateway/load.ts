import { setTimeout } from 'node:timers/promises';
import { Pool } from 'undici';

export interface LoadTarget {
  name: string;
  /** Base URL ending in `/v1`. */
  url: string;
  apiKey: string;
  model: string;
}

export interface LoadSettings {
  concurrency: number;
  seconds: number;
  stream: boolean;
  /** Words of an answer; of a stream, its chunks. */
  words: number;
  /** The callers begin one after the other over so long: those that begin together would ask together for ever. */
  spreadMs: number;
}

export interface Measured {
  requests: number;
  chunks: number;
  seconds: number;
  /** To the end of a whole answer, or to the first chunk of a stream, milliseconds. */
  latenciesMs: number[];
  /** Answers with another status than 200, or that broke off. */
  failed: number;
}

const EVENT = Buffer.from('data: ');

/** So many callers that each ask again as soon as they have their answer. */
export async function load(target: LoadTarget, settings: LoadSettings): Promise<Measured> {
  const url = new URL(target.url);
  const pool = new Pool(url.origin, { connections: settings.concurrency, pipelining: 1 });
  const measured: Measured = { requests: 0, chunks: 0, seconds: 0, latenciesMs: [], failed: 0 };
  const body = JSON.stringify({
    model: target.model,
    messages: [{ role: 'user', content: `Write ${settings.words} words.` }],
    max_tokens: settings.words,
    stream: settings.stream,
  });
  const started = performance.now();
  const until = started + settings.seconds * 1_000;
  const call = async (): Promise<void> => {
    const began = performance.now();
    const response = await pool.request({
      method: 'POST',
      path: `${url.pathname.replace(/\/$/, '')}/chat/completions`,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${target.apiKey}` },
      body,
    });
    let firstMs: number | undefined;
    let chunks = 0;
    for await (const part of response.body as AsyncIterable<Buffer>) {
      firstMs ??= performance.now() - began;
      if (settings.stream) chunks += eventsIn(part);
    }
    if (response.statusCode !== 200) {
      measured.failed++;
      return;
    }
    measured.requests++;
    measured.chunks += chunks;
    measured.latenciesMs.push(settings.stream ? (firstMs ?? 0) : performance.now() - began);
  };
  await Promise.all(
    Array.from({ length: settings.concurrency }, async (_, caller) => {
      await setTimeout((settings.spreadMs * caller) / settings.concurrency);
      while (performance.now() < until)
        await call().catch(() => {
          measured.failed++;
        });
    }),
  );
  measured.seconds = (performance.now() - started) / 1_000;
  await pool.close();
  return measured;
}

function eventsIn(part: Buffer): number {
  let count = 0;
  for (let at = part.indexOf(EVENT); at !== -1; at = part.indexOf(EVENT, at + EVENT.length)) count++;
  return count;
}
