/**
 * Whose turn it is among orgs that wait for the same slots: start-time fair queueing (Goyal, Vin and Cheng, 1996) with slots for
 * packets. Each slot moves an org's own time on by 1 / weight, and the one whose time is least has the next. One that comes anew
 * begins at the time of those served now, so that nobody saves up turns by staying away, and nobody gains any by coming one by one.
 */
export class FairTurns {
  private readonly times = new Map<string, number>();
  private now = 0;

  /** @param weightOf of an org, above 0 */
  constructor(private readonly weightOf: (org: string) => number) {}

  /** The least is next. */
  timeOf(org: string): number {
    return Math.max(this.now, this.times.get(org) ?? 0);
  }

  took(org: string): void {
    this.now = this.timeOf(org);
    this.times.set(org, this.now + 1 / this.weightOf(org));
  }
}
