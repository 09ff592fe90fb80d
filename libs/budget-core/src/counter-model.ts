import type { Basis } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';

/**
 * What a hold on budgets is, as a pure state machine. The Lua scripts of `libs/counters` are this, atomically; a test runs
 * random commands through both.
 */
export interface WindowState {
  limitNanos: Nanos;
  limitVersion: number;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  reservedNanos: Nanos;
}

export type HoldState = 'reserved' | 'opened' | 'unconfirmed' | 'settled' | 'released' | 'expired';

export interface Hold {
  state: HoldState;
  cashNanos: Nanos;
  fullNanos: Nanos;
  windows: readonly { key: string; basis: Basis }[];
  candidateIndex: number;
  maxTokens: number;
  leaseUntilMs: number;
}

export interface CounterState {
  windows: Map<string, WindowState>;
  holds: Map<string, Hold>;
}

export interface ModelCandidate {
  maxTokens: number;
  minTokens: number;
  cash: { fixedNanos: Nanos; perOutputTokenNanos: Nanos };
  full: { fixedNanos: Nanos; perOutputTokenNanos: Nanos };
  windows: readonly { key: string; basis: Basis; limitNanos: Nanos; limitVersion: number }[];
}

export type CounterCommand =
  | { verb: 'reserve'; attemptId: string; leaseMs: number; candidates: readonly ModelCandidate[] }
  | { verb: 'open'; attemptId: string }
  | { verb: 'release'; attemptId: string }
  | { verb: 'expire' }
  | { verb: 'settle'; attemptId: string; cashNanos: Nanos; fullNanos: Nanos }
  | { verb: 'unconfirm'; attemptId: string };

export interface ModelBinding {
  key: string;
  kind: 'exhausted' | 'held';
  neededNanos: Nanos;
}

export type CounterReply =
  | { type: 'granted'; candidateIndex: number; maxTokens: number; cashNanos: Nanos; fullNanos: Nanos }
  | { type: 'refused'; candidates: ModelBinding[] }
  | { type: 'done'; was: HoldState | 'unknown' }
  | { type: 'expired'; attemptIds: string[] };

export function emptyCounters(): CounterState {
  return { windows: new Map(), holds: new Map() };
}

/** Applies one command. Mutates the state, as the script does. */
export function applyCommand(state: CounterState, command: CounterCommand, nowMs: number): CounterReply {
  switch (command.verb) {
    case 'reserve':
      return reserve(state, command, nowMs);
    case 'expire': {
      const due = [...state.holds]
        .filter(([, h]) => h.state === 'reserved' && h.leaseUntilMs <= nowMs)
        .map(([id]) => id);
      for (const id of due) end(state, state.holds.get(id)!, 'expired');
      return { type: 'expired', attemptIds: due.sort() };
    }
    default: {
      const hold = state.holds.get(command.attemptId);
      if (!hold) return { type: 'done', was: 'unknown' };
      const was = hold.state;
      act(state, hold, command);
      return { type: 'done', was };
    }
  }
}

function act(
  state: CounterState,
  hold: Hold,
  command: Extract<CounterCommand, { verb: 'open' | 'release' | 'settle' | 'unconfirm' }>,
): void {
  switch (command.verb) {
    case 'open':
      if (hold.state === 'reserved') hold.state = 'opened';
      return;
    case 'release':
      if (hold.state === 'reserved' || hold.state === 'opened' || hold.state === 'unconfirmed')
        end(state, hold, 'released');
      return;
    case 'unconfirm':
      if (hold.state === 'reserved' || hold.state === 'opened') {
        each(state, hold, (w, amount) => {
          w.reservedNanos -= amount;
          w.unconfirmedNanos += amount;
        });
        hold.state = 'unconfirmed';
      }
      return;
    case 'settle':
      if (hold.state === 'reserved' || hold.state === 'opened' || hold.state === 'unconfirmed') {
        for (const { key, basis } of hold.windows) {
          state.windows.get(key)!.settledNanos += basis === 'cash' ? command.cashNanos : command.fullNanos;
        }
        end(state, hold, 'settled');
      }
  }
}

function reserve(
  state: CounterState,
  command: Extract<CounterCommand, { verb: 'reserve' }>,
  nowMs: number,
): CounterReply {
  const known = state.holds.get(command.attemptId);
  if (known)
    return {
      type: 'granted',
      candidateIndex: known.candidateIndex,
      maxTokens: known.maxTokens,
      cashNanos: known.cashNanos,
      fullNanos: known.fullNanos,
    };
  const bindings: ModelBinding[] = [];
  for (const [candidateIndex, candidate] of command.candidates.entries()) {
    let tokens = candidate.maxTokens;
    let binding: ModelBinding | undefined;
    for (const asked of candidate.windows) {
      const window = windowOf(state, asked);
      const line = asked.basis === 'cash' ? candidate.cash : candidate.full;
      const spent = window.settledNanos + window.unconfirmedNanos;
      const fits = affordable(line, window.limitNanos - spent - window.reservedNanos, candidate.maxTokens);
      if (fits < candidate.minTokens && !binding) {
        const free = affordable(line, window.limitNanos - spent, candidate.maxTokens);
        binding = {
          key: asked.key,
          kind: free >= candidate.minTokens ? 'held' : 'exhausted',
          neededNanos: line.fixedNanos + line.perOutputTokenNanos * BigInt(candidate.minTokens),
        };
      }
      tokens = Math.min(tokens, fits);
    }
    if (binding) {
      bindings.push(binding);
      continue;
    }
    const cashNanos = candidate.cash.fixedNanos + candidate.cash.perOutputTokenNanos * BigInt(tokens);
    const fullNanos = candidate.full.fixedNanos + candidate.full.perOutputTokenNanos * BigInt(tokens);
    const hold: Hold = {
      state: 'reserved',
      cashNanos,
      fullNanos,
      windows: candidate.windows.map(({ key, basis }) => ({ key, basis })),
      candidateIndex,
      maxTokens: tokens,
      leaseUntilMs: nowMs + command.leaseMs,
    };
    each(state, hold, (w, amount) => (w.reservedNanos += amount));
    state.holds.set(command.attemptId, hold);
    return { type: 'granted', candidateIndex, maxTokens: tokens, cashNanos, fullNanos };
  }
  return { type: 'refused', candidates: bindings };
}

/** Output tokens that a room pays for; -1 when not even the fixed part fits. */
function affordable(line: { fixedNanos: Nanos; perOutputTokenNanos: Nanos }, room: Nanos, maxTokens: number): number {
  if (room < line.fixedNanos) return -1;
  if (line.perOutputTokenNanos === 0n) return maxTokens;
  const tokens = (room - line.fixedNanos) / line.perOutputTokenNanos;
  return tokens < BigInt(maxTokens) ? Number(tokens) : maxTokens;
}

function windowOf(state: CounterState, asked: { key: string; limitNanos: Nanos; limitVersion: number }): WindowState {
  let window = state.windows.get(asked.key);
  if (!window) {
    window = {
      limitNanos: asked.limitNanos,
      limitVersion: asked.limitVersion,
      settledNanos: 0n,
      unconfirmedNanos: 0n,
      reservedNanos: 0n,
    };
    state.windows.set(asked.key, window);
  }
  // The newest version of a limit is in force, whoever brings it.
  if (asked.limitVersion > window.limitVersion) {
    window.limitNanos = asked.limitNanos;
    window.limitVersion = asked.limitVersion;
  }
  return window;
}

/** Ends a hold: what it held is free again. */
function end(state: CounterState, hold: Hold, as: 'settled' | 'released' | 'expired'): void {
  each(state, hold, (w, amount) => {
    if (hold.state === 'unconfirmed') w.unconfirmedNanos -= amount;
    else w.reservedNanos -= amount;
  });
  hold.state = as;
}

function each(state: CounterState, hold: Hold, change: (window: WindowState, amount: Nanos) => void): void {
  for (const { key, basis } of hold.windows)
    change(state.windows.get(key)!, basis === 'cash' ? hold.cashNanos : hold.fullNanos);
}
