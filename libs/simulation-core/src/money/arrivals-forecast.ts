const HOUR_MS = 3_600_000;

/**
 * What is forecast of arrivals: those of the workload itself by the hour, as a forecast from an equal history would have them. It
 * knows the shape of days and of surges, and nothing of which requests come.
 */
export class ArrivalsForecast {
  private readonly until: Float64Array;
  private readonly fromHour: number;

  constructor(atMs: Float64Array) {
    this.fromHour = Math.floor(atMs[0]! / HOUR_MS);
    const hours = Math.floor(atMs[atMs.length - 1]! / HOUR_MS) - this.fromHour + 1;
    this.until = new Float64Array(hours + 1);
    for (let i = 0; i < atMs.length; i++) this.until[Math.floor(atMs[i]! / HOUR_MS) - this.fromHour + 1]! += 1;
    for (let hour = 1; hour <= hours; hour++) this.until[hour]! += this.until[hour - 1]!;
  }

  between(fromMs: number, toMs: number): number {
    return Math.max(0, this.untilMs(toMs) - this.untilMs(fromMs));
  }

  private untilMs(atMs: number): number {
    const last = this.until.length - 1;
    const hours = Math.min(last, Math.max(0, atMs / HOUR_MS - this.fromHour));
    const below = Math.min(last - 1, Math.floor(hours));
    return this.until[below]! + (hours - below) * (this.until[below + 1]! - this.until[below]!);
  }
}
