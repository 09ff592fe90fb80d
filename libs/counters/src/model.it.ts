import { expect, it } from 'vitest';
import {
  applyCommand,
  emptyCounters,
  windowKey,
  type Binding,
  type CounterCommand,
  type CounterReply,
  type CounterState,
  type ReserveCandidate,
  type StageAmounts,
} from '@meritorder/budget-core';
import { seededRandom } from '@meritorder/kernel';
import { useCounters } from './fixture.for-tests.js';
import { keys } from './keys.js';
import type { BindingAccount, BindingBudget, BindingOrg, OrgRate, LoadedHold, WindowCounters } from './index.js';

const fixture = useCounters();

const SEQUENCES = 100;
const STEPS = 100;

/**
 * Time is Redis' own; every reply that depends on it says when the script ran, and the model is asked about that instant. Steps
 * of time move the instants that Redis keeps instead of its clock.
 */
it(`the model and the scripts agree on ${SEQUENCES * STEPS} random commands, reply by reply and on what is counted at the end`, async () => {
  const random = seededRandom(20_261_124);
  const pick = (n: number): number => Math.floor(random() * n);
  const seen = new Map<string, number>();
  for (let sequence = 0; sequence < SEQUENCES; sequence++) {
    await fixture.raw.flushall();
    await fixture.newEpoch();
    const model = emptyCounters();
    let aheadMs = 0;
    for (let step = 0; step < STEPS; step++) {
      if (pick(20) === 0) {
        const ms = [1, 900, 20_000, 61_000][pick(4)]!;
        aheadMs += ms;
        await passTime(ms);
      }
      const command = randomCommand(`s${sequence}-${pick(70)}`, model, pick, random);
      const { reply, atMicros } = await applyToRedis(command, model, aheadMs);
      const expected = inMilliseconds(applyCommand(model, command, atMicros + aheadMs * 1_000));
      expect(reply, `sequence ${sequence}, step ${step}: ${JSON.stringify(command, bigints)}`).toEqual(expected);
      count(seen, expected);
    }
    if (!model.open)
      await applyToRedis({ verb: 'rebuild' }, model, aheadMs).then(() => applyCommand(model, { verb: 'rebuild' }, 0));
    expect(await counted()).toEqual(modelled(model));
  }
  // Random commands that never met a refusal would show nothing.
  for (const kind of [
    'exhausted',
    'held',
    'stage local-only',
    'stage reject',
    'throttled',
    'instances',
    'rate requests',
    'rate tokens',
    'org-rate requests',
    'over exhausted',
    'over held',
    'over stage prefer-local',
    'over stage local-only',
    'over stage reject',
    'over throttled',
    'over instances',
    'over rate requests',
    'over rate tokens',
  ])
    expect(seen.get(kind) ?? 0, kind).toBeGreaterThanOrEqual(5);
  for (const type of [
    'granted',
    'extended',
    'extension-refused',
    'expired',
    'adjusted',
    'moved',
    'limit true',
    'epoch',
  ])
    expect(seen.get(type) ?? 0, type).toBeGreaterThanOrEqual(5);
}, 240_000);

const bigints = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value);

function count(seen: Map<string, number>, reply: CounterReply): void {
  const add = (name: string): void => void seen.set(name, (seen.get(name) ?? 0) + 1);
  add(reply.type);
  if (reply.type === 'granted')
    for (const { binding: b } of reply.passedOver ?? []) add(`over ${b.kind}${b.detail ? ` ${b.detail}` : ''}`);
  if (reply.type === 'refused') for (const c of reply.candidates) add(c.detail ? `${c.kind} ${c.detail}` : c.kind);
  if (reply.type === 'done' && reply.was === 'expired') add('expired');
  if (reply.type === 'adjust') add(reply.outcome);
  if (reply.type === 'limit') add(`limit ${reply.changed}`);
}

/** Every instant that Redis keeps is moved into the past: the same as if its clock had gone on. */
async function passTime(ms: number): Promise<void> {
  const { raw, epoch } = fixture;
  for (const attempt of await raw.zrange(keys.leases(epoch), '0', '-1'))
    await raw.zincrby(keys.leases(epoch), -ms, attempt);
  for (const key of await raw.keys(`{mo}:e${epoch}:*`)) {
    const name = key.split(':')[2];
    const fields =
      name === 'w'
        ? ['throttle']
        : name === 'a'
          ? ['requests', 'tokens']
          : name === 'o'
            ? ['requests']
            : name === 'h'
              ? ['l']
              : [];
    for (const field of fields) {
      const value = await raw.hget(key, field);
      if (value !== null && value !== '0') await raw.hset(key, field, Number(value) - ms * (field === 'l' ? 1 : 1_000));
    }
  }
}

const TEMPLATES = ['t0', 't1'];
const hex = (n: number): string => n.toString(16).padStart(16, '0');

/** Mostly an attempt on which the verb does something. */
function attemptFor(verb: string, fresh: string, model: CounterState, pick: (n: number) => number): string {
  if (verb === 'reserve' || pick(4) === 0) return fresh;
  const states = verb === 'extend' ? ['opened'] : ['reserved', 'opened', 'unconfirmed'];
  const fitting = [...model.holds].filter(([, hold]) => states.includes(hold.state)).map(([id]) => id);
  return fitting[pick(fitting.length)] ?? fresh;
}

function randomCommand(
  fresh: string,
  model: CounterState,
  pick: (n: number) => number,
  random: () => number,
): CounterCommand {
  if (!model.open) return pick(3) === 0 ? { verb: 'open', attemptId: fresh } : { verb: 'rebuild' };
  const verbs = [
    ...Array<'reserve'>(12).fill('reserve'),
    ...Array<'settle'>(4).fill('settle'),
    ...Array<'open'>(4).fill('open'),
    ...Array<'extend'>(5).fill('extend'),
    'renew',
    'release',
    'release',
    'expire',
    'expire',
    'unconfirm',
    'unconfirm',
    'limit',
    'adjust',
  ] as const;
  if (pick(80) === 0) return pick(2) === 0 ? { verb: 'close' } : { verb: 'rebuild' };
  const verb = verbs[pick(verbs.length)]!;
  const attemptId = attemptFor(verb, fresh, model, pick);
  const anyWindow = (): { budget: string; window: string } => {
    const [budget, window] = ([...model.windows.keys()][pick(model.windows.size)] ?? 'none:total').split(':');
    return { budget: budget!, window: window! };
  };
  switch (verb) {
    case 'settle':
      return { verb, attemptId, cashNanos: BigInt(pick(1_200)), fullNanos: BigInt(pick(1_500)) };
    case 'extend': {
      const hold = model.holds.get(attemptId);
      return {
        verb,
        attemptId,
        cashNanos: (hold?.cashNanos ?? 0n) + BigInt(pick(500) - 100 < 0 ? 0 : pick(500)),
        fullNanos: BigInt(pick(3_000)),
      };
    }
    case 'renew':
      return { verb, attemptId, leaseMs: pick(30_000) };
    case 'limit':
      return { verb, ...anyWindow(), limitNanos: BigInt(pick(9_000)), limitVersion: pick(6) };
    case 'adjust': {
      const of = anyWindow();
      const window = model.windows.get(windowKey(of));
      return {
        verb,
        ...of,
        seenSettledNanos: (window?.settledNanos ?? 0n) + BigInt(pick(2)),
        seenUnconfirmedNanos: window?.unconfirmedNanos ?? 0n,
        settledChangeNanos: BigInt(pick(400) - 200),
        unconfirmedChangeNanos: BigInt(pick(20)),
      };
    }
    case 'reserve':
      return {
        verb,
        attemptId,
        leaseMs: pick(30_000),
        candidates: Array.from({ length: 1 + pick(3) }, () => randomCandidate(pick, random)),
        orgRate: orgRateOf(attemptId),
      };
    default:
      return { verb, attemptId };
  }
}

/** By its number, so that the draws of the rest stay what they are. */
function orgRateOf(attemptId: string): OrgRate | undefined {
  const n = Number(attemptId.split('-')[1]);
  return n % 4 === 0 ? { org: `o${n % 8}`, requestsPerMinute: 2 + (n % 60) } : undefined;
}

function randomCandidate(pick: (n: number) => number, random: () => number): ReserveCandidate {
  const maxTokens = 1 + pick(300);
  const free = pick(5) === 0;
  const budgets = ['b0', 'b1', 'b2', 'b3'].filter(() => random() < 0.45);
  const instances = TEMPLATES.filter(() => random() < 0.35).map((t) => `${t}--${hex(pick(6))}`);
  return {
    backend: 'b',
    maxTokens,
    minTokens: 1 + pick(maxTokens),
    cash: free
      ? { fixedNanos: 0n, perOutputTokenNanos: 0n }
      : { fixedNanos: BigInt(pick(400)), perOutputTokenNanos: BigInt(pick(4)) },
    full: { fixedNanos: BigInt(pick(500)), perOutputTokenNanos: BigInt(pick(5)) },
    local: pick(3) === 0,
    accountRate:
      pick(3) === 0
        ? {
            account: `p${pick(2)}`,
            requestsPerMinute: pick(2) === 0 ? 2 + pick(40) : undefined,
            tokensPerMinute: pick(2) === 0 ? 100 + pick(2_000) : undefined,
            tokens: pick(400),
          }
        : undefined,
    windows: [...budgets, ...instances].map((budget, i) => ({
      budget,
      window: pick(6) === 0 ? '2026-11' : 'total',
      basis: i % 2 === 0 ? ('cash' as const) : ('full' as const),
      limitNanos: BigInt(pick(3) === 0 ? 1_000 + pick(3_000) : 6_000 + pick(20_000)),
      limitVersion: 1 + pick(3),
      stages:
        budget === 'b1'
          ? { throttles: [{ fromNanos: BigInt(pick(600)), requestsPerMinute: 1 + pick(3) }] }
          : randomStages(pick),
      maxInstances: budget.includes('--') ? 2 + pick(4) : undefined,
    })),
  };
}

function randomStages(pick: (n: number) => number): StageAmounts | undefined {
  const amount = (): bigint => BigInt(pick(3_000));
  const throttles = [
    { fromNanos: amount(), requestsPerMinute: 1 + pick(20) },
    { fromNanos: amount() * 2n, requestsPerMinute: 1 + pick(5) },
  ];
  return [
    undefined,
    undefined,
    undefined,
    { preferLocalFromNanos: amount() },
    { throttles },
    { localOnlyFromNanos: amount() },
    { rejectFromNanos: amount() },
    { preferLocalFromNanos: amount(), throttles, localOnlyFromNanos: amount() * 2n, rejectFromNanos: amount() * 4n },
  ][pick(8)];
}

/** The script's reply in the model's words, and when it ran. */
async function applyToRedis(
  command: CounterCommand,
  model: CounterState,
  aheadMs: number,
): Promise<{ reply: CounterReply; atMicros: number }> {
  const { counters } = fixture;
  const at = (reply: CounterReply, atMicros = 0): { reply: CounterReply; atMicros: number } => ({ reply, atMicros });
  const epochOver = { type: 'epoch' as const };
  switch (command.verb) {
    case 'close':
      await counters.closeEpoch();
      return at(epochOver);
    case 'rebuild':
      await rebuildFrom(model);
      return at(epochOver);
    case 'reserve': {
      const reply = await counters.reserve(command);
      if (reply.type === 'granted') {
        const { candidateIndex, maxTokens, cashNanos, fullNanos, leaseUntilMs } = reply;
        const passedOver = reply.passedOver?.map((p) => ({ ...p, binding: inModelWords(p.binding) }));
        const movedMs = leaseUntilMs === 0 ? 0 : leaseUntilMs + aheadMs;
        return at(
          {
            type: 'granted',
            candidateIndex,
            maxTokens,
            cashNanos,
            fullNanos,
            leaseUntilMs: movedMs,
            ...(passedOver ? { passedOver } : {}),
          },
          reply.decidedAtMicros,
        );
      }
      if (reply.type === 'refused')
        return at(
          {
            type: 'refused',
            candidates: reply.candidates.map(inModelWords),
          },
          reply.decidedAtMicros,
        );
      if (reply.type === 'epoch') return at(reply);
      throw new Error(reply.type);
    }
    case 'extend': {
      const reply = await counters.extend(command.attemptId, command);
      if (reply.type !== 'refused') return at(reply);
      const { kind, neededNanos } = reply.binding;
      return at({ type: 'extension-refused', binding: { kind, key: windowKey(reply.binding), neededNanos } });
    }
    case 'renew':
    case 'expire': {
      const reply =
        command.verb === 'renew'
          ? await counters.renew(command.attemptId, command.leaseMs)
          : await counters.expire(command.attemptId);
      return reply.type === 'epoch' ? at(reply) : at({ type: 'done', was: reply.was }, reply.atMicros ?? 0);
    }
    case 'limit': {
      const changed = await counters.changeLimit(command);
      return at(changed === undefined ? epochOver : { type: 'limit', changed });
    }
    case 'adjust': {
      const reply = await counters.adjust(command, command);
      return at(reply.type === 'epoch' ? epochOver : { type: 'adjust', outcome: reply.type });
    }
    case 'settle':
      return at(await counters.settle(command.attemptId, command));
    default:
      return at(await counters[command.verb](command.attemptId));
  }
}

/** Waits are told in milliseconds, rounded up. */
function inMilliseconds(reply: CounterReply): CounterReply {
  const rounded = (of: Binding): Binding => ({
    ...of,
    waitMicros: of.waitMicros && Math.ceil(of.waitMicros / 1_000) * 1_000,
  });
  if (reply.type === 'granted' && reply.passedOver)
    return { ...reply, passedOver: reply.passedOver.map((p) => ({ ...p, binding: rounded(p.binding) })) };
  if (reply.type !== 'refused') return reply;
  return { type: 'refused', candidates: reply.candidates.map(rounded) };
}

function inModelWords(binding: BindingBudget | BindingAccount | BindingOrg): Binding {
  if (binding.kind === 'org-rate')
    return {
      kind: 'org-rate',
      key: undefined,
      neededNanos: 0n,
      detail: 'requests',
      waitMicros: binding.retryInMs * 1_000,
    };
  if (binding.kind === 'rate') {
    const waitMicros = binding.retryInMs && binding.retryInMs * 1_000;
    return { kind: 'rate', key: undefined, neededNanos: 0n, detail: binding.short, waitMicros };
  }
  const { kind, neededNanos, stage, retryInMs } = binding;
  return { kind, key: windowKey(binding), neededNanos, detail: stage, waitMicros: retryInMs && retryInMs * 1_000 };
}

/** As budget-policy does after a loss: what is settled, opened and unconfirmed, from the truth. */
async function rebuildFrom(model: CounterState): Promise<void> {
  const { counters } = fixture;
  const truth = structuredClone(model);
  applyCommand(truth, { verb: 'rebuild' }, 0);
  await counters.closeEpoch();
  await counters.beginEpoch(++fixture.epoch);
  const windows = [...truth.windows].map(([key, w]): WindowCounters => {
    const [budget, window] = key.split(':') as [string, string];
    const { limitNanos, settledNanos, unconfirmedNanos, reservedNanos } = w;
    return { budget, window, limitNanos, settledNanos, unconfirmedNanos, reservedNanos, peakNanos: 0n };
  });
  await counters.loadWindows(fixture.epoch, windows);
  await counters.loadHolds(
    fixture.epoch,
    [...truth.holds].map(([attemptId, hold]): LoadedHold => ({
      attemptId,
      state: hold.state as 'opened' | 'unconfirmed',
      cashNanos: hold.cashNanos,
      fullNanos: hold.fullNanos,
      windows: hold.windows.map(({ key, basis }) => {
        const [budget, window] = key.split(':') as [string, string];
        return { budget, window, basis };
      }),
    })),
  );
  expect(await counters.openEpoch(fixture.epoch, windows.length)).toBe('ok');
}

async function counted(): Promise<unknown[]> {
  const windows = await fixture.counters.inspectWindows();
  return windows.map((w) => ({ key: windowKey(w), ...w })).sort((a, b) => (a.key < b.key ? -1 : 1));
}

function modelled(model: CounterState): unknown[] {
  return [...model.windows]
    .map(([key, { limitVersion: _version, throttleMicros: _throttle, ...w }]) => {
      const [budget, window] = key.split(':') as [string, string];
      return { key, budget, window, ...w };
    })
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}
