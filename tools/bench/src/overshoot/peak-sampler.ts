import { Counters } from '@meritorder/counters';
import { isProbe } from './reservation-probe.js';

const EVERY_MS = 100;

/** The largest `settled + unconfirmed + reserved - limit` of any window: the script's own peak, which misses no grant. */
export class PeakSampler {
  private readonly timer: NodeJS.Timeout;
  overshoot: bigint | undefined;

  private constructor(private readonly servers: readonly Counters[]) {
    this.timer = setInterval(() => void this.sample(), EVERY_MS);
  }

  /** Looks at each server itself, past the proxy: also at one that nobody uses any more. */
  static async start(redisUrls: readonly string[]): Promise<PeakSampler> {
    return new PeakSampler(await Promise.all(redisUrls.map((url) => Counters.connect(url))));
  }

  async sample(): Promise<void> {
    for (const counters of this.servers) {
      for (const w of await counters.inspectWindows().catch(() => [])) {
        if (isProbe(w.budget)) continue;
        const used = w.settledNanos + w.unconfirmedNanos + w.reservedNanos;
        const over = (used > w.peakNanos ? used : w.peakNanos) - w.limitNanos;
        if (this.overshoot === undefined || over > this.overshoot) this.overshoot = over;
      }
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.sample();
    await Promise.all(this.servers.map((c) => c.close()));
  }
}
