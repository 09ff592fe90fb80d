import { closedUnsent, type AttemptTerms } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import type { Context } from '@opentelemetry/api';
import type { Admission, AttemptLog } from './ports.js';

export interface OpenHandshakePorts {
  clock: Clock;
  attempts: AttemptLog;
  admission: Pick<Admission, 'open' | 'release'>;
}

export interface OpeningAttempt {
  terms: AttemptTerms;
  context: Context;
  /** False: nobody wants it any more. */
  isWanted(): boolean;
  /** A worker has it. What was sent to one that is gone, or frozen, never goes: it costs nothing. */
  taken: Promise<void>;
  /** Tells its worker, whichever that is; one that has not heard asks. */
  go(): void;
}

/** `open`: its worker may go. Otherwise nothing was or will be sent. */
export type Opening = 'open' | 'not-recorded' | 'unwanted' | 'hold-gone';

/**
 * What comes between a reservation and the first byte upstream (ADR 3, ADR 21): the attempt is in the stream of attempts, then its
 * hold is opened, then the worker that has it goes. While none of them may have gone, it can be called off.
 */
export class OpenHandshake {
  private recording: Promise<boolean> | undefined;
  private opening: Promise<Opening> | undefined;
  private gone = false;
  private off = false;

  constructor(
    private readonly ports: OpenHandshakePorts,
    private readonly attempt: OpeningAttempt,
  ) {}

  /** Once, however often it is asked. @throws whatever the counters do; then its worker is not told to go */
  open(): Promise<Opening> {
    return (this.opening ??= this.run());
  }

  private async run(): Promise<Opening> {
    const { attempt, ports } = this;
    if (this.isUnwanted()) return 'unwanted';
    if (!(await this.record())) return 'not-recorded';
    if (this.isUnwanted()) return 'unwanted';
    if (!(await ports.admission.open(attempt.terms.attemptId))) return 'hold-gone';
    await attempt.taken;
    if (this.isUnwanted()) return 'unwanted';
    this.gone = true;
    attempt.go();
    return 'open';
  }

  private isUnwanted(): boolean {
    return this.off || !this.attempt.isWanted();
  }

  /** @returns whether the stream has it for certain */
  private record(): Promise<boolean> {
    const { clock, attempts } = this.ports;
    const { terms, context } = this.attempt;
    const openedAt = new Date(clock.nowMs()).toISOString();
    this.recording ??= attempts.opened({ ...terms, worker: attempts.recorder, openedAt }, context).then(
      () => true,
      () => false,
    );
    return this.recording;
  }

  /** Nobody has heard of a worker that has it: if none was told to go, none will. Its hold is free then. */
  async lost(): Promise<void> {
    if (!this.gone) await this.notSent('no-worker');
  }

  /**
   * No worker took it. Its hold is released when the stream says for certain that it costs nothing; where that is not certain, it
   * ends with its lease, or when metering hears of this.
   */
  async notSent(code: string): Promise<void> {
    this.off = true;
    const { clock, attempts, admission } = this.ports;
    const { terms, context } = this.attempt;
    if (this.recording) {
      const isOnRecord = await this.recording;
      const closed = attempts.closed(closedUnsent({ terms }, attempts.recorder, clock.nowMs(), code), context);
      if (!isOnRecord || !(await closed)) return;
    }
    await admission.release(terms.attemptId);
  }
}
