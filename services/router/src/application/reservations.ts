import type { OrgConfig } from '@meritorder/contracts';
import type { OrgRate, ReserveReply } from '@meritorder/counters';
import { newId } from '@meritorder/kernel';
import type { Able } from '@meritorder/routing-core';
import { notGranted, type NotGranted } from './not-granted.js';
import type { Admission, Catalogue } from './ports.js';
import { accountRateOf, orgRateOf } from './rates.js';
import type { Offer } from './work-message.js';

/** What one request asks the counters for. */
export class Reservations {
  private isRateTaken = false;

  constructor(
    private readonly ports: { admission: Admission; catalogue: Pick<Catalogue, 'accountLimits'> },
    private readonly leaseMs: number,
    private readonly org: OrgConfig,
    /** Answers that it asks for. */
    private readonly choices: number,
  ) {}

  reserve(
    attemptId: string,
    offers: readonly Offer[],
    accountRate = (candidate: Able) => accountRateOf(candidate, this.ports.catalogue, this.choices),
  ): Promise<ReserveReply> {
    return this.ports.admission.reserve({
      attemptId,
      leaseMs: this.leaseMs,
      orgRate: this.orgRate(),
      candidates: offers.map(({ candidate, windows, hold }) => ({
        backend: candidate.backend.id,
        maxTokens: hold.maxTokens,
        minTokens: hold.minTokens,
        cash: hold.bound.cash,
        full: hold.bound.full,
        windows: windows.map((w) => w.asked),
        local: candidate.backend.kind === 'local',
        accountRate: accountRate(candidate),
      })),
    });
  }

  /** Why no budget would grant it now: asked for and given back at once. Accounts are asked when it goes, or it would count twice. */
  async refused(offers: readonly Offer[], nowMs: number): Promise<NotGranted | undefined> {
    const attemptId = newId();
    const reply = await this.reserve(attemptId, offers, () => undefined);
    if (reply.type !== 'granted') return notGranted(reply, offers, nowMs);
    await this.ports.admission.release(attemptId);
    return undefined;
  }

  /** A request counts once, however many backends it tries and however often it asks. */
  private orgRate(): OrgRate | undefined {
    if (this.isRateTaken) return undefined;
    this.isRateTaken = true;
    return orgRateOf(this.org);
  }
}
