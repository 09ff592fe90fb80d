import { MeritorderConfig } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { joinHost } from './join-host.js';

const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  backends: [],
  hosts: [
    { id: 'gpu-1', gpus: 1, rented: { usdPerGpuHour: '1' } },
    { id: 'gpu-2', gpus: 2, rented: { usdPerGpuHour: '1' } },
  ],
  joins: [{ host: 'gpu-2', provider: 'acme-gpus', maxOutputTokens: 100 }],
});
const found = (model: string, engine = 1) => ({ model, engine, baseUrl: 'http://e/v1', contextTokens: 1_000 });
const known = (...of: [string, number][]) =>
  new Map(of.map(([model, engine]) => [`gpu-2-${model}`, { ...found(model, engine), host: 'gpu-2' }]));
const join = (request: Parameters<typeof joinHost>[3], before = known(), host = 'gpu-2') =>
  joinHost(config, before, host, request);

describe('a host that joins', () => {
  it('is told its backends, its limits and its meters, and nothing of what it costs', () => {
    const { reply, join: joined } = join({ found: [found('a')], answered: [1] })!;
    expect(reply.backends.map((b) => b.id)).toEqual(['gpu-2-a']);
    expect(reply.host).toEqual({ id: 'gpu-2', gpus: 2, meters: [] });
    expect(joined).toEqual([{ id: 'gpu-2-a', found: { ...found('a'), host: 'gpu-2' } }]);
  });

  it('and is not in "joins" gets nothing', () => {
    expect(join({ found: [found('a')], answered: [1] }, known(), 'gpu-1')).toBeUndefined();
  });

  it('loses what an engine that answered serves no more, and keeps what one that is away served', () => {
    const request = { found: [found('b', 1)], answered: [1] };
    expect(join(request, known(['a', 1], ['c', 2]))!.leave).toEqual(['gpu-2-a']);
  });

  it('with two models of one id joins with the first', () => {
    const { reply } = join({ found: [found('a.b'), found('a-b')], answered: [1] })!;
    expect(reply.backends.map((b) => b.model)).toEqual(['a.b']);
    expect(reply.refused).toMatchObject([{ model: 'a-b', why: expect.stringContaining('another of its models') }]);
  });
});
