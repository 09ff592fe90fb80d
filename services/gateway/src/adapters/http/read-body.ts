import type { IncomingMessage } from 'node:http';
import type { Refusal } from '@meritorder/contracts';

/** A client that is still sending does not read an answer: so much more than the limit is thrown away first. */
const DISCARD_FACTOR = 8;

/**
 * The body of a request. Whoever leaves before its end gets `left`; the server's request time-out bounds how long that takes.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | Refusal | 'left'> {
  const encoding = request.headers['content-encoding'];
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let size = 0;
    const tooLarge = (): Refusal => ({
      code: 'body_too_large',
      message: `The body has ${Math.max(size, Number(request.headers['content-length']) || 0)} bytes or more; the limit is ${maxBytes}.`,
    });
    request.on('data', (part: Buffer) => {
      size += part.length;
      if (size <= maxBytes) parts.push(part);
      else parts.length = 0;
      if (size > maxBytes * DISCARD_FACTOR) resolve(tooLarge());
    });
    request.once('end', () => {
      if (encoding !== undefined && encoding !== 'identity')
        resolve({ code: 'encoding_unsupported', message: `A body with Content-Encoding ${encoding} is not read.` });
      else if (size > maxBytes) resolve(tooLarge());
      else resolve(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
    });
    request.once('error', () => resolve('left'));
    request.once('close', () => resolve('left'));
  });
}
