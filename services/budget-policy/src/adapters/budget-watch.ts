import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DURABLES, STREAMS } from '@meritorder/contracts';
import {
  actingStates,
  liveWindowTotals,
  recordCrossings,
  recordStates,
  storedBudgets,
  windowsChangedWithin,
  windowTotals,
  type BudgetTransition,
  type WindowTotal,
} from '@meritorder/ledger-store';
import { PoisonMessage, runConsumer, type Delivery, type RunningConsumer } from '@meritorder/messaging';
import { Repeating } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import type { Subject } from '../application/counted-budget.js';
import { decideState } from '../application/decide-states.js';
import { decideThresholds } from '../application/decide-thresholds.js';
import { windowNow } from '../application/window-rows.js';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';

const SWEEP_EVERY_MS = 5_000;
/** Longer than a transaction may take, so that one that was slow to commit is not missed. */
const RECENTLY_MS = 120_000;
const BATCH = 500;

/**
 * Thresholds and stages from committed totals. Rated usage says which windows to look at; a look at all of them at the start, and
 * at the recent ones every few seconds, catches up with whatever was missed. Events leave through the outbox.
 */
@Injectable()
export class BudgetWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(BudgetWatch.name);
  private consumer: RunningConsumer | undefined;
  private sweep: Repeating | undefined;
  private readonly transitions = meter().createCounter('meritorder_budget_transitions', {
    description: 'Stages entered and left, budgets exhausted and recovered',
  });

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  async onApplicationBootstrap(): Promise<void> {
    const { book, database } = this.policy;
    this.policy.budgetsChanged = (ids) => this.decideBudgets(ids);
    // What was committed while nobody looked is measured by what was in force then, before the configuration changes it.
    await this.decide(await liveWindowTotals(database));
    await book.start();
    this.consumer = runConsumer(this.policy.bus, {
      stream: STREAMS.events.name,
      durable: DURABLES.budgetPolicy,
      maxBatch: BATCH,
      handle: (batch) => this.handle(batch),
      onError: (error) => this.log.warn(`rated usage: ${(error as Error).message}`),
    });
    let first = true;
    this.sweep = new Repeating(SWEEP_EVERY_MS, async () => {
      await this.decide(first ? await liveWindowTotals(database) : await windowsChangedWithin(database, RECENTLY_MS));
      first = false;
      // What acts is relaxed when its window is over, also when nobody asks any more.
      await this.decideStates(await actingStates(database));
      await book.publish();
    });
    this.sweep.start((error) => {
      this.policy.went('deciding thresholds and stages', error);
      if (error) this.log.warn(`sweep: ${error.message}`);
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.consumer?.drain();
    await this.sweep?.stop();
  }

  private async handle(batch: Delivery[]): Promise<void> {
    const touched = new Map<string, { budget: string; window: string }>();
    for (const delivery of batch) {
      try {
        const { data } = delivery.decode(['metering.usage-rated.v1']);
        for (const { budget, window } of data.windows) touched.set(`${budget} ${window}`, { budget, window });
      } catch (error) {
        if (!(error instanceof PoisonMessage)) throw error;
        await delivery.deadLetter(error.message);
      }
    }
    if (touched.size > 0) await this.decide(await windowTotals(this.policy.database, [...touched.values()]));
  }

  /** Budgets whose definition was changed: what is spent is measured anew. */
  private async decideBudgets(ids: readonly string[]): Promise<void> {
    const { database } = this.policy;
    const stored = await storedBudgets(database, ids);
    const plain = [...stored.values()].filter((s) => !s.definition.per);
    const totals = await windowTotals(
      database,
      plain.map((s) => ({ budget: s.definition.id, window: windowNow(s, Date.now()).id })),
    );
    await recordCrossings(database, decideThresholds(stored, totals, Date.now()));
    await this.decideStates(plain.map((s) => ({ budget: s.definition.id, template: null, values: null })));
    for (const template of stored.values()) {
      if (template.definition.per) await this.decide(await this.policy.book.instanceTotals(template.definition));
    }
  }

  private async decide(totals: readonly WindowTotal[]): Promise<void> {
    const { database } = this.policy;
    for (let i = 0; i < totals.length; i += BATCH) {
      const chunk = totals.slice(i, i + BATCH);
      const budgets = await storedBudgets(database, [...new Set(chunk.map((t) => t.template ?? t.budget))]);
      await recordCrossings(database, decideThresholds(budgets, chunk, Date.now()));
      await this.decideStates(chunk);
    }
  }

  private async decideStates(subjects: readonly Subject[]): Promise<void> {
    const distinct = [...new Map(subjects.map((s) => [s.budget, s])).values()];
    for (let i = 0; i < distinct.length; i += BATCH) {
      const chunk = distinct.slice(i, i + BATCH);
      const nowMs = Date.now();
      const transitions = await recordStates(this.policy.database, chunk, {
        windowOf: (stored) => windowNow(stored, nowMs).id,
        decide: (subject, stored, known, total) => decideState(subject, stored, known, total, nowMs),
      });
      for (const transition of transitions) this.say(transition);
    }
  }

  private say(transition: BudgetTransition): void {
    const { budget, window, spentUsd, limitUsd } = transition.event;
    const what =
      transition.kind === 'stage'
        ? `${transition.event.direction} from ${transition.event.from} to ${transition.event.to}`
        : transition.kind;
    this.log.log(`${budget} ${window}: ${what} at $${spentUsd} of $${limitUsd}`);
    this.transitions.add(1, { kind: transition.kind });
  }
}
