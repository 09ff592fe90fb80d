import { Repeating } from './repeating.js';

/** Pieces of work that are done again and again until the service stops; one that fails is told of and tried again. */
export class RepeatingWork {
  private readonly pieces: Repeating[] = [];
  private isStopped = false;

  constructor(private readonly onError: (message: string) => void) {}

  /** As of `Repeating`. */
  start(name: string, everyMs: number, work: () => Promise<boolean>, restMs?: number): Repeating {
    const piece = new Repeating(everyMs, work, restMs);
    this.pieces.push(piece);
    piece.start((error) => {
      if (error) this.onError(`${name}: ${error.message}`);
    });
    return piece;
  }

  get stopped(): boolean {
    return this.isStopped;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all(this.pieces.map((piece) => piece.stop()));
  }
}
