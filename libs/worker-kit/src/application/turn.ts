import type { Receipt, RouterReply, TurnReply, TurnRequest } from '@meritorder/contracts';

type Line = Receipt['attempts'][number];

/**
 * Who may write to the caller: one attempt of a request, however many run. It is the first attempt's own, which so waits for
 * nobody, until it gives it to the hedge that asks. It is decided where the first attempt runs, in one step, so it is never in two
 * places.
 */
export interface Turn {
  /** Whether this attempt may write to the caller. Once it may, it may for good. */
  take(): boolean | Promise<boolean>;
  /** The same, to say that the request has failed or was cancelled: the other attempt is not ended for that. */
  lastWord(): boolean | Promise<boolean>;
  /** It is over without a word: the turn is for whoever asks. @param line of it, for a receipt */
  leave(line: Line): void;
  /** What became of the attempt that the turn is from. */
  others(): readonly Line[];
}

export class OwnTurn implements Turn {
  private state: 'held' | 'used' | 'left' | 'given' = 'held';
  private to: string | undefined;

  constructor(
    /** This attempt, for the receipt of another one that it gave its turn to. */
    private line: Line,
    /** Ends this attempt at once. */
    private readonly end: () => void,
  ) {}

  take(): boolean {
    if (this.state === 'held') this.state = 'used';
    return this.state === 'used';
  }

  lastWord(): boolean {
    return this.take();
  }

  leave(line: Line): void {
    if (this.state !== 'held') return;
    this.state = 'left';
    this.line = line;
  }

  others(): readonly Line[] {
    return [];
  }

  /** A hedge asks. The same one is answered alike however often. */
  asked({ by, ifOver }: TurnRequest): TurnReply {
    const isFree = this.state === 'left' || (this.state === 'held' && !ifOver);
    if (isFree) {
      if (this.state === 'held') this.end();
      this.state = 'given';
      this.to = by;
    }
    return this.state === 'given' && this.to === by ? { type: 'talk', attempt: this.line } : { type: 'yield' };
  }
}

/** Of a hedge: it has none until it is given one. */
export class HedgeTurn implements Turn {
  private line: Line | undefined;

  constructor(
    private readonly attemptId: string,
    private readonly asks: {
      /** The worker of the first attempt; undefined: it did not answer. */
      first(request: TurnRequest): Promise<TurnReply | undefined>;
      /** Waits until the router knows what became of the first attempt. */
      router(): Promise<RouterReply | undefined>;
    },
  ) {}

  async take(): Promise<boolean> {
    if (this.line) return true;
    const reply = (await this.asks.first({ by: this.attemptId, ifOver: false })) ?? (await this.asks.router());
    return this.heard(reply);
  }

  async lastWord(): Promise<boolean> {
    return this.line !== undefined || this.heard(await this.asks.first({ by: this.attemptId, ifOver: true }));
  }

  /** Nobody asks a hedge for its turn. */
  leave(): void {}

  others(): readonly Line[] {
    return this.line ? [this.line] : [];
  }

  private heard(reply: RouterReply | undefined): boolean {
    if (reply?.type === 'talk') this.line = reply.attempt;
    return reply?.type === 'talk';
  }
}
