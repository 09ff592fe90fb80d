import type { Msg } from '@nats-io/transport-node';

const FIRST_LINE = Buffer.from('NATS/1.0');
const END = '\r\n\r\n';

/**
 * The headers of a message as text; '' when it has none. `msg.headers` makes a map of all of them, which costs more than
 * everything else that is done with a chunk, of which two are read. They lie right before the data in the bytes received.
 */
export function headerBlock({ data }: Msg): string {
  const before = Buffer.from(data.buffer, 0, data.byteOffset);
  const from = before.lastIndexOf(FIRST_LINE);
  if (from === -1) return '';
  const block = before.toString('latin1', from);
  // Without headers of its own, those of an earlier message would be found.
  return block.endsWith(END) ? block : '';
}

/** The value of a header as its writer spells it; '' when there is none. */
export function headerIn(block: string, name: string): string {
  const before = `\r\n${name}: `;
  const at = block.indexOf(before);
  if (at === -1) return '';
  const from = at + before.length;
  return block.slice(from, block.indexOf('\r\n', from));
}

/** The status with which the server itself answers, such as 503 when nobody listens; 0: it is no answer of the server. */
export function serverStatus(block: string): number {
  return Number(/^NATS\/1\.0 (\d{3})/.exec(block)?.[1] ?? 0);
}
