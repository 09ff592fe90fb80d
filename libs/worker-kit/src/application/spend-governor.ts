import type { GovernedHold } from '@meritorder/contracts';

/** Asked this far ahead of the end of what is held, at the speed so far: an answer takes milliseconds, so no stream stalls. */
const ASK_AHEAD_MS = 500;
/** An answer under load; asked later than this ahead, a stream would wait for it. */
const ANSWER_MS = 50;
/** What is left for the tokens that a backend generates until it notices that nobody reads any more: they are held as well. */
const CANCEL_TRAVEL_MS = 150;
const TRAVEL_MOST_SHARE = 0.5;
/** The same as the time ahead: bursts have no speed. */
const ASK_AHEAD_LEAST_SLICES = 0.5;
const ASK_AHEAD_MOST_SLICES = 8;
/** Of what is held: most answers end within what was held for them, and must not take from others what they will not need. */
const ASK_AHEAD_MOST_SHARE = 0.25;
/** After a slice was refused, or nobody answered; another request may have ended by then. */
const ASK_AGAIN_MS = 250;

/** Output tokens of all choices together, as seen so far. */
export interface Seen {
  tokens: number;
  atMs: number;
}

/**
 * Decides what a stream may still cost: how much more is to be asked for, and when what is held is used up. Pure: told what was
 * seen and what was answered. What it says only depends on the largest hold that was ever granted, so an answer that comes late or
 * again changes nothing.
 */
export class SpendGovernor {
  private held: number;
  private firstMs: number | undefined;
  private seen: Seen = { tokens: 0, atMs: 0 };
  private askAgainAtMs = Number.NEGATIVE_INFINITY;
  private wasRefused = false;

  constructor(private readonly hold: GovernedHold) {
    this.held = hold.heldTokens;
  }

  get heldTokens(): number {
    return this.held;
  }

  saw(seen: Seen): void {
    this.firstMs ??= seen.atMs;
    this.seen = seen;
  }

  /** The total to ask for now; undefined: nothing. */
  wanted(): number | undefined {
    const { maxTokens, sliceTokens } = this.hold;
    if (this.coversAll() || this.seen.atMs < this.askAgainAtMs) return undefined;
    const ahead = this.aheadTokens();
    if (this.seen.tokens < this.held - ahead) return undefined;
    // Whoever was refused asks at once for the least that helps: it may be all that is left, and enough.
    const total = this.wasRefused
      ? this.held + sliceTokens
      : Math.max(this.held, this.seen.tokens + ahead) + sliceTokens;
    return Math.min(maxTokens, Math.ceil(total));
  }

  /** No token more may be generated under what is held; a cancel takes a while to arrive. */
  usedUp(): boolean {
    return !this.coversAll() && this.seen.tokens >= this.held - this.travelTokens();
  }

  /** Tokens that may be seen before anything is to be decided: until then nobody needs to count. */
  spareTokens(): number {
    if (this.coversAll()) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.held - Math.max(this.aheadTokens(), this.travelTokens()) - this.seen.tokens);
  }

  extended(totalTokens: number): void {
    this.held = Math.max(this.held, totalTokens);
    this.wasRefused = false;
  }

  /** Nobody said anything. */
  unanswered(atMs: number): void {
    this.askAgainAtMs = atMs + ASK_AGAIN_MS;
  }

  refused(atMs: number): void {
    if (this.wasRefused) this.askAgainAtMs = atMs + ASK_AGAIN_MS;
    this.wasRefused = true;
  }

  private coversAll(): boolean {
    return this.held >= this.hold.maxTokens;
  }

  private aheadTokens(): number {
    const { sliceTokens } = this.hold;
    const ahead = Math.max(sliceTokens * ASK_AHEAD_LEAST_SLICES, this.tokensPerMs() * ASK_AHEAD_MS);
    const most = Math.min(sliceTokens * ASK_AHEAD_MOST_SLICES, this.held * ASK_AHEAD_MOST_SHARE);
    return Math.max(this.travelTokens() + this.tokensPerMs() * ANSWER_MS, Math.min(ahead, most));
  }

  private travelTokens(): number {
    return Math.min(this.held * TRAVEL_MOST_SHARE, this.tokensPerMs() * CANCEL_TRAVEL_MS);
  }

  /** Since the first token. */
  private tokensPerMs(): number {
    const elapsedMs = this.seen.atMs - (this.firstMs ?? this.seen.atMs);
    return elapsedMs > 0 ? this.seen.tokens / elapsedMs : 0;
  }
}
