const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const SPACE = 32;

/**
 * `<before><json>\n\n`. A line end is white space in JSON, and the end of a field in an event stream: it becomes a space.
 */
export function frame(before: string, json: Uint8Array): Uint8Array {
  const event = Buffer.allocUnsafe(before.length + json.length + 2);
  event.write(before, 'latin1');
  event.set(json, before.length);
  event[event.length - 2] = LINE_FEED;
  event[event.length - 1] = LINE_FEED;
  for (const lineEnd of [LINE_FEED, CARRIAGE_RETURN]) {
    let at = event.indexOf(lineEnd, before.length);
    while (at !== -1 && at < event.length - 2) {
      event[at] = SPACE;
      at = event.indexOf(lineEnd, at + 1);
    }
  }
  return event;
}

export function frameOf(before: string, value: object): Uint8Array {
  return frame(before, Buffer.from(JSON.stringify(value)));
}

const TYPE_FIRST = /^\{\s*"type"\s*:\s*"([a-z_.]{1,64})"/;
const EVENT_NAME = /^[a-z_.]{1,64}$/;

/** What an event says it is; `message`, as of an event without a name, where it does not say. */
export function typeOf(json: Uint8Array): string {
  const start = Buffer.from(json.buffer, json.byteOffset, Math.min(json.length, 96)).toString('latin1');
  const first = TYPE_FIRST.exec(start)?.[1];
  if (first) return first;
  const { type } = JSON.parse(Buffer.from(json).toString()) as { type?: unknown };
  return typeof type === 'string' && EVENT_NAME.test(type) ? type : 'message';
}

/** An event with its own type as its name. */
export function typedFrame(json: Uint8Array): Uint8Array {
  return frame(`event: ${typeOf(json)}\ndata: `, json);
}
