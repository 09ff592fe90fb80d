import type { Amounts, GovernedHold, Receipt, RouterReply } from '@meritorder/contracts';
import { invariant, type Clock } from '@meritorder/kernel';
import type { RouterLink } from './ports.js';
import { SpendGovernor } from './spend-governor.js';

export type EndedBy = NonNullable<Receipt['ended_by']>;

export interface GovernedStreamPorts {
  clock: Clock;
  router: Pick<RouterLink, 'request'>;
  worker: string;
  /** Output tokens of all choices so far. */
  countTokens(): number;
  /** The hold covers more from now on. */
  extended(heldTokens: number, bound: Amounts): void;
}

/**
 * A router answers in milliseconds. Without an answer the stream ends when what is held is used up: the backend goes on meanwhile,
 * so nobody waits longer than what is left for it covers.
 */
const ANSWER_TIMEOUT_MS = 150;
/** What a chunk may have around its text beyond the shortest one so far: a name, an escape. */
const ENVELOPE_CHARACTERS = 8;
/** OpenAI's chunk, and Anthropic's `message_delta`. */
const ENDS_A_CHOICE = /"(?:finish|stop)_reason":\s*"/;

/**
 * Watches a stream whose hold does not cover all that it may cost: has the hold extended while the stream goes on, and says when
 * the stream must end. It waits for an answer only when what is held is used up. Memory and work a chunk are bounded.
 */
export class GovernedStream {
  private readonly governor: SpendGovernor;
  private readonly endedChoices = new Set<number>();
  private asking: Promise<void> | undefined;
  private refusal: EndedBy | undefined;
  private chunks = 0;
  private shortestChunk = Number.POSITIVE_INFINITY;
  private uncountedCharacters = 0;
  private spareTokens = 0;

  constructor(
    private readonly ports: GovernedStreamPorts,
    private readonly attemptId: string,
    hold: GovernedHold,
    private readonly choices: number,
  ) {
    this.governor = new SpendGovernor(hold);
  }

  /** To be told of every chunk, after it was passed on. Undefined: the stream goes on. */
  passed(json: string): Promise<EndedBy | undefined> | undefined {
    this.chunks++;
    if (ENDS_A_CHOICE.test(json)) this.noteEnds(json);
    if (!this.isToBeCounted(json)) return undefined;
    // Hardly any server sends a chunk without a token; whoever sends what nobody here can count is counted by its chunks.
    const tokens = Math.max(this.ports.countTokens(), this.chunks);
    this.governor.saw({ tokens, atMs: this.ports.clock.nowMs() });
    this.ask();
    this.spareTokens = this.governor.spareTokens();
    this.uncountedCharacters = 0;
    // All is said then; what comes is the usage.
    if (this.endedChoices.size >= this.choices || !this.governor.usedUp()) return undefined;
    return this.endUnlessExtended();
  }

  /** The chunk that ends what is left of the answer. */
  lastChunk(of: { id: string; model: string }): string {
    const open = Array.from({ length: this.choices }, (_, index) => index).filter((i) => !this.endedChoices.has(i));
    return JSON.stringify({
      id: of.id,
      object: 'chat.completion.chunk',
      created: Math.floor(this.ports.clock.nowMs() / 1_000),
      model: of.model,
      choices: open.map((index) => ({ index, delta: {}, finish_reason: 'length' })),
    });
  }

  /** A character is hardly ever more than a token, so nothing is to be decided within so many of them as tokens are spare. */
  private isToBeCounted(json: string): boolean {
    this.shortestChunk = Math.min(this.shortestChunk, json.length);
    this.uncountedCharacters += json.length - this.shortestChunk + ENVELOPE_CHARACTERS;
    return this.uncountedCharacters >= this.spareTokens;
  }

  private async endUnlessExtended(): Promise<EndedBy | undefined> {
    while (this.governor.usedUp()) {
      this.ask();
      if (!this.asking) {
        invariant(this.refusal, 'a hold that is used up was asked for more');
        return this.refusal;
      }
      await this.asking;
    }
    return undefined;
  }

  private ask(): void {
    if (this.asking) return;
    const outputTokens = this.governor.wanted();
    if (outputTokens === undefined) return;
    const { router, worker } = this.ports;
    this.asking = router
      .request({ type: 'extend', attemptId: this.attemptId, worker, outputTokens }, ANSWER_TIMEOUT_MS)
      .then((reply) => this.answered(reply))
      .finally(() => (this.asking = undefined));
  }

  private answered(reply: RouterReply | undefined): void {
    if (reply?.type === 'extended') {
      this.governor.extended(reply.outputTokens);
      this.refusal = undefined;
      return this.ports.extended(this.governor.heldTokens, reply.bound);
    }
    if (reply?.type === 'not-extended') this.governor.refused(this.ports.clock.nowMs());
    else this.governor.unanswered(this.ports.clock.nowMs());
    this.refusal = endedBy(reply);
  }

  private noteEnds(json: string): void {
    const { choices, type } = JSON.parse(json) as {
      choices?: { index?: number; finish_reason?: unknown }[];
      type?: unknown;
    };
    if (type === 'message_delta') this.endedChoices.add(0);
    for (const choice of Array.isArray(choices) ? choices : [])
      if (typeof choice?.finish_reason === 'string') this.endedChoices.add(choice.index ?? 0);
  }
}

function endedBy(reply: RouterReply | undefined): EndedBy {
  if (reply?.type !== 'not-extended')
    return { cause: 'unextended', message: 'No router answered when the answer needed a larger hold.' };
  const { cause, budget, window, message } = reply;
  if (cause === 'closed')
    return { cause: 'unextended', message: `The answer needed a larger hold than it has: ${message}.` };
  return {
    cause: 'budget',
    ...(budget === undefined ? {} : { budget }),
    ...(window === undefined ? {} : { window }),
    message,
  };
}
