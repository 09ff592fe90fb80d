import { spawn } from 'node:child_process';
import { nanosToUsd, usdToNanos, type Nanos } from '@meritorder/kernel';
import { readInvoice } from '@meritorder/cli';
import type { Simulator } from '@meritorder/launcher';
import type { PlannedBudget, PlannedRequest } from './plan.js';
import { startProvider } from './simulated-provider.js';
import type { BudgetSpend, Outcome, Target } from './target.js';

export interface OpenAiOptions {
  /** Base URL of the gateway, ending in `/v1`. */
  url: string;
  model: string;
  /** Shell command; see README. */
  setBudget: string;
  readSpend?: string | undefined;
  apiKey?: string | undefined;
  /** Where the simulated provider listens, which the gateway calls. */
  providerPort: number;
  /** For what gateways write after the answer. */
  settleSeconds: number;
  dataDir: string;
}

const GIVE_UP_MS = 30_000;
const COMMAND_LIMIT_MS = 30_000;
/** What gateways answer when a budget is spent or a limit is reached. */
const REFUSED = new Set([400, 402, 403, 429]);
/** Overhead of the simulator's chat template, and of `Write 27 words.` itself. */
const PLAIN_TOKENS = 4 + 3 + 3;

/**
 * Any OpenAI-compatible gateway whose upstream is the simulated provider. Each budget has a key of its own, and prompts of a
 * length of its own, so that the invoice says which budget a call belongs to, whatever the gateway passes on.
 */
export class OpenAiTarget implements Target {
  private provider: Simulator | undefined;
  private readonly budgets: (PlannedBudget & { apiKey: string })[] = [];

  constructor(private readonly options: OpenAiOptions) {}

  async setBudget(budget: PlannedBudget): Promise<void> {
    this.provider ??= await startProvider(this.options.dataDir, this.options.providerPort);
    const printed = await shell(this.options.setBudget, {
      BUDGET_ID: budget.id,
      LIMIT_USD: nanosToUsd(budget.limitNanos),
      SIMULATOR_URL: this.provider.url,
    });
    this.budgets.push({ ...budget, apiKey: printed || this.options.apiKey || 'none' });
  }

  async start(): Promise<void> {
    if (this.budgets.length === 0) throw new Error('there is no budget to measure');
  }

  async request(request: PlannedRequest): Promise<Outcome> {
    const index = this.budgets.findIndex((b) => b.id === request.key);
    const { apiKey } = this.budgets[index]!;
    try {
      const response = await fetch(`${this.options.url}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
        body: JSON.stringify({
          model: this.options.model,
          messages: [{ role: 'user', content: `${'x '.repeat(index)}${request.prompt}` }],
          max_tokens: request.maxTokens,
        }),
        signal: AbortSignal.timeout(GIVE_UP_MS),
      });
      await response.text();
      if (response.ok) return { type: 'admitted' };
      return { type: 'refused', code: String(response.status), budget: REFUSED.has(response.status) };
    } catch {
      return { type: 'unanswered' };
    }
  }

  async settle(): Promise<{ spends: BudgetSpend[]; checks: Record<string, number> }> {
    await new Promise((r) => setTimeout(r, this.options.settleSeconds * 1_000));
    const invoice = await readInvoice(`${this.provider!.url}/invoice`);
    const invoiced = new Map<number, Nanos>();
    for (const line of invoice.lines) {
      const index = this.budgets.length === 1 ? 0 : tokensIn(line) - PLAIN_TOKENS;
      invoiced.set(index, (invoiced.get(index) ?? 0n) + BigInt(line.nanoUsd));
    }
    const spends: BudgetSpend[] = [];
    for (const [index, budget] of this.budgets.entries()) {
      spends.push({
        budget: budget.id,
        limitNanos: budget.limitNanos,
        invoiceNanos: invoiced.get(index) ?? 0n,
        bookedNanos: await this.booked(budget),
      });
    }
    const unmatchedLines = invoice.lines.filter(
      (l) => this.budgets.length > 1 && !this.budgets[tokensIn(l) - PLAIN_TOKENS],
    ).length;
    return { spends, checks: { invoiceLines: invoice.lines.length, unmatchedLines } };
  }

  async stop(): Promise<void> {
    await this.provider?.stop();
  }

  private async booked(budget: PlannedBudget & { apiKey: string }): Promise<Nanos | undefined> {
    if (this.options.readSpend === undefined) return undefined;
    const printed = await shell(this.options.readSpend, { BUDGET_ID: budget.id, API_KEY: budget.apiKey });
    // Gateways that count in floats print them; what is below a nano-dollar is nothing.
    return usdToNanos(Number(printed).toFixed(9));
  }
}

function tokensIn(line: object): number {
  const of = (name: string): number => Number((line as Record<string, unknown>)[name] ?? 0);
  return of('inputTokens') + of('cachedInputTokens') + of('cacheWriteTokens');
}

/** The last line a command prints. @throws Error with what it said when it fails. */
async function shell(command: string, env: Record<string, string>): Promise<string> {
  const child = spawn('sh', ['-c', command], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: COMMAND_LIMIT_MS,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status !== 0) throw new Error(`"${command}" ended with ${status}: ${err.trim() || out.trim()}`);
  return out.trim().split('\n').at(-1) ?? '';
}
