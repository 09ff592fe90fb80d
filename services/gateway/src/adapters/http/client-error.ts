import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { ERRORS, errorBody, type Refusal } from '@meritorder/contracts';

const REFUSALS: Record<string, Refusal> = {
  HPE_HEADER_OVERFLOW: { code: 'headers_too_large', message: 'The headers are above the limit.' },
  ERR_HTTP_REQUEST_TIMEOUT: { code: 'read_timeout', message: 'The request took too long to arrive.' },
};
const NOT_HTTP: Refusal = { code: 'http_invalid', message: 'What was sent is not an HTTP request.' };

/** Answers what never became a request, and closes the connection. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const refusal = REFUSALS[error.code ?? ''] ?? NOT_HTTP;
  const { status } = ERRORS[refusal.code];
  const body = JSON.stringify(errorBody(refusal));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
