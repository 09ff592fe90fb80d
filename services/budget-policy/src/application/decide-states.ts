import type { BudgetRecoveredV1, PolicyStageChangedV1 } from '@meritorder/contracts';
import { STAGE_ACTIONS } from '@meritorder/contracts';
import { stageAt, windowAt, type StageInForce } from '@meritorder/budget-core';
import type { BudgetState, BudgetTransition, DecidedState, StoredBudget } from '@meritorder/ledger-store';
import { describe, enforced, NOTHING_SPENT, type Spent, type Subject } from './counted-budget.js';

const NONE: StageInForce = { action: 'none', at: null, requestsPerMinute: null };

/**
 * What is in force of a budget by what is committed in the window that counts now, and the transitions that lead there from what
 * was known. Undefined: nothing to write. An older definition or window than what is known decides nothing: another instance, or
 * one whose clock is ahead, has seen more.
 */
export function decideState(
  subject: Subject,
  stored: StoredBudget,
  known: BudgetState | undefined,
  total: Spent | undefined,
  nowMs: number,
): DecidedState | undefined {
  const { definition } = enforced(subject, stored.definition);
  const window = windowAt(definition.window, definition.timeZone, nowMs);
  if (known && isOlder(known, definition.limitVersion, window.id)) return undefined;
  const spent = total ?? NOTHING_SPENT;
  const said = describe(subject, stored, window, spent);
  const limitNanos = BigInt(said.limitNanos);
  const spentNanos = spent.settledNanos + spent.unconfirmedNanos;
  const stage = stored.retired ? NONE : stageAt(definition, spentNanos, limitNanos);
  const exhausted = !stored.retired && spentNanos >= limitNanos;
  const next: Next = {
    stage,
    exhausted,
    windowId: window.id,
    limitNanos,
    limitVersion: definition.limitVersion,
    removed: stored.retired,
  };
  const transitions = number(
    [...stageChange(known, next), ...exhaustion(known, next)].map((change) => complete(change, said, nowMs)),
    known?.sequence ?? 0,
  );
  if (transitions.length === 0 && !(known && isActing(known) && isElsewhere(known, next))) return undefined;
  const state: BudgetState = {
    budget: subject.budget,
    template: subject.template,
    values: subject.values,
    window: window.id,
    limitVersion: definition.limitVersion,
    limitNanos,
    spentNanos,
    stage: stage.action,
    at: stage.at,
    requestsPerMinute: stage.requestsPerMinute,
    exhausted,
    sequence: (known?.sequence ?? 0) + transitions.length,
  };
  return { state, transitions };
}

interface Next {
  stage: StageInForce;
  exhausted: boolean;
  windowId: string;
  limitNanos: bigint;
  limitVersion: number;
  /** The budget is in force no more. */
  removed: boolean;
}

type Change =
  | { kind: 'stage'; from: BudgetState['stage']; to: StageInForce; direction: 'tightened' | 'relaxed'; why: Why }
  | { kind: 'exhausted' }
  | { kind: 'recovered'; why: BudgetRecoveredV1['why'] };
type Why = PolicyStageChangedV1['why'];

function stageChange(known: BudgetState | undefined, { stage, ...next }: Next): Change[] {
  const from = known?.stage ?? 'none';
  // A stage that begins at another share is the same stage; a throttle at another rate is not.
  if (from === stage.action && (known?.requestsPerMinute ?? null) === stage.requestsPerMinute) return [];
  const strictness =
    rank(stage.action) - rank(from) || slower(stage.requestsPerMinute, known?.requestsPerMinute ?? null);
  const direction = strictness > 0 ? 'tightened' : 'relaxed';
  return [{ kind: 'stage', from, to: stage, direction, why: why(known, { stage, ...next }, direction) }];
}

function exhaustion(known: BudgetState | undefined, next: Next): Change[] {
  if (!known?.exhausted) return next.exhausted ? [{ kind: 'exhausted' }] : [];
  const moved = known.window !== next.windowId;
  if (next.exhausted && !moved) return [];
  const changed = next.removed || known.limitNanos !== next.limitNanos || known.limitVersion !== next.limitVersion;
  const recovered: Change = { kind: 'recovered', why: moved ? 'window' : changed ? 'limit' : 'correction' };
  // A window that was spent too, before anybody looked, is one more of them.
  return next.exhausted ? [recovered, { kind: 'exhausted' }] : [recovered];
}

function why(known: BudgetState | undefined, next: Next, direction: 'tightened' | 'relaxed'): Why {
  if (known && known.window !== next.windowId) return direction === 'relaxed' ? 'window' : 'spend';
  if (known && known.limitNanos !== next.limitNanos) return 'limit';
  if (known && (next.removed || known.limitVersion !== next.limitVersion)) return 'definition';
  return direction === 'relaxed' ? 'correction' : 'spend';
}

function complete(change: Change, said: ReturnType<typeof describe>, nowMs: number): BudgetTransition {
  const at = new Date(nowMs).toISOString();
  const event = { ...said, sequence: 1 };
  switch (change.kind) {
    case 'exhausted':
      return { kind: 'exhausted', event: { ...event, exhaustedAt: at } };
    case 'recovered':
      return { kind: 'recovered', event: { ...event, why: change.why, recoveredAt: at } };
    case 'stage': {
      const { from, to, direction } = change;
      const { requestsPerMinute } = to;
      return {
        kind: 'stage',
        event: {
          ...event,
          from,
          to: to.action,
          at: to.at,
          requestsPerMinute,
          direction,
          why: change.why,
          changedAt: at,
        },
      };
    }
  }
}

function number(transitions: readonly BudgetTransition[], after: number): BudgetTransition[] {
  return transitions.map(
    (transition, i) => ({ ...transition, event: { ...transition.event, sequence: after + i + 1 } }) as BudgetTransition,
  );
}

function isOlder(known: BudgetState, limitVersion: number, windowId: string): boolean {
  return known.limitVersion > limitVersion || (known.limitVersion === limitVersion && known.window > windowId);
}

/** Whether it does something to requests, or says that it does. */
function isActing(known: BudgetState): boolean {
  return known.stage !== 'none' || known.exhausted;
}

function isElsewhere(known: BudgetState, next: Next): boolean {
  return (
    known.window !== next.windowId || known.limitNanos !== next.limitNanos || known.limitVersion !== next.limitVersion
  );
}

function rank(action: BudgetState['stage']): number {
  return action === 'none' ? -1 : STAGE_ACTIONS.indexOf(action);
}

/** Above zero when fewer requests are admitted than before. */
function slower(now: number | null, before: number | null): number {
  return (before ?? Number.MAX_SAFE_INTEGER) - (now ?? Number.MAX_SAFE_INTEGER);
}
