import type { HardwareMeasuredV1 } from '@meritorder/contracts';
import type { MeasuredEnergy } from '@meritorder/ledger-store';

const HOUR_MS = 3_600_000;

/**
 * What meters said, by UTC hour: a stretch over the end of an hour is split in proportion to time, to the last millijoule.
 * @throws RangeError when it ends before it begins or covers more than it lasted; nothing can be made of it.
 */
export function energyByHour(messageId: string, event: HardwareMeasuredV1): MeasuredEnergy[] {
  const [fromMs, toMs] = [Date.parse(event.from), Date.parse(event.to)];
  const lastedMs = toMs - fromMs;
  if (!(lastedMs > 0 && lastedMs <= HOUR_MS)) throw new RangeError(`a stretch of ${lastedMs} ms is none`);
  if (event.coveredMs > lastedMs) throw new RangeError(`${event.coveredMs} ms of ${lastedMs} ms cannot be covered`);
  const until = (total: number, atMs: number): number =>
    Number((BigInt(total) * BigInt(Math.min(atMs, toMs) - fromMs)) / BigInt(lastedMs));
  const rows: MeasuredEnergy[] = [];
  for (let atMs = fromMs; atMs < toMs;) {
    const hourMs = Math.floor(atMs / HOUR_MS) * HOUR_MS;
    const endMs = Math.min(toMs, hourMs + HOUR_MS);
    const coveredMs = until(event.coveredMs, endMs) - until(event.coveredMs, atMs);
    if (coveredMs > 0)
      rows.push({
        messageId,
        host: event.host,
        hour: new Date(hourMs),
        coveredMs,
        millijoules: BigInt(until(event.millijoules, endMs) - until(event.millijoules, atMs)),
        gpuUtilization: event.gpuUtilization,
      });
    atMs = endMs;
  }
  return rows;
}
