import type { Invoice, Outcome } from '../billing/invoice.js';
import { chargeNanos, type Prices, type Usage } from '../billing/prices.js';
import type { Model } from './model.js';

/** Counts what one call really uses and books it once, when the call is over. */
export class Meter {
  usage: Usage = { inputTokens: 0, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens: 0 };
  #running = false;
  readonly #model: Model;
  readonly #invoice: Invoice;
  readonly #prices: Prices;
  readonly #call: { callId: string; clientRequestId: string | null; startedAtMs: number };

  constructor(
    model: Model,
    invoice: Invoice,
    call: { callId: string; clientRequestId: string | null; startedAtMs: number },
    prices: Prices = model.config.prices,
  ) {
    this.#prices = prices;
    this.#model = model;
    this.#invoice = invoice;
    this.#call = call;
  }

  get running(): boolean {
    return this.#running;
  }

  /** For what was generated so far. */
  get chargedNanos(): bigint {
    return chargeNanos(this.usage, this.#prices);
  }

  /** The prompt has been processed: from here on the call costs money. */
  begin(input: Omit<Usage, 'outputTokens'>): void {
    this.usage = { ...input, outputTokens: 0 };
    this.#running = true;
    const promptTokens = this.#promptTokens;
    this.#model.counts.promptTokens += promptTokens;
    this.#model.kvTokens += promptTokens;
  }

  generated(tokens: number): void {
    this.usage.outputTokens += tokens;
    this.#model.counts.generatedTokens += tokens;
    this.#model.kvTokens += tokens;
  }

  /** Puts the call on the invoice; must come before the client can see the end. Nothing happens the second time. */
  end(outcome: Outcome): void {
    if (!this.#running) return;
    this.#running = false;
    this.#model.kvTokens -= this.#promptTokens + this.usage.outputTokens;
    this.#invoice.add({
      ...this.#call,
      ...this.usage,
      model: this.#model.name,
      endedAtMs: Date.now(),
      nanoUsd: this.chargedNanos,
      outcome,
    });
    this.#model.counts[outcome]++;
  }

  get #promptTokens(): number {
    return this.usage.inputTokens + this.usage.cachedInputTokens + this.usage.cacheWriteTokens;
  }
}
