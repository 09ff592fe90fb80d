import { invariant, type Nanos } from '@meritorder/kernel';
import type { Entry } from './index.js';

/** What a host cost in a closed period, what of it attempts were charged, and what is left. */
export interface HostPeriodCost {
  host: string;
  incurred: Readonly<Record<string, Nanos>>;
  /** By owner of the host, as attempts name it: what was absorbed since the last period was closed. */
  allocated: readonly { provider: string; nanos: Nanos }[];
  /** Above zero: idle capacity; below: over-absorbed. */
  idleNanos: Nanos;
}

/**
 * The entries of a host's closed period. Each line of cost goes to the host, what attempts absorbed is taken off it, and the
 * rest leaves for idle or, the other way, over-absorbed: the account of the host is at zero after every period (invariant 12).
 * @throws InvariantError when allocated and idle are not what was incurred.
 */
export function hostPeriodEntries({ host, incurred, allocated, idleNanos }: HostPeriodCost): Entry[] {
  const total = Object.values(incurred).reduce((sum, nanos) => sum + nanos, 0n);
  const charged = allocated.reduce((sum, { nanos }) => sum + nanos, 0n);
  invariant(
    charged + idleNanos === total,
    `${host}: ${charged} allocated and ${idleNanos} idle are not ${total} incurred`,
  );
  const account = `hardware:${host}`;
  return [
    ...Object.entries(incurred).map(([line, nanos]) => transfer(account, `incurred:${host}:${line}`, nanos)),
    ...allocated.map(({ provider, nanos }) => transfer(`absorbed:${provider}`, account, nanos)),
    transfer(idleNanos > 0n ? `idle:${host}` : `over-absorbed:${host}`, account, idleNanos),
  ].flatMap((entry) => entry ?? []);
}

/** An amount below zero goes the other way; none at all is no entry. */
function transfer(debitAccount: string, creditAccount: string, nanos: Nanos): Entry | undefined {
  if (nanos === 0n) return undefined;
  return nanos > 0n
    ? { kind: 'host-period', debitAccount, creditAccount, amountNanos: nanos }
    : { kind: 'host-period', debitAccount: creditAccount, creditAccount: debitAccount, amountNanos: -nanos };
}
