import { hostPeriodEntries } from '@meritorder/ledger-core';
import type { Nanos } from '@meritorder/kernel';
import type { DataSource, EntityManager } from 'typeorm';
import { inTransaction } from './database.js';

/** Token counts over many attempts. */
export interface TokenSums {
  inputTokens: number;
  cacheReadTokens: number;
  cacheWrite5mTokens: number;
  cacheWrite1hTokens: number;
  outputTokens: number;
}

/** What one backend did on a host, of the attempts that an hour takes. */
export interface BackendUsage {
  backend: string;
  provider: string;
  attempts: number;
  /** Of them those whose own hour had been closed already. */
  lateAttempts: number;
  /** What was charged beyond cash, corrections included. */
  absorbedNanos: Nanos;
  tokens: TokenSums;
  /** How long attempts kept a replica busy, by the engine's own timings: prefill, and of decode the part of one stream. */
  timedReplicaMicroseconds: bigint;
  /** Tokens of attempts without timings. */
  untimed: TokenSums;
}

/** All that the books know of a host's hour. */
export interface HostHourFacts {
  host: string;
  hour: Date;
  usage: BackendUsage[];
  /** Of all hours before. */
  busyBeforeGpuMicroseconds: bigint;
  measured: { coveredMs: number; millijoules: bigint; gpuUtilization: number | undefined } | undefined;
  /** Measured time that came after its hour had been closed as configured; it is not booked. */
  lateMeasuredMs: number;
}

export interface HostHour {
  incurred: Record<string, Nanos>;
  incurredNanos: Nanos;
  allocatedNanos: Nanos;
  idleNanos: Nanos;
  variances: Record<string, Nanos>;
  availableGpuMicroseconds: bigint;
  practicalGpuMicroseconds: bigint;
  standardGpuMicroseconds: bigint;
  busyGpuMicroseconds: bigint;
  energyBasis: 'measured' | 'partly-measured' | 'configured';
}

/** A closed hour as it is read. */
export interface ClosedHour extends HostHour {
  host: string;
  hour: Date;
  attempts: number;
  lateAttempts: number;
  measuredMs: number;
  measuredMillijoules: bigint;
  gpuUtilization: number | undefined;
  backends: (TokenSums & { backend: string; attempts: number })[];
}

const HOUR = `interval '1 hour'`;

/** The first hour of a host that is not closed; undefined for one that the books do not know. */
export async function openHour(source: DataSource | EntityManager, host: string): Promise<Date | undefined> {
  const rows: { hour: Date }[] = await source.query(
    `select coalesce((select max(hour) + ${HOUR} from host_period where host = $1), books_from) as hour
     from hardware_host where host = $1`,
    [host],
  );
  return rows[0]?.hour;
}

/**
 * Closes one hour of a host for ever, in one transaction: takes what was booked of its attempts and belongs to no closed hour,
 * late ones too, and what its meters said; writes the hour and its entries. Whoever comes second, and whoever repeats it, finds
 * the hour closed and changes nothing.
 * @param compute what the hour cost; pure.
 * @returns what was taken and written; undefined when this is not the host's open hour.
 */
export async function closeHostHour(
  source: DataSource,
  host: string,
  hour: Date,
  compute: (facts: HostHourFacts) => HostHour,
): Promise<{ facts: HostHourFacts; closed: HostHour } | undefined> {
  return inTransaction(source, async (manager) => {
    await manager.query(`select pg_advisory_xact_lock(7261303, hashtext($1))`, [host]);
    const open = await openHour(manager, host);
    if (open?.getTime() !== hour.getTime()) return undefined;
    const facts: HostHourFacts = {
      host,
      hour,
      usage: await takeUsage(manager, host, hour),
      busyBeforeGpuMicroseconds: await busyBefore(manager, host),
      ...(await takeEnergy(manager, host, hour)),
    };
    const closed = compute(facts);
    await writeHour(manager, facts, closed);
    await writeEntries(manager, facts, closed);
    return { facts, closed };
  });
}

const TOKENS = ['inputTokens', 'cacheReadTokens', 'cacheWrite5mTokens', 'cacheWrite1hTokens', 'outputTokens'] as const;

/** An attempt belongs to the hour in which its answer ended, a correction to that in which it was booked. */
async function takeUsage(manager: EntityManager, host: string, hour: Date): Promise<BackendUsage[]> {
  const sums = (where: string, prefix: string): string =>
    TOKENS.map(
      (name) => `coalesce(sum((usage ->> '${name}')::bigint) filter (where ${where}), 0)::text as "${prefix}${name}"`,
    ).join(', ');
  const rows: Record<string, string>[] = await manager.query(
    `with taken as (
       update host_usage u set hour = $2 from (
         select h.attempt_id, h.revision, a.usage, a.timings,
           case when h.first then least(a.closed_at, h.recorded_at) else h.recorded_at end as at
         from host_usage h join attempt a using (attempt_id)
         where h.host = $1 and h.hour is null
         order by h.attempt_id, h.revision for update of h
       ) as waiting
       where u.attempt_id = waiting.attempt_id and u.revision = waiting.revision and waiting.at < $2::timestamptz + ${HOUR}
       returning u.backend, u.provider, u.first, u.absorbed_nanos, waiting.at, waiting.usage,
         case when (waiting.timings ->> 'prefillMs')::numeric + (waiting.timings ->> 'decodeMs')::numeric > 0
           then (waiting.timings ->> 'prefillMs')::numeric + (waiting.timings ->> 'decodeMs')::numeric
             / greatest(1, coalesce((waiting.timings ->> 'concurrency')::numeric, 1)) end as replica_ms
     )
     select backend, provider, count(*) filter (where first)::text as attempts,
       count(*) filter (where first and at < $2::timestamptz)::text as late,
       sum(absorbed_nanos)::text as absorbed,
       coalesce(round(sum(replica_ms * 1000) filter (where first)), 0)::text as timed,
       ${sums('first', 'all_')}, ${sums('first and replica_ms is null', 'untimed_')}
     from taken group by backend, provider order by backend, provider`,
    [host, hour],
  );
  const tokens = (row: Record<string, string>, prefix: string): TokenSums => ({
    inputTokens: Number(row[`${prefix}inputTokens`]),
    cacheReadTokens: Number(row[`${prefix}cacheReadTokens`]),
    cacheWrite5mTokens: Number(row[`${prefix}cacheWrite5mTokens`]),
    cacheWrite1hTokens: Number(row[`${prefix}cacheWrite1hTokens`]),
    outputTokens: Number(row[`${prefix}outputTokens`]),
  });
  return rows.map((row) => ({
    backend: row['backend']!,
    provider: row['provider']!,
    attempts: Number(row['attempts']),
    lateAttempts: Number(row['late']),
    absorbedNanos: BigInt(row['absorbed']!),
    tokens: tokens(row, 'all_'),
    timedReplicaMicroseconds: BigInt(row['timed']!),
    untimed: tokens(row, 'untimed_'),
  }));
}

async function busyBefore(manager: EntityManager, host: string): Promise<bigint> {
  const [row]: { busy: string }[] = await manager.query(
    `select coalesce(sum(busy_gpu_us), 0)::text as busy from host_period where host = $1`,
    [host],
  );
  return BigInt(row!.busy);
}

async function takeEnergy(
  manager: EntityManager,
  host: string,
  hour: Date,
): Promise<Pick<HostHourFacts, 'measured' | 'lateMeasuredMs'>> {
  const rows: { hour: Date; covered: string; millijoules: string; utilization: number | null }[] = await manager.query(
    `with taken as (delete from host_energy where host = $1 and hour <= $2 returning *)
     select hour, sum(covered_ms)::text as covered, sum(millijoules)::text as millijoules,
       sum(gpu_utilization * covered_ms) / nullif(sum(covered_ms) filter (where gpu_utilization is not null), 0) as utilization
     from taken group by hour`,
    [host, hour],
  );
  const now = rows.find((r) => r.hour.getTime() === hour.getTime());
  return {
    measured: now && {
      coveredMs: Number(now.covered),
      millijoules: BigInt(now.millijoules),
      gpuUtilization: now.utilization ?? undefined,
    },
    lateMeasuredMs: rows.filter((r) => r !== now).reduce((sum, r) => sum + Number(r.covered), 0),
  };
}

async function writeHour(manager: EntityManager, facts: HostHourFacts, closed: HostHour): Promise<void> {
  const total = (of: (u: BackendUsage) => number): number => facts.usage.reduce((sum, u) => sum + of(u), 0);
  await manager.query(
    `insert into host_period (host, hour, incurred, incurred_nanos, allocated_nanos, idle_nanos, variances, attempts, late_attempts,
       available_gpu_us, practical_gpu_us, standard_gpu_us, busy_gpu_us, energy_basis, measured_ms, measured_millijoules,
       gpu_utilization, backends)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
    [
      facts.host,
      facts.hour,
      texts(closed.incurred),
      closed.incurredNanos.toString(),
      closed.allocatedNanos.toString(),
      closed.idleNanos.toString(),
      texts(closed.variances),
      total((u) => u.attempts),
      total((u) => u.lateAttempts),
      closed.availableGpuMicroseconds.toString(),
      closed.practicalGpuMicroseconds.toString(),
      closed.standardGpuMicroseconds.toString(),
      closed.busyGpuMicroseconds.toString(),
      closed.energyBasis,
      facts.measured?.coveredMs ?? 0,
      (facts.measured?.millijoules ?? 0n).toString(),
      facts.measured?.gpuUtilization ?? null,
      JSON.stringify(facts.usage.map(({ backend, attempts, tokens }) => ({ backend, attempts, ...tokens }))),
    ],
  );
}

/** What `attempt_id` says of an entry that is no attempt's: `host:gpu-1:2026-11-24T10`. */
export function hostPeriodReference(host: string, hour: Date): string {
  return `host:${host}:${hour.toISOString().slice(0, 13)}`;
}

async function writeEntries(manager: EntityManager, facts: HostHourFacts, closed: HostHour): Promise<void> {
  const entries = hostPeriodEntries({
    host: facts.host,
    incurred: closed.incurred,
    allocated: facts.usage.map((u) => ({ provider: u.provider, nanos: u.absorbedNanos })),
    idleNanos: closed.idleNanos,
  });
  if (entries.length === 0) return;
  await manager.query(
    `insert into ledger_entry (attempt_id, revision, kind, debit_account, credit_account, amount_nanos, price_version, cause, occurred_at)
     select $1, 1, k, d, c, n, 'host-costs', 'host-period', $2::timestamptz + ${HOUR}
     from unnest($3::text[], $4::text[], $5::text[], $6::bigint[]) as rows(k, d, c, n)`,
    [
      hostPeriodReference(facts.host, facts.hour),
      facts.hour,
      entries.map((e) => e.kind),
      entries.map((e) => e.debitAccount),
      entries.map((e) => e.creditAccount),
      entries.map((e) => e.amountNanos.toString()),
    ],
  );
}

/** Closed hours that begin in [from, to), oldest first. */
export async function closedHours(
  source: DataSource,
  of: { host?: string | undefined; from: Date; to: Date },
): Promise<ClosedHour[]> {
  const rows: Record<string, any>[] = await source.query(
    `select * from host_period where hour >= $1 and hour < $2 and ($3::text is null or host = $3) order by host, hour`,
    [of.from, of.to, of.host ?? null],
  );
  return rows.map((row) => ({
    host: row['host'],
    hour: row['hour'],
    incurred: amounts(row['incurred']),
    incurredNanos: BigInt(row['incurred_nanos']),
    allocatedNanos: BigInt(row['allocated_nanos']),
    idleNanos: BigInt(row['idle_nanos']),
    variances: amounts(row['variances']),
    attempts: row['attempts'],
    lateAttempts: row['late_attempts'],
    availableGpuMicroseconds: BigInt(row['available_gpu_us']),
    practicalGpuMicroseconds: BigInt(row['practical_gpu_us']),
    standardGpuMicroseconds: BigInt(row['standard_gpu_us']),
    busyGpuMicroseconds: BigInt(row['busy_gpu_us']),
    energyBasis: row['energy_basis'],
    measuredMs: row['measured_ms'],
    measuredMillijoules: BigInt(row['measured_millijoules']),
    gpuUtilization: row['gpu_utilization'] ?? undefined,
    backends: row['backends'],
  }));
}

function texts(amounts: Record<string, Nanos>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(amounts).map(([name, nanos]) => [name, nanos.toString()])));
}

function amounts(texts: Record<string, string>): Record<string, Nanos> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, BigInt(text)]));
}
