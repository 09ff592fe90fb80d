import {
  INSTANCE_ID,
  orgOfBudget,
  PACED_PER_ANSWER,
  type PacedBudgetRow,
  type PacingReply,
  type PacingRequest,
} from '@meritorder/contracts';
import { pacingOverrides, pacingStates, setPacingOverride, storedBudgets } from '@meritorder/ledger-store';
import { enforced } from '../application/counted-budget.js';
import { isPinned, reasonOf } from '../application/pacing/decide-pacing.js';
import type { PacedBudget } from '../application/pacing/paced-budget.js';
import { BudgetChangeError } from '../application/operator-changes.js';
import type { BudgetPolicyRuntime } from '../budget-policy.runtime.js';

type Answer = Extract<PacingReply, { budgets: unknown }>;
type Change = Exclude<PacingRequest, { verb: 'list' }>;

const IN_FORCE_WITHIN_MS = 3_000;
const LOOK_EVERY_MS = 50;

/** What operators ask of pacing, answered from what is kept: any instance can, whoever paces. */
export class PacingDesk {
  constructor(private readonly policy: BudgetPolicyRuntime) {}

  /** A change is answered when it is in force. @throws BudgetChangeError with one line for people. */
  async carryOut(request: PacingRequest): Promise<Answer> {
    if (request.verb === 'list') return this.list(request);
    await this.assertPaced(request.budget);
    await setPacingOverride(this.policy.database, request.budget, wordOf(request));
    await this.policy.pacingChanged();
    return this.inForce(request.budget);
  }

  private async list({ org, after }: Extract<PacingRequest, { verb: 'list' }>): Promise<Answer> {
    const budgets: PacedBudgetRow[] = [];
    let from = after;
    for (;;) {
      const states = await this.rows({ after: from, limit: PACED_PER_ANSWER });
      for (const row of states.rows) {
        if (org !== undefined && row.org !== org) continue;
        if (budgets.length === PACED_PER_ANSWER) return { budgets, more: true };
        budgets.push(row);
      }
      if (states.last === undefined) return { budgets, more: false };
      from = states.last;
    }
  }

  private async rows(of: { budgets?: string[]; after?: string | undefined; limit: number }) {
    const { database } = this.policy;
    const states = (await pacingStates(database, of)).map((row) => row.state as PacedBudget);
    const stored = await storedBudgets(database, [...new Set(states.map((s) => s.template ?? s.budget))]);
    const rows = states.flatMap((state): PacedBudgetRow[] => {
      const found = stored.get(state.template ?? state.budget);
      if (!found || found.retired || state.windowId === null) return [];
      const { word } = state;
      return [
        {
          budget: state.budget,
          name: enforced(state, found.definition).name,
          org: orgOfBudget(found.definition),
          window: state.windowId,
          windowEnd: state.windowEnd,
          basis: found.definition.basis,
          pacing: found.definition.pacing ?? 'projected',
          limitNanos: state.limitNanos,
          spentNanos: state.spentNanos,
          unconstrained: state.unconstrained,
          withPacing: state.withPacing,
          stage: state.stage,
          shadowPrice: state.shown,
          spareRoomNanos: state.roomNanos,
          pinned: isPinned(word),
          paused: word?.paused ?? false,
          by: isPinned(word) || word?.paused ? word!.by : null,
          reason: reasonOf(state),
          changedAt: state.changedAtMs === null ? null : new Date(state.changedAtMs).toISOString(),
        },
      ];
    });
    return { rows, last: states.length === of.limit ? states.at(-1)!.budget : undefined };
  }

  private async assertPaced(budget: string): Promise<void> {
    const name = INSTANCE_ID.exec(budget)?.[1] ?? budget;
    const stored = (await storedBudgets(this.policy.database, [name])).get(name);
    if (!stored || stored.retired) throw new BudgetChangeError(`there is no budget "${budget}"`);
    if (stored.definition.per && name === budget)
      throw new BudgetChangeError(`budget "${budget}" is a template; name one of its instances`);
  }

  /** Whoever paces takes a word up within a tick. */
  private async inForce(budget: string): Promise<Answer> {
    const { database } = this.policy;
    const said = (await pacingOverrides(database)).get(budget);
    for (const untilMs = Date.now() + IN_FORCE_WITHIN_MS; Date.now() < untilMs;) {
      const [row] = await pacingStates(database, { budgets: [budget], limit: 1 });
      if ((row?.state as PacedBudget | undefined)?.word?.changedAt === said?.changedAt)
        return { budgets: (await this.rows({ budgets: [budget], limit: 1 })).rows, more: false };
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    throw new BudgetChangeError(`it is kept, but nobody has taken it up: "${budget}" has no traffic, or nobody paces`);
  }
}

function wordOf(request: Change): Parameters<typeof setPacingOverride>[2] {
  const { by, reason } = request;
  switch (request.verb) {
    case 'pin':
      return request.stage === undefined
        ? { shadowPrice: request.shadowPrice!, reason, by }
        : { stage: request.stage, reason, by };
    case 'unpin':
      return { stage: null, shadowPrice: null, reason, by };
    case 'pause':
      return { paused: true, reason, by };
    case 'resume':
      return { paused: false, reason, by };
  }
}
