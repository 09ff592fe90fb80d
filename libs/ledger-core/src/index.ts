import type { Attribution } from '@meritorder/contracts';
import { invariant, type Nanos } from '@meritorder/kernel';

export * from './host-period.js';

/**
 * The books, as pure decisions. Every entry is a transfer: an amount above zero from the credit to the debit account, so the
 * ledger balances by construction, and nothing is ever changed: what was unconfirmed is reversed when the truth comes, and a
 * correction books the difference.
 */
export type AttemptState = 'confirmed' | 'free' | 'unconfirmed';
export type EntryKind = 'usage' | 'unconfirmed' | 'reversal' | 'adjustment' | 'host-period' | 'charge';

export interface Entry {
  kind: EntryKind;
  debitAccount: string;
  creditAccount: string;
  amountNanos: Nanos;
}

export interface Charge {
  state: AttemptState;
  cashNanos: Nanos;
  fullNanos: Nanos;
  /** What the attempt added to the cost of own hardware; informs, and is not posted. */
  marginalNanos?: Nanos;
  /** What the customer is charged for it; undefined: the tier of its request has no charge. */
  chargedNanos?: Nanos;
}

export interface AttemptParties {
  attribution: Pick<Attribution, 'org' | 'department' | 'customer' | 'tier'>;
  provider: string;
}

export const NOTHING: Charge = { state: 'free', cashNanos: 0n, fullNanos: 0n };

/** What an org's part of a charge is posted to. */
export function expenseAccount({ attribution }: AttemptParties): string {
  return `expense:${attribution.org}:${attribution.department ?? '-'}`;
}

/** Who owes what a request is charged, and what it is earned by. */
function chargeAccounts({ attribution: { org, customer, tier } }: AttemptParties): {
  receivable: string;
  revenue: string;
} {
  return { receivable: `receivable:${org}:${customer ?? '-'}`, revenue: `revenue:${org}:${tier ?? '-'}` };
}

/**
 * What may follow what: a first charge of any kind; an unconfirmed one becomes confirmed or free; a free one may turn out to
 * have been charged. A confirmed one is final but for a correction: a price that turned out to be another, or an invoice for
 * what was only estimated. Other differences are listed, not booked.
 */
export function mayFollow(before: AttemptState | undefined, after: AttemptState, correction = false): boolean {
  if (before === undefined) return !correction;
  if (correction) return before === 'confirmed' && after === 'confirmed';
  if (before === 'unconfirmed') return after !== 'unconfirmed';
  return before === 'free' && after === 'confirmed';
}

/** The entries that take an attempt from one charge to another. @throws InvariantError for a transition that may not be. */
export function entriesFor(
  parties: AttemptParties,
  before: Charge | undefined,
  after: Charge,
  correction = false,
): Entry[] {
  invariant(
    mayFollow(before?.state, after.state, correction),
    `an attempt cannot go from ${before?.state} to ${after.state}`,
  );
  if (correction) return adjust(parties, before!, after);
  return [...(before ? post(parties, before, true) : []), ...post(parties, after, false)];
}

/**
 * What a correction changes, as transfers of the difference alone: what was booked before stays as it is. What a customer was
 * told as confirmed stands: a correction of cost is the operator's gain or loss.
 */
function adjust(parties: AttemptParties, before: Charge, after: Charge): Entry[] {
  const difference: Charge = {
    state: 'confirmed',
    cashNanos: after.cashNanos - before.cashNanos,
    fullNanos: after.fullNanos - before.fullNanos,
  };
  return post(parties, difference, false).map((entry) => ({ ...entry, kind: 'adjustment' }));
}

function post(parties: AttemptParties, charge: Charge, reverse: boolean): Entry[] {
  if (charge.state === 'free') return [];
  const expense = expenseAccount(parties);
  const unconfirmed = charge.state === 'unconfirmed';
  const lines: [string, Nanos][] = [
    [unconfirmed ? `unconfirmed-payable:${parties.provider}` : `payable:${parties.provider}`, charge.cashNanos],
    [
      unconfirmed ? `unconfirmed-absorbed:${parties.provider}` : `absorbed:${parties.provider}`,
      charge.fullNanos - charge.cashNanos,
    ],
  ];
  const costs = lines.flatMap(([account, amount]): Entry[] => {
    if (amount === 0n) return [];
    const forward = amount > 0n !== reverse;
    return [
      {
        kind: reverse ? 'reversal' : unconfirmed ? 'unconfirmed' : 'usage',
        debitAccount: forward ? expense : account,
        creditAccount: forward ? account : expense,
        amountNanos: amount > 0n ? amount : -amount,
      },
    ];
  });
  return [...costs, ...postCharged(parties, charge, reverse)];
}

/** Under a name of its own as long as the cost that it rests on is not confirmed. */
function postCharged(parties: AttemptParties, { state, chargedNanos = 0n }: Charge, reverse: boolean): Entry[] {
  if (chargedNanos === 0n) return [];
  const { receivable, revenue } = chargeAccounts(parties);
  const owed = state === 'unconfirmed' ? `unconfirmed-${receivable}` : receivable;
  return [
    {
      kind: reverse ? 'reversal' : 'charge',
      debitAccount: reverse ? revenue : owed,
      creditAccount: reverse ? owed : revenue,
      amountNanos: chargedNanos,
    },
  ];
}

/** How a window's totals change, by the amount of its basis. */
export function spendChange(
  before: Charge | undefined,
  after: Charge,
  basis: 'cash' | 'full',
): { settledNanos: Nanos; unconfirmedNanos: Nanos } {
  const of = (charge: Charge | undefined, state: AttemptState): Nanos =>
    charge?.state === state ? (basis === 'cash' ? charge.cashNanos : charge.fullNanos) : 0n;
  return {
    settledNanos: of(after, 'confirmed') - of(before, 'confirmed'),
    unconfirmedNanos: of(after, 'unconfirmed') - of(before, 'unconfirmed'),
  };
}
