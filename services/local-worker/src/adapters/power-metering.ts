import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { subjects, type FleetJoinReply, type PowerMeter } from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import type { Bus } from '@meritorder/messaging';
import { PowerMeasurement } from '../application/measure-power.js';
import type { Meter } from '../application/power-meters.js';
import { nvidiaSmi } from './nvidia-smi.js';
import { rapl } from './rapl.js';

export const POWER_OPTIONS = Symbol('POWER_OPTIONS');
export type MeteredHost = FleetJoinReply['host'];
export interface PowerOptions {
  bus: Bus;
  /** Undefined: the configuration says nothing of what the host costs. */
  host: MeteredHost | undefined;
}

const EVERY_MS = 5_000;
/** A tool that is not there now may be installed later. */
const EVERY_WHILE_UNREADABLE_MS = 60_000;

const METERS: Record<PowerMeter, (host: MeteredHost) => Meter> = {
  'nvidia-smi': (host) => nvidiaSmi(host.gpus),
  rapl: () => rapl(),
};

/** Measures the power of this worker's host, where the configuration names meters. */
@Injectable()
export class PowerMetering implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(PowerMetering.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(@Inject(POWER_OPTIONS) private readonly options: PowerOptions) {}

  onApplicationBootstrap(): void {
    const { bus, host } = this.options;
    const meters = (host?.meters ?? []).map((name) => METERS[name](host!));
    if (!host || meters.length === 0) return;
    const measurement = new PowerMeasurement({
      host: host.id,
      worker: newId(),
      meters,
      nowMs: () => Date.now(),
      publish: async (id, data) => {
        await bus.publishEvent({
          type: 'hardware.measured.v1',
          subject: subjects.hardwareMeasured(host.id),
          id,
          time: data.to,
          data,
        });
      },
      log: this.log,
    });
    this.next(measurement, 0);
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  private next(measurement: PowerMeasurement, afterMs: number): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      this.running = measurement
        .tick()
        .then((readable) => this.next(measurement, readable ? EVERY_MS : EVERY_WHILE_UNREADABLE_MS));
    }, afterMs);
  }
}
