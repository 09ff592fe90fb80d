/** What a request says of itself, beside its text. */
export interface TaggedRequest {
  readonly feature?: string | undefined;
  readonly task?: string | undefined;
  readonly tier?: string | undefined;
  readonly tools: boolean;
  readonly json: boolean;
  /** Messages of the user so far, this one included. */
  readonly turns: number;
  /** Expected. */
  readonly inputTokens: number;
}

/**
 * Tags of a request for the shrunken table, from the most general to the most specific: what the caller says first, since cheap
 * text features know the task and not the difficulty (economics, section 3), then the shape of the request. At most 4, each
 * below 512 characters, and as few shapes as there is evidence for.
 */
export function tagsOf(request: TaggedRequest): string[] {
  const said = [request.feature && `feature:${request.feature}`, request.task && `task:${request.task}`].filter(
    (tag) => typeof tag === 'string',
  );
  const tags: string[] = [];
  for (const tag of said) tags.push(tags.length === 0 ? tag : `${tags.at(-1)!} ${tag}`);
  const shape = [
    request.tools ? 'tools' : '',
    request.json ? 'json' : '',
    sizeOf(request.inputTokens),
    turnOf(request.turns),
  ]
    .filter((part) => part !== '')
    .join('+');
  tags.push(tags.length === 0 ? shape : `${tags.at(-1)!} ${shape}`);
  return tags;
}

function sizeOf(tokens: number): string {
  return tokens < 500 ? 'short' : tokens < 4_000 ? 'middle' : 'long';
}

function turnOf(turns: number): string {
  return turns <= 1 ? '' : 'follow-up';
}
