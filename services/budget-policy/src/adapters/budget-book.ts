import {
  BUDGETS_PER_ANSWER,
  INSTANCE_ID,
  selectorNames,
  type BudgetDefinition,
  type BudgetRow,
  type BudgetsReply,
  type BudgetsRequest,
  type BudgetWindowRow,
  type MeritorderConfig,
  type SelectorNames,
} from '@meritorder/contracts';
import { budgetOfAllocation, budgetOfConfig, limitIn } from '@meritorder/budget-core';
import type { Counters } from '@meritorder/counters';
import { canonicalJson, nanosToUsd } from '@meritorder/kernel';
import {
  budgetIdsInForce,
  budgetsChangedWithin,
  changeBudgets,
  definitionsSince,
  instanceOf,
  instanceTotals,
  listBudgets,
  selectorShapes,
  storedBudgets,
  windowTotals,
  type BudgetWrite,
  type StoredBudget,
  type WindowTotal,
} from '@meritorder/ledger-store';
import type { DataSource } from 'typeorm';
import { enforced, type Subject } from '../application/counted-budget.js';
import {
  BudgetChangeError,
  planException,
  planRemoval,
  planSet,
  type KnownNames,
} from '../application/operator-changes.js';
import { planConfiguration } from '../application/plan-budgets.js';
import { windowNow, windowRow } from '../application/window-rows.js';
import type { BudgetBucket } from './budget-bucket.nats.js';

type Answer = Extract<BudgetsReply, { budgets: unknown }>;
type ChangeRequest = Extract<BudgetsRequest, { by: string }>;

const INSTANCES_SHOWN = 100;
const AT_ONCE = 200;
const MOST_INSTANCES = 1_000_000;
/** Longer than a transaction may take, so that one that was slow to commit is not missed. */
const RECENTLY_MS = 120_000;

/** Budgets in Postgres, and what follows from a change: routers and counters know of it before it is answered. */
export class BudgetBook {
  private readonly selectors: SelectorNames;

  constructor(
    private readonly database: DataSource,
    private readonly counters: Counters,
    private readonly bucket: BudgetBucket,
    private readonly config: MeritorderConfig,
  ) {
    this.selectors = selectorNames(config);
  }

  /** Takes in what the configuration says that it did not say before, and shows routers all that is in force. */
  async start(): Promise<void> {
    const allocations = this.config.accounts.flatMap((account) => budgetOfAllocation(account) ?? []);
    const wanted = [...this.config.budgets.map(budgetOfConfig), ...allocations];
    await this.spread(await changeBudgets(this.database, 'all', (stored) => planConfiguration(stored, wanted)));
    let after: string | undefined;
    do {
      const page = await listBudgets(this.database, { after, limit: BUDGETS_PER_ANSWER });
      await inParallel(page, ({ definition }) => this.bucket.put(definition));
      after = page.length === BUDGETS_PER_ANSWER ? page.at(-1)!.definition.id : undefined;
    } while (after !== undefined);
    await this.publish();
  }

  /** What routers see is what is in force, also after somebody emptied the bucket or another instance died half-way. */
  async publish(): Promise<void> {
    // The bucket first: what is not in force later is not either.
    const shown = this.bucket.ids();
    const inForce = await budgetIdsInForce(this.database);
    const recent = await budgetsChangedWithin(this.database, RECENTLY_MS);
    const known = new Set(shown);
    const missing = await storedBudgets(
      this.database,
      inForce.filter((id) => !known.has(id)),
    );
    await inParallel(
      [...recent, ...missing.values()].filter((stored) => !stored.retired),
      ({ definition }) => this.bucket.put(definition),
    );
    const force = new Set(inForce);
    for (const id of shown) if (!force.has(id)) await this.bucket.remove(id);
    await this.bucket.count(inForce.length);
  }

  /** @throws BudgetChangeError with one line for people. */
  async carryOut(request: BudgetsRequest): Promise<Answer> {
    switch (request.verb) {
      case 'list': {
        const rows = await listBudgets(this.database, { ...request, limit: BUDGETS_PER_ANSWER + 1 });
        const budgets = rows.slice(0, BUDGETS_PER_ANSWER).map(budgetRow);
        return { budgets, windows: [], more: rows.length > BUDGETS_PER_ANSWER, notes: [] };
      }
      case 'show':
        return this.show(request.id);
      case 'set':
        return this.change(request, (stored, names) => [
          planSet(stored, request.id, request.change, request.by, names),
        ]);
      case 'except':
        return this.change(request, (stored, names) => [
          planException(stored, request.id, request.values, request.limitUsd, request.by, names),
        ]);
      case 'remove':
        await this.apply(request.id, (stored) => [planRemoval(stored, request.id, request.by)]);
        return { budgets: [], windows: [], more: false, notes: [`${request.id} is in force no more`] };
    }
  }

  /** Writes a change, and tells routers and counters before anybody is told that it was made. */
  async apply(id: string, plan: (stored: ReadonlyMap<string, StoredBudget>) => BudgetWrite[]): Promise<void> {
    await this.spread(await changeBudgets(this.database, { id }, plan));
  }

  private async change(
    request: ChangeRequest,
    plan: (stored: ReadonlyMap<string, StoredBudget>, names: KnownNames) => BudgetWrite[],
  ): Promise<Answer> {
    const names = { selectors: this.selectors, shapes: new Set(await this.shapesBeside(request)) };
    await this.apply(request.id, (stored) => plan(stored, names));
    const answer = await this.show(request.id);
    return { ...answer, notes: [...answer.notes, ...answer.windows.flatMap(loweredNote)] };
  }

  /** Read only where a change may add to them. */
  private async shapesBeside(request: ChangeRequest): Promise<string[]> {
    if (request.verb !== 'set' || !(request.change.selector || request.change.per)) return [];
    const known = (await storedBudgets(this.database, [request.id])).get(request.id);
    const selector = request.change.selector ?? known?.definition.selector;
    return selectorShapes(this.database, selector?.org, request.id);
  }

  private async spread(writes: readonly BudgetWrite[]): Promise<void> {
    await inParallel(writes, ({ definition, retired }) =>
      retired ? this.bucket.remove(definition.id) : this.bucket.put(definition),
    );
    await inParallel(
      writes.filter((w) => !w.retired),
      ({ definition }) => this.tellCounters(definition),
    );
  }

  /** A limit acts in windows that are in use without waiting for a router that has heard of it. */
  private async tellCounters(definition: BudgetDefinition): Promise<void> {
    const nowMs = Date.now();
    const window = windowNow({ definition }, nowMs).id;
    const subjects: Subject[] = definition.per
      ? await this.instances(definition, MOST_INSTANCES)
      : [{ budget: definition.id, template: null, values: null }];
    await inParallel(subjects, (subject) => {
      const { limitNanos, version } = limitIn(enforced(subject, definition).definition, window);
      return this.counters.changeLimit({ budget: subject.budget, window, limitNanos, limitVersion: version });
    });
  }

  /** All that was booked on instances of a template in the window that counts now. */
  instanceTotals(definition: BudgetDefinition, limit = MOST_INSTANCES): Promise<WindowTotal[]> {
    return instanceTotals(this.database, definition.id, windowNow({ definition }, Date.now()).id, limit);
  }

  private async instances(definition: BudgetDefinition, limit: number): Promise<Subject[]> {
    return (await this.instanceTotals(definition, limit)).map(({ budget, template, values }) => ({
      budget,
      template,
      values,
    }));
  }

  /** A budget, or the instances of a template, in the window that counts now; nothing of what is in force no more. */
  async windowsOf(id: string): Promise<BudgetWindowRow[]> {
    try {
      return (await this.show(id)).windows;
    } catch (error) {
      if (error instanceof BudgetChangeError) return [];
      throw error;
    }
  }

  private async show(id: string): Promise<Answer> {
    const template = INSTANCE_ID.exec(id)?.[1];
    const stored = (await storedBudgets(this.database, [id, ...(template ? [template] : [])])).values().next().value;
    if (!stored || stored.retired) throw new BudgetChangeError(`there is no budget "${id}"`);
    const nowMs = Date.now();
    const window = windowNow(stored, nowMs);
    const subjects = await this.subjectsOf(id, stored);
    const keys = subjects.map((s) => ({ budget: s.budget, window: window.id }));
    const totals = new Map((await windowTotals(this.database, keys)).map((t) => [t.budget, t]));
    const open = this.counters.openEpochId() !== undefined;
    const held = new Map((await this.counters.inspectWindows(keys)).map((w) => [w.budget, w.reservedNanos]));
    const definitions = (await definitionsSince(this.database, stored.definition.id, window.startMs)).map(
      (d) => d.definition,
    );
    const windows = subjects.map((subject) =>
      windowRow(
        subject,
        stored,
        {
          total: totals.get(subject.budget),
          heldNanos: open ? (held.get(subject.budget) ?? 0n) : undefined,
          definitions,
        },
        nowMs,
      ),
    );
    const notes =
      stored.definition.per && subjects.length === INSTANCES_SHOWN
        ? [`the ${INSTANCES_SHOWN} instances that spent most`]
        : [];
    return { budgets: [budgetRow(stored)], windows, more: false, notes };
  }

  private async subjectsOf(id: string, stored: StoredBudget): Promise<Subject[]> {
    const { definition } = stored;
    if (!definition.per) return [{ budget: id, template: null, values: null }];
    if (id === definition.id) return this.instances(definition, INSTANCES_SHOWN);
    const known = await instanceOf(this.database, id);
    if (!known) throw new BudgetChangeError(`nobody has used "${id}" yet`);
    return [{ budget: id, template: known.template, values: known.values }];
  }
}

/** As many at once as one connection carries well. */
async function inParallel<T>(items: readonly T[], run: (item: T) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < items.length; i += AT_ONCE) await Promise.all(items.slice(i, i + AT_ONCE).map(run));
}

function budgetRow({ definition, origin, configured, changedBy, changedAt }: StoredBudget): BudgetRow {
  const { limitVersion: _version, carry: _carry, ...said } = definition;
  const configurationDiffers = configured !== null && canonicalJson(configured) !== canonicalJson(said);
  return { definition, origin, configurationDiffers, changedBy, changedAt };
}

function loweredNote(row: BudgetWindowRow): string[] {
  const lowered = BigInt(row.above.loweredNanos);
  return lowered > 0n
    ? [
        `${row.budget}: $${nanosToUsd(lowered)} more than the limit was spent in ${row.window} before; nothing more is admitted`,
      ]
    : [];
}
