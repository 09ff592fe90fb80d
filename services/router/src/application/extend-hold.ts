import type { AttemptTerms, RouterReply, UsageAttemptExtendedV1, WorkEvent } from '@meritorder/contracts';
import type { ExtendReply } from '@meritorder/counters';
import type { Clock } from '@meritorder/kernel';
import type { Bound } from '@meritorder/pricing-core';
import { outputBound } from '@meritorder/routing-core';
import type { Context } from '@opentelemetry/api';
import type { Admission, ExtensionLog } from './ports.js';

export interface ExtensionPorts {
  clock: Clock;
  admission: Pick<Admission, 'extend'>;
  extensions: ExtensionLog;
}

type Asked = Extract<WorkEvent, { type: 'extend' }>;

/**
 * The hold of one governed attempt as it grows. What is granted is held in the counters and on record in the stream before the
 * worker hears of it. The counters are asked again after the record: if their epoch ended in between, a rebuild may have read the
 * books without it, and the new epoch must hold it, or refuse it, for itself. The repetition changes nothing otherwise.
 */
export class GrowingHold {
  constructor(
    private readonly ports: ExtensionPorts,
    private terms: AttemptTerms,
    private readonly bound: Bound,
    private readonly choices: number,
    private readonly context: Context,
  ) {}

  async extend({ worker, outputTokens }: Asked): Promise<RouterReply> {
    const { governed } = this.terms;
    if (!governed) return { type: 'not-extended', cause: 'closed', message: 'the hold covers the upper bound' };
    const heldTokens = Math.max(governed.heldTokens, Math.min(outputTokens, governed.maxTokens));
    const to = outputBound(this.bound, heldTokens, this.choices);
    const grown = await this.ports.admission.extend(this.terms.attemptId, to);
    if (grown.type !== 'extended') return refusalOf(grown);
    const bound = { cashNanos: grown.cashNanos.toString(), fullNanos: grown.fullNanos.toString() };
    const terms = { ...this.terms, bound, governed: { ...governed, heldTokens } };
    const extendedAt = new Date(this.ports.clock.nowMs()).toISOString();
    const event: UsageAttemptExtendedV1 = { ...terms, worker, extendedAt };
    try {
      await this.ports.extensions.record(event, this.context);
    } catch (error) {
      const message = `the extension could not be recorded: ${(error as Error).message}`;
      return { type: 'not-extended', cause: 'closed', message };
    }
    const still = await this.ports.admission.extend(this.terms.attemptId, to);
    if (still.type !== 'extended') return refusalOf(still);
    this.terms = terms;
    return { type: 'extended', outputTokens: heldTokens, bound };
  }
}

function refusalOf(reply: Exclude<ExtendReply, { type: 'extended' }>): RouterReply {
  if (reply.type === 'epoch')
    return { type: 'not-extended', cause: 'closed', message: 'the budget counters are being rebuilt' };
  if (reply.type === 'done')
    return { type: 'not-extended', cause: 'closed', message: `the hold is not open (${reply.was})` };
  const { budget, window, kind } = reply.binding;
  return {
    type: 'not-extended',
    cause: 'budget',
    budget,
    window,
    message:
      kind === 'exhausted'
        ? `The budget ${budget} (${window}) is exhausted.`
        : `What is left of the budget ${budget} (${window}) is held by requests in flight.`,
  };
}
