import { MAX_BUDGETS_PER_REQUEST } from '@meritorder/contracts';
import type {
  AccountRate,
  CandidateWindow,
  OrgRate,
  ReserveCandidate,
  ReserveCommand,
  StageAmounts,
} from '@meritorder/budget-core';
import { MAX_COUNTER_NANOS, type Nanos } from '@meritorder/kernel';
import { keys } from './keys.js';
import type {
  BindingAccount,
  BindingBudget,
  BindingOrg,
  PassedOver,
  ReserveGrant,
  ReserveRefusal,
  ReserveReply,
} from './replies.js';

/** What `reserve-n.lua` is called with. */
export interface ReserveCall {
  keys: string[];
  args: (string | number)[];
}

/** A window's part of a call; made once for each window object, which callers keep as long as its terms hold. */
interface EncodedWindow {
  epochId: number;
  key: string;
  basis: 'c' | 'f';
  limit: string;
  options: string;
}
const encoded = new WeakMap<CandidateWindow, EncodedWindow>();

const FIRST_DISTINCT_KEY = 5;
const FIELDS_PER_REFUSAL = 9;

export function encodeReserve(command: ReserveCommand, epochId: number): ReserveCall {
  const keyList = [keys.epoch, keys.windows(epochId), keys.leases(epochId), keys.hold(epochId, command.attemptId)];
  const places = new Map<string, number>();
  const placeOf = (key: string): number => {
    let place = places.get(key);
    if (place === undefined) {
      place = FIRST_DISTINCT_KEY + places.size;
      places.set(key, place);
      keyList.push(key);
    }
    return place;
  };
  const args: (string | number)[] = [epochId, command.attemptId, command.leaseMs, command.candidates.length];
  const { orgRate } = command;
  const ofOrg = orgRate ? `o${placeOf(keys.org(epochId, orgRate.org))},${orgRate.requestsPerMinute}` : '';
  for (const c of command.candidates) {
    const { accountRate: rate } = c;
    args.push(
      c.maxTokens,
      c.minTokens,
      c.cash.fixedNanos.toString(),
      c.cash.perOutputTokenNanos.toString(),
      c.full.fixedNanos.toString(),
      c.full.perOutputTokenNanos.toString(),
      `${c.local ? 'l' : ''}${rate ? accountTraits(rate, placeOf(keys.account(epochId, rate.account))) : ''}${ofOrg}`,
      c.windows.length,
    );
    for (const w of c.windows) {
      const { key, basis, limit, options } = encodeWindow(w, epochId);
      args.push(placeOf(key), basis, limit, w.limitVersion, options);
    }
  }
  return { keys: keyList, args };
}

function accountTraits(rate: AccountRate, place: number): string {
  return `a${place},${rate.requestsPerMinute ?? 0},${rate.tokensPerMinute ?? 0},${Math.ceil(rate.tokens)}`;
}

function encodeWindow(w: CandidateWindow, epochId: number): EncodedWindow {
  const known = encoded.get(w);
  if (known?.epochId === epochId) return known;
  const made: EncodedWindow = {
    epochId,
    key: keys.window(epochId, w.budget, w.window),
    basis: w.basis === 'cash' ? 'c' : 'f',
    limit: w.limitNanos.toString(),
    options: optionsText(w.stages, w.maxInstances),
  };
  encoded.set(w, made);
  return made;
}

function optionsText(stages: StageAmounts | undefined, maxInstances: number | undefined): string {
  return [
    stages?.preferLocalFromNanos === undefined ? undefined : `p${stages.preferLocalFromNanos}`,
    ...(stages?.throttles ?? []).map((t) => `t${t.fromNanos}:${t.requestsPerMinute}`),
    stages?.localOnlyFromNanos === undefined ? undefined : `l${stages.localOnlyFromNanos}`,
    stages?.rejectFromNanos === undefined ? undefined : `r${stages.rejectFromNanos}`,
    maxInstances === undefined ? undefined : `i${maxInstances}`,
  ]
    .filter((part) => part !== undefined)
    .join(' ');
}

/** What cannot be counted exactly, or is too much for one request: told before anything is counted. */
export function unreservable(command: ReserveCommand): ReserveReply | undefined {
  for (const c of command.candidates) {
    if (c.windows.length > MAX_BUDGETS_PER_REQUEST)
      return { type: 'too-many-budgets', backend: c.backend, count: c.windows.length };
    if (!boundFits(c, c.cash) || !boundFits(c, c.full))
      return { type: 'range', message: `the bound of ${c.backend} is beyond 2^53 nano-USD` };
    for (const w of c.windows) {
      if (!fits(w.limitNanos))
        return { type: 'range', message: `the limit of ${w.budget} is beyond 2^53 nano-USD; split the budget` };
    }
  }
  return undefined;
}

function fits(amount: Nanos): boolean {
  return amount >= 0n && amount <= MAX_COUNTER_NANOS;
}

function boundFits(c: ReserveCandidate, line: ReserveCandidate['cash']): boolean {
  return (
    line.perOutputTokenNanos >= 0n &&
    fits(line.fixedNanos) &&
    fits(line.fixedNanos + line.perOutputTokenNanos * BigInt(c.maxTokens))
  );
}

export function decodeReserve(reply: string[], command: ReserveCommand, epochId: number): ReserveReply {
  switch (reply[0]) {
    case 'granted':
      return granted(reply, command, epochId);
    case 'refused':
      return refused(reply, command);
    default:
      return { type: 'epoch' };
  }
}

function granted(reply: string[], command: ReserveCommand, epochId: number): ReserveGrant {
  const candidateIndex = Number(reply[1]);
  // A reply that repeats a grant says nothing of windows, nor need the command that it is given to be the same.
  const { windows = [] } = command.candidates[candidateIndex] ?? {};
  const passedOver = passedOverIn(reply.slice(FIRST_LEFT + windows.length), command);
  return {
    type: 'granted',
    epochId,
    candidateIndex,
    maxTokens: Number(reply[2]),
    cashNanos: BigInt(reply[3]!),
    fullNanos: BigInt(reply[4]!),
    leaseUntilMs: Number(reply[5]),
    decidedAtMicros: Number(reply[6]),
    left: reply.slice(FIRST_LEFT, FIRST_LEFT + windows.length).map((nanos, i) => {
      const { budget, window, basis } = windows[i]!;
      return { budget, window, basis, leftNanos: BigInt(nanos) };
    }),
    ...(passedOver.length === 0 ? {} : { passedOver }),
  };
}

const FIRST_LEFT = 7;

function passedOverIn(fields: string[], command: ReserveCommand): PassedOver[] {
  const each = 1 + FIELDS_PER_REFUSAL;
  return Array.from({ length: fields.length / each }, (_, i) => {
    const [place, ...of] = fields.slice(i * each, (i + 1) * each);
    const candidateIndex = Number(place);
    return { candidateIndex, binding: bindingOf(of, command, command.candidates[candidateIndex]!, undefined) };
  });
}

function refused(reply: string[], command: ReserveCommand): ReserveRefusal {
  const earliest = reply[2];
  const earliestLeaseInMs = earliest ? Math.max(0, Number(earliest)) : undefined;
  return {
    type: 'refused',
    decidedAtMicros: Number(reply[1]),
    candidates: command.candidates.map((candidate, i) => {
      const fields = reply.slice(3 + i * FIELDS_PER_REFUSAL, 3 + (i + 1) * FIELDS_PER_REFUSAL);
      return bindingOf(fields, command, candidate, earliestLeaseInMs);
    }),
  };
}

function bindingOf(
  fields: string[],
  { orgRate }: ReserveCommand,
  candidate: ReserveCandidate,
  earliestLeaseInMs: number | undefined,
): PassedOver['binding'] {
  if (fields[1] === 'org-rate') return bindingOrg(fields, orgRate!);
  return fields[1] === 'rate' ? bindingAccount(fields, candidate) : bindingBudget(fields, candidate, earliestLeaseInMs);
}

function bindingBudget(
  fields: string[],
  candidate: ReserveCandidate,
  earliestLeaseInMs: number | undefined,
): BindingBudget {
  const [position, kind, limit, settled, unconfirmed, reserved, needed, waitMicros, detail] = fields;
  const { budget, window, basis } = candidate.windows[Number(position)]!;
  return {
    budget,
    window,
    basis,
    kind: kind as BindingBudget['kind'],
    limitNanos: BigInt(limit!),
    settledNanos: BigInt(settled!),
    unconfirmedNanos: BigInt(unconfirmed!),
    reservedNanos: BigInt(reserved!),
    neededNanos: BigInt(needed!),
    ...(detail ? { stage: detail as NonNullable<BindingBudget['stage']> } : {}),
    ...(waitMicros ? { retryInMs: Math.ceil(Number(waitMicros) / 1_000) } : {}),
    earliestLeaseInMs,
  };
}

function bindingOrg(fields: string[], { org, requestsPerMinute }: OrgRate): BindingOrg {
  return {
    kind: 'org-rate',
    org,
    limitPerMinute: requestsPerMinute,
    retryInMs: Math.ceil(Number(fields[7]) / 1_000),
  };
}

function bindingAccount(fields: string[], candidate: ReserveCandidate): BindingAccount {
  const rate = candidate.accountRate!;
  const short = fields[8] as BindingAccount['short'];
  return {
    kind: 'rate',
    account: rate.account,
    short,
    limitPerMinute: (short === 'requests' ? rate.requestsPerMinute : rate.tokensPerMinute) ?? 0,
    asked: short === 'requests' ? 1 : Math.ceil(rate.tokens),
    retryInMs: fields[7] ? Math.ceil(Number(fields[7]) / 1_000) : undefined,
  };
}
