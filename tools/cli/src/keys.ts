import { userInfo } from 'node:os';
import { InvalidArgumentError, type Command } from 'commander';
import { digestOf, newSecret } from '@meritorder/access/keys';
import { KeysReply, KeysRequest, subjects, type KeyRow } from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';
import { instant } from './instant.js';
import { table } from './table.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;
type Answer = Extract<KeysReply, { keys: unknown }>;

export interface CreateOptions {
  department?: string;
  team?: string;
  customer?: string;
  feature?: string;
  tier?: string;
  routes?: string[];
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  concurrency?: number;
  /** ms since the epoch */
  expires?: number;
  by: string;
}

const TRIES = 3;
const TIMEOUT_MS = 10_000;

/**
 * `meritorder keys`: made, rotated, revoked and listed while everything runs. A secret is made here, printed once, and leaves this
 * machine as its hash alone.
 */
export function keysCommand(program: Command, withOperator: Ask): void {
  const keys = program.command('keys').description('API keys: make, rotate, revoke and list them');
  const ask = (request: KeysRequest): Promise<Answer> => withOperator((nats) => askForKeys(nats, request));
  const change = (name: string, what: string): Command =>
    keys
      .command(name)
      .description(what)
      .argument('<org>', 'whose key it is')
      .argument('<id>', 'slug of the key: the name by which budgets and statements know it')
      .option('--by <name>', 'who says so', userInfo().username);

  change('create', 'make a key; its secret is printed once, and kept nowhere')
    .option('--department <name>', 'what every request with it belongs to; `metadata` may name no other')
    .option('--team <name>')
    .option('--customer <name>')
    .option('--feature <name>')
    .option('--tier <name>')
    .option('--routes <ids...>', 'routes and backends it may use; default: all of its org')
    .option('--requests-per-minute <n>', 'at the gateway', count)
    .option('--tokens-per-minute <n>', 'at the gateway, input and output together', count)
    .option('--concurrency <n>', 'requests in flight, at the gateway', count)
    .option('--expires <instant>', 'such as 2027-12-31 or 2027-12-31T18:00:00Z', instant)
    .action(async (org: string, id: string, options: CreateOptions) => {
      const secret = newSecret(id);
      await tell(await ask(createRequest(org, id, digestOf(secret), options)), secret);
    });
  change('rotate', 'give a key a new secret, printed once; the old one ends after the grace')
    .option('--grace-seconds <n>', 'for so long the old secret works too', count, 0)
    .action(async (org: string, id: string, { graceSeconds, by }: { graceSeconds: number; by: string }) => {
      const secret = newSecret(id);
      await tell(await ask(checked({ verb: 'rotate', org, id, digest: digestOf(secret), graceSeconds, by })), secret);
    });
  change('revoke', 'end a key at once, with all its secrets').action(
    async (org: string, id: string, { by }: { by: string }) =>
      tell(await ask(checked({ verb: 'revoke', org, id, by })), undefined),
  );
  keys
    .command('list')
    .description('keys that were made here; those of meritorder.yaml are there')
    .option('--org <id>', 'only of this org')
    .option('--json', 'as JSON')
    .action(async ({ org, json }: { org?: string; json?: boolean }) => {
      const rows: KeyRow[] = [];
      for (let more = true; more;) {
        const last = rows.at(-1);
        const page = await ask(
          checked({
            verb: 'list',
            ...(org ? { org } : {}),
            ...(last ? { after: { org: last.org, id: last.id } } : {}),
          }),
        );
        rows.push(...page.keys);
        more = page.more;
      }
      if (json) console.log(JSON.stringify(rows, null, 2));
      else console.log(rows.length === 0 ? 'no keys' : keysTable(rows));
    });
}

/** @throws Error with what is wrong. */
export function createRequest(org: string, id: string, digest: string, options: CreateOptions): KeysRequest {
  const { requestsPerMinute, tokensPerMinute, concurrency, expires, by, ...terms } = options;
  const limits = { requestsPerMinute, tokensPerMinute, concurrency };
  const given = Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined));
  return checked({
    verb: 'create',
    org,
    id,
    digest,
    by,
    terms: { ...terms, ...(Object.keys(given).length > 0 ? { limits: given } : {}) },
    ...(expires === undefined ? {} : { expiresAt: new Date(expires).toISOString() }),
  });
}

export function keysTable(rows: readonly KeyRow[]): string {
  return table(
    ['org', 'key', 'state', 'bound to', 'routes', 'limits', 'expires', 'secrets', 'made by'],
    rows.map(({ terms: { routes, limits, ...bound }, ...row }) => [
      row.org,
      row.id,
      row.revokedAt ? `revoked ${minute(row.revokedAt)} by ${row.revokedBy ?? ''}` : row.state,
      Object.entries(bound)
        .map(([name, value]) => `${name}=${value}`)
        .join(' '),
      routes?.join(' ') ?? '(all)',
      [
        ...(limits?.requestsPerMinute ? [`${limits.requestsPerMinute} requests/min`] : []),
        ...(limits?.tokensPerMinute ? [`${limits.tokensPerMinute} tokens/min`] : []),
        ...(limits?.concurrency ? [`${limits.concurrency} at once`] : []),
      ].join(', '),
      row.expiresAt ? minute(row.expiresAt) : 'never',
      row.secrets.map((s) => `${s.digestStart}${s.validUntil ? ` until ${minute(s.validUntil)}` : ''}`).join(', '),
      `${row.createdBy} ${minute(row.createdAt)}`,
    ]),
  );
}

async function askForKeys(nats: NatsConnection, request: KeysRequest): Promise<Answer> {
  let answer: unknown;
  // The same secret again is the same change, so an answer that was lost is asked for again.
  for (let attempt = 1; answer === undefined; attempt++) {
    try {
      answer = (await nats.request(subjects.accessKeys(), JSON.stringify(request), { timeout: TIMEOUT_MS })).json();
    } catch (error) {
      if (attempt === TRIES)
        throw new Error(`nobody who issues keys answers: ${(error as Error).message}; is the gateway running?`);
    }
  }
  const reply = KeysReply.parse(answer);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
}

/** The secret alone goes to the standard output, so that it can be caught without being shown. */
async function tell(answer: Answer, secret: string | undefined): Promise<void> {
  if (secret !== undefined) console.log(secret);
  console.error(keysTable(answer.keys));
  if (!answer.told)
    console.error(
      'It is kept, but routers and gateways could not be told yet; they are, as soon as NATS can be written.',
    );
}

/** @throws Error with the field that is wrong. */
function checked(request: KeysRequest): KeysRequest {
  const parsed = KeysRequest.safeParse(request);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${issue!.path.join('.') || 'key'}: ${issue!.message}`);
}

function minute(text: string): string {
  return `${text.slice(0, 16).replace('T', ' ')}Z`;
}

function count(text: string): number {
  if (!/^\d{1,12}$/.test(text)) throw new InvalidArgumentError('a whole number');
  return Number(text);
}
