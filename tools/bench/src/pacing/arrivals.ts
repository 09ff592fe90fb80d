import { UTC_WEEK, type SpendSeries } from '@meritorder/forecast-core';
import { amountAt, hourlyRate, hoursOf, type HourlyRate } from '@meritorder/pacing-core';

/** What a new budget's forecast is made of: what came since it is there, by the hour, as the service reads it. */
export class Arrivals {
  private readonly known: { series: SpendSeries & { amounts: number[] }; rate?: { hour: number; of: HourlyRate } }[];

  private nowMs = 0;

  constructor(budgets: number) {
    this.known = Array.from({ length: budgets }, () => ({ series: { firstHour: 0, amounts: [] } }));
  }

  count(budget: number, atMs: number): void {
    this.nowMs = atMs;
    const { amounts } = this.known[budget]!.series;
    const hour = Math.floor(hoursOf(atMs));
    while (amounts.length <= hour) amounts.push(0);
    amounts[hour]! += 1;
  }

  between(budget: number, fromMs: number, toMs: number): number {
    const of = this.known[budget]!;
    const nowHours = hoursOf(Math.max(fromMs, this.nowMs));
    const hour = Math.floor(nowHours);
    // In the first day it moves with every request; a shape is read once an hour.
    if (hour < 24 || of.rate?.hour !== hour)
      of.rate = { hour, of: hourlyRate({ series: of.series, sinceHours: 0 }, nowHours, UTC_WEEK, []) };
    return amountAt(of.rate.of, hoursOf(fromMs), hoursOf(toMs));
  }
}
