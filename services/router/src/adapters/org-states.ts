/** Lessons that wait for one state to be read again. More are not learned. */
const MOST_WAITING = 1_000;

export interface OrgStatesOptions<State> {
  /** States in memory: the one that was least recently learned of gives way. */
  most: number;
  empty(): State;
  /** Where states that give way are kept. Without it they are forgotten. */
  kept?: {
    giveWay(name: string, state: State): void;
    /** Undefined: nothing is kept. */
    read(name: string): Promise<State | undefined>;
  };
  onError?(message: string): void;
}

type Lesson<State> = (state: State) => void;

/**
 * What was learned by org, bounded in number. One that gave way is read again when it is asked for: until then it is as if nothing
 * were known, and what it is to learn waits, so that a state which knows little never takes the place of one that knows more.
 */
export class OrgStates<State> {
  private readonly states = new Map<string, State>();
  /** Gave way; with the lessons that wait, where it is being read. */
  private readonly away = new Map<string, Lesson<State>[] | undefined>();

  constructor(private readonly options: OrgStatesOptions<State>) {}

  /** As `get`, and leaves it where it is. */
  peek(name: string): State | undefined {
    return this.states.get(name);
  }

  get(name: string): State | undefined {
    const state = this.states.get(name);
    if (state === undefined && this.away.has(name)) this.bringBack(name);
    return state;
  }

  /** Now, or when what is known was read. */
  learn(name: string, lesson: Lesson<State>): void {
    if (!this.away.has(name)) return lesson(this.latest(name));
    const waiting = this.bringBack(name);
    if (waiting.length < MOST_WAITING) waiting.push(lesson);
  }

  /** Of a process that starts: what is above the limit stays where it is kept. */
  restore(name: string, state: State): void {
    if (this.states.size < this.options.most) this.states.set(name, state);
    else this.away.set(name, undefined);
  }

  private latest(name: string): State {
    const state = this.states.get(name) ?? this.options.empty();
    this.put(name, state);
    return state;
  }

  private put(name: string, state: State): void {
    this.states.delete(name);
    this.states.set(name, state);
    if (this.states.size <= this.options.most) return;
    const [oldest, leaving] = this.states.entries().next().value!;
    this.states.delete(oldest);
    if (!this.options.kept) return;
    this.options.kept.giveWay(oldest, leaving);
    this.away.set(oldest, undefined);
  }

  private bringBack(name: string): Lesson<State>[] {
    const reading = this.away.get(name);
    if (reading) return reading;
    const waiting: Lesson<State>[] = [];
    this.away.set(name, waiting);
    this.options.kept!.read(name).then(
      (state) => {
        this.away.delete(name);
        this.put(name, state ?? this.options.empty());
        for (const lesson of waiting) lesson(this.states.get(name)!);
      },
      (error: Error) => {
        // It is asked for again with the next that it is to learn.
        this.away.set(name, undefined);
        const lost = waiting.length > 0 ? `; ${waiting.length} lessons are lost` : '';
        this.options.onError?.(`what was learned of ${name} could not be read again: ${error.message}${lost}`);
      },
    );
    return waiting;
  }
}
