import type { Counters, FinishReply } from '@meritorder/counters';
import type { Settlement } from '@meritorder/ledger-store';

export type HoldCounters = Pick<Counters, 'settle' | 'release' | 'unconfirm'>;

/**
 * Tells the counters what the books say. Idempotent. While admission is closed nothing can be told, and what was not told
 * may be missing from the counters that are being rebuilt: so it is repeated until an epoch is open.
 * @returns false when `stop` ended the waiting: the messages must be processed again.
 */
export async function settleHolds(counters: HoldCounters, settlements: readonly Settlement[], wait: () => Promise<boolean>): Promise<boolean> {
  let left = [...settlements];
  for (;;) {
    const replies = await Promise.all(left.map((s) => tell(counters, s)));
    left = left.filter((_, i) => replies[i]!.type === 'epoch');
    if (left.length === 0) return true;
    if (!(await wait())) return false;
  }
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
