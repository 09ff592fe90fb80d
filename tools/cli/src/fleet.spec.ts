import type { FleetBackend, FleetReply } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { fleetText, mergeFleet } from './fleet.js';

const own: FleetBackend = {
  id: 'gpu-1-llama',
  kind: 'local',
  host: 'gpu-1',
  provider: 'acme-gpus',
  model: 'llama',
  workers: [
    {
      worker: 'w1',
      inFlight: 3,
      maxConcurrency: 8,
      engine: {
        engine: 'vllm',
        version: '0.9.1',
        running: 5,
        waiting: 2,
        kvCacheShare: 0.314,
        prefillTokensPerSecond: 12_345.6,
        decodeTokensPerSecond: 987.6,
      },
    },
  ],
  heardMsAgo: 400,
  draining: false,
  breaker: 'closed',
  hasPrice: true,
};
const cloud: FleetBackend = { ...own, id: 'gpt', kind: 'cloud', provider: 'openai', model: 'gpt', workers: [] };
delete cloud.host;
const reply = (router: string, ...backends: FleetBackend[]): FleetReply => ({
  router,
  at: '2026-11-24T09:00:00.000Z',
  backends,
});

describe('the fleet', () => {
  it('is one table: hosts first, what runs and waits, memory, speed, power and when it was heard', () => {
    const rows = mergeFleet([reply('a', cloud, own)]);
    rows[0]!.hostWatts = 1_234.5;
    const [head, , first, second] = fleetText(rows).split('\n');
    const cells = (line: string): string[] => line.split(/ {2,}/).map((c) => c.trim());
    expect(cells(head!)).toContain('KV cache');
    expect(cells(first!)).toEqual([
      'gpu-1',
      'gpu-1-llama',
      'llama',
      'vllm 0.9.1',
      '5',
      '2',
      '8',
      '31 %',
      '12,346',
      '988',
      '1,235',
      '0 s ago',
      'ready',
    ]);
    expect(second).toMatch(/^openai +gpt +gpt .* gone$/);
  });

  it.each<[string, Partial<FleetBackend>, string]>([
    ['one that is ending, or whose engine is not there', { workers: [], draining: true }, 'ending, or no engine'],
    ['one that is gone', { workers: [], heardMsAgo: 200_000 }, '3 min ago  gone'],
    ['one that nobody ever heard of', { workers: [], heardMsAgo: null }, 'never  gone'],
    ['one whose breaker is open', { breaker: 'failures', coolingMs: 4_200 }, 'cooling down after failures, 4 s left'],
    ['one that is only tried', { breaker: 'probing' }, 'being tried after failures'],
    ['one at its quota', { breaker: 'quota', coolingMs: 61_000 }, 'cooling down for its quota, 61 s left'],
    ['one without a price', { hasPrice: false }, 'no price'],
    ['one that is full', { workers: [{ worker: 'w', inFlight: 2, maxConcurrency: 2 }] }, 'full'],
  ])('says of %s what it is', (_name, over, text) => {
    expect(fleetText(mergeFleet([reply('a', { ...own, ...over })])).split('\n')[2]).toContain(text);
  });

  it('is what all routers see: the freshest says who is live, and breakers are counted', () => {
    const late = { ...own, workers: [], heardMsAgo: 9_000, breaker: 'failures' as const, coolingMs: 3_000 };
    for (const replies of [
      [reply('a', late), reply('b', own)],
      [reply('b', own), reply('a', late)],
    ]) {
      const [row] = mergeFleet(replies);
      expect(row).toMatchObject({
        heardMsAgo: 400,
        breaker: 'failures',
        coolingMs: 3_000,
        coolingRouters: 1,
        routers: 2,
      });
      expect(row!.workers).toHaveLength(1);
      expect(fleetText([row!])).toContain('cooling down after failures, 3 s left at 1 of 2 routers');
    }
  });
});
