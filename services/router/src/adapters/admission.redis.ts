import type { Counters, ExtendReply, ReserveCommand, ReserveReply } from '@meritorder/counters';
import type { Nanos } from '@meritorder/kernel';
import type { Admission } from '../application/ports.js';

export class RedisAdmission implements Admission {
  constructor(private readonly counters: Counters) {}

  epochId(): number | undefined {
    return this.counters.openEpochId();
  }
  reserve(command: ReserveCommand): Promise<ReserveReply> {
    return this.counters.reserve(command);
  }
  async open(attemptId: string): Promise<boolean> {
    const reply = await this.counters.open(attemptId);
    return reply.type === 'done' && (reply.was === 'reserved' || reply.was === 'opened');
  }
  async renew(attemptId: string, leaseMs: number): Promise<void> {
    // When it is not reserved any more there is nothing to renew; `open` decides what that means.
    await this.counters.renew(attemptId, leaseMs);
  }
  extend(attemptId: string, to: { cashNanos: Nanos; fullNanos: Nanos }): Promise<ExtendReply> {
    return this.counters.extend(attemptId, to);
  }
  async release(attemptId: string): Promise<void> {
    // When the epoch is over there is nothing to release: the hold was not carried over.
    await this.counters.release(attemptId);
  }
}
