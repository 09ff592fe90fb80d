import { INSTANCE_ID } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import { arrivalAfter, requestRate, tokenRate, waitMicros, type Rate } from '../rates.js';
import type { CandidateWindow, CostLine, OrgRate, ReserveCandidate } from '../reservation.js';
import {
  amountIn,
  holdMore,
  windowKey,
  type Binding,
  type CounterCommand,
  type CounterReply,
  type CounterState,
  type Hold,
  type WindowState,
} from './state.js';

interface Looked {
  asked: CandidateWindow;
  window: WindowState;
  isNew: boolean;
  throttle: Rate | undefined;
}
type Granted = Extract<CounterReply, { type: 'granted' }>;
type Evaluation =
  | { fits: false; binding: Binding }
  | { fits: true; tokens: number; looked: Looked[]; prefersLocal: Binding | undefined };

/**
 * Admits the first candidate that fits everywhere. A candidate that fits but has a budget at `prefer-local` lets the local ones
 * after it go first.
 */
export function reserve(
  state: CounterState,
  command: Extract<CounterCommand, { verb: 'reserve' }>,
  nowMicros: number,
): CounterReply {
  const known = state.holds.get(command.attemptId);
  if (known) return grantOf(known);
  const { candidates } = command;
  const fresh: Fresh = new Map();
  const bindings: (Binding | undefined)[] = candidates.map(() => undefined);
  const grant = (index: number, evaluation: Extract<Evaluation, { fits: true }>): CounterReply => {
    const passedOver = bindings
      .slice(0, index)
      .flatMap((binding, candidateIndex) => (binding ? [{ candidateIndex, binding }] : []));
    const granted = admit(state, command, index, evaluation, nowMicros);
    return passedOver.length === 0 ? granted : { ...granted, passedOver };
  };
  for (const [index, candidate] of candidates.entries()) {
    if (bindings[index]) continue;
    const evaluation = evaluate(state, fresh, command, candidate, nowMicros);
    if (!evaluation.fits) {
      bindings[index] = evaluation.binding;
      continue;
    }
    if (evaluation.prefersLocal) {
      for (let later = index + 1; later < candidates.length; later++) {
        if (!candidates[later]!.local || bindings[later]) continue;
        const local = evaluate(state, fresh, command, candidates[later]!, nowMicros);
        if (local.fits) {
          bindings[index] = evaluation.prefersLocal;
          return grant(later, local);
        }
        bindings[later] = local.binding;
      }
    }
    return grant(index, evaluation);
  }
  return { type: 'refused', candidates: bindings.map((b) => b!) };
}

/** Windows that this command has met and nobody before it: made only when a hold is granted on them. */
type Fresh = Map<string, WindowState>;

function evaluate(
  state: CounterState,
  fresh: Fresh,
  { orgRate }: { orgRate?: OrgRate | undefined },
  candidate: ReserveCandidate,
  nowMicros: number,
): Evaluation {
  let hard: Binding | undefined;
  let soft: Binding | undefined;
  let tokens = candidate.maxTokens;
  let prefersLocal: Binding | undefined;
  const looked: Looked[] = [];
  for (const asked of candidate.windows) {
    const found = look(state, fresh, asked);
    looked.push(found);
    const line = asked.basis === 'cash' ? candidate.cash : candidate.full;
    const judged = judge(state, candidate, line, found, nowMicros);
    if (judged.lasting) hard ??= judged.lasting;
    if (judged.passing) soft ??= judged.passing;
    tokens = Math.min(tokens, judged.tokens);
    prefersLocal ??= judged.prefersLocal;
  }
  const binding = hard ?? soft ?? accountBinding(state, candidate, nowMicros) ?? orgBinding(state, orgRate, nowMicros);
  return binding ? { fits: false, binding } : { fits: true, tokens, looked, prefersLocal };
}

interface Judged {
  lasting?: Binding;
  passing?: Binding;
  tokens: number;
  prefersLocal: Binding | undefined;
}

function judge(
  state: CounterState,
  candidate: ReserveCandidate,
  line: CostLine,
  found: Looked,
  nowMicros: number,
): Judged {
  const { asked, window } = found;
  const { maxTokens, minTokens } = candidate;
  const neededNanos = line.fixedNanos + line.perOutputTokenNanos * BigInt(minTokens);
  const binding = (kind: Binding['kind'], detail?: Binding['detail'], wait?: number): Binding => ({
    kind,
    key: windowKey(asked),
    neededNanos,
    detail,
    waitMicros: wait,
  });
  if (found.isNew && tooManyInstances(state, asked))
    return { lasting: binding('instances'), tokens: maxTokens, prefersLocal: undefined };
  // What costs nothing in the budget's basis is never refused by it (invariant 11).
  if (line.fixedNanos === 0n && line.perOutputTokenNanos === 0n) return { tokens: maxTokens, prefersLocal: undefined };
  const spent = window.settledNanos + window.unconfirmedNanos;
  const tokens = affordable(line, window.limitNanos - spent - window.reservedNanos, maxTokens);
  const { stages } = asked;
  const prefersLocal =
    !candidate.local && reached(stages?.preferLocalFromNanos, spent) ? binding('stage', 'prefer-local') : undefined;
  if (affordable(line, window.limitNanos - spent, maxTokens) < minTokens)
    return { lasting: binding('exhausted'), tokens, prefersLocal };
  if (reached(stages?.rejectFromNanos, spent)) return { lasting: binding('stage', 'reject'), tokens, prefersLocal };
  if (reached(stages?.localOnlyFromNanos, spent) && !candidate.local)
    return { lasting: binding('stage', 'local-only'), tokens, prefersLocal };
  if (tokens < minTokens) return { passing: binding('held'), tokens, prefersLocal };
  const rates = (stages?.throttles ?? []).filter((t) => spent >= t.fromNanos).map((t) => t.requestsPerMinute);
  if (rates.length > 0) {
    found.throttle = requestRate(Math.min(...rates));
    const wait = waitMicros(found.throttle, window.throttleMicros, 1, nowMicros)!;
    if (wait > 0) return { passing: binding('throttled', undefined, wait), tokens, prefersLocal };
  }
  return { tokens, prefersLocal };
}

function accountBinding(state: CounterState, candidate: ReserveCandidate, nowMicros: number): Binding | undefined {
  const asked = candidate.accountRate;
  if (!asked) return undefined;
  const used = state.accounts.get(asked.account) ?? { requestsMicros: 0, tokensMicros: 0 };
  const short = (detail: 'requests' | 'tokens', wait: number | undefined): Binding | undefined =>
    wait === 0 ? undefined : { kind: 'rate', key: undefined, neededNanos: 0n, detail, waitMicros: wait };
  return (
    (asked.requestsPerMinute &&
      short('requests', waitMicros(requestRate(asked.requestsPerMinute), used.requestsMicros, 1, nowMicros))) ||
    (asked.tokensPerMinute &&
      short('tokens', waitMicros(tokenRate(asked.tokensPerMinute), used.tokensMicros, asked.tokens, nowMicros))) ||
    undefined
  );
}

function orgBinding(state: CounterState, asked: OrgRate | undefined, nowMicros: number): Binding | undefined {
  if (!asked) return undefined;
  const wait = waitMicros(requestRate(asked.requestsPerMinute), state.orgs.get(asked.org) ?? 0, 1, nowMicros);
  if (wait === 0) return undefined;
  return { kind: 'org-rate', key: undefined, neededNanos: 0n, detail: 'requests', waitMicros: wait };
}

function admit(
  state: CounterState,
  command: Extract<CounterCommand, { verb: 'reserve' }>,
  candidateIndex: number,
  { tokens, looked }: Extract<Evaluation, { fits: true }>,
  nowMicros: number,
): Granted {
  const candidate = command.candidates[candidateIndex]!;
  const hold: Hold = {
    state: 'reserved',
    cashNanos: candidate.cash.fixedNanos + candidate.cash.perOutputTokenNanos * BigInt(tokens),
    fullNanos: candidate.full.fixedNanos + candidate.full.perOutputTokenNanos * BigInt(tokens),
    windows: candidate.windows.map((w) => ({ key: windowKey(w), basis: w.basis })),
    candidateIndex,
    maxTokens: tokens,
    leaseUntilMs: Math.floor(nowMicros / 1_000) + command.leaseMs,
  };
  for (const { asked, window, isNew, throttle } of looked) {
    if (isNew) {
      state.windows.set(windowKey(asked), window);
      const template = templateKey(asked);
      if (template) state.instances.set(template, (state.instances.get(template) ?? 0) + 1);
    }
    holdMore(window, amountIn(asked, hold));
    if (throttle) window.throttleMicros = arrivalAfter(throttle, window.throttleMicros, 1, nowMicros);
  }
  useAccount(state, candidate, nowMicros);
  const { orgRate } = command;
  if (orgRate) {
    const rate = requestRate(orgRate.requestsPerMinute);
    state.orgs.set(orgRate.org, arrivalAfter(rate, state.orgs.get(orgRate.org) ?? 0, 1, nowMicros));
  }
  state.holds.set(command.attemptId, hold);
  return grantOf(hold);
}

function useAccount(state: CounterState, candidate: ReserveCandidate, nowMicros: number): void {
  const asked = candidate.accountRate;
  if (!asked) return;
  const used = state.accounts.get(asked.account) ?? { requestsMicros: 0, tokensMicros: 0 };
  if (asked.requestsPerMinute)
    used.requestsMicros = arrivalAfter(requestRate(asked.requestsPerMinute), used.requestsMicros, 1, nowMicros);
  if (asked.tokensPerMinute)
    used.tokensMicros = arrivalAfter(tokenRate(asked.tokensPerMinute), used.tokensMicros, asked.tokens, nowMicros);
  state.accounts.set(asked.account, used);
}

function grantOf(hold: Hold): Granted {
  const { candidateIndex, maxTokens, cashNanos, fullNanos, leaseUntilMs } = hold;
  return { type: 'granted', candidateIndex, maxTokens, cashNanos, fullNanos, leaseUntilMs };
}

function reached(fromNanos: Nanos | undefined, spentNanos: Nanos): boolean {
  return fromNanos !== undefined && spentNanos >= fromNanos;
}

/** Output tokens that a room pays for; -1 when not even the fixed part fits. */
function affordable(line: CostLine, room: Nanos, maxTokens: number): number {
  if (room < line.fixedNanos) return -1;
  if (line.perOutputTokenNanos === 0n) return maxTokens;
  const tokens = (room - line.fixedNanos) / line.perOutputTokenNanos;
  return tokens < BigInt(maxTokens) ? Number(tokens) : maxTokens;
}

/** A window that is not there yet is made with the hold, in one step. */
function look(state: CounterState, fresh: Fresh, asked: CandidateWindow): Looked {
  const key = windowKey(asked);
  const known = state.windows.get(key);
  const window = known ??
    fresh.get(key) ?? {
      limitNanos: asked.limitNanos,
      limitVersion: asked.limitVersion,
      settledNanos: 0n,
      unconfirmedNanos: 0n,
      reservedNanos: 0n,
      peakNanos: 0n,
      throttleMicros: 0,
    };
  if (!known) fresh.set(key, window);
  // The newest version of a limit is in force, whoever brings it.
  if (asked.limitVersion > window.limitVersion) {
    window.limitNanos = asked.limitNanos;
    window.limitVersion = asked.limitVersion;
  }
  return { asked, window, isNew: known === undefined, throttle: undefined };
}

function tooManyInstances(state: CounterState, asked: CandidateWindow): boolean {
  const template = templateKey(asked);
  if (!template || asked.maxInstances === undefined) return false;
  return (state.instances.get(template) ?? 0) >= asked.maxInstances;
}

export function templateKey(of: { budget: string; window: string }): string | undefined {
  const template = INSTANCE_ID.exec(of.budget)?.[1];
  return template === undefined ? undefined : `${template}:${of.window}`;
}
