import type { Invoice } from '../billing/invoice.js';
import type { Usage } from '../billing/prices.js';
import { Meter } from '../engine/meter.js';
import type { Model } from '../engine/model.js';
import type { Block } from '../engine/prefix-cache.js';
import type { Presence } from '../engine/presence.js';
import { Refusal } from '../engine/refusal.js';
import { countPromptTokens } from '../text/prompt.js';
import { planReplies } from '../text/reply.js';
import type { Answer } from '../wire/wire.js';
import type { Call, Delivery } from './call.js';
import { deliverStream, deliverWhole } from './deliver.js';

const QUEUE_FULL_RETRY_MS = 1_000;

/**
 * The life of a call: limits, a place, the gate, chance, reading the prompt, and then the answer. It is charged from
 * the end of reading on; whoever leaves (false) or is refused before that is not on the invoice.
 * @throws Refusal
 */
export async function serveCall(call: Call, invoice: Invoice, seed: number): Promise<boolean> {
  const { model, request, presence } = call;
  const promptTokens = countPromptTokens(request.prompt, model.config.tokensPerImage);
  const maxTokens = model.outputLimit(promptTokens, request.maxTokens);
  if (invoice.isFull) throw new Refusal(503, 'overloaded', 'The invoice is full (maxInvoiceLines).');
  model.takeRate(performance.now());
  if (!(await takePlace(model, presence))) return false;
  try {
    while (model.gate.closed && !presence.gone) await presence.until((go) => model.gate.wait(go));
    const luck = model.draw();
    if (presence.gone) return false;
    if (luck.errorStatus !== undefined) throw injected(luck.errorStatus);
    if (luck.hang) return await hang(model, presence);
    const { input, blocks } = readInput(call, promptTokens);
    await presence.sleep(model.firstTokenMs(input.inputTokens + input.cacheWriteTokens, luck.slowness));
    if (presence.gone) return false;
    model.rememberPrompt(blocks, performance.now());
    const meter = new Meter(model, invoice, call);
    meter.begin(input);
    await deliver({ call, answer: answerOf(call, meter, maxTokens, seed), meter, luck });
    return true;
  } finally {
    model.slots.leave();
  }
}

/** False when the client left while waiting. @throws Refusal 429 when there is no place and no waiting either. */
async function takePlace(model: Model, presence: Presence): Promise<boolean> {
  if (model.slots.tryEnter()) return true;
  const { overload, maxQueue } = model.behaviour;
  if (overload === 'reject' || model.slots.waiting >= maxQueue) {
    throw new Refusal(429, 'rate-limited', `Too many concurrent requests for ${model.name}.`, {
      retryAfterMs: QUEUE_FULL_RETRY_MS,
    });
  }
  let placed = false;
  await presence.until((go) =>
    model.slots.wait(() => {
      placed = true;
      go();
    }),
  );
  if (placed && presence.gone) model.slots.leave();
  return placed && !presence.gone;
}

export function injected(status: number): Refusal {
  if (status === 500) return new Refusal(500, 'failed', 'The server had an error while processing your request.');
  return new Refusal(status, 'overloaded', 'The engine is currently overloaded, please try again later.');
}

async function hang(model: Model, presence: Presence): Promise<false> {
  model.hanging++;
  await presence.departed();
  model.hanging--;
  return false;
}

/** What of the prompt is new, what is known, and what will be known afterwards. */
export function readInput(
  call: Pick<Call, 'model' | 'request' | 'wire'>,
  promptTokens: number,
): { input: Omit<Usage, 'outputTokens'>; blocks: Block[] } {
  const { blocks, cachedTokens, cacheableTokens } = call.model.readPrompt(call.request.prompt.texts, performance.now());
  const cacheWriteTokens = call.wire.reportsCacheWrites ? cacheableTokens - cachedTokens : 0;
  return {
    blocks,
    input: {
      inputTokens: promptTokens - cachedTokens - cacheWriteTokens,
      cachedInputTokens: cachedTokens,
      cacheWriteTokens,
    },
  };
}

export function answerOf(
  call: Pick<Call, 'model' | 'request' | 'callId' | 'startedAtMs'>,
  meter: Meter,
  maxTokens: number,
  seed: number,
): Answer {
  const { request, model } = call;
  return {
    callId: call.callId,
    createdAtMs: call.startedAtMs,
    request,
    replies: planReplies(request.prompt.lastUserText, request.choices, maxTokens, seed, model.config.outputLength),
    usage: meter.usage,
    omitUsage: model.behaviour.omitUsage === 'always',
    ...(model.config.statesCost ? { costNanos: () => meter.chargedNanos } : {}),
    embeddingDimensions: model.config.embeddingDimensions,
  };
}

/** Whatever goes wrong on the way, what was generated is charged. */
async function deliver(delivery: Delivery): Promise<void> {
  try {
    await (delivery.call.request.stream ? deliverStream(delivery) : deliverWhole(delivery));
  } finally {
    delivery.meter.end('cut');
  }
}
