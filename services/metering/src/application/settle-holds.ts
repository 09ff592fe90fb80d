import type { Counters, FinishReply } from '@meritorder/counters';
import type { Settlement } from '@meritorder/ledger-store';

export type HoldCounters = Pick<Counters, 'settle' | 'release' | 'unconfirm'>;

/**
 * Tells the counters what the books say; idempotent.
 *
 * While admission is closed nothing can be told. What was committed before the snapshot of a rebuild is in it; what was
 * committed after it is not. So the untold must be kept and told when an epoch is open: a hold that is there then was not
 * counted yet, and one that is not there was. Waiting here instead would keep the messages unacknowledged that the rebuild
 * itself waits for.
 * @returns what could not be told.
 */
export async function settleHolds(counters: HoldCounters, settlements: readonly Settlement[]): Promise<Settlement[]> {
  const replies = await Promise.all(settlements.map((s) => tell(counters, s)));
  return settlements.filter((_, i) => replies[i]!.type === 'epoch');
}

function tell(counters: HoldCounters, { attemptId, charge }: Settlement): Promise<FinishReply> {
  switch (charge.state) {
    case 'confirmed':
      return counters.settle(attemptId, charge);
    case 'free':
      return counters.release(attemptId);
    case 'unconfirmed':
      return counters.unconfirm(attemptId);
  }
}
