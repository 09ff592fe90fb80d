import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DURABLES, STREAMS } from '@meritorder/contracts';
import { keepMeasuredEnergy, type MeasuredEnergy } from '@meritorder/ledger-store';
import { PoisonMessage, runConsumer, type Delivery, type RunningConsumer } from '@meritorder/messaging';
import { energyByHour } from '../application/hardware-energy.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

const MAX_BATCH = 200;

/** `hardware.measured`: what the meters of GPU hosts say, kept for the closing of their hours. */
@Injectable()
export class HardwareEnergyConsumer implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(HardwareEnergyConsumer.name);
  private consumer: RunningConsumer | undefined;

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  onApplicationBootstrap(): void {
    this.consumer = runConsumer(this.metering.bus, {
      stream: STREAMS.hardware.name,
      durable: DURABLES.metering,
      maxBatch: MAX_BATCH,
      handle: (batch) => this.handle(batch),
      onError: (error) => this.log.warn(`measured power: ${(error as Error).message}`),
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.consumer?.drain();
  }

  private async handle(batch: Delivery[]): Promise<void> {
    const rows: MeasuredEnergy[] = [];
    for (const delivery of batch) {
      try {
        const { id, data } = delivery.decode(['hardware.measured.v1']);
        rows.push(...energyByHour(id, data));
      } catch (error) {
        if (!(error instanceof PoisonMessage || error instanceof RangeError)) throw error;
        this.log.error(`message ${delivery.streamSequence} goes to the dead letters: ${error.message}`);
        await delivery.deadLetter(error.message);
      }
    }
    await keepMeasuredEnergy(this.metering.database, rows);
  }
}
