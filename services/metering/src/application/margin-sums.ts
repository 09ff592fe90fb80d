import type { MarginMoney } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import type { CostSums } from '@meritorder/ledger-store';

/** What requests cost, were charged and brought, added up. */
export class MarginSums {
  private attempts = 0;
  requests = 0;
  private cashNanos = 0n;
  fullNanos = 0n;
  private unconfirmedNanos = 0n;
  private chargedNanos: Nanos | null = null;
  private revenueNanos: Nanos | null = null;

  addCosts(costs: CostSums): void {
    this.attempts += costs.attempts;
    this.requests += costs.requests;
    this.cashNanos += costs.cashNanos;
    this.fullNanos += costs.fullNanos;
    this.unconfirmedNanos += costs.unconfirmedNanos;
    if (costs.chargedNanos !== null) this.chargedNanos = (this.chargedNanos ?? 0n) + costs.chargedNanos;
  }

  addRevenue(nanos: Nanos | null): void {
    if (nanos !== null) this.revenueNanos = (this.revenueNanos ?? 0n) + nanos;
  }

  /** Charged and revenue less full cost. Null: where nothing says what requests bring, a cost is no loss. */
  get marginNanos(): Nanos | null {
    if (this.chargedNanos === null && this.revenueNanos === null) return null;
    return (this.chargedNanos ?? 0n) + (this.revenueNanos ?? 0n) - this.fullNanos;
  }

  money(): MarginMoney {
    const text = (nanos: Nanos | null): string | null => nanos?.toString() ?? null;
    return {
      attempts: this.attempts,
      requests: this.requests,
      cashNanos: this.cashNanos.toString(),
      fullNanos: this.fullNanos.toString(),
      unconfirmedNanos: this.unconfirmedNanos.toString(),
      chargedNanos: text(this.chargedNanos),
      revenueNanos: text(this.revenueNanos),
      marginNanos: text(this.marginNanos),
    };
  }
}

/** Who loses most money first, then who costs most. */
export function losersFirst(a: MarginSums, b: MarginSums): number {
  const lossOf = ({ marginNanos }: MarginSums): Nanos => (marginNanos !== null && marginNanos < 0n ? marginNanos : 0n);
  return sign(lossOf(a) - lossOf(b)) || sign(b.fullNanos - a.fullNanos);
}

const sign = (nanos: Nanos): number => (nanos < 0n ? -1 : nanos > 0n ? 1 : 0);
