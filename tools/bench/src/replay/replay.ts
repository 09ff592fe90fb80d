import { join } from 'node:path';
import { importInvoice, readInvoice, type Invoice } from '@meritorder/cli';
import { HEADERS, STREAMS, subjects, type ErrorCode } from '@meritorder/contracts';
import { Counters } from '@meritorder/counters';
import { connectDatabase, trialBalance, unsettledAttempts, windowTotals } from '@meritorder/ledger-store';
import { Stack, startSimulator, WORKSPACE, type ServiceName, type Simulator } from '@meritorder/launcher';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { startChaos, type ChaosPlan, type ChaosReport } from './chaos.js';
import { percentile } from './percentile.js';
import { promptFor, type TraceRequest } from './trace.js';

/** Of dead letters, that are told. */
const MOST_REASONS = 5;

export interface ReplayOptions {
  trace: TraceRequest[];
  speed: number;
  dataDir: string;
  cacheDir: string;
  configFile?: string | undefined;
  instances?: Partial<Record<ServiceName, number>>;
  chaos?: ChaosPlan;
  log: (line: string) => void;
}

export interface ReplayReport {
  requests: number;
  answered: number;
  rejected: number;
  /** Published, but neither answered nor refused: the router was killed. Zero without faults. */
  unanswered: number;
  confirmed: number;
  unconfirmed: number;
  ledgerNanos: string;
  invoiceNanos: string;
  /** Over attempts that were confirmed before the invoice came. */
  confirmedDifferenceNanos: string;
  differenceAfterInvoiceNanos: string;
  /** Unconfirmed attempts whose invoice line is above their bound. */
  aboveBound: number;
  unmatchedLines: number;
  /** Largest settled + unconfirmed + reserved above a limit that was ever seen, at any window; never above 0. */
  maxOvershootNanos: string;
  /** Counters of Redis against totals of the books, at the end. */
  countersDifferenceNanos: string;
  trialBalanceNanos: string;
  thresholdEvents: number;
  thresholdDuplicates: number;
  thresholdsMissing: number;
  deadLetters: number;
  refusals: Record<string, number>;
  backends: Record<string, number>;
  durationSeconds: number;
  p50Ms: number;
  p99Ms: number;
  chaos?: ChaosReport;
}

const DEPARTMENTS = ['engineering', 'support', 'research'];
const PROVIDERS = { cirrus: 'SIMULATOR_CIRRUS', nimbus: 'SIMULATOR_NIMBUS', gpu: 'SIMULATOR_GPU' } as const;
const SAMPLE_EVERY_MS = 100;

/** Runs a trace through a whole stack of its own, and compares its books with the invoices of the simulated providers. */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const simulators = new Map<string, Simulator>();
  let stack: Stack | undefined;
  try {
    const env: Record<string, string> = {};
    for (const [name, variable] of Object.entries(PROVIDERS)) {
      const simulator = await startSimulator(join(WORKSPACE, 'tools/bench/replay', `${name}.yaml`), 0);
      simulators.set(name, simulator);
      env[variable] = process.env[variable] = simulator.url;
    }
    stack = new Stack({
      configFile: options.configFile ?? join(WORKSPACE, 'tools/bench/replay/meritorder.yaml'),
      dataDir: options.dataDir,
      cacheDir: options.cacheDir,
      log: options.log,
      instances: options.instances ?? {},
      env,
      unsafe: true,
      supervise: options.chaos !== undefined,
    });
    await stack.start();
    options.log('the stack is up');
    return await new Replay(options, stack, simulators).run();
  } finally {
    await stack?.stop();
    await Promise.all([...simulators.values()].map((s) => s.stop()));
  }
}

class Replay {
  private readonly latencies: number[] = [];
  private readonly refusals: Record<string, number> = {};
  private readonly backends: Record<string, number> = {};
  private readonly waiting = new Map<string, { sentMs: number; done: () => void }>();
  private answered = 0;
  private rejected = 0;
  private maxOvershoot = -(10n ** 18n);

  constructor(
    private readonly options: ReplayOptions,
    private readonly stack: Stack,
    private readonly simulators: Map<string, Simulator>,
  ) {}

  async run(): Promise<ReplayReport> {
    const { stack, options } = this;
    const operator = await stack.connectOperator();
    const counters = await Counters.connect(stack.redis.url);
    const database = await connectDatabase(stack.database.url, 'meritorder-replay', 2);
    const sampler = setInterval(() => void this.sample(counters), SAMPLE_EVERY_MS);
    const started = Date.now();
    const chaos = options.chaos ? startChaos(stack, operator, options.chaos) : undefined;
    try {
      await this.publish();
      const chaosReport = await chaos?.stop();
      const published = Date.now();
      options.log(`published and answered in ${((published - started) / 1_000).toFixed(1)} s; waiting for the books`);
      await this.settle(async () => (await unsettledAttempts(database)).filter((a) => a.state === 'opened').length);
      await this.sample(counters);
      const unconfirmed = (await unsettledAttempts(database)).filter((a) => a.state === 'unconfirmed');
      const confirmed = Number(
        (
          (await database.query(`select count(*) as n from attempt_settled where state = 'confirmed'`)) as {
            n: string;
          }[]
        )[0]!.n,
      );
      const cash = await this.importInvoices(operator);
      await this.settle(async () =>
        Number(((await database.query(`select count(*) as n from outbox`)) as { n: string }[])[0]!.n),
      );
      clearInterval(sampler);
      const thresholds = await this.thresholds(operator, database);
      const { streams } = await jetstreamManager(operator);
      const deadLetters = (await streams.info(STREAMS.deadLetter.name)).state.messages;
      for (let seq = 1; seq <= Math.min(deadLetters, MOST_REASONS); seq++) {
        const letter = await streams.getMessage(STREAMS.deadLetter.name, { seq });
        options.log(
          `dead letter ${letter?.header.get('Meritorder-Subject')}: ${letter?.header.get('Meritorder-Reason')}`,
        );
      }
      return {
        requests: options.trace.length,
        answered: this.answered,
        rejected: this.rejected,
        unanswered: options.trace.length - this.answered - this.rejected,
        confirmed,
        unconfirmed: unconfirmed.length,
        ...cash,
        maxOvershootNanos: (this.maxOvershoot > 0n ? this.maxOvershoot : 0n).toString(),
        countersDifferenceNanos: (await this.countersDifference(counters, database)).toString(),
        trialBalanceNanos: (await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n).toString(),
        ...thresholds,
        deadLetters,
        refusals: this.refusals,
        backends: this.backends,
        durationSeconds: Math.round((Date.now() - started) / 100) / 10,
        p50Ms: percentile(this.latencies, 50),
        p99Ms: percentile(this.latencies, 99),
        ...(chaosReport ? { chaos: chaosReport } : {}),
      };
    } finally {
      clearInterval(sampler);
      await counters.close();
      await database.destroy();
      await operator.close();
    }
  }

  /** Publishes every request at its time and waits for all answers, or until nothing can come any more. */
  private async publish(): Promise<void> {
    const { trace, speed } = this.options;
    const org = this.stack.config.orgs[0]!;
    const app = await this.stack.connectOrg(org.id);
    const inbox = `_INBOX_${org.id}.replay`;
    app.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (!error) this.hear(message.subject.slice(inbox.length + 1), message);
      },
    });
    const started = Date.now();
    for (const [i, request] of trace.entries()) {
      const wait = started + request.atMs / speed - Date.now();
      if (wait > 2) await new Promise((r) => setTimeout(r, wait));
      const body = {
        model: 'auto',
        messages: [{ role: 'user', content: promptFor(request) }],
        max_tokens: Math.max(1, Math.min(4_096, 2 ** Math.ceil(Math.log2(request.outputTokens + 1)))),
        metadata:
          org.departments.length > 0
            ? { department: DEPARTMENTS.filter((d) => org.departments.includes(d))[i % 3] ?? org.departments[0]! }
            : {},
      };
      this.waiting.set(String(i), { sentMs: Date.now(), done: () => {} });
      app.publish(subjects.inferenceRequest(org.id), JSON.stringify(body), { reply: `${inbox}.${i}` });
      if (i % 1_000 === 999)
        this.options.log(`published ${i + 1} of ${trace.length}; ${this.answered} answered, ${this.rejected} refused`);
    }
    const deadline = Date.now() + this.stack.config.limits.requestDeadlineMs + 10_000;
    while (this.waiting.size > 0 && Date.now() < deadline) await new Promise((r) => setTimeout(r, 50));
    await app.close();
  }

  private hear(
    id: string,
    message: { data: Uint8Array; headers?: { get(name: string): string; code: number } | undefined; json<T>(): T },
  ): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    const count = (into: Record<string, number>, key: string): number => (into[key] = (into[key] ?? 0) + 1);
    if (message.data.length === 0) {
      this.rejected++;
      count(this.refusals, `nats-${message.headers?.code ?? 'empty'}`);
      return;
    }
    const code = message.headers?.get(HEADERS.serviceError) as ErrorCode | '' | undefined;
    if (code) {
      this.rejected++;
      count(this.refusals, code);
      return;
    }
    this.answered++;
    this.latencies.push(Date.now() - waiting.sentMs);
    count(this.backends, message.json<{ meritorder: { backend: string } }>().meritorder.backend);
  }

  private async sample(counters: Counters): Promise<void> {
    for (const w of await counters.inspectWindows().catch(() => [])) {
      const used = w.settledNanos + w.unconfirmedNanos + w.reservedNanos;
      const most = used > w.peakNanos ? used : w.peakNanos;
      if (most - w.limitNanos > this.maxOvershoot) this.maxOvershoot = most - w.limitNanos;
    }
  }

  private async settle(left: () => Promise<number>): Promise<void> {
    const { requestDeadlineMs, unconfirmedGraceMs } = this.stack.config.limits;
    const deadline = Date.now() + requestDeadlineMs + unconfirmedGraceMs + 30_000;
    let calm = 0;
    // Calm for a second: what is still on its way through the streams has arrived.
    while (calm < 10 && Date.now() < deadline) {
      calm = (await left()) === 0 ? calm + 1 : 0;
      await new Promise((r) => setTimeout(r, 100));
    }
  }

  /** Imports the invoice of every provider that is paid, and adds up what the books then hold. */
  private async importInvoices(operator: NatsConnection) {
    let [ledger, invoiced, confirmedDifference] = [0n, 0n, 0n];
    let [aboveBound, unmatchedLines] = [0, 0];
    for (const [name, simulator] of this.simulators) {
      if (name === 'gpu') continue;
      const raw = await readInvoice(`${simulator.url}/invoice`);
      // Everything this provider has ever charged.
      const invoice: Invoice = {
        ...raw,
        from: '2000-01-01T00:00:00.000Z',
        to: new Date(Date.now() + 1_000).toISOString(),
      };
      const report = await importInvoice(operator, name, invoice);
      confirmedDifference += BigInt(report.confirmedDifferenceNanos);
      aboveBound += report.aboveBound.length;
      unmatchedLines += report.unmatchedLines.length;
      ledger += BigInt(report.totals!.ledgerNanos);
      invoiced += invoice.lines.reduce((sum, l) => sum + BigInt(l.nanoUsd), 0n);
    }
    return {
      ledgerNanos: ledger.toString(),
      invoiceNanos: invoiced.toString(),
      confirmedDifferenceNanos: confirmedDifference.toString(),
      differenceAfterInvoiceNanos: (ledger - invoiced).toString(),
      aboveBound,
      unmatchedLines,
    };
  }

  private async countersDifference(counters: Counters, database: Parameters<typeof windowTotals>[0]): Promise<bigint> {
    const books = new Map((await windowTotals(database)).map((t) => [`${t.budget} ${t.window}`, t]));
    let difference = 0n;
    const abs = (n: bigint): bigint => (n < 0n ? -n : n);
    for (let attempt = 0; attempt < 50; attempt++) {
      difference = 0n;
      const windows = await counters.inspectWindows();
      for (const w of windows) {
        const t = books.get(`${w.budget} ${w.window}`);
        difference +=
          abs(w.settledNanos - (t?.settledNanos ?? 0n)) +
          abs(w.unconfirmedNanos - (t?.unconfirmedNanos ?? 0n)) +
          abs(w.reservedNanos);
      }
      for (const key of books.keys()) if (!windows.some((w) => `${w.budget} ${w.window}` === key)) difference += 1n;
      if (difference === 0n) break;
      await new Promise((r) => setTimeout(r, 500));
    }
    return difference;
  }

  /** Every threshold that the totals reached has exactly one event in the stream. */
  private async thresholds(operator: NatsConnection, database: Parameters<typeof windowTotals>[0]) {
    const ids: string[] = [];
    const consumer = await jetstream(operator).consumers.get(STREAMS.events.name, {
      filter_subjects: 'budget.threshold-crossed.v1.*.*',
    });
    const pending = (await consumer.info()).num_pending;
    if (pending > 0) {
      const messages = await consumer.fetch({ max_messages: pending, expires: 5_000 });
      for await (const m of messages) ids.push(m.headers?.get('ce-id') ?? '');
    }
    const expected = (await database.query(
      `select budget, window_id, threshold, limit_version from threshold_crossing`,
    )) as { budget: string; window_id: string; threshold: string; limit_version: number }[];
    const distinct = new Set(ids);
    return {
      thresholdEvents: ids.length,
      thresholdDuplicates: ids.length - distinct.size,
      thresholdsMissing: expected.filter(
        (e) => !distinct.has(`${e.budget}/${e.window_id}/${Number(e.threshold)}/v${e.limit_version}`),
      ).length,
    };
  }
}
