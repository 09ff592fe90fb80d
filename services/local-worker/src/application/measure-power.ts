import type { HardwareMeasuredV1 } from '@meritorder/contracts';
import { addSample, NOTHING_MEASURED, type EnergyMinute } from './energy-minutes.js';
import { MeterUnreadable, type Meter } from './power-meters.js';

export interface MeasurePorts {
  host: string;
  worker: string;
  meters: readonly Meter[];
  nowMs(): number;
  /** Durable; rejects when that is not certain. The same id again is harmless. */
  publish(id: string, event: HardwareMeasuredV1): Promise<void>;
  log: { log(message: string): void; warn(message: string): void };
}

/** A day of minutes that could not be published; what is older is given up, and said. */
const MOST_UNPUBLISHED = 1_440;
const MINUTE_MS = 60_000;

/** Reads a host's meters and publishes its energy by the minute. All of its meters have to answer, or nothing is measured. */
export class PowerMeasurement {
  private energy = NOTHING_MEASURED;
  private unpublished: EnergyMinute[] = [];
  private said: string | undefined;

  constructor(private readonly ports: MeasurePorts) {}

  /** Reads all meters once and publishes the minutes that are over. Never rejects. @returns false when a meter is unreadable. */
  async tick(): Promise<boolean> {
    const readings = await this.read();
    const sample = readings && { atMs: this.ports.nowMs(), readings };
    const { state, finished } = addSample(this.energy, sample);
    this.energy = state;
    this.unpublished.push(...finished.filter((minute) => minute.coveredMs > 0));
    await this.publish();
    return sample !== undefined;
  }

  private async read() {
    try {
      const readings = await Promise.all(this.ports.meters.map((meter) => meter.read()));
      this.say(undefined);
      return readings;
    } catch (error) {
      const why = error instanceof MeterUnreadable ? error.message : String(error);
      this.say(`${why}: the configured watts of ${this.ports.host} count`);
      return undefined;
    }
  }

  /** Each reason once, and once that it is over. */
  private say(problem: string | undefined): void {
    if (problem === this.said) return;
    if (problem) this.ports.log.warn(problem);
    else this.ports.log.log(`the power of ${this.ports.host} is measured again`);
    this.said = problem;
  }

  private async publish(): Promise<void> {
    const { host, worker, meters, publish, log } = this.ports;
    while (this.unpublished.length > 0) {
      const minute = this.unpublished[0]!;
      const from = new Date(minute.fromMs).toISOString();
      try {
        await publish(`${host}/${from}`, {
          host,
          worker,
          from,
          to: new Date(minute.fromMs + MINUTE_MS).toISOString(),
          coveredMs: minute.coveredMs,
          millijoules: minute.millijoules,
          meters: meters.map((meter) => meter.name),
          ...(minute.gpuUtilization === undefined ? {} : { gpuUtilization: minute.gpuUtilization }),
        });
      } catch {
        break;
      }
      this.unpublished.shift();
    }
    const given = this.unpublished.length - MOST_UNPUBLISHED;
    if (given <= 0) return;
    this.unpublished.splice(0, given);
    log.warn(`${given} minutes of measured power could not be published and are given up`);
  }
}
