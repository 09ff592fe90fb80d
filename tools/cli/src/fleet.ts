import type { Command } from 'commander';
import { FleetReply, HardwareMeasuredV1, STREAMS, subjects, type FleetBackend } from '@meritorder/contracts';
import { busOn } from '@meritorder/messaging';
import type { NatsConnection } from '@nats-io/transport-node';
import { table } from './table.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

/** One backend as all routers that answered see it. */
export interface FleetRow extends FleetBackend {
  /** Whose breaker holds it back. */
  coolingRouters: number;
  routers: number;
  /** Of its whole host, in the last minute that was measured; absent: nobody measures. */
  hostWatts?: number;
  measuredMsAgo?: number;
}

const ROUTERS_ANSWER_MS = 1_000;

/** `meritorder fleet`: who is there, what runs, how busy and how fast it is, and what holds it back. */
export function fleetCommand(program: Command, withOperator: Ask): void {
  program
    .command('fleet')
    .description('hosts, engines and models: running and waiting, KV cache, speed, power, last heard, cooling down')
    .option('--json', 'one JSON array')
    .action(async ({ json }: { json?: boolean }) => {
      const rows = await withOperator((nats) => readFleet(nats));
      console.log(json ? JSON.stringify(rows, null, 2) : fleetText(rows));
    });
}

/** Asks all routers. @throws Error when none answers. */
export async function readFleet(nats: NatsConnection): Promise<FleetRow[]> {
  const replies: FleetReply[] = [];
  try {
    const asked = await nats.requestMany(subjects.routerFleet(), '', { strategy: 'timer', maxWait: ROUTERS_ANSWER_MS });
    for await (const message of asked) replies.push(FleetReply.parse(message.json()));
  } catch (error) {
    throw new Error(`no router answers: ${(error as Error).message}; is one running?`);
  }
  if (replies.length === 0) throw new Error('no router answers; is one running?');
  const rows = mergeFleet(replies);
  const manager = await busOn(nats, 'cli').manager();
  for (const host of new Set(rows.flatMap((r) => r.host ?? []))) {
    const last = await manager.streams
      .getMessage(STREAMS.hardware.name, { last_by_subj: subjects.hardwareMeasured(host) })
      .catch(() => null);
    const measured = last && HardwareMeasuredV1.safeParse(last.json());
    if (!measured?.success || measured.data.coveredMs === 0) continue;
    const { millijoules, coveredMs, to } = measured.data;
    for (const row of rows.filter((r) => r.host === host)) {
      // Millijoules a millisecond are watts.
      row.hostWatts = millijoules / coveredMs;
      row.measuredMsAgo = Math.max(0, Date.now() - Date.parse(to));
    }
  }
  return rows;
}

/** The views of all routers as one: whoever heard last says who is live; breakers are counted. */
export function mergeFleet(replies: readonly FleetReply[]): FleetRow[] {
  const rows = new Map<string, FleetRow>();
  for (const { backends } of replies)
    for (const backend of backends) {
      const known = rows.get(backend.id);
      const cooling = backend.breaker === 'closed' ? 0 : 1;
      const fresher = !known || (backend.heardMsAgo ?? Infinity) < (known.heardMsAgo ?? Infinity) ? backend : known;
      const worse = !known || (backend.coolingMs ?? 0) > (known.coolingMs ?? 0) || known.breaker === 'closed';
      const { breaker, coolingMs } = worse ? backend : known;
      const { coolingMs: _old, ...view } = fresher;
      rows.set(backend.id, {
        ...view,
        breaker,
        ...(coolingMs === undefined ? {} : { coolingMs }),
        hasPrice: backend.hasPrice && (known?.hasPrice ?? true),
        coolingRouters: (known?.coolingRouters ?? 0) + cooling,
        routers: replies.length,
      });
    }
  const place = (row: FleetRow): string => `${row.host === undefined ? '~' : row.host} ${row.id}`;
  return [...rows.values()].toSorted((a, b) => (place(a) < place(b) ? -1 : 1));
}

const HEAD = [
  'host',
  'backend',
  'model',
  'engine',
  'running',
  'waiting',
  'slots',
  'KV cache',
  'prefill/s',
  'decode/s',
  'host W',
  'heard',
  'state',
];

/** For people. */
export function fleetText(rows: readonly FleetRow[]): string {
  if (rows.length === 0) return 'there are no backends';
  const cells = rows.map((row, i) => {
    const engines = row.workers.flatMap((w) => w.engine ?? []);
    const sumOf = (of: (w: FleetRow['workers'][number]) => number): string =>
      row.workers.length === 0 ? '' : String(row.workers.reduce((sum, w) => sum + of(w), 0));
    const each = (of: (e: (typeof engines)[number]) => number | undefined): number[] =>
      engines.flatMap((e) => of(e) ?? []);
    const rate = (values: number[]): string =>
      values.length === 0 ? '' : Math.round(values.reduce((a, b) => a + b, 0)).toLocaleString('en-US');
    const cache = each((e) => e.kvCacheShare);
    const sameHost = i > 0 && rows[i - 1]!.host === row.host && row.host !== undefined;
    return [
      sameHost ? '' : (row.host ?? row.provider),
      row.id,
      row.model,
      [...new Set(engines.map((e) => [e.engine, e.version].join(' ').trim()))].join(', '),
      sumOf((w) => Math.max(w.inFlight, w.engine?.running ?? 0)),
      engines.some((e) => e.waiting !== undefined) ? sumOf((w) => w.engine?.waiting ?? 0) : '',
      sumOf((w) => w.maxConcurrency),
      cache.length === 0 ? '' : `${Math.round(Math.max(...cache) * 100)} %`,
      rate(each((e) => e.prefillTokensPerSecond)),
      rate(each((e) => e.decodeTokensPerSecond)),
      sameHost || row.hostWatts === undefined ? '' : Math.round(row.hostWatts).toLocaleString('en-US'),
      row.heardMsAgo === null ? 'never' : `${ago(row.heardMsAgo)} ago`,
      stateOf(row),
    ];
  });
  return table(HEAD, cells, { right: [4, 5, 6, 7, 8, 9, 10] });
}

function stateOf(row: FleetRow): string {
  const cooling = {
    closed: [],
    failures: [`cooling down after failures${left(row)}`],
    probing: ['being tried after failures'],
    quota: [`cooling down for its quota${left(row)}`],
  }[row.breaker].map((text) => (row.routers > 1 ? `${text} at ${row.coolingRouters} of ${row.routers} routers` : text));
  const problems = [
    ...(row.workers.length > 0 ? [] : [row.draining ? 'ending, or no engine' : 'gone']),
    ...cooling,
    ...(row.hasPrice ? [] : ['no price']),
  ];
  const full = row.workers.length > 0 && row.workers.every((w) => w.inFlight >= w.maxConcurrency);
  return problems.join(', ') || (full ? 'full' : 'ready');
}

function left({ coolingMs }: FleetRow): string {
  return coolingMs === undefined ? '' : `, ${ago(coolingMs)} left`;
}

function ago(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}
