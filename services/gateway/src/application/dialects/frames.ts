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
