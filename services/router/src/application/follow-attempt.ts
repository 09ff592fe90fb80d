import { HEDGE_LOST, type ErrorCode, type Receipt, type Refusal } from '@meritorder/contracts';
import type { GrowingHold } from './extend-hold.js';
import type { HedgeRace, Leg } from './hedge-race.js';
import type { OpenHandshake, Opening } from './open-handshake.js';
import { CANCELLED, refused, YIELDED, type Step } from './outcome.js';
import type { AttemptSignal, Fleet, WorkSession } from './ports.js';

type FailedSignal = Extract<AttemptSignal, { type: 'failed' }>;

/** What became of a request so far. */
export interface RequestPath {
  /** Attempts that ended without an answer. */
  readonly tried: Receipt['attempts'];
  /** The backend that failed last, where another of its credentials is free, or another of its workers. */
  again: string | undefined;
  /** Backends whose workers were full, of those tried: to be asked again when a slot is free. */
  readonly full: Set<string>;
}

export interface FollowedAttempt {
  leg: Leg;
  session: WorkSession;
  handshake: OpenHandshake;
  growing: GrowingHold;
  race: HedgeRace | undefined;
  fleet: Fleet;
  cancelled: AbortSignal;
  path: RequestPath;
  /** It is known that it was charged for nothing. */
  costNothing(): void;
  /** Whether the deadline left the backend all the time that it may take for a first token. */
  hadTime: boolean;
}

/** Follows one attempt to its end: hears its worker, answers it, and says how the request goes on. */
export function followAttempt(attempt: FollowedAttempt): Promise<Step> {
  return new Following(attempt).toItsEnd();
}

class Following {
  constructor(private readonly attempt: FollowedAttempt) {}

  async toItsEnd(): Promise<Step> {
    const { session, leg, fleet, handshake, growing, race } = this.attempt;
    const { attemptId, backend } = leg;
    for (;;) {
      const { signal, reply } = await session.next();
      switch (signal.type) {
        case 'ready': {
          const opening = await handshake.open().catch((error: unknown) => {
            // It would wait for its answer.
            reply({ type: 'stop', reason: 'the counters are away' });
            throw error;
          });
          if (opening === 'open') {
            reply({ type: 'go' });
            break;
          }
          // What is left of the hold ends when the worker closes the attempt, or with its lease: only then do the books know.
          const isLost = race?.isLost(leg) ?? false;
          reply({ type: 'stop', reason: isLost ? HEDGE_LOST : opening });
          if (isLost) return YIELDED;
          if (opening === 'unwanted') return refused(CANCELLED);
          if (opening === 'not-recorded') void handshake.lost();
          return this.next('refused', NOT_OPENED[opening]);
        }
        case 'batched':
          fleet.succeeded(backend);
          return { ended: 'batched' };
        case 'extend':
          reply(await growing.extend(signal));
          break;
        case 'heartbeat':
          if (signal.firstTokenSeen) race?.firstToken(leg);
          reply({ type: 'heard' });
          break;
        case 'first-token':
          reply(race?.firstToken(leg) ?? { type: 'noted', others: [] });
          break;
        case 'turn':
          // Others are heard meanwhile: it may take until the first attempt is known to be over.
          void race?.turn(leg).then(reply);
          break;
        case 'no-worker':
        case 'refused': {
          // What comes back from a batch that was given up is closed by whoever has that.
          if (signal.type === 'no-worker') await handshake.notSent('no-worker');
          else if (signal.code !== 'given-up') await handshake.notSent(signal.code);
          if (signal.type === 'refused' && signal.code === 'cancelled') return refused(CANCELLED);
          if (signal.type === 'refused' && signal.code === 'busy') {
            fleet.wasFull(backend);
            this.attempt.path.full.add(backend);
          }
          const why = signal.type === 'no-worker' ? 'no live worker' : signal.message;
          return this.next('refused', {
            code: 'backend_unavailable',
            message: `${backend}: ${why}`,
            retryAfterSeconds: 1,
          });
        }
        case 'silent': {
          session.stop();
          fleet.failed(backend, signal.firstTokenSeen ? 'answer' : 'connect');
          await handshake.lost();
          if (signal.firstTokenSeen)
            return refused({ code: 'stream_cut', message: `The worker of ${backend} was lost during the stream.` });
          return this.next('failed', {
            code: 'backend_failed',
            message: `${backend}: its worker was lost`,
          });
        }
        case 'failed': {
          reply({ type: 'taken' });
          return this.failed(signal);
        }
        case 'finished':
          if (signal.status === 'yielded') {
            this.attempt.path.tried.push({ attempt_id: attemptId, backend, outcome: 'cancelled', code: HEDGE_LOST });
            return YIELDED;
          }
          if (signal.status !== 'error') fleet.succeeded(backend);
          return { ended: 'answered' };
      }
    }
  }

  private failed(signal: FailedSignal): Step {
    const { fleet, path, cancelled } = this.attempt;
    const { backend } = this.attempt.leg;
    if (signal.costNothing) this.attempt.costNothing();
    // The worker hears a cancel itself; here it only decides what is said.
    if (signal.code === 'cancelled' || cancelled.aborted) return refused(CANCELLED);
    path.again = signal.again ? backend : undefined;
    // What one credential is refused says nothing of the backend while another is free.
    if (signal.code === 'quota' || signal.code === 'credential') {
      const { again, retryAfterSeconds } = signal;
      if (!again) fleet.quota(backend, retryAfterSeconds === undefined ? undefined : retryAfterSeconds * 1_000);
    } else if (!SAYS_NOTHING_OF_BACKEND.has(signal.code) && (this.attempt.hadTime || !isDeadline(signal)))
      fleet.failed(backend, signal.code === 'connect' || signal.code === 'timeout' ? 'connect' : 'answer');
    if (signal.code === 'caller-fault' || signal.code === 'content-filter') {
      const code = signal.code === 'caller-fault' ? 'upstream_rejected' : 'content_filtered';
      const refusal: Refusal = { code, message: `${backend}: ${signal.message}` };
      // What this model alone cannot be told, another may be.
      return signal.retryable ? this.next('failed', refusal, signal.code) : refused(refusal);
    }
    const refusal: Refusal = {
      code: codeOf(signal),
      message: `${backend}: ${signal.message} (${signal.code})`,
      ...(signal.code === 'quota' && signal.retryAfterSeconds !== undefined
        ? { retryAfterSeconds: Math.max(1, Math.ceil(signal.retryAfterSeconds)) }
        : {}),
    };
    if (!signal.retryable) return refused(refusal);
    return this.next('failed', refusal, signal.code);
  }

  private next(outcome: 'failed' | 'refused', refusal: Refusal, code?: string): Step {
    const { tried } = this.attempt.path;
    const { attemptId, backend } = this.attempt.leg;
    if (outcome === 'refused') this.attempt.costNothing();
    tried.push({ attempt_id: attemptId, backend, outcome, code: code ?? refusal.code });
    const failures = tried.flatMap((t) => (t.outcome === 'failed' && t.code !== undefined ? [t.code] : []));
    const details = outcome === 'failed' ? { details: { ...refusal.details, failures } } : {};
    const earlier = tried.length > 1 ? `${tried.length} candidates failed; the last one: ` : '';
    return { ended: 'next', refusal: { ...refusal, ...details, message: `${earlier}${refusal.message}` } };
  }
}

const NOT_OPENED: Record<Exclude<Opening, 'open' | 'unwanted'>, Refusal> = {
  'hold-gone': {
    code: 'admission_closed',
    message: 'The hold was lost before the call; retry.',
    retryAfterSeconds: 2,
  },
  'not-recorded': {
    code: 'backend_unavailable',
    message: 'The attempt could not be put on record; retry.',
    retryAfterSeconds: 1,
  },
};

/** The request's own, not one of the backend's. */
function isDeadline({ code, retryable }: FailedSignal): boolean {
  return code === 'timeout' && !retryable;
}

/** Whatever it is asked again, what one answered that cannot be passed on would be as large as before. */
function codeOf(signal: FailedSignal): ErrorCode {
  if (isDeadline(signal)) return 'deadline_exceeded';
  switch (signal.code) {
    case 'context-length':
      return 'no_able_backend';
    case 'quota':
      return 'backend_quota';
    case 'protocol':
      return signal.retryable ? 'backend_failed' : 'answer_unusable';
    default:
      return 'backend_failed';
  }
}

/** Failures that are the request's, or nobody's. */
const SAYS_NOTHING_OF_BACKEND: ReadonlySet<string> = new Set([
  'caller-fault',
  'content-filter',
  'context-length',
  'stopped',
  'draining',
]);
