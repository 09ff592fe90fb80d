import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import {
  PriceConfig,
  PricesReply,
  subjects,
  type PriceBookRow,
  type PricesRequest,
  type TriedPrice,
  type RateCard,
} from '@meritorder/contracts';
import { formatDecimal, nanosToUsd } from '@meritorder/kernel';
import type { NatsConnection } from '@nats-io/transport-node';
import { parse } from 'yaml';
import { z } from 'zod';
import { table } from './table.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

/** `meritorder prices`: what the price book holds, and an operator's word on it. */
export function pricesCommand(program: Command, withOperator: Ask): void {
  const prices = program.command('prices').description('the price book: what is in force, what waits for confirmation');
  const run = async (request: PricesRequest): Promise<void> => {
    const reply = await withOperator((nats) => askMetering(nats, request));
    console.log(reply.rows.length === 0 ? 'no prices to show' : pricesTable(reply.rows));
    for (const row of reply.rows) for (const line of reasonLines(row)) console.log(line);
    for (const note of reply.notes) console.log(note);
    if (reply.tried) for (const line of triedLines(reply.tried)) console.log(line);
  };

  prices
    .command('list')
    .description('all versions, oldest first')
    .argument('[backend]', 'only of this backend')
    .option('--held', 'only those that wait for confirmation, with the reasons')
    .action((backend: string | undefined, options: { held?: boolean }) =>
      run({ verb: 'list', ...(backend ? { backend } : {}), ...(options.held ? { held: true } : {}) }),
    );
  prices
    .command('confirm')
    .description('a held price is right: it acts from the instant it says, and what was rated since is adjusted')
    .argument('<id>', 'price version')
    .option('--by <name>', 'who says so', userInfo().username)
    .action((id: string, { by }: { by: string }) => run({ verb: 'confirm', id, by }));
  prices
    .command('reject')
    .description('a held price is wrong: it never acts')
    .argument('<id>', 'price version')
    .option('--by <name>', 'who says so', userInfo().username)
    .action((id: string, { by }: { by: string }) => run({ verb: 'reject', id, by }));
  prices
    .command('propose')
    .description('prices beside those of the configuration, also for the past; the guard looks at them too')
    .argument('<backend>', 'whose prices')
    .argument('<file>', 'YAML or JSON: a list as under `prices` of a backend in meritorder.yaml')
    .option('--by <name>', 'who says so', userInfo().username)
    .option('--dry-run', 'only say what the guard says, and what the last hour would have cost')
    .action((backend: string, file: string, { by, dryRun }: { by: string; dryRun?: boolean }) =>
      run({ verb: 'propose', backend, prices: readPrices(file), by, ...(dryRun ? { dryRun } : {}) }),
    );
  prices
    .command('import')
    .description('another state of the price catalogue (data.json of @pydantic/genai-prices), until the next release')
    .argument('<file>', 'the catalogue')
    .option('--by <name>', 'who says so', userInfo().username)
    .action((file: string, { by }: { by: string }) =>
      run({ verb: 'import', catalogue: readFileSync(file, 'utf8'), name: basename(file).slice(0, 128), by }),
    );
}

async function askMetering(
  nats: NatsConnection,
  request: PricesRequest,
): Promise<Extract<PricesReply, { rows: unknown }>> {
  let answer: unknown;
  try {
    answer = (await nats.request(subjects.meteringPrices(), JSON.stringify(request), { timeout: 30_000 })).json();
  } catch (error) {
    throw new Error(`metering does not answer: ${(error as Error).message}; is it running?`);
  }
  const reply = PricesReply.parse(answer);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
}

/** @throws Error with the first field that is wrong. */
function readPrices(file: string): z.infer<typeof PriceConfig>[] {
  const parsed = z
    .array(PriceConfig)
    .min(1)
    .max(100)
    .safeParse(parse(readFileSync(file, 'utf8')));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${file}: ${issue!.path.join('.') || 'the list'}: ${issue!.message}`);
}

function pricesTable(rows: readonly PriceBookRow[]): string {
  return table(
    ['version', 'backend', 'from', 'input', 'cached', 'output', 'USD per 1M', 'state', 'source'],
    rows.map((row) => [
      row.version.id,
      row.version.model ? `${row.version.backend} (${row.version.model})` : row.version.backend,
      row.version.effectiveFrom.slice(0, 16).replace('T', ' '),
      ...threeRates(row.version.cash),
      extras(row),
      stateOf(row),
      shortened(row.version.source),
    ]),
    { right: [3, 4, 5] },
  );
}

function threeRates(card: RateCard): string[] {
  return [card.inputPicosPerToken, card.cacheReadPicosPerToken, card.outputPicosPerToken].map((picos) =>
    formatDecimal(BigInt(picos), 6).replace(/(\.\d\d\d*?)0+$/, '$1'),
  );
}

/** What three rates do not show. */
function extras({ version }: PriceBookRow): string {
  const { cash, accountFactor, currency } = version;
  return [
    currency ? `in ${currency.code}` : '',
    accountFactor ? `x ${accountFactor}` : '',
    cash.contextTiers ? 'long context' : '',
    cash.timeBands ? 'by time of day' : '',
    ...Object.keys(cash.serviceTiers ?? {}),
    version.full === version.cash || JSON.stringify(version.full) === JSON.stringify(cash) ? '' : 'full cost apart',
  ]
    .filter(Boolean)
    .join(', ');
}

/** What a price that was only tried would have made of the attempts it was tried on. */
export function triedLines(tried: TriedPrice): string[] {
  const since = `since ${tried.since.slice(0, 16).replace('T', ' ')}`;
  if (tried.attempts === 0)
    return [`nothing was taken in; no attempt was confirmed ${since} that it could be tried on`];
  const which = tried.complete ? `the ${tried.attempts} attempts` : `the latest ${tried.attempts} attempts`;
  const against = (was: string, would: string, what: string): string =>
    `${which} ${since} cost ${usd(was)}${what}; at this price ${usd(would)}${timesText(BigInt(was), BigInt(would))}`;
  return [
    'nothing was taken in',
    against(tried.cashNanos, tried.triedCashNanos, ''),
    ...(tried.fullNanos === tried.cashNanos && tried.triedFullNanos === tried.triedCashNanos
      ? []
      : [against(tried.fullNanos, tried.triedFullNanos, ' in full')]),
  ];
}

function usd(nanos: string): string {
  return `$${nanosToUsd(BigInt(nanos))}`;
}

function timesText(was: bigint, would: bigint): string {
  if (was === 0n || would === was) return '';
  const [large, small, side] = would > was ? [would, was, 'dearer'] : [was, would, 'cheaper'];
  if (small === 0n) return ', nothing';
  const hundredths = (large * 100n + small / 2n) / small;
  return `, ${formatDecimal(hundredths, 2).replace(/\.?0+$/, '')}x ${side}`;
}

const SOURCE_CHARACTERS = 60;

function shortened(source: string): string {
  return source.length <= SOURCE_CHARACTERS ? source : `${source.slice(0, SOURCE_CHARACTERS - 1)}…`;
}

function stateOf(row: PriceBookRow): string {
  if (row.withdrawn) return 'withdrawn';
  if (row.status !== 'accepted') return row.status;
  return row.inForce ? 'in force' : Date.parse(row.version.effectiveFrom) > Date.now() ? 'to come' : 'past';
}

function reasonLines(row: PriceBookRow): string[] {
  const decided = row.decidedBy ? [`${row.version.id}: ${row.status} by ${row.decidedBy}`] : [];
  const reasons = row.status === 'held' ? row.reasons.map((r) => `${row.version.id}: ${r.message}`) : [];
  const { correction } = row;
  const corrected = correction
    ? [
        `${row.version.id}: ${correction.adjusted} attempts adjusted by $${nanosToUsd(BigInt(correction.differenceNanos))}`,
      ]
    : [];
  return [...reasons, ...decided, ...corrected];
}
