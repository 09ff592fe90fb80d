import { HEDGE_LOST, type HedgingConfig, type Receipt, type RouterReply } from '@meritorder/contracts';
import type { DispatchOutcome, Step } from './outcome.js';
import type { Hedges, HedgeScope } from './ports.js';

type Line = Receipt['attempts'][number];

/** One attempt of a race. */
export interface Leg {
  attemptId: string;
  backend: string;
  stop(reason: typeof HEDGE_LOST): void;
}

export interface RacePorts {
  hedges: Hedges;
  every(ms: number, run: () => void): () => void;
}

export interface RaceSettings {
  scope: HedgeScope & { limits: HedgingConfig };
  cancelled: AbortSignal;
  deadlineMs: number;
}

/**
 * A first attempt that may get a second one beside it, its hedge, while it shows no token. At most one hedge is sent, and a third
 * attempt never is as long as one of the two runs.
 *
 * Who may write to the caller is not decided here: the turn is the first attempt's, in its worker, and the hedge gets it from there
 * (`TurnRequest`). So it is never in two places, and a router that dies takes it from nobody. Here is known who has begun, the
 * other one is ended, and what is left is waited for.
 */
export class HedgeRace {
  private first: Leg | undefined;
  private hedge: Leg | undefined;
  private readonly lines = new Map<Leg, Line>();
  /** Has the caller, for good. */
  private talker: Leg | undefined;
  private firstIsOver = false;
  private settled = false;
  private spentUsd: number | undefined;
  private running: Promise<Step | undefined> | undefined;
  private stopTimer: () => void = () => {};
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly ports: RacePorts,
    private readonly settings: RaceSettings,
    /** Reserves and sends the hedge, and follows it to its end. */
    private readonly run: (race: HedgeRace) => Promise<Step>,
  ) {}

  get firstLeg(): Leg {
    return this.first!;
  }

  isHedged(): boolean {
    return this.hedge !== undefined;
  }

  /** A hedge is of no use any more. */
  isDecided(): boolean {
    return this.settled || this.talker !== undefined || this.settings.cancelled.aborted;
  }

  /** Whether a hedge of this expected cost may be sent. */
  spend(expectedUsd: number): boolean {
    if (!this.ports.hedges.spend(this.settings.scope, expectedUsd)) return false;
    this.spentUsd = expectedUsd;
    return true;
  }

  /** It was sent to its worker: the first one, then its hedge. */
  sent(leg: Leg): void {
    if (this.first === undefined) {
      this.first = leg;
      return;
    }
    this.hedge = leg;
    this.ports.hedges.count(this.settings.scope, 'started');
  }

  /** The first attempt was told to go: without a token after so long, its hedge is sent. */
  opened(leg: Leg, nowMs: number, afterSeconds: number): void {
    const afterMs = Math.max(1, Math.ceil(afterSeconds * 1_000));
    if (leg !== this.first || !(nowMs + afterMs < this.settings.deadlineMs)) return;
    this.stopTimer = this.ports.every(afterMs, () => {
      this.stopTimer();
      if (!this.isDecided()) this.running = this.send();
    });
  }

  isLost(leg: Leg): boolean {
    return this.talker !== undefined && this.talker !== leg;
  }

  /** The caller hears of this attempt from now on: the other one ends. */
  firstToken(leg: Leg): RouterReply {
    this.talks(leg);
    if (this.isLost(leg)) {
      leg.stop(HEDGE_LOST);
      return { type: 'yield' };
    }
    const other = leg === this.first ? this.hedge : this.first;
    return { type: 'noted', others: other ? [this.lineOf(other)] : [] };
  }

  /** A hedge that cannot reach the worker of the first attempt: the turn is its own once that attempt is over, if it said nothing. */
  async turn(leg: Leg): Promise<RouterReply> {
    if (!this.firstIsOver && this.talker === undefined)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.talks(leg);
    return this.isLost(leg) ? { type: 'yield' } : { type: 'talk', attempt: this.lineOf(this.first!) };
  }

  /** Nothing more is heard of this attempt. @param line as a receipt lists it, unless it answered */
  over(leg: Leg, step: Step | undefined, line: Line | undefined): void {
    if (line) this.lines.set(leg, line);
    if (step?.ended === 'answered') this.talks(leg);
    if (leg === this.first) {
      this.firstIsOver = true;
      this.wake();
    } else this.ports.hedges.count(this.settings.scope, this.talker === leg ? 'won' : 'lost');
  }

  /** How the request goes on, once the first attempt has ended with this step: with what its hedge comes to, if that still runs. */
  async settle(step: Step): Promise<Exclude<Step, { ended: 'yielded' }>> {
    this.stopTimer();
    const own = step.ended === 'yielded' ? NOBODY : step;
    if (step.ended === 'answered' || (this.first && this.talker === this.first)) {
      this.settled = true;
      this.hedge?.stop(HEDGE_LOST);
      return own;
    }
    const other = await this.running;
    this.settled = true;
    if (other === undefined || other.ended === 'yielded') return own;
    // It has failed where the first one may have, too: whoever must not be tried again says how it ends.
    if (step.ended === 'refused' && other.ended !== 'answered' && this.talker !== this.hedge) return step;
    return step.ended === 'next' && other.ended === 'next' ? step : other;
  }

  /** The first attempt was not sent, or nobody knows what became of it: its hedge is of no use. */
  abandon(): void {
    this.stopTimer();
    this.settled = true;
    this.hedge?.stop(HEDGE_LOST);
  }

  private async send(): Promise<Step | undefined> {
    let step: Step | undefined;
    try {
      step = await this.run(this);
    } catch {
      // Without the counters there is no hedge; one that was sent and not opened is closed by its worker.
    }
    if (this.hedge) return step;
    if (this.spentUsd !== undefined) this.ports.hedges.giveBack(this.settings.scope, this.spentUsd);
    return undefined;
  }

  private talks(leg: Leg): void {
    if (this.talker !== undefined) return;
    this.talker = leg;
    this.stopTimer();
    if (leg === this.first) this.hedge?.stop(HEDGE_LOST);
    this.wake();
  }

  private lineOf(leg: Leg): Line {
    const { attemptId, backend } = leg;
    return this.lines.get(leg) ?? { attempt_id: attemptId, backend, outcome: 'cancelled', code: HEDGE_LOST };
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

const NOBODY: DispatchOutcome = {
  ended: 'refused',
  refusal: { code: 'backend_failed', message: 'Neither of two attempts has answered.' },
};
