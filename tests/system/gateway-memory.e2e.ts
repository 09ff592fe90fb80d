import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACME_KEY, startGatewayProduct } from './gateway-product.js';

const STREAMS = 1_000;
const SLOW_READERS = 20;
const WINDOW_CHUNKS = 16;
/** A worker keeps at most 256 connections to one provider. */
const WORKERS = 6;
/** Some 25 MB with all choices: more than what the kernel takes for a reader that reads nothing. */
const FLOOD_WORDS = 500_000;
const FLOOD_CHOICES = 8;
const MEGABYTE = 1_048_576;

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
const sockets: Socket[] = [];

beforeAll(async () => {
  const long = { contextTokens: 1_000_000, maxOutputTokens: 1_000_000 };
  product = await startGatewayProduct({
    backends: [
      {
        id: 'drip',
        behaviour: { outputTokensPerSecond: 1, wordsPerChunk: 1, maxOutputTokens: 1_000_000 },
        config: long,
      },
      { id: 'flood', behaviour: { wordsPerChunk: 2_000, maxOutputTokens: 1_000_000 }, config: long },
    ],
    config: {
      limits: {
        streamWindowChunks: WINDOW_CHUNKS,
        streamAckTimeoutMs: 2_000,
        requestsInFlightPerKey: 2_000,
        requestDeadlineMs: 600_000,
      },
    },
    instances: { 'provider-worker': WORKERS },
  });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await product?.stop();
});

/** Every process that a chunk passes, and the router, which follows each stream. */
function pids(): number[] {
  const { stack } = product;
  const services = (['gateway', 'router', 'provider-worker'] as const).flatMap((name) => stack.of(name));
  return [...services.map(({ child }) => child.pid!), stack.nats.server!.pid!];
}

/** Of each, in their order. */
const residentBytes = (): number[] =>
  pids().map((pid) => Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1_024);
const sum = (bytes: readonly number[]): number => bytes.reduce((total, one) => total + one, 0);

async function stream(model: string, words: number, n = 1): Promise<Socket> {
  const { port, hostname } = new URL(product.url);
  const socket = connectTcp(Number(port), hostname);
  sockets.push(socket);
  await once(socket, 'connect');
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: `Write ${words} words.` }],
    max_tokens: words,
    stream: true,
    n,
  });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ACME_KEY}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

it('a thousand open streams cost little each, and readers that read nothing cost no more than a window', async () => {
  const before = residentBytes();
  let begun = 0;
  for (let i = 0; i < STREAMS; i++) {
    const socket = await stream('drip', 5_000);
    socket.once('data', () => begun++);
    socket.resume();
  }
  await waitFor(() => begun === STREAMS, 'every stream has begun', 120_000);
  const open = residentBytes();
  expect((open[0]! - before[0]!) / STREAMS).toBeLessThan(MEGABYTE / 8);
  expect((sum(open) - sum(before)) / STREAMS).toBeLessThan(MEGABYTE);

  const cut = () => product.simulator.invoice().lines.filter((l) => l.model === 'flood');
  const flooded: number[][] = [];
  for (let round = 1; round <= 3; round++) {
    for (let i = 0; i < SLOW_READERS; i++) (await stream('flood', FLOOD_WORDS, FLOOD_CHOICES)).pause();
    await waitFor(() => cut().length === round * SLOW_READERS, 'every reader that reads nothing was cut off', 120_000);
    flooded.push(residentBytes());
  }
  for (const { outcome, outputTokens } of cut()) {
    expect(outcome).toBe('cancelled');
    expect(outputTokens).toBeLessThan(FLOOD_WORDS * FLOOD_CHOICES);
  }
  // What was made room for once is used again, in all of them.
  const more = pids().map((_, i) => flooded.at(-1)![i]! - flooded[0]![i]!);
  expect(more[0]).toBeLessThan(48 * MEGABYTE);
  expect(sum(more) / more.length).toBeLessThan(32 * MEGABYTE);
  expect(product.simulator.control.stats().models['drip']!.running).toBe(STREAMS);
});
