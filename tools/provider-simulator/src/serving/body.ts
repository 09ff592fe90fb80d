import type { IncomingMessage } from 'node:http';
import { invalid, Refusal } from '../engine/refusal.js';

/** @throws Refusal 400 (not JSON) or 413 (more than `maxBytes`). */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw invalid('We could not parse the JSON body of your request.');
  }
}

/** @throws Refusal 413 */
export function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let size = 0;
    request.on('data', (piece: Buffer) => {
      size += piece.length;
      // The rest is read and thrown away, so that the client gets the answer instead of a reset.
      if (size <= maxBytes) pieces.push(piece);
      else pieces.length = 0;
    });
    request.on('end', () => {
      if (size > maxBytes) reject(new Refusal(413, 'too-large', `The body has ${size} bytes; at most ${maxBytes}.`));
      else resolve(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
    });
    request.on('error', () => reject(invalid('The body ended early.')));
  });
}
