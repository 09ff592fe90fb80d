import type { PowerMeter } from '@meritorder/contracts';

/** What a meter says at an instant: a draw, or counters of energy. */
export type MeterReading =
  { kind: 'power'; watts: number; utilization: number | undefined } | { kind: 'energy'; zones: readonly EnergyZone[] };

/** A counter that begins again at zero after `rangeMicrojoules`. */
export interface EnergyZone {
  zone: string;
  microjoules: bigint;
  rangeMicrojoules: bigint;
}

/** Why a meter cannot be read, in words for the log. */
export class MeterUnreadable extends Error {
  override readonly name = 'MeterUnreadable';
}

/** `read` rejects with MeterUnreadable when it cannot say anything. */
export interface Meter {
  name: PowerMeter;
  read(): Promise<MeterReading>;
}

export const NVIDIA_SMI_ARGUMENTS = [
  '--query-gpu=index,power.draw,utilization.gpu',
  '--format=csv,noheader,nounits',
] as const;

/**
 * The draw of all GPUs together from `nvidia-smi --query-gpu=index,power.draw,utilization.gpu --format=csv,noheader,nounits`.
 * @param gpus how many the host is said to have: another number would be another host's power.
 * @throws MeterUnreadable where a GPU gives no power, as some do not (`[N/A]`), or where their number differs.
 */
export function parseNvidiaSmi(text: string, gpus: number): MeterReading {
  const rows = text
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.trim()))
    .filter((cells) => cells.length >= 2);
  if (rows.length !== gpus)
    throw new MeterUnreadable(`nvidia-smi sees ${rows.length} GPUs and the configuration has ${gpus}`);
  let watts = 0;
  const shares: number[] = [];
  for (const [index, draw = '', used = ''] of rows) {
    if (!/^\d+(\.\d+)?$/.test(draw)) throw new MeterUnreadable(`GPU ${index} gives no power but "${draw}"`);
    watts += Number(draw);
    if (/^\d+$/.test(used)) shares.push(Math.min(1, Number(used) / 100));
  }
  const complete = shares.length === rows.length && shares.length > 0;
  return {
    kind: 'power',
    watts,
    utilization: complete ? shares.reduce((a, b) => a + b, 0) / shares.length : undefined,
  };
}

/** The part of a machine that a RAPL zone counts, as far as zones add up: packages, and memory beside them. */
export function isCountedZone(name: string): boolean {
  // `core` and `uncore` are inside a package, and `psys` has the packages inside it.
  return /^package-\d+(-die-\d+)?$/.test(name) || name === 'dram';
}

/** Integer microjoules as sysfs gives them. @throws MeterUnreadable */
export function parseMicrojoules(text: string, file: string): bigint {
  if (!/^\d+\s*$/.test(text)) throw new MeterUnreadable(`${file} has no number`);
  return BigInt(text.trim());
}

/**
 * Energy between two readings of one meter, millijoules: of a draw the mean of both ends over the time between, of counters their
 * difference, over the end of their range too. A zone that is not in both has nothing to say.
 */
export function millijoulesBetween(before: MeterReading, after: MeterReading, betweenMs: number): number {
  if (before.kind === 'power' && after.kind === 'power') return ((before.watts + after.watts) / 2) * betweenMs;
  if (before.kind !== 'energy' || after.kind !== 'energy') return 0;
  let microjoules = 0n;
  for (const { zone, microjoules: now, rangeMicrojoules } of after.zones) {
    const then = before.zones.find((z) => z.zone === zone)?.microjoules;
    if (then === undefined) continue;
    microjoules += now >= then ? now - then : rangeMicrojoules - then + now;
  }
  return Number(microjoules) / 1_000;
}
