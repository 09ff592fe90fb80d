import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { budgetStateEventId, DURABLES, STREAMS, subjects } from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import {
  acquireLease,
  loadPacing,
  pacingOverrides,
  prunePacing,
  releaseLease,
  savePacing,
  windowTotals,
  type OutboxRow,
} from '@meritorder/ledger-store';
import { PoisonMessage, runConsumer, type Delivery, type RunningConsumer } from '@meritorder/messaging';
import { Repeating } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { policyOf, type PacingEvent } from '../application/pacing/decide-pacing.js';
import type { PacedBudget, SeenAttempt, Word } from '../application/pacing/paced-budget.js';
import {
  ATTEMPT_KEPT_MS,
  firstHourKept,
  MOST_ATTEMPTS,
  MOST_PACED,
  PacingBook,
} from '../application/pacing/pacing-book.js';
import { PacingRound } from '../application/pacing/pacing-round.js';
import { decisionFact, usageFact, type LoggedDecision, type TrafficFact } from '../application/pacing/traffic-facts.js';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';
import { PacedDefinitions } from './paced-definitions.js';
import { PolicyBucket } from './policy-bucket.nats.js';

const LEASE = 'pacing';
const LEASE_MS = 4_000;
const RENEW_EVERY_MS = 1_000;
/** Twice a second, so that what an operator says to another instance is in force within one. */
const EVERY_MS = 500;
const BATCH = 500;
/** Batches that wait for a tick: as many facts as the stream hands out unacknowledged. */
const BATCHES_IN_HAND = 40;
const KEEP_LOG_EVERY_MS = 60_000;

interface Arrived {
  facts: TrafficFact[];
  kept(): void;
  lost(error: Error): void;
}

/** What one holder of the lease has: a book, and the consumer that fills it. */
interface Term {
  fence: bigint;
  book: PacingBook;
  round: PacingRound;
  consumer: RunningConsumer;
  arrived: Arrived[];
  ended: boolean;
  logKeptAtMs: number;
}

/**
 * Paces budgets: one instance counts decisions and charges, ticks prices and projections, and tells routers. Facts are acknowledged
 * when what followed from them is in Postgres, and known again by their identity: a kill loses nothing and counts nothing twice.
 */
@Injectable()
export class PacingKeeper implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(PacingKeeper.name);
  private readonly holder = newId();
  private readonly repeating = new Repeating(EVERY_MS, () => this.tick());
  private readonly definitions: PacedDefinitions;
  private term: Term | undefined;
  private last: Promise<void> = Promise.resolve();
  private readonly changes = meter().createCounter('meritorder_policy_changes', {
    description: 'Shadow prices and projections that changed, by what changed and why',
  });

  constructor(
    @Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime,
    @Inject(PolicyBucket) private readonly bucket: PolicyBucket,
  ) {
    this.definitions = new PacedDefinitions(policy.database);
  }

  onApplicationBootstrap(): void {
    this.policy.pacingChanged = () => this.tick();
    this.repeating.start((error) => {
      this.policy.went('pacing', error);
      if (error) this.log.warn(error.message);
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.repeating.stop();
    await this.last.catch(() => {});
    await this.endTerm(new Error('stopping'));
    await releaseLease(this.policy.database, LEASE, this.holder).catch(() => {});
  }

  /** One after the other, whoever asks. */
  tick(nowMs?: number): Promise<void> {
    const next = this.last.catch(() => {}).then(() => this.lead(nowMs ?? Date.now()));
    this.last = next;
    return next;
  }

  private async lead(nowMs: number): Promise<void> {
    const { database } = this.policy;
    const lease = await acquireLease(database, LEASE, this.holder, LEASE_MS);
    if (!lease) return this.endTerm(new Error('another instance paces'));
    // Reading 90 days of a thousand budgets takes longer than the lease.
    const renewal = setInterval(() => {
      acquireLease(database, LEASE, this.holder, LEASE_MS).catch(() => {});
    }, RENEW_EVERY_MS);
    try {
      if (this.term?.fence !== lease.fence) {
        await this.endTerm(new Error('the lease was lost'));
        this.term = await this.beginTerm(lease.fence, nowMs);
      }
      await this.step(this.term!, nowMs);
    } catch (error) {
      // What is in memory may not be what is kept: the next tick reads it again.
      await this.endTerm(error as Error);
      throw error;
    } finally {
      clearInterval(renewal);
    }
  }

  private async beginTerm(fence: bigint, nowMs: number): Promise<Term> {
    const { bus, database } = this.policy;
    const kept = await loadPacing(database, {
      budgets: MOST_PACED,
      attempts: MOST_ATTEMPTS,
      sinceHour: firstHourKept(nowMs),
    });
    const book = new PacingBook({
      budgets: kept.budgets.map((row) => row.state as PacedBudget),
      hours: kept.hours,
      attempts: kept.attempts.map(({ id, state }) => ({ id, state: state as SeenAttempt })),
      log: kept.log as LoggedDecision[],
    });
    const term: Term = {
      fence,
      book,
      round: new PacingRound(book),
      arrived: [],
      ended: false,
      logKeptAtMs: nowMs,
      consumer: runConsumer(bus, {
        stream: STREAMS.events.name,
        durable: DURABLES.pacing,
        maxBatch: BATCH,
        concurrency: BATCHES_IN_HAND,
        handle: (batch) => this.take(term, batch),
        onError: (error) => {
          if (!term.ended) this.log.warn(`decisions and charges: ${(error as Error).message}`);
        },
      }),
    };
    this.log.log(`pacing ${book.budgets.size} budgets`);
    return term;
  }

  private async endTerm(why: Error): Promise<void> {
    const { term } = this;
    if (!term) return;
    this.term = undefined;
    term.ended = true;
    for (const { lost } of term.arrived.splice(0)) lost(why);
    await term.consumer.drain();
  }

  /** Waits until what follows from the batch is kept. */
  private async take(term: Term, batch: Delivery[]): Promise<void> {
    const facts: TrafficFact[] = [];
    for (const delivery of batch) {
      try {
        facts.push(...factsOf(delivery));
      } catch (error) {
        if (!(error instanceof PoisonMessage)) throw error;
        await delivery.deadLetter(error.message);
      }
    }
    if (facts.length === 0) return;
    if (term.ended) throw new Error('another instance paces');
    await new Promise<void>((kept, lost) => term.arrived.push({ facts, kept, lost }));
  }

  private async step(term: Term, nowMs: number): Promise<void> {
    const { database, counters } = this.policy;
    const { book, round } = term;
    const arrived = term.arrived.splice(0);
    try {
      const facts = arrived.flatMap((one) => one.facts);
      const words = await pacingOverrides(database);
      const ids = round.concerned(facts, [...words.keys()]);
      const definitions = await this.definitions.of(ids, nowMs);
      const keys = round.count(facts, definitions, nowMs);
      const totals = new Map((await windowTotals(database, keys)).map((total) => [total.budget, total]));
      const held = await counters.inspectWindows(keys.filter((key) => book.budgets.get(key.budget)?.inForce));
      const events = round.decide({
        definitions,
        totals,
        reserved: new Map(held.map((window) => [window.budget, window.reservedNanos])),
        words: words as ReadonlyMap<string, Word>,
        nowMs,
      });
      const forgotten = book.prune(nowMs, new Set(words.keys()));
      await this.keep(term, events, nowMs);
      for (const one of arrived) one.kept();
      await this.tell(book, round, forgotten);
      for (const event of events) this.say(event);
    } catch (error) {
      for (const one of arrived) one.lost(error as Error);
      throw error;
    }
  }

  private async keep(term: Term, events: readonly PacingEvent[], nowMs: number): Promise<void> {
    const { database } = this.policy;
    const changes = term.book.takeChanges();
    const keepLog = nowMs - term.logKeptAtMs >= KEEP_LOG_EVERY_MS;
    const nothing =
      Object.values(changes).every((list: readonly unknown[]) => list.length === 0) && events.length === 0 && !keepLog;
    if (nothing) return;
    await savePacing(
      database,
      { name: LEASE, holder: this.holder, fence: term.fence },
      {
        ...changes,
        budgets: changes.budgets.map((state) => ({ id: state.budget, state })),
        ...(keepLog ? { log: term.book.logToKeep() } : {}),
        events: events.map(outboxRow),
      },
    );
    if (!keepLog) return;
    term.logKeptAtMs = nowMs;
    await prunePacing(database, firstHourKept(nowMs), nowMs - ATTEMPT_KEPT_MS);
  }

  /** Also what somebody else overwrote, or an instance that died had kept and not told. */
  private async tell(book: PacingBook, round: PacingRound, forgotten: readonly string[]): Promise<void> {
    const told = [...book.budgets.values()].filter((state) => round.isDecided(state));
    await Promise.all(told.map((state) => this.bucket.put(policyOf(state))));
    const known = new Set(told.map((state) => state.budget));
    for (const budget of [...forgotten, ...this.bucket.budgets()])
      if (!known.has(budget)) await this.bucket.remove(budget);
  }

  private say({ kind, event }: PacingEvent): void {
    this.changes.add(1, { kind, why: event.why });
    this.log.log(`${event.budget} ${event.window}: ${event.reason}`);
  }
}

/** What else the consumer's filter matches says nothing of pacing. @throws PoisonMessage */
function factsOf(delivery: Delivery): TrafficFact[] {
  if (delivery.subject.startsWith('metering.usage-rated.v1.'))
    return [usageFact(delivery.decode(['metering.usage-rated.v1']).data)];
  if (!delivery.subject.startsWith('routing.decision-made.v1.')) return [];
  const fact = decisionFact(delivery.decode(['routing.decision-made.v1']).data);
  return fact ? [fact] : [];
}

function outboxRow({ kind, event }: PacingEvent): OutboxRow {
  const of = kind === 'forecast' ? subjects.budgetForecastChanged : subjects.policyShadowPriceChanged;
  return {
    type: kind === 'forecast' ? 'budget.forecast-changed.v1' : 'policy.shadow-price-changed.v1',
    subject: of(event.org, event.budget),
    messageId: budgetStateEventId(kind, event),
    body: event,
    occurredAt: event.changedAt,
  };
}
