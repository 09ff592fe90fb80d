import { z } from 'zod';
import type { Invoice } from '../billing/invoice.js';
import { behaviourSchema, type Behaviour } from '../config.js';
import type { Counts, Model } from '../engine/model.js';
import { invalid } from '../engine/refusal.js';

/** What one model is doing and has done. received = over (completed, cut, cancelled, abandoned, refused) + in flight. */
export interface ModelStats extends Counts {
  /** In a place: being processed, held or hanging. */
  running: number;
  /** In line for a place. */
  waiting: number;
  /** Held by the closed gate. */
  held: number;
  /** Hanging before the first token, or stalled after it. */
  hanging: number;
  gateClosed: boolean;
}

export interface Stats {
  models: Record<string, ModelStats>;
  /** Refused before a model was known (bad key, bad JSON, unknown model), by status. */
  refused: Record<string, number>;
  invoiceLines: number;
}

const target = z.object({ model: z.string() });
const gateRequest = z.strictObject({ model: z.string(), closed: z.boolean() });

/** Switches for tests; over HTTP they are `/control/*`. The model "*" means every model. */
export class Control {
  readonly #models: ReadonlyMap<string, Model>;
  readonly #refused: Record<string, number>;
  readonly #invoice: Invoice;

  constructor(models: ReadonlyMap<string, Model>, refused: Record<string, number>, invoice: Invoice) {
    this.#models = models;
    this.#refused = refused;
    this.#invoice = invoice;
  }

  /** While the gate of a model is closed, none of its calls gets an answer. @throws Refusal for an unknown model. */
  gate(model: string, closed: boolean): void {
    for (const chosen of this.#choose(model)) chosen.gate.set(closed);
  }

  /** Changes faults and speeds of calls that start from now on. @throws Refusal for an unknown model or wrong field. */
  faults(model: string, change: Partial<Behaviour>): void {
    const chosen = this.#choose(model);
    try {
      for (const each of chosen) each.setBehaviour(change);
    } catch (error) {
      throw error instanceof z.ZodError ? invalid(z.prettifyError(error)) : error;
    }
  }

  stats(): Stats {
    const models = [...this.#models.values()].map((model) => [model.name, statsOf(model)] as const);
    return { models: Object.fromEntries(models), refused: { ...this.#refused }, invoiceLines: this.#invoice.count };
  }

  /** `POST /control/gate {"model":"x","closed":true}` */
  postGate(body: unknown): Stats {
    const { model, closed } = parse(gateRequest, body);
    this.gate(model, closed);
    return this.stats();
  }

  /** `POST /control/faults {"model":"x","errorRate":0.5}` */
  postFaults(body: unknown): Record<string, Behaviour> {
    const { model, ...change } = parse(target.loose(), body);
    this.faults(model, change);
    return Object.fromEntries(this.#choose(model).map((each) => [each.name, behaviourOf(each)]));
  }

  #choose(name: string): Model[] {
    if (name === '*') return [...this.#models.values()];
    const model = this.#models.get(name);
    if (!model) throw invalid(`there is no model "${name}"`, 'model');
    return [model];
  }
}

function statsOf(model: Model): ModelStats {
  return {
    ...model.counts,
    refused: { ...model.counts.refused },
    running: model.slots.running,
    waiting: model.slots.waiting,
    held: model.gate.held,
    hanging: model.hanging,
    gateClosed: model.gate.closed,
  };
}

function parse<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (!result.success) throw invalid(z.prettifyError(result.error));
  return result.data;
}

function behaviourOf(model: Model): Behaviour {
  return behaviourSchema.parse(
    Object.fromEntries(Object.keys(behaviourSchema.shape).map((key) => [key, model.behaviour[key as keyof Behaviour]])),
  );
}
