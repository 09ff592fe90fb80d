import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Invoice } from '../billing/invoice.js';
import type { ResolvedConfig } from '../config.js';
import type { Model } from '../engine/model.js';
import { Presence } from '../engine/presence.js';
import { invalid, Refusal } from '../engine/refusal.js';
import type { CallRequest, Wire } from '../wire/wire.js';
import { callHeaders, sendText } from './answering.js';
import { readJson } from './body.js';
import { serveCall } from './serve-call.js';

const MAX_CLIENT_REQUEST_ID = 256;

/** Takes calls off the wire, one by one, and knows those that are not over. */
export class Calls {
  /** Refused before a model was known, by status. */
  readonly refused: Record<string, number> = {};
  readonly #config: ResolvedConfig;
  readonly #models: ReadonlyMap<string, Model>;
  readonly #invoice: Invoice;
  readonly #keys: ReadonlySet<string>;
  readonly #live = new Map<Presence, Promise<void>>();
  /** Unique across restarts: the start of this run in milliseconds, and a counter. */
  readonly #run = Date.now().toString(36);
  #number = 0;
  #stopping = false;

  constructor(config: ResolvedConfig, models: ReadonlyMap<string, Model>, invoice: Invoice) {
    this.#config = config;
    this.#models = models;
    this.#invoice = invoice;
    this.#keys = new Set(config.apiKeys);
  }

  /** @throws Refusal 401 unless the request shows one of the configured keys. */
  authorise(request: IncomingMessage): void {
    if (this.#keys.size === 0) return;
    const { authorization, 'x-api-key': apiKey, 'x-goog-api-key': googleKey, 'api-key': azureKey } = request.headers;
    const key = authorization?.startsWith('Bearer ')
      ? authorization.slice('Bearer '.length)
      : (apiKey ?? googleKey ?? azureKey);
    if (typeof key !== 'string' || !this.#keys.has(key)) {
      throw new Refusal(401, 'unauthorized', 'Incorrect API key provided.');
    }
  }

  take(request: IncomingMessage, response: ServerResponse, wire: Wire): void {
    const presence = new Presence();
    response.on('close', () => presence.leave('client'));
    if (this.#stopping) presence.leave('stopping');
    const over = this.#answer(request, response, wire, presence).finally(() => this.#live.delete(presence));
    this.#live.set(presence, over);
  }

  /** Breaks off every call; resolves when what they used is on the invoice. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const presence of this.#live.keys()) presence.leave('stopping');
    await Promise.all(this.#live.values());
  }

  async #answer(request: IncomingMessage, response: ServerResponse, wire: Wire, presence: Presence): Promise<void> {
    const startedAtMs = Date.now();
    const callId = `${wire.idPrefix}${this.#config.name}-${this.#run}-${(this.#number++).toString(36)}`;
    let model: Model | undefined;
    try {
      this.authorise(request);
      const parsed = wire.parse(await readJson(request, this.#config.maxBodyBytes));
      model = this.#modelFor(parsed, wire);
      model.counts.received++;
      const clientRequestId = clientRequestIdOf(request);
      const call = { callId, clientRequestId, startedAtMs, request: parsed, model, wire, presence, response };
      if (!(await serveCall(call, this.#invoice, this.#config.seed))) model.counts.abandoned++;
      if (!response.writableEnded) response.destroy();
    } catch (error) {
      const refusal = error instanceof Refusal ? error : failure(error);
      this.#count(refusal, model);
      if (presence.gone || response.headersSent) return void response.destroy();
      const headers = model ? callHeaders({ wire, callId, model }) : { [wire.requestIdHeader]: callId };
      const body = JSON.stringify(wire.error(refusal, callId));
      sendText(response, refusal.status, body, { ...headers, ...retryHeaders(refusal) });
    }
  }

  #modelFor(parsed: CallRequest, wire: Wire): Model {
    const model = this.#models.get(parsed.model);
    if (!model)
      throw new Refusal(404, 'not-found', `The model \`${parsed.model}\` does not exist.`, { field: 'model' });
    if (model.config.kind !== wire.kind) {
      throw invalid(`\`${parsed.model}\` is a model for ${model.config.kind}, not for ${wire.kind}.`, 'model');
    }
    return model;
  }

  #count(refusal: Refusal, model: Model | undefined): void {
    const counts = model?.counts.refused ?? this.refused;
    counts[refusal.status] = (counts[refusal.status] ?? 0) + 1;
  }
}

function clientRequestIdOf(request: IncomingMessage): string | null {
  const id = request.headers['x-client-request-id'];
  return typeof id === 'string' ? id.slice(0, MAX_CLIENT_REQUEST_ID) : null;
}

function failure(error: unknown): Refusal {
  process.stderr.write(`provider-simulator: ${error instanceof Error ? error.stack : String(error)}\n`);
  return new Refusal(500, 'failed', 'The simulator failed.');
}

function retryHeaders({ retryAfterMs }: Refusal): Record<string, string> {
  if (retryAfterMs === undefined) return {};
  return {
    'retry-after': `${Math.max(1, Math.ceil(retryAfterMs / 1_000))}`,
    'retry-after-ms': `${Math.ceil(retryAfterMs)}`,
  };
}
