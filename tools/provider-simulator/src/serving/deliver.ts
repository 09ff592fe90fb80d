import { setImmediate as nextTurn } from 'node:timers/promises';
import { replyText, type Reply } from '../text/reply.js';
import { callHeaders, sendText } from './answering.js';
import { outcomeAtDeparture, type Delivery } from './call.js';

/** Chunks written before others get a turn; also how soon a disconnect is noticed at full speed. */
const CHUNKS_A_TURN = 32;

/** Generates everything, then sends one body. */
export async function deliverWhole({ call, answer, meter, luck }: Delivery): Promise<void> {
  const { model, presence, response, wire } = call;
  const longest = longestOf(answer.replies);
  const tokenMs = model.tokenMs(luck.slowness);
  const beganAt = performance.now();
  await presence.sleep((longest - 1) * tokenMs);
  if (presence.gone) {
    const elapsed = tokenMs === 0 ? longest : 1 + Math.floor((performance.now() - beganAt) / tokenMs);
    meter.generated(tokensUpTo(answer.replies, Math.min(elapsed, longest)));
    return meter.end(outcomeAtDeparture(presence));
  }
  meter.generated(tokensUpTo(answer.replies, longest));
  if (luck.cutAnswer) {
    meter.end('cut');
    response.destroy();
    return;
  }
  const body = wire.writer(answer).whole();
  meter.end('completed');
  sendText(response, 200, body, callHeaders(call));
}

/** Sends text as it is generated. Choices advance side by side, one token each at a time. */
export async function deliverStream(delivery: Delivery): Promise<void> {
  const { call, answer, meter, luck } = delivery;
  const { model, presence, response, wire } = call;
  const writer = wire.writer(answer);
  const longest = longestOf(answer.replies);
  const interruptedAt = luck.interruption && 1 + Math.floor(luck.position * Math.max(0, longest - 1));
  const end = interruptedAt ?? longest;
  const tokenMs = model.tokenMs(luck.slowness);
  const chunkTokens = model.chunkTokens(tokenMs);
  const encoding = wire.frames ? 'latin1' : 'utf8';
  const beganAt = performance.now();

  response.writeHead(200, {
    ...callHeaders(call),
    'content-type': wire.frames?.contentType ?? 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  });
  let ready = writer.opening();
  let said = 0;
  for (let chunks = 1; said < Math.min(end, longest) && !presence.gone; chunks++) {
    // At a given speed the first token comes alone, so that the time to it is what was configured.
    const upTo = Math.min(end, said + (said === 0 && tokenMs > 0 ? 1 : chunkTokens));
    await presence.sleep(beganAt + (upTo - 1) * tokenMs - performance.now());
    if (presence.gone) break;
    meter.generated(tokensUpTo(answer.replies, upTo) - tokensUpTo(answer.replies, said));
    answer.replies.forEach((reply, choice) => {
      const text = replyText(reply, said, Math.min(upTo, reply.tokens));
      if (text !== '') ready += writer.text(choice, text);
    });
    said = upTo;
    response.write(ready, encoding);
    ready = '';
    if (response.writableNeedDrain) await drained(delivery);
    else if (tokenMs === 0 && chunks % CHUNKS_A_TURN === 0) await nextTurn();
  }
  if (presence.gone) return meter.end(outcomeAtDeparture(presence));
  if (luck.interruption === 'cut') return cut(delivery);
  if (luck.interruption === 'stall') return stall(delivery);
  ready += writer.closing();
  meter.end('completed');
  response.end(ready, encoding);
}

/** What was generated is charged and reaches the client; then the connection breaks without an end. */
async function cut({ call, meter }: Delivery): Promise<void> {
  meter.end('cut');
  const { response, presence, wire } = call;
  await presence.until((go) => {
    // Behind a frame nothing goes that is none.
    response.write(wire.frames ? '' : ':\n\n', () => go());
    return () => undefined;
  });
  response.destroy();
}

/** Nothing more comes; the client has to leave. */
async function stall({ call, meter }: Delivery): Promise<void> {
  call.model.hanging++;
  await call.presence.departed();
  call.model.hanging--;
  meter.end(outcomeAtDeparture(call.presence));
}

async function drained({ call }: Delivery): Promise<void> {
  const { response, presence } = call;
  await presence.until((go) => {
    response.once('drain', go);
    return () => response.off('drain', go);
  });
}

function longestOf(replies: Reply[]): number {
  return replies.reduce((longest, reply) => Math.max(longest, reply.tokens), 0);
}

/** Tokens of all choices when each has said at most `upTo`. */
function tokensUpTo(replies: Reply[], upTo: number): number {
  return replies.reduce((sum, reply) => sum + Math.min(reply.tokens, upTo), 0);
}
