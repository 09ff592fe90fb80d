import { MAX_COUNTER_NANOS, type Nanos } from '@meritorder/kernel';
import { reserve, templateKey } from './counter-model/reserve.js';
import {
  amountIn,
  holdMore,
  windowKey,
  type CounterCommand,
  type CounterReply,
  type CounterState,
  type Hold,
  type WindowState,
} from './counter-model/state.js';

export { templateKey } from './counter-model/reserve.js';
export * from './counter-model/state.js';

/**
 * What a hold on budgets is, as a pure state machine. The Lua scripts of `libs/counters` are this, atomically; a test runs
 * random commands through both.
 *
 * Applies one command at an instant of Redis' clock. Mutates the state, as the script does.
 */
export function applyCommand(state: CounterState, command: CounterCommand, nowMicros: number): CounterReply {
  if (command.verb === 'close') {
    state.open = false;
    return { type: 'epoch' };
  }
  if (command.verb === 'rebuild') {
    rebuild(state);
    return { type: 'epoch' };
  }
  if (!state.open) return { type: 'epoch' };
  switch (command.verb) {
    case 'reserve':
      return reserve(state, command, nowMicros);
    case 'limit':
      return changeLimit(state, command);
    case 'adjust':
      return adjust(state, command);
    default: {
      const hold = state.holds.get(command.attemptId);
      if (!hold) return { type: 'done', was: 'unknown' };
      if (command.verb === 'extend') return extend(state, hold, command);
      const was = hold.state;
      act(state, hold, command, nowMicros);
      return { type: 'done', was };
    }
  }
}

const isLive = (hold: Hold): boolean => hold.state === 'reserved' || hold.state === 'opened';

function act(
  state: CounterState,
  hold: Hold,
  command: Extract<CounterCommand, { verb: 'open' | 'renew' | 'release' | 'expire' | 'settle' | 'unconfirm' }>,
  nowMicros: number,
): void {
  switch (command.verb) {
    case 'open':
      if (hold.state === 'reserved') hold.state = 'opened';
      return;
    case 'renew':
      if (hold.state === 'reserved') hold.leaseUntilMs = Math.floor(nowMicros / 1_000) + command.leaseMs;
      return;
    case 'expire':
      if (hold.state === 'reserved' && hold.leaseUntilMs <= Math.floor(nowMicros / 1_000)) end(state, hold, 'expired');
      return;
    case 'release':
      if (isLive(hold) || hold.state === 'unconfirmed') end(state, hold, 'released');
      return;
    case 'unconfirm':
      if (!isLive(hold)) return;
      each(state, hold, (window, amount) => {
        window.reservedNanos -= amount;
        window.unconfirmedNanos += amount;
      });
      hold.state = 'unconfirmed';
      return;
    case 'settle':
      if (!isLive(hold) && hold.state !== 'unconfirmed') return;
      for (const held of hold.windows) state.windows.get(held.key)!.settledNanos += amountIn(held, command);
      end(state, hold, 'settled');
  }
}

/** All windows have room for the growth, or nothing changes. What does not grow in a basis is not refused by it. */
function extend(state: CounterState, hold: Hold, command: Extract<CounterCommand, { verb: 'extend' }>): CounterReply {
  if (hold.state !== 'opened') return { type: 'done', was: hold.state };
  const cashNanos = command.cashNanos > hold.cashNanos ? command.cashNanos : hold.cashNanos;
  const fullNanos = command.fullNanos > hold.fullNanos ? command.fullNanos : hold.fullNanos;
  const growth = { cashNanos: cashNanos - hold.cashNanos, fullNanos: fullNanos - hold.fullNanos };
  for (const held of hold.windows) {
    const window = state.windows.get(held.key)!;
    const neededNanos = amountIn(held, growth);
    const free = window.limitNanos - window.settledNanos - window.unconfirmedNanos;
    if (neededNanos > 0n && free - window.reservedNanos < neededNanos) {
      const kind = free < neededNanos ? 'exhausted' : 'held';
      return { type: 'extension-refused', binding: { kind, key: held.key, neededNanos } };
    }
  }
  for (const held of hold.windows) {
    holdMore(state.windows.get(held.key)!, amountIn(held, growth));
  }
  hold.cashNanos = cashNanos;
  hold.fullNanos = fullNanos;
  return { type: 'extended', cashNanos, fullNanos };
}

function changeLimit(state: CounterState, command: Extract<CounterCommand, { verb: 'limit' }>): CounterReply {
  const window = state.windows.get(windowKey(command));
  const changed = window !== undefined && command.limitVersion > window.limitVersion;
  if (changed) {
    window.limitNanos = command.limitNanos;
    window.limitVersion = command.limitVersion;
  }
  return { type: 'limit', changed };
}

/** Corrects what is certain by a difference, if nothing has moved since it was seen; so a repeated call is not doubled. */
function adjust(state: CounterState, command: Extract<CounterCommand, { verb: 'adjust' }>): CounterReply {
  const settled = command.seenSettledNanos + command.settledChangeNanos;
  const unconfirmed = command.seenUnconfirmedNanos + command.unconfirmedChangeNanos;
  if ([settled, unconfirmed].some((amount) => amount < 0n || amount > MAX_COUNTER_NANOS))
    return { type: 'adjust', outcome: 'range' };
  const window = state.windows.get(windowKey(command));
  if (!window) return { type: 'adjust', outcome: 'missing' };
  if (window.settledNanos !== command.seenSettledNanos || window.unconfirmedNanos !== command.seenUnconfirmedNanos)
    return { type: 'adjust', outcome: 'moved' };
  window.settledNanos = settled;
  window.unconfirmedNanos = unconfirmed;
  return { type: 'adjust', outcome: 'adjusted' };
}

/** Holds never opened are not carried over; neither are rates and the memory of holds that ended. */
function rebuild(state: CounterState): void {
  state.open = true;
  for (const [id, hold] of state.holds) {
    if (hold.state === 'reserved') end(state, hold, 'released');
    if (hold.state !== 'opened' && hold.state !== 'unconfirmed') state.holds.delete(id);
    // The books know neither which candidate it was nor its tokens.
    else Object.assign(hold, { candidateIndex: 0, maxTokens: 0, leaseUntilMs: 0 });
  }
  state.instances.clear();
  state.accounts.clear();
  state.orgs.clear();
  for (const [key, window] of state.windows) {
    Object.assign(window, { limitVersion: 0, peakNanos: 0n, throttleMicros: 0 });
    const [budget, id] = key.split(':') as [string, string];
    const template = templateKey({ budget, window: id });
    if (template) state.instances.set(template, (state.instances.get(template) ?? 0) + 1);
  }
}

/** Ends a hold: what it held is free again. */
function end(state: CounterState, hold: Hold, as: 'settled' | 'released' | 'expired'): void {
  each(state, hold, (window, amount) => {
    if (hold.state === 'unconfirmed') window.unconfirmedNanos -= amount;
    else window.reservedNanos -= amount;
  });
  hold.state = as;
}

function each(state: CounterState, hold: Hold, change: (window: WindowState, amount: Nanos) => void): void {
  for (const held of hold.windows) change(state.windows.get(held.key)!, amountIn(held, hold));
}
