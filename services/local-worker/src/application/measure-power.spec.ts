import { describe, expect, it } from 'vitest';
import { HardwareMeasuredV1 } from '@meritorder/contracts';
import { ManualClock } from '@meritorder/kernel';
import { PowerMeasurement } from './measure-power.js';
import { MeterUnreadable, type Meter } from './power-meters.js';

/** A host whose GPUs draw 100 W and whose meter and server can be told to fail. */
class Host {
  readonly clock = new ManualClock(Date.parse('2026-11-24T10:00:00Z'));
  readonly published = new Map<string, HardwareMeasuredV1>();
  readonly said: string[] = [];
  problem: string | undefined;
  away = false;
  readonly meter: Meter = {
    name: 'nvidia-smi',
    read: async () => {
      if (this.problem) throw new MeterUnreadable(this.problem);
      return { kind: 'power', watts: 100, utilization: 0.5 };
    },
  };
  readonly measurement = new PowerMeasurement({
    host: 'gpu-1',
    worker: 'w',
    meters: [this.meter],
    nowMs: () => this.clock.nowMs(),
    publish: async (id, event) => {
      if (this.away) throw new Error('NATS is away');
      this.published.set(id, HardwareMeasuredV1.parse(event));
    },
    log: { log: (message) => this.said.push(message), warn: (message) => this.said.push(message) },
  });

  async run(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i += 5) {
      await this.measurement.tick();
      this.clock.advance(5_000);
    }
  }
}

describe('measuring a host', () => {
  it('a minute is one event, named by host and beginning', async () => {
    const host = new Host();
    await host.run(125);
    expect([...host.published]).toEqual([
      [
        'gpu-1/2026-11-24T10:00:00.000Z',
        {
          host: 'gpu-1',
          worker: 'w',
          from: '2026-11-24T10:00:00.000Z',
          to: '2026-11-24T10:01:00.000Z',
          coveredMs: 60_000,
          millijoules: 6_000_000,
          meters: ['nvidia-smi'],
          gpuUtilization: 0.5,
        },
      ],
      ['gpu-1/2026-11-24T10:01:00.000Z', expect.objectContaining({ millijoules: 6_000_000 })],
    ]);
    expect(host.said).toEqual([]);
  });

  it('what could not be published is published when the server is back', async () => {
    const host = new Host();
    host.away = true;
    await host.run(185);
    expect(host.published.size).toBe(0);
    host.away = false;
    await host.run(5);
    expect([...host.published.values()].map((e) => e.millijoules)).toEqual([6_000_000, 6_000_000, 6_000_000]);
  });

  it('a meter that is not there is said once, and nothing is published', async () => {
    const host = new Host();
    host.problem = 'nvidia-smi is not installed here';
    await host.run(300);
    expect(host.published.size).toBe(0);
    expect(host.said).toEqual(['nvidia-smi is not installed here: the configured watts of gpu-1 count']);
    host.problem = undefined;
    await host.run(10);
    expect(host.said.slice(1)).toEqual(['the power of gpu-1 is measured again']);
  });

  it('all meters have to answer', async () => {
    const host = new Host();
    const deaf: Meter = { name: 'rapl', read: () => Promise.reject(new MeterUnreadable('energy_uj cannot be read')) };
    const both = new PowerMeasurement({
      host: 'gpu-1',
      worker: 'w',
      meters: [host.meter, deaf],
      nowMs: () => host.clock.nowMs(),
      publish: () => Promise.reject(new Error('nothing is to be published')),
      log: { log: () => {}, warn: (message) => host.said.push(message) },
    });
    expect(await both.tick()).toBe(false);
    expect(host.said).toEqual(['energy_uj cannot be read: the configured watts of gpu-1 count']);
  });
});
