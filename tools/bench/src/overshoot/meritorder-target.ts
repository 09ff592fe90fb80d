import { createHash } from 'node:crypto';
import { HEADERS, subjects } from '@meritorder/contracts';
import { newId, usdToNanos } from '@meritorder/kernel';
import { Stack, writeConfig, type ServiceName, type Simulator } from '@meritorder/launcher';
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { settleBooks } from './meritorder-books.js';
import { budgetConfig, MODELS, ORG, type Plan, type PlannedBudget, type PlannedRequest } from './plan.js';
import { RedisServers } from './redis-servers.js';
import { PROVIDER, startProvider } from './simulated-provider.js';
import type { BudgetSpend, Outcome, RefusalNumbers, Target } from './target.js';

export interface MeritorderOptions {
  plan: Plan;
  instances: Partial<Record<ServiceName, number>>;
  requestDeadlineMs: number;
  dataDir: string;
  cacheDir: string;
  log: (line: string) => void;
}

const GRACE_MS = 2_000;
const LEASE_MS = 5_000;

/** A whole stack of our own, over NATS. */
export class MeritorderTarget implements Target {
  stack!: Stack;
  redis!: RedisServers;
  operator!: NatsConnection;
  private provider!: Simulator;
  private app!: NatsConnection;
  private readonly budgets: PlannedBudget[] = [];
  private readonly inbox = `_INBOX_${ORG}.${newId()}`;
  private readonly waiting = new Map<string, (outcome: Outcome) => void>();

  constructor(private readonly options: MeritorderOptions) {}

  async setBudget(budget: PlannedBudget): Promise<void> {
    this.budgets.push(budget);
  }

  async start(): Promise<void> {
    const { dataDir, cacheDir, instances, log } = this.options;
    this.provider = await startProvider(dataDir, 0);
    this.redis = await RedisServers.start(dataDir, cacheDir, log);
    this.stack = new Stack({
      configFile: writeConfig(dataDir, this.config()),
      dataDir,
      cacheDir,
      log,
      instances,
      external: { redis: this.redis.url },
      unsafe: true,
      supervise: true,
    });
    await this.stack.start();
    this.operator = await this.stack.connectOperator();
    this.app = await this.stack.connectOrg(ORG);
    this.app.subscribe(`${this.inbox}.*`, { callback: (error, message) => void (error ?? this.hear(message)) });
  }

  request(request: PlannedRequest): Promise<Outcome> {
    const id = newId();
    const body = {
      model: 'auto',
      messages: [{ role: 'user', content: request.prompt }],
      max_tokens: request.maxTokens,
      stream: request.stream,
      metadata: { department: request.department, customer: request.customer },
    };
    const h = headers();
    h.set(HEADERS.key, secretOf(request.key));
    return new Promise((resolve) => {
      const end = (outcome: Outcome): void => {
        clearTimeout(timer);
        this.waiting.delete(id);
        resolve(outcome);
      };
      const timer = setTimeout(() => end({ type: 'unanswered' }), this.options.requestDeadlineMs + GRACE_MS);
      this.waiting.set(id, end);
      this.app.publish(subjects.inferenceRequest(ORG), JSON.stringify(body), {
        reply: `${this.inbox}.${id}`,
        headers: h,
      });
    });
  }

  settle(): Promise<{ spends: BudgetSpend[]; checks: Record<string, number> }> {
    const limits = new Map(this.budgets.map((b) => [b.id, b]));
    return settleBooks(this.stack, this.operator, this.provider.url, limits);
  }

  async stop(): Promise<void> {
    await Promise.all([this.app?.close(), this.operator?.close()]);
    await this.stack?.stop();
    await Promise.all([this.redis?.stop(), this.provider?.stop()]);
  }

  private hear(message: Msg): void {
    const outcome = outcomeOf(message);
    if (outcome) this.waiting.get(message.subject.slice(this.inbox.length + 1))?.(outcome);
  }

  private config(): object {
    const { departments, keys } = this.options.plan;
    return {
      version: 1,
      orgs: [{ id: ORG, departments, keys: keys.map((id) => ({ id, sha256: sha256(secretOf(id)) })) }],
      backends: Object.entries(MODELS).map(([model, price]) => ({
        id: model,
        kind: 'cloud',
        provider: PROVIDER,
        model,
        baseUrl: `${this.provider.url}/v1`,
        contextTokens: 32_000,
        maxOutputTokens: 1_000,
        capabilities: ['streaming'],
        maxConcurrency: 2_000,
        prices: [
          {
            effectiveFrom: '2025-01-01T00:00:00Z',
            cash: { inputUsdPerMillionTokens: price.input, outputUsdPerMillionTokens: price.output },
          },
        ],
      })),
      routes: [{ id: 'auto', backends: Object.keys(MODELS) }],
      budgets: this.budgets.map(budgetConfig),
      limits: {
        requestDeadlineMs: this.options.requestDeadlineMs,
        unconfirmedGraceMs: GRACE_MS,
        reservationLeaseMs: LEASE_MS,
        requestsInFlightPerRouter: 10_000,
      },
    };
  }
}

/** Undefined for a chunk of a stream. */
function outcomeOf(message: Msg): Outcome | undefined {
  const header = (name: string): string => message.headers?.get(name) ?? '';
  if (message.data.length === 0) return { type: 'refused', code: `nats-${message.headers?.code}`, budget: false };
  const code = header(HEADERS.serviceError);
  if (!code) return header(HEADERS.status) === '' ? undefined : { type: 'admitted' };
  const budget = code === 'budget_exhausted' || code === 'budget_held';
  return { type: 'refused', code, budget, ...(budget ? { numbers: numbersOf(message) } : {}) };
}

function numbersOf(message: Msg): RefusalNumbers {
  const { details } = message.json<{ error: { details: Record<string, string> } }>().error;
  const nanos = (name: string): bigint => usdToNanos(details[`${name}_usd`]!);
  return {
    budget: details['budget']!,
    limitNanos: nanos('limit'),
    settledNanos: nanos('settled'),
    unconfirmedNanos: nanos('unconfirmed'),
    heldNanos: nanos('held'),
    neededNanos: nanos('needed'),
  };
}

function secretOf(key: string): string {
  return `secret-of-${key}`;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
