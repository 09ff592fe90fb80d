import type { Credential, FailureCode } from './ports.js';

/** A quota answer that does not say for how long; doubled while it comes again. */
const COOL_DOWN_MS = 1_000;
const LONGEST_UNSAID_MS = 60_000;
/** A key that is refused is not worth a call; somebody may give it credit or rights meanwhile. */
const REFUSED_MS = 60_000;
/** As the router's breaker. */
const LONGEST_COOL_DOWN_MS = 3_600_000;

interface Place {
  credential: Credential;
  inFlight: number;
  takenAt: number;
  coolUntilMs: number;
  quotasInRow: number;
}

/**
 * The credentials of one backend as one worker knows them. The one with the fewest calls in flight is taken, of these the one
 * that was left alone for longest; one that cools down is passed over, whoever asks never waits.
 */
export class CredentialPool {
  private readonly places: Place[];
  private taken = 0;

  constructor(
    credentials: readonly Credential[],
    private readonly nowMs: () => number,
  ) {
    this.places = credentials.map((credential) => ({
      credential,
      inFlight: 0,
      takenAt: 0,
      coolUntilMs: 0,
      quotasInRow: 0,
    }));
  }

  /** Undefined: all of them cool down. Every one that was taken is to be given back. */
  take(): Credential | undefined {
    const now = this.nowMs();
    let best: Place | undefined;
    for (const place of this.places) {
      if (place.coolUntilMs > now) continue;
      if (!best || place.inFlight < best.inFlight || (place.inFlight === best.inFlight && place.takenAt < best.takenAt))
        best = place;
    }
    if (!best) return undefined;
    best.inFlight++;
    best.takenAt = ++this.taken;
    return best.credential;
  }

  /**
   * @param failure of its call; undefined: it was served
   * @returns until one of them may be used, milliseconds from the instant at which this one began to cool down; 0: now
   */
  giveBack(credential: Credential, failure?: { code: FailureCode; retryAfterSeconds?: number | undefined }): number {
    const place = this.places.find((p) => p.credential === credential)!;
    const now = this.nowMs();
    place.inFlight--;
    if (failure?.code === 'quota') cool(place, this.quotaMs(place, failure.retryAfterSeconds), now);
    else if (failure?.code === 'credential') cool(place, REFUSED_MS, now);
    else if (!failure) place.quotasInRow = 0;
    return this.freeAfterMs(now);
  }

  /** Until one of them may be used; 0: now. */
  get freeInMs(): number {
    return this.freeAfterMs(this.nowMs());
  }

  private freeAfterMs(now: number): number {
    return Math.max(0, Math.min(...this.places.map((place) => place.coolUntilMs)) - now);
  }

  get inFlight(): number {
    return this.places.reduce((sum, place) => sum + place.inFlight, 0);
  }

  private quotaMs(place: Place, saidSeconds: number | undefined): number {
    if (saidSeconds !== undefined) return saidSeconds * 1_000;
    return Math.min(LONGEST_UNSAID_MS, COOL_DOWN_MS * 2 ** place.quotasInRow++);
  }
}

function cool(place: Place, ms: number, now: number): void {
  place.coolUntilMs = Math.max(place.coolUntilMs, now + Math.min(ms, LONGEST_COOL_DOWN_MS));
}
