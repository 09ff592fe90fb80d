import { userInfo } from 'node:os';
import type { Command } from 'commander';
import {
  FORECAST_STAGES,
  PacingReply,
  PacingRequest,
  subjects,
  type BudgetOutlook,
  type PacedBudgetRow,
} from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';
import { table } from './table.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;
type Answer = Extract<PacingReply, { budgets: unknown }>;

interface Word {
  by: string;
  reason?: string;
}

/** `meritorder policy`: how budgets will end, what their money counts, and what an operator holds fast. */
export function policyCommand(program: Command, withOperator: Ask): void {
  const policy = program
    .command('policy')
    .description('how budgets will end, their stages and shadow prices, and what is held fast of them');
  const ask = (request: PacingRequest): Promise<Answer> => withOperator((nats) => askPacing(nats, request));
  const spoken = (command: Command): Command =>
    command
      .argument('<budget>', 'budget, or instance of a template')
      .option('--reason <text>', 'why, for the event and the list')
      .option('--by <name>', 'who says so', userInfo().username);

  policy
    .command('list')
    .description('budgets with traffic: spent, projected end, stage, shadow price, what they can spare, and why')
    .option('--org <id>', 'only of this org')
    .option('--json', 'as JSON, with unrounded numbers and both projections')
    .action(async ({ org, json }: { org?: string; json?: boolean }) => {
      const rows: PacedBudgetRow[] = [];
      for (let after: string | undefined, more = true; more;) {
        const page = await ask({ verb: 'list', ...(org ? { org } : {}), ...(after ? { after } : {}) });
        rows.push(...page.budgets);
        after = page.budgets.at(-1)?.budget;
        more = page.more && after !== undefined;
      }
      if (json) console.log(JSON.stringify(rows, null, 2));
      else console.log(rows.length === 0 ? 'no budget has had traffic yet' : policyTable(rows));
    });
  spoken(policy.command('pin').description('hold a stage or a shadow price, whatever is projected'))
    .argument('[stage]', FORECAST_STAGES.join(', '))
    .option(
      '--shadow-price <n>',
      'USD of value that one more USD of the budget is worth (0: nothing); no room is kept beside it',
    )
    .action(async (budget: string, stage: string | undefined, options: Word & { shadowPrice?: string }) =>
      print(await ask(pinRequest(budget, stage, options))),
    );
  const verbs = [
    ['unpin', 'let a pinned stage or shadow price go; it follows the projection again'],
    ['pause', 'stage and shadow price stay what they are; what can be spared is read on'],
    ['resume', 'what was paused follows the projection again'],
  ] as const;
  for (const [verb, what] of verbs)
    spoken(policy.command(verb).description(what)).action(async (budget: string, { by, reason = '' }: Word) =>
      print(await ask({ verb, budget, by, reason })),
    );
}

/** @throws Error with what is wrong. */
export function pinRequest(
  budget: string,
  stage: string | undefined,
  { by, reason, shadowPrice }: Word & { shadowPrice?: string },
): PacingRequest {
  if ((stage === undefined) === (shadowPrice === undefined))
    throw new Error(`pin a stage (${FORECAST_STAGES.join(', ')}) or --shadow-price`);
  const price = shadowPrice?.trim() === '' ? Number.NaN : Number(shadowPrice);
  const parsed = PacingRequest.safeParse({
    verb: 'pin',
    budget,
    by,
    ...(reason === undefined ? {} : { reason }),
    ...(stage === undefined ? { shadowPrice: price } : { stage }),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${issue!.path.join('.') || 'pin'}: ${issue!.message}`);
}

async function askPacing(nats: NatsConnection, request: PacingRequest): Promise<Answer> {
  let answer: unknown;
  try {
    answer = (await nats.request(subjects.budgetPolicyPacing(), JSON.stringify(request), { timeout: 30_000 })).json();
  } catch (error) {
    throw new Error(`budget-policy does not answer: ${(error as Error).message}; is it running?`);
  }
  const reply = PacingReply.parse(answer);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
}

function print({ budgets }: Answer): void {
  console.log(policyTable(budgets));
}

/** The reason stands on a line of its own: it is a sentence, and would push the numbers off the screen. */
export function policyTable(rows: readonly PacedBudgetRow[]): string {
  const head = [
    'budget',
    'window',
    'spent USD',
    'limit USD',
    'projected end [low, high]',
    'above',
    'stage',
    'shadow price',
  ];
  const lines = table(
    head,
    rows.map((row) => [
      row.budget,
      row.window,
      usd(Number(row.spentNanos) / 1e9),
      usd(Number(row.limitNanos) / 1e9),
      outlook(row.unconstrained),
      chance(row.unconstrained),
      [row.stage, ...(row.pinned ? ['pinned'] : []), ...(row.paused ? ['paused'] : [])].join(', '),
      row.pacing === 'off' && !row.pinned ? 'off' : String(Number(row.shadowPrice.toPrecision(3))),
    ]),
    { right: [2, 3, 4, 5, 7] },
  ).split('\n');
  return [...lines.slice(0, 2), ...rows.flatMap((row, i) => [lines[i + 2]!, ...why(row)])].join('\n');
}

function why(row: PacedBudgetRow): string[] {
  const paced =
    row.stage === 'tighten' && row.withPacing && row.shadowPrice > 0
      ? [`  with pacing ${outlook(row.withPacing)} by the end`]
      : [];
  const room =
    row.spareRoomNanos === null
      ? []
      : [`  ${usd(Number(row.spareRoomNanos) / 1e9)} to spare: only a request's cheapest attempt may hold more`];
  return [`  ${row.reason}`, ...paced, ...room];
}

function outlook(of: BudgetOutlook | null): string {
  return of === null || of.chanceAboveLimit === null
    ? 'too little known'
    : `${usd(of.expectedUsd)} [${usd(of.lowUsd)}, ${usd(of.highUsd)}]`;
}

/** Never rounded over a threshold. */
function chance(of: BudgetOutlook | null): string {
  return of?.chanceAboveLimit == null ? '' : `${Math.floor(of.chanceAboveLimit * 1_000) / 10} %`;
}

/** Cents where there are dollars, three digits where there are none. */
function usd(amount: number): string {
  if (amount === 0 || Math.abs(amount) >= 1) return amount.toFixed(2);
  return String(Number(amount.toPrecision(3)));
}
