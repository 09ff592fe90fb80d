import type { Invoice } from '../billing/invoice.js';
import type { ResolvedConfig } from '../config.js';
import { Meter } from '../engine/meter.js';
import type { Model } from '../engine/model.js';
import { invalid, Refusal } from '../engine/refusal.js';
import { countPromptTokens } from '../text/prompt.js';
import type { CallRequest, Wire } from '../wire/wire.js';
import { answerOf, injected, readInput } from './serve-call.js';

/** One request of a batch, as its file or its list has it. */
export interface BatchLine {
  customId: string;
  wire: Wire;
  body: unknown;
}

/** What became of a line. `error` is of its dialect. */
export type LineEnd =
  | { customId: string; callId: string; kind: 'answered'; body: unknown }
  | { customId: string; callId: string; kind: 'refused'; status: number; error: unknown }
  | { customId: string; callId: string; kind: 'expired' }
  /** Not run, as its batch was cancelled before. */
  | { customId: string; callId: string; kind: 'cancelled' };

export interface Batch {
  id: string;
  createdAtMs: number;
  /** Whose it is: each API lists its own. */
  dialect: 'openai' | 'azure' | 'mistral' | 'gemini' | 'anthropic' | 'bedrock';
  metadata: unknown;
  /** Where it came in a file: which, and for which path. */
  inputFileId?: string;
  endpoint?: string;
  /** Of Gemini and Bedrock: of all of its lines. */
  model?: string;
  /** Why it ended before any of its lines was looked at. */
  failure?: string | undefined;
  total: number;
  /** Nobody is told that it was taken. */
  isCut: boolean;
  isCancelled: boolean;
  /** Undefined: not yet. */
  ends: LineEnd[] | undefined;
}

/** Requests that come together, are answered later, and are charged at the prices of batches. Kept in memory. */
export class Batches {
  readonly #config: ResolvedConfig;
  readonly #models: ReadonlyMap<string, Model>;
  readonly #invoice: Invoice;
  readonly #batches = new Map<string, Batch>();
  readonly #files = new Map<string, string>();
  readonly #waits = new Map<() => void, Batch>();
  /** Of none of the calls that come alone: those have no `b`. */
  readonly #run = `b${Date.now().toString(36)}`;
  #number = 0;
  #stopping = false;

  constructor(config: ResolvedConfig, models: ReadonlyMap<string, Model>, invoice: Invoice) {
    this.#config = config;
    this.#models = models;
    this.#invoice = invoice;
  }

  newId(prefix: string): string {
    return `${prefix}${this.#config.name}-${this.#run}-${(this.#number++).toString(36)}`;
  }

  addFile(text: string): string {
    const id = this.newId('file-');
    this.putFile(id, text);
    return id;
  }

  /** Of whoever names files themselves; over one of that name. */
  putFile(id: string, text: string): void {
    this.#files.set(id, text);
  }

  /** @throws Refusal 404 */
  file(id: string): string {
    const text = this.#files.get(id);
    if (text === undefined) throw new Refusal(404, 'not-found', `No such File object: ${id}`, { field: 'id' });
    return text;
  }

  /** @throws Refusal 404 */
  deleteFile(id: string): void {
    this.file(id);
    this.#files.delete(id);
  }

  /** @throws Refusal 404 */
  batch(id: string): Batch {
    const batch = this.#batches.get(id);
    if (!batch) throw new Refusal(404, 'not-found', `No such batch: ${id}`, { field: 'id' });
    return batch;
  }

  /** The newest first. */
  all(): Batch[] {
    return [...this.#batches.values()].toReversed();
  }

  /** Ends when every model of it lets it pass. @throws Refusal where two lines have one id */
  create(
    prefix: string,
    lines: readonly BatchLine[],
    about: Pick<Batch, 'dialect' | 'metadata' | 'inputFileId' | 'endpoint' | 'model' | 'failure'>,
  ): Batch {
    if (lines.length === 0) throw invalid('A batch has at least one request.', 'requests');
    if (new Set(lines.map((l) => l.customId)).size < lines.length)
      throw invalid('Each custom_id must be there once.', 'custom_id');
    const batch: Batch = {
      ...about,
      id: this.newId(prefix),
      createdAtMs: Date.now(),
      total: lines.length,
      isCut: this.#modelOf(lines[0]!)?.drawBatchCut() ?? false,
      isCancelled: false,
      ends: about.failure === undefined ? undefined : [],
    };
    this.#batches.set(batch.id, batch);
    if (!batch.ends) void this.#process(batch, lines);
    return batch;
  }

  /** What was not run by now is not run. */
  cancel(batch: Batch): void {
    if (batch.ends) return;
    batch.isCancelled = true;
    for (const [go, waiting] of this.#waits) if (waiting === batch) go();
  }

  #modelOf({ wire, body }: BatchLine): Model | undefined {
    try {
      return this.#models.get(wire.parse(body).model);
    } catch {
      return undefined;
    }
  }

  stop(): void {
    this.#stopping = true;
    for (const go of this.#waits.keys()) go();
  }

  async #process(batch: Batch, lines: readonly BatchLine[]): Promise<void> {
    const ends: LineEnd[] = [];
    for (const line of lines) {
      const end = await this.#answer(line, batch);
      if (this.#stopping) return;
      ends.push(end);
    }
    batch.ends = ends;
  }

  async #answer({ customId, wire, body }: BatchLine, batch: Batch): Promise<LineEnd> {
    const callId = this.newId(wire.idPrefix);
    try {
      const request = wire.parse(body);
      if (request.stream) throw invalid('A request of a batch cannot stream.', 'stream');
      const model = this.#models.get(request.model);
      if (!model || model.config.kind !== wire.kind)
        throw new Refusal(404, 'not-found', `The model \`${request.model}\` does not exist.`, { field: 'model' });
      model.counts.received++;
      while (model.gate.closed && !this.#stopping && !batch.isCancelled) await this.#opened(model, batch);
      if (batch.isCancelled) {
        model.counts.abandoned++;
        return { customId, callId, kind: 'cancelled' };
      }
      const startedAtMs = batch.createdAtMs;
      return this.#generate({ customId, callId, clientRequestId: customId, startedAtMs, model, wire, request });
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(500, 'failed', 'The simulator failed.');
      return { customId, callId, kind: 'refused', status: refusal.status, error: wire.error(refusal, callId) };
    }
  }

  async #opened(model: Model, batch: Batch): Promise<void> {
    await new Promise<void>((resolve) => {
      const go = (): void => {
        leave();
        this.#waits.delete(go);
        resolve();
      };
      const leave = model.gate.wait(go);
      this.#waits.set(go, batch);
    });
  }

  #generate(call: {
    customId: string;
    callId: string;
    clientRequestId: string;
    startedAtMs: number;
    model: Model;
    wire: Wire;
    request: CallRequest;
  }): LineEnd {
    const { model, request, wire, customId, callId, clientRequestId, startedAtMs } = call;
    const promptTokens = countPromptTokens(request.prompt, model.config.tokensPerImage);
    const maxTokens = model.outputLimit(promptTokens, request.maxTokens);
    const luck = model.draw();
    if (luck.expires) {
      model.counts.abandoned++;
      return { customId, callId, kind: 'expired' };
    }
    try {
      if (luck.errorStatus !== undefined) throw injected(luck.errorStatus);
      if (this.#invoice.isFull) throw new Refusal(503, 'overloaded', 'The invoice is full (maxInvoiceLines).');
    } catch (error) {
      const { status } = error as Refusal;
      model.counts.refused[status] = (model.counts.refused[status] ?? 0) + 1;
      throw error;
    }
    const meter = new Meter(model, this.#invoice, { callId, clientRequestId, startedAtMs }, model.config.batchPrices);
    const { input, blocks } = readInput(call, promptTokens);
    model.rememberPrompt(blocks, performance.now());
    meter.begin(input);
    const answer = answerOf(call, meter, maxTokens, this.#config.seed);
    meter.generated(answer.replies.reduce((sum, reply) => sum + reply.tokens, 0));
    const body: unknown = JSON.parse(wire.writer(answer).whole());
    meter.end('completed');
    return { customId, callId, kind: 'answered', body };
  }
}
