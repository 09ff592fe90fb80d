import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { BackendConfig, HostConfig } from '@meritorder/contracts';
import { EMPTY_FIT, observeSpeed, type ThroughputFit } from '@meritorder/hardware-core';
import {
  closeHostHour,
  keepPricedFit,
  learnSpeeds,
  openHour,
  publishedPrices,
  storedFits,
  type TimedAttempt,
} from '@meritorder/ledger-store';
import { RepeatingWork } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { hostHour, hoursToClose } from '../application/hardware-hour.js';
import { fitOf } from '../application/hardware-prices.js';
import { shouldReprice } from '../application/hardware-reprice.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

const LEARN_EVERY_MS = 2_000;
const REPRICE_EVERY_MS = 30_000;
const CLOSE_EVERY_MS = 15_000;
const BATCH = 500;

/** What metering does by itself for own hardware: learns how fast engines are, lets prices follow, closes hosts' hours. */
@Injectable()
export class HardwareWork implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(HardwareWork.name);
  private readonly work = new RepeatingWork((message) => this.log.warn(message));
  private readonly closed = meter().createCounter('meritorder_host_hours_closed', {
    description: "Hosts' hours closed in the books, by host and how their energy is known",
  });
  private readonly late = meter().createCounter('meritorder_host_late_attempts', {
    description: 'Attempts that were booked after their hour had been closed, by host',
  });

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  onApplicationBootstrap(): void {
    if (this.metering.config.hosts.length === 0) return;
    this.work.start('engine speeds', LEARN_EVERY_MS, () => this.learn());
    this.work.start('hardware prices', REPRICE_EVERY_MS, () => this.reprice());
    this.work.start('hours of hosts', CLOSE_EVERY_MS, () => this.close());
  }

  async onApplicationShutdown(): Promise<void> {
    await this.work.stop();
  }

  private backendsOf(host: HostConfig): BackendConfig[] {
    return this.metering.config.backends.filter((b) => b.host === host.id);
  }

  private async learn(): Promise<boolean> {
    let more = false;
    for (const backend of this.metering.config.hosts.flatMap((host) => this.backendsOf(host))) {
      const fold = (state: unknown, attempts: TimedAttempt[]): ThroughputFit =>
        attempts.reduce(
          (fit, attempt) => observeSpeed(fit, attempt, backend.throughput?.prefillCounts ?? 'uncached'),
          fitOf(state) ?? EMPTY_FIT,
        );
      more = (await learnSpeeds(this.metering.database, backend.id, BATCH, fold)) === BATCH || more;
    }
    return more;
  }

  private async reprice(): Promise<boolean> {
    const { config, database, prices } = this.metering;
    const fits = await storedFits(database);
    const published = await publishedPrices(database);
    let changed = false;
    for (const backend of config.backends) {
      const fit = fits.get(backend.id);
      const question = {
        backend,
        hosts: config.hosts,
        published: published.get(backend.id) ?? [],
        latest: fitOf(fit?.state),
        pricedAtMs: fit?.pricedAt?.getTime(),
        nowMs: Date.now(),
      };
      if (!shouldReprice(question)) continue;
      await keepPricedFit(database, backend.id, question.latest);
      this.log.log(`what ${backend.id} costs has moved: its prices are derived anew`);
      changed = true;
    }
    if (!changed) return false;
    await prices.retake();
    this.metering.pricesChanged();
    return false;
  }

  private async close(): Promise<boolean> {
    const { config, database } = this.metering;
    for (const host of config.hosts) {
      const open = await openHour(database, host.id);
      if (!open) continue;
      for (const hour of hoursToClose(open.getTime(), Date.now())) {
        if (this.work.stopped || !(await this.closeOne(host, hour))) break;
      }
    }
    return false;
  }

  /** @returns false when somebody else is at this host. */
  private async closeOne(host: HostConfig, hour: Date): Promise<boolean> {
    const { database } = this.metering;
    const stored = await storedFits(database);
    const fits = {
      priced: (backend: string) => fitOf(stored.get(backend)?.priced),
      latest: (backend: string) => fitOf(stored.get(backend)?.state),
    };
    const backends = this.backendsOf(host);
    const done = await closeHostHour(database, host.id, hour, (facts) => hostHour(host, backends, fits, facts));
    if (!done) return false;
    const { facts, closed } = done;
    this.closed.add(1, { host: host.id, energy: closed.energyBasis });
    this.late.add(
      facts.usage.reduce((sum, u) => sum + u.lateAttempts, 0),
      { host: host.id },
    );
    if (facts.lateMeasuredMs > 0)
      this.log.warn(
        `${host.id}: ${Math.round(facts.lateMeasuredMs / 1_000)} s of measured power came after their hours had been closed as configured`,
      );
    return true;
  }
}
