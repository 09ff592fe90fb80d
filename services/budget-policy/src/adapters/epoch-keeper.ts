import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { newId } from '@meritorder/kernel';
import { announceEpoch } from '@meritorder/messaging';
import {
  acquireLease,
  bookExpired,
  latestEpoch,
  nextEpoch,
  rebuildSnapshot,
  releaseLease,
} from '@meritorder/ledger-store';
import { meter } from '@meritorder/telemetry';
import { rebuildCounters } from '../application/rebuild-counters.js';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';
import { lastUsageSequence, meteringFloor } from './usage-floor.js';

const EVERY_MS = 200;
const LEASE_MS = 4_000;

/** Watches the epoch of the counters and rebuilds them when it is gone; expires holds that were never opened. */
@Injectable()
export class EpochKeeper implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(EpochKeeper.name);
  private readonly holder = newId();
  private stopped = false;
  private loop: Promise<void> | undefined;
  private readonly rebuilds = meter().createCounter('meritorder_counter_rebuilds', {
    description: 'Times the budget counters were rebuilt',
  });
  private readonly expired = meter().createCounter('meritorder_holds_expired', {
    description: 'Holds that ended with their lease, never opened',
  });

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  onApplicationBootstrap(): void {
    this.loop = this.run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    await this.loop;
    await releaseLease(this.policy.database, 'epoch', this.holder).catch(() => {});
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      try {
        await this.tick();
      } catch (error) {
        this.log.warn(`counters: ${(error as Error).message}`);
      }
      await new Promise((r) => setTimeout(r, EVERY_MS));
    }
  }

  private async tick(): Promise<void> {
    const { counters, database } = this.policy;
    if (!(await acquireLease(database, 'epoch', this.holder, LEASE_MS))) return;
    const newest = await latestEpoch(database);
    const { epoch, runId } = await counters.refreshEpoch();
    if (epoch?.state === 'open' && epoch.runId === runId && epoch.id === newest) {
      const ended = await counters.expireDue();
      if (ended.length === 0) return;
      // They can never be opened any more, so the books must not take them for attempts in flight.
      await bookExpired(database, ended);
      await counters.forgetLeases(ended);
      this.expired.add(ended.length);
      return;
    }
    const reason = !epoch
      ? 'the counters are empty'
      : epoch.runId !== runId
        ? 'another Redis answers'
        : epoch.id !== newest
          ? `Redis is in epoch ${epoch.id}, the books are in ${newest}`
          : `the epoch is ${epoch.state}`;
    await this.rebuild(reason);
  }

  private async rebuild(reason: string): Promise<void> {
    const { counters, database, bus } = this.policy;
    const started = Date.now();
    this.log.warn(`${reason}: admission is closed, the counters are rebuilt`);
    const rebuilt = await rebuildCounters(
      {
        closeEpoch: () => counters.closeEpoch(),
        lastUsageSequence: () => lastUsageSequence(bus),
        meteringFloor: () => meteringFloor(bus),
        nextEpoch: (why) => nextEpoch(database, why, counters.newestEpoch()),
        announceEpoch: (id) => announceEpoch(bus, id),
        beginEpoch: (id) => counters.beginEpoch(id),
        snapshot: () => rebuildSnapshot(database),
        loadWindows: (id, windows) => counters.loadWindows(id, windows),
        loadHolds: (id, holds) => counters.loadHolds(id, holds),
        openEpoch: (id, windows) => counters.openEpoch(id, windows),
        dropOldEpochs: (id) => counters.dropOldEpochs(id),
        pause: async () => {
          if (this.stopped || !(await acquireLease(database, 'epoch', this.holder, LEASE_MS)))
            throw new Error('the lease was lost');
          await new Promise((r) => setTimeout(r, 50));
        },
      },
      reason,
    );
    if (!rebuilt) return this.log.warn('the rebuild was overtaken; trying again');
    this.rebuilds.add(1);
    this.log.log(
      `epoch ${rebuilt.epochId} is open after ${Date.now() - started} ms: ${rebuilt.windows} windows, ${rebuilt.holds} attempts in flight or unconfirmed`,
    );
  }
}
