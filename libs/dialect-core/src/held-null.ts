const NULL = 'null';

/** Whether these are the arguments of a call without any, as some models write them for a tool without parameters. */
export function isNullText(text: string): boolean {
  return text.trim() === NULL;
}

/**
 * The arguments of a call that come in pieces. What may yet be all of `null` is held back, since it is read as `{}` and what a caller
 * was told cannot be taken back; all else goes on at once.
 */
export class HeldNull {
  private held: string | undefined = '';

  /** What can be told of them now. */
  add(piece: string): string {
    if (this.held === undefined) return piece;
    const text = this.held + piece;
    const mayBeNull = NULL.startsWith(text.trim());
    this.held = mayBeNull ? text : undefined;
    return mayBeNull ? '' : text;
  }

  /** So far they are `null`. */
  get isNull(): boolean {
    return isNullText(this.held ?? '');
  }

  /** What is left to tell when no piece follows. */
  end(): string {
    const { held = '', isNull } = this;
    this.held = undefined;
    return isNull ? '{}' : held;
  }
}
