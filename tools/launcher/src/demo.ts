import type { NatsConnection } from '@nats-io/transport-node';
import type { Receipt } from '@meritorder/contracts';
import { Counters } from '@meritorder/counters';
import { nanosToUsd, seededRandom, usdToNanos } from '@meritorder/kernel';
import type { Stack } from './stack.js';

const SUMMARY_EVERY_MS = 5_000;
const TOPICS = [
  'invoices',
  'a refund',
  'the outage',
  'a contract clause',
  'the roadmap',
  'a stack trace',
  'onboarding',
  'pricing',
];

/** Trace-like traffic of two orgs, and a live summary of what became of it. */
export class Demo {
  private readonly random = seededRandom(42);
  private readonly connections: NatsConnection[] = [];
  private counters: Counters | undefined;
  private stopped = false;
  private timers: NodeJS.Timeout[] = [];
  private sent = 0;
  private answered = 0;
  private cashNanos = 0n;
  private fullNanos = 0n;
  private readonly byBackend = new Map<string, number>();
  private readonly refusals = new Map<string, number>();
  private lines = 0;

  constructor(
    private readonly stack: Stack,
    private readonly requestsPerSecond: number,
  ) {}

  async start(): Promise<void> {
    for (const org of this.stack.config.orgs) this.connections.push(await this.stack.connectOrg(org.id));
    this.counters = await Counters.connect(this.stack.redis.url);
    this.scheduleNext();
    this.timers.push(setInterval(() => void this.summary(), SUMMARY_EVERY_MS));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const timer of this.timers) clearTimeout(timer);
    await Promise.all(this.connections.map((c) => c.close().catch(() => {})));
    await this.counters?.close();
  }

  /** Bursty arrivals: a slow wave over exponential gaps. */
  private scheduleNext(): void {
    if (this.stopped) return;
    const wave = 1 + 0.8 * Math.sin(Date.now() / 20_000);
    const gapMs = (-Math.log(1 - this.random()) / (this.requestsPerSecond * wave)) * 1_000;
    const timer = setTimeout(
      () => {
        void this.send();
        this.scheduleNext();
      },
      Math.min(gapMs, 10_000),
    );
    this.timers = [...this.timers.slice(-3), timer];
  }

  private async send(): Promise<void> {
    const { orgs } = this.stack.config;
    const which = this.random() < 0.8 ? 0 : Math.floor(this.random() * orgs.length);
    const org = orgs[which]!;
    const department = org.departments[Math.floor(this.random() * org.departments.length)];
    const words = Math.floor(Math.exp(5 + this.random() * 2.5));
    const topic = TOPICS[Math.floor(this.random() * TOPICS.length)];
    const needsTools = this.random() < 0.2;
    const body = {
      model: 'auto',
      messages: [
        { role: 'system', content: 'You are a helpful assistant of the company.' },
        {
          role: 'user',
          content: `About ${topic}: ${'context '.repeat(words)}Write ${20 + Math.floor(this.random() * 180)} words.`,
        },
      ],
      max_tokens: 512,
      ...(needsTools
        ? { tools: [{ type: 'function', function: { name: 'look_up', parameters: { type: 'object' } } }] }
        : {}),
      metadata: department ? { department } : {},
    };
    this.sent++;
    try {
      const reply = await this.connections[which]!.request(`inference.request.v1.${org.id}`, JSON.stringify(body), {
        timeout: 120_000,
      });
      const answer = reply.json<{ meritorder?: Receipt; error?: { code: string } }>();
      if (answer.meritorder) {
        const { backend, cost } = answer.meritorder;
        this.answered++;
        this.cashNanos += usdToNanos(cost.usd);
        this.fullNanos += usdToNanos(cost.full_usd);
        this.byBackend.set(backend, (this.byBackend.get(backend) ?? 0) + 1);
      } else this.count(answer.error?.code ?? 'unknown');
    } catch (error) {
      if (!this.stopped) this.count((error as Error).name);
    }
  }

  private count(code: string): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }

  private async summary(): Promise<void> {
    const budgets = new Map(this.stack.config.budgets.map((b) => [b.id, b]));
    const windows = await this.counters!.inspectWindows().catch(() => []);
    const spent = windows
      .filter((w) => budgets.has(w.budget))
      .map((w) => {
        const used = w.settledNanos + w.unconfirmedNanos;
        const share = w.limitNanos === 0n ? 0 : Number((used * 1_000n) / w.limitNanos) / 10;
        return `${w.budget} ${share.toFixed(1)} %`;
      })
      .sort();
    const list = (map: Map<string, number>): string =>
      [...map]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([k, n]) => `${k} ${n}`)
        .join(', ');
    if (this.lines++ % 12 === 0)
      console.log('   sent  answered   cash USD    with own hardware   where it went | refused | budgets used');
    console.log(
      `${String(this.sent).padStart(7)} ${String(this.answered).padStart(9)} ${dollars(this.cashNanos).padStart(10)} ${dollars(this.fullNanos).padStart(12)}` +
        `           ${list(this.byBackend)}${this.refusals.size > 0 ? ` | ${list(this.refusals)}` : ''}${spent.length > 0 ? ` | ${spent.join(', ')}` : ''}`,
    );
  }
}

/** Cents and fractions of them: six decimals. */
function dollars(nanos: bigint): string {
  const [whole, fraction = ''] = nanosToUsd(nanos).split('.');
  return `${whole}.${fraction.padEnd(6, '0').slice(0, 6)}`;
}
