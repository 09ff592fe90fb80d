import { userInfo } from 'node:os';
import type { Command } from 'commander';
import {
  BudgetChange,
  BudgetsReply,
  subjects,
  type BudgetRow,
  type BudgetsRequest,
  type BudgetWindowRow,
} from '@meritorder/contracts';
import { nanosToUsd } from '@meritorder/kernel';
import type { NatsConnection } from '@nats-io/transport-node';
import { table } from './table.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;
type Answer = Extract<BudgetsReply, { budgets: unknown }>;

export interface SetOptions {
  limit?: string;
  name?: string;
  select?: string[];
  per?: string;
  for?: string[];
  window?: string;
  timeZone?: string;
  basis?: string;
  strictness?: string;
  sliceTokens?: string;
  maxInstances?: string;
  threshold?: string[];
  stage?: string[];
  carryOver?: string;
  pacing?: string;
  by: string;
}

/** `meritorder budgets`: what is in force, what is spent and held of it, and changes that act while everything runs. */
export function budgetsCommand(program: Command, withOperator: Ask): void {
  const budgets = program
    .command('budgets')
    .description('budgets in force, what is spent of them, and changes to them');
  const ask = (request: BudgetsRequest): Promise<Answer> => withOperator((nats) => askBudgetPolicy(nats, request));

  budgets
    .command('list')
    .description('all budgets in force')
    .option('--org <id>', 'only of this org')
    .action(async ({ org }: { org?: string }) => {
      const rows: BudgetRow[] = [];
      for (let after: string | undefined, more = true; more;) {
        const page = await ask({ verb: 'list', ...(org ? { org } : {}), ...(after ? { after } : {}) });
        rows.push(...page.budgets);
        after = page.budgets.at(-1)?.definition.id;
        more = page.more && after !== undefined;
      }
      console.log(rows.length === 0 ? 'no budgets' : budgetsTable(rows));
    });
  budgets
    .command('show')
    .description('a budget, a template or one of its instances in the window that counts now')
    .argument('<id>', 'budget')
    .action(async (id: string) => print(await ask({ verb: 'show', id })));
  budgets
    .command('set')
    .description(
      'make a budget, or change what the options name of it; the last statement counts, here or in meritorder.yaml',
    )
    .argument('<id>', 'budget')
    .option('--limit <usd>', 'limit of each window; with --for "template" takes the own limit away')
    .option('--name <text>', 'for people')
    .option(
      '--select <key=value...>',
      'which requests count: org, key, department, team, customer, feature, provider, model, ...',
    )
    .option('--per <keys>', 'a template: one budget for each distinct value, for example customer')
    .option('--for <key=value...>', 'only the limit of this instance of a template')
    .option('--window <kind>', 'day, week, month or total')
    .option('--time-zone <zone>', 'IANA zone of its windows')
    .option('--basis <basis>', 'cash or full')
    .option('--strictness <kind>', 'strict or tolerant')
    .option('--slice-tokens <n>', 'of a tolerant budget: output tokens by which a hold grows')
    .option('--max-instances <n>', 'of a template: instances of one window')
    .option('--threshold <share...>', 'shares of the limit that publish an event')
    .option('--stage <at:action...>', 'such as 0.8:prefer-local, 0.9:throttle:6 (a minute), 0.95:local-only, 1:reject')
    .option('--carry-over <share>', 'what is left goes to the next window, at most this share of the limit; "none"')
    .option('--pacing <when>', 'when its money gets a shadow price: projected, always or off')
    .option('--by <name>', 'who says so', userInfo().username)
    .action(async (id: string, options: SetOptions) => print(await ask(setRequest(id, options))));
  budgets
    .command('remove')
    .description(
      'a budget is in force no more; what it says in meritorder.yaml does not bring it back unless that is changed',
    )
    .argument('<id>', 'budget')
    .option('--by <name>', 'who says so', userInfo().username)
    .action(async (id: string, { by }: { by: string }) => print(await ask({ verb: 'remove', id, by })));
}

/** @throws Error with the option that is wrong. */
export function setRequest(id: string, options: SetOptions): BudgetsRequest {
  if (options.for) {
    if (options.limit === undefined) throw new Error('--for needs --limit');
    const limitUsd = options.limit === 'template' ? null : options.limit;
    return { verb: 'except', id, values: pairs('--for', options.for), limitUsd, by: options.by };
  }
  const change = given({
    name: options.name,
    selector: options.select && pairs('--select', options.select),
    per: options.per?.split(','),
    window: options.window,
    timeZone: options.timeZone,
    limitUsd: options.limit,
    basis: options.basis,
    strictness: options.strictness,
    sliceTokens: options.sliceTokens && Number(options.sliceTokens),
    maxInstances: options.maxInstances && Number(options.maxInstances),
    thresholds: options.threshold?.map(Number),
    stages: options.stage?.map(stage),
    pacing: options.pacing,
    carryOver: options.carryOver && (options.carryOver === 'none' ? null : { maxShare: Number(options.carryOver) }),
  });
  if (Object.keys(change).length === 0) throw new Error('nothing to set: name a limit or another option');
  const parsed = BudgetChange.safeParse(change);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`${issue!.path.join('.')}: ${issue!.message}`);
  }
  return { verb: 'set', id, change: parsed.data, by: options.by };
}

function stage(text: string): { at: number; action: string; requestsPerMinute?: number } {
  const [at, action, rate] = text.split(':');
  return { at: Number(at), action: action ?? '', ...(rate === undefined ? {} : { requestsPerMinute: Number(rate) }) };
}

function pairs(option: string, texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const split = text.indexOf('=');
      if (split < 1) throw new Error(`${option} takes key=value, not "${text}"`);
      return [text.slice(0, split), text.slice(split + 1)];
    }),
  );
}

function given(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

async function askBudgetPolicy(nats: NatsConnection, request: BudgetsRequest): Promise<Answer> {
  let answer: unknown;
  try {
    answer = (await nats.request(subjects.budgetPolicyBudgets(), JSON.stringify(request), { timeout: 30_000 })).json();
  } catch (error) {
    throw new Error(`budget-policy does not answer: ${(error as Error).message}; is it running?`);
  }
  const reply = BudgetsReply.parse(answer);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
}

function print(answer: Answer): void {
  if (answer.budgets.length > 0) console.log(budgetsTable(answer.budgets));
  if (answer.windows.length > 0) console.log(`\n${windowsTable(answer.windows)}`);
  for (const note of answer.notes) console.log(note);
}

export function budgetsTable(rows: readonly BudgetRow[]): string {
  return table(
    ['budget', 'org', 'selects', 'window', 'limit USD', 'basis', 'stages', 'version', 'from'],
    rows.map(({ definition: d, ...row }) => [
      d.id,
      d.selector.org ?? '(all)',
      [
        ...Object.entries(d.selector).flatMap(([key, value]) => (key === 'org' ? [] : [`${key}=${value}`])),
        ...(d.per ? [`each ${d.per.join(', ')}`] : []),
        ...(d.exceptions?.length ? [`${d.exceptions.length} with own limits`] : []),
      ].join(' '),
      d.window === 'total' ? 'total' : `${d.window} ${d.timeZone}`,
      nanosToUsd(BigInt(d.limitNanos)),
      d.strictness === 'tolerant' ? `${d.basis}, tolerant` : d.basis,
      (d.stages ?? [])
        .map((s) => `${s.at}:${s.action}${s.requestsPerMinute ? `:${s.requestsPerMinute}` : ''}`)
        .join(' '),
      String(d.limitVersion),
      row.origin === 'config'
        ? 'configuration'
        : `${row.changedBy ?? 'operator'}${row.configurationDiffers ? ' (configuration differs)' : ''}`,
    ]),
    { right: [4, 7] },
  );
}

export function windowsTable(rows: readonly BudgetWindowRow[]): string {
  return table(
    ['budget', 'window', 'limit', 'settled', 'unconfirmed', 'held', 'left', 'stage', 'above the limit'],
    rows.map((row) => {
      const [limit, settled, unconfirmed, held] = [
        row.limitNanos,
        row.settledNanos,
        row.unconfirmedNanos,
        row.heldNanos ?? '0',
      ].map(BigInt) as [bigint, bigint, bigint, bigint];
      return [
        row.name,
        row.window,
        nanosToUsd(limit),
        nanosToUsd(settled),
        nanosToUsd(unconfirmed),
        row.heldNanos === null ? 'unknown' : nanosToUsd(held),
        nanosToUsd(limit - settled - unconfirmed - held),
        row.exhausted ? `${row.stage}, exhausted` : row.stage,
        causes(row.above),
      ];
    }),
    { right: [2, 3, 4, 5, 6] },
  );
}

function causes(above: BudgetWindowRow['above']): string {
  const named: [string, string][] = [
    ['limit lowered', above.loweredNanos],
    ['corrected', above.correctedNanos],
    ['overrun', above.overrunNanos],
  ];
  return named.flatMap(([cause, nanos]) => (nanos === '0' ? [] : [`${nanosToUsd(BigInt(nanos))} ${cause}`])).join(', ');
}
