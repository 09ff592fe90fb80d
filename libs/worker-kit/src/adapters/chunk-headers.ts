import type { MsgHdrs } from '@nats-io/transport-node';
import { HEADERS } from '@meritorder/contracts';

/**
 * Headers of one chunk of a stream after the other, which differ in their number alone. The client's own are a map that it makes
 * text of; for each chunk that is a twentieth of all that its worker does.
 */
export class ChunkHeaders {
  private readonly before: string;

  /** Both are slugs, so nothing in them ends a line. */
  constructor({ requestId, attemptId }: { requestId: string; attemptId: string }) {
    this.before = `NATS/1.0\r\n${HEADERS.request}: ${requestId}\r\n${HEADERS.attempt}: ${attemptId}\r\n${HEADERS.seq}: `;
  }

  of(seq: number): MsgHdrs {
    // Of headers the client asks only what they are as bytes.
    return { encode: () => Buffer.from(`${this.before}${seq}\r\n\r\n`, 'latin1') } as unknown as MsgHdrs;
  }
}
