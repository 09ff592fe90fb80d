import { WorkQueue } from './work-queue.js';

/** The place among the orgs of what those that share have learned together: no slug is empty. */
export const POOL = '';

/** What is in memory, by org; and of the POOL, where there is one. */
export interface Learner {
  /** For JSON; undefined: nothing is known of it. */
  snapshotOf(org: string): unknown;
  /** False, and nothing changed: it cannot be read. */
  restore(org: string, snapshot: unknown): boolean;
  forget(org: string): void;
  /** Whether it is too much, of however few orgs. */
  isFull?(): boolean;
}

/** Where it is kept. All throw while the store is away. */
export interface Keeper {
  /** Undefined: nothing is kept. */
  read(org: string): Promise<string | undefined>;
  /** Why this one is refused; undefined: it is kept. */
  write(org: string, text: string): Promise<string | undefined>;
  /** All that was heard up to that place of the stream is in what is kept. */
  writeHeard(heard: number): Promise<void>;
}

/** @returns whether it taught anything */
export type Lesson = () => boolean;

/** The message that a lesson came with. */
export interface Source {
  /** Its place in the stream. */
  sequence: number;
  /** An earlier process heard it and kept what it taught, but for a moment in which others kept less. */
  isAgain?: boolean;
}

/** Reads and writes under way. */
const AT_ONCE = 16;
/** Orgs in memory. */
const MOST_ORGS = 2_000;
/** Orgs that are being read; the lessons that wait for it, of one and of all. */
const MOST_AWAITED = 10_000;
const MOST_LESSONS = 256;
const MOST_LESSONS_OF_ALL = 20_000;
/** Of all snapshots that give way and are not kept yet. */
const MOST_LEAVING_CHARACTERS = 64 * 1024 * 1024;

/**
 * What was learned of orgs: some are in memory, all are kept. The least recently used gives way, is kept first, and is read again
 * when it is next asked for or learned of. Until it is read nothing is known of it and its lessons wait, so that what is kept is
 * only ever replaced by what was made of it. It is kept with how far the stream was heard by then, so that a lesson that comes again
 * after a restart teaches nothing that it has taught.
 */
export class LearnedOrgs {
  /** In memory, the least recently used first, with the lessons that are not kept yet. An org of which nothing is kept is one too. */
  private readonly known = new Map<string, Known>([[POOL, { unkept: 0, heard: 0 }]]);
  /** Not read yet. */
  private readonly awaited = new Map<string, Awaited>();
  /** Gave way, and not kept yet: their snapshots, the longest ago first. */
  private readonly leaving = new Map<string, string>();
  private leavingCharacters = 0;
  private lessonsWaiting = 0;
  private heard = 0;
  private heardAndKept = 0;
  private readonly work = new WorkQueue(AT_ONCE);
  private saving: Promise<void> | undefined;
  /** Said once, until the store answers again. */
  private isAway = false;
  private isTurningAway = false;
  private isClosing = false;

  constructor(
    private readonly learner: Learner,
    private readonly keeper: Keeper,
    private readonly onError: (message: string) => void,
    readonly mostOrgs = MOST_ORGS,
    /** Which stream was heard: what was heard of another one says nothing of it. */
    private readonly streamId = (): string => '',
  ) {}

  /** What is kept of an org, or of the POOL, before anything is learned of it. */
  restore(org: string, text: string): void {
    this.take(org, text);
    this.makeRoom();
  }

  /** The org is asked for: it is read soon, if it is not in memory. */
  use(org: string): void {
    const known = this.known.get(org);
    if (known === undefined) return this.lookUp(org);
    this.known.delete(org);
    this.known.set(org, known);
  }

  /** A message came, whether it teaches anything or not: after it whatever it teaches is taught. */
  hear({ sequence }: Source): void {
    this.heard = sequence;
  }

  /** Runs the lesson, now or when what is kept of the org is read, unless it is part of that already. */
  teach(org: string, lesson: Lesson, source?: Source): void {
    if (source?.isAgain && !this.known.has(org)) return;
    this.use(org);
    const taught = { lesson, source };
    if (this.known.has(org)) this.run(org, taught);
    else this.wait(org, taught);
    this.makeRoom();
  }

  /** The pool learned as well. */
  markPool(): void {
    this.known.get(POOL)!.unkept++;
  }

  /** Keeps what is not kept yet. One that is refused stays in memory, and stops no other. */
  save(): Promise<void> {
    return (this.saving ??= this.saveAll().finally(() => (this.saving = undefined)));
  }

  /** Keeps everything, also what came while it was being kept; does not wait for a store that is away. */
  async close(): Promise<void> {
    this.isClosing = true;
    // It may be there again.
    this.isAway = false;
    this.readAgain();
    await this.work.idle();
    await this.saving;
    await this.save();
    if (this.awaited.size > 0) this.onError(`what ${this.awaited.size} orgs taught is lost: nobody could read theirs`);
  }

  /** Whether so many lessons wait for what is kept of their orgs that more of them should come later. */
  get isBehind(): boolean {
    return this.lessonsWaiting >= MOST_LESSONS / 2;
  }

  /** Resolves when nothing is being read or makes way. */
  settled(): Promise<void> {
    return this.work.idle();
  }

  private run(org: string, { lesson, source }: Taught): void {
    const known = this.known.get(org)!;
    if (source && source.sequence <= known.heard) return;
    try {
      if (lesson()) known.unkept++;
    } catch (error) {
      this.onError(`a lesson of ${org} taught nothing: ${messageOf(error)}`);
    }
  }

  private take(org: string, text: string | undefined): void {
    const kept = text === undefined ? undefined : keptOf(text);
    const isOfStream = kept?.stream === this.streamId();
    this.known.set(org, { unkept: 0, heard: isOfStream ? kept.heard : 0 });
    if (kept && !this.learner.restore(org, kept.learned))
      this.onError(`what was learned of ${org || 'the pool'} cannot be read; it is learned anew`);
  }

  /** With how far was heard: by all that is known of it, and by all lessons since. */
  private textOf(org: string, snapshot: unknown): string {
    const heard = Math.max(this.heard, this.known.get(org)?.heard ?? 0);
    const kept: Kept = { stream: this.streamId(), heard, learned: snapshot };
    return JSON.stringify(kept);
  }

  private wait(org: string, lesson: Taught): void {
    const waiting = this.awaited.get(org);
    if (waiting && waiting.lessons.length < MOST_LESSONS && this.lessonsWaiting < MOST_LESSONS_OF_ALL) {
      waiting.lessons.push(lesson);
      this.lessonsWaiting++;
    } else {
      if (!this.isTurningAway) this.onError(`what is kept of ${org} is not read yet: no more is learned of such orgs`);
      this.isTurningAway = true;
    }
  }

  private lookUp(org: string): void {
    const gaveWay = this.leaving.get(org);
    if (gaveWay !== undefined) {
      this.take(org, gaveWay);
      this.known.get(org)!.unkept++;
      this.left(org, gaveWay);
      this.makeRoom();
      return;
    }
    const waiting = this.awaited.get(org);
    if (waiting?.isBeingRead || (!waiting && this.awaited.size >= MOST_AWAITED)) return;
    this.read(org, waiting ?? { lessons: [], isBeingRead: true });
  }

  private read(org: string, waiting: Awaited): void {
    this.awaited.set(org, waiting);
    waiting.isBeingRead = true;
    this.ask(`what is kept of ${org} cannot be read yet`, async () => {
      const text = await this.keeper.read(org).catch((error: unknown) => {
        waiting.isBeingRead = false;
        throw error;
      });
      this.awaited.delete(org);
      this.isTurningAway = false;
      this.lessonsWaiting -= waiting.lessons.length;
      this.take(org, text);
      for (const lesson of waiting.lessons) this.run(org, lesson);
      this.makeRoom();
    });
  }

  private readAgain(): void {
    for (const [org, waiting] of this.awaited) if (!waiting.isBeingRead) this.read(org, waiting);
  }

  private get isFull(): boolean {
    // The pool is one more.
    return this.known.size > this.mostOrgs + 1 || (this.learner.isFull?.() ?? false);
  }

  private makeRoom(): void {
    // To find the first entry of a map takes it past all that were taken out.
    if (!this.isFull) return;
    for (const [org, { unkept }] of this.known) {
      if (!this.isFull) return;
      if (org === POOL) continue;
      if (unkept > 0) this.giveWay(org);
      this.known.delete(org);
      this.learner.forget(org);
    }
  }

  private giveWay(org: string): void {
    const snapshot = this.learner.snapshotOf(org);
    if (snapshot === undefined) return;
    const text = this.textOf(org, snapshot);
    this.leaving.set(org, text);
    this.leavingCharacters += text.length;
    for (const [other, theirs] of this.leaving) {
      if (this.leavingCharacters <= MOST_LEAVING_CHARACTERS) break;
      this.left(other, theirs);
      this.onError(`what ${other} taught last is lost: too much could not be kept`);
    }
    this.ask(`what was learned of ${org} is not kept yet`, async () => {
      const refusal = await this.keepLeaving(org);
      if (refusal !== undefined) this.onError(`what was learned could not be kept: ${refusal}`);
    });
  }

  /** Soon. What fails is tried again when the org is asked for, and in every round. */
  private ask(elseSay: string, task: () => Promise<void>): void {
    this.work.add(async () => {
      if (this.isClosing && this.isAway) return;
      try {
        await task();
        this.isAway = false;
      } catch (error) {
        if (!this.isAway) this.onError(`${elseSay}: ${messageOf(error)}`);
        this.isAway = true;
      }
    });
  }

  /** @returns why it is refused */
  private async keepLeaving(org: string): Promise<string | undefined> {
    const text = this.leaving.get(org);
    const refusal = text === undefined ? undefined : await this.keeper.write(org, text);
    if (text !== undefined && refusal === undefined) this.left(org, text);
    return refusal;
  }

  private left(org: string, text: string): void {
    // It may have come back and gone again.
    if (this.leaving.get(org) !== text) return;
    this.leaving.delete(org);
    this.leavingCharacters -= text.length;
  }

  private async saveAll(): Promise<void> {
    this.readAgain();
    const { heard } = this;
    const isTaught = this.lessonsWaiting === 0;
    const refusals: string[] = [];
    const note = (refusal: string | undefined): void => void (refusal !== undefined && refusals.push(refusal));
    try {
      for (const org of this.leaving.keys()) note(await this.keepLeaving(org));
      const changed = [...this.known].filter(([, { unkept }]) => unkept > 0).map(([org]) => org);
      for (const org of changed) note(await this.keep(org));
      if (isTaught && refusals.length === 0 && this.leaving.size === 0) await this.keepHeard(heard);
    } catch (error) {
      refusals.push(messageOf(error));
    }
    if (refusals.length > 0) this.onError(`what was learned could not be kept: ${refusals.join('; ')}`);
  }

  private async keepHeard(heard: number): Promise<void> {
    if (heard === this.heardAndKept) return;
    await this.keeper.writeHeard(heard);
    this.heardAndKept = heard;
  }

  /** @returns why it is refused */
  private async keep(org: string): Promise<string | undefined> {
    const known = this.known.get(org);
    const snapshot = known && this.learner.snapshotOf(org);
    if (known === undefined || snapshot === undefined) return undefined;
    // What it learns meanwhile is not in the snapshot.
    const { unkept } = known;
    const refusal = await this.keeper.write(org, this.textOf(org, snapshot));
    if (refusal === undefined) known.unkept -= unkept;
    return refusal;
  }
}

interface Known {
  unkept: number;
  /** All up to there was taught before it was read. */
  heard: number;
}

interface Taught {
  lesson: Lesson;
  source: Source | undefined;
}

interface Awaited {
  readonly lessons: Taught[];
  isBeingRead: boolean;
}

/** What is kept of an org. */
interface Kept {
  stream: string;
  heard: number;
  learned: unknown;
}

/** Before how far was heard was kept with it, what was learned stood alone. */
function keptOf(text: string): Kept {
  const value = parsed(text);
  const isKept =
    typeof value === 'object' &&
    value !== null &&
    'learned' in value &&
    'heard' in value &&
    Number.isSafeInteger(value.heard);
  return isKept ? (value as Kept) : { stream: '', heard: 0, learned: value };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const messageOf = (error: unknown): string => (error as Error).message;
