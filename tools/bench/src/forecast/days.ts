import { HOURS_PER_DAY } from '@meritorder/forecast-core';
import { evaluate, type Evaluation } from './evaluate.js';
import { generatedFamilies, withoutHistory } from './generated.js';
import type { HourlySeries, Organisation } from './hourly-file.js';

/** The days of an org, each a window of its own. */
export interface Days {
  readonly name: string;
  readonly evaluations: readonly Evaluation[];
}

/** Each whole day alone, as if the series had begun with it, and each but the first after all that came before. */
export function daysOf({ name, series, hours }: Organisation, firstHour = 0): Days[] {
  const starts = Array.from({ length: Math.floor(hours / HOURS_PER_DAY) }, (_, day) => day * HOURS_PER_DAY);
  const alone = starts.flatMap((start) =>
    named(
      start,
      '',
      evaluate(
        series.map((one): HourlySeries => ({ ...one, amounts: one.amounts.slice(start) })),
        { firstHour: firstHour + start, startHour: 0, endHour: HOURS_PER_DAY },
      ),
    ),
  );
  const afterPast = starts
    .slice(1)
    .flatMap((start) =>
      named(
        start,
        ' after its past',
        evaluate(series, { firstHour, startHour: start, endHour: start + HOURS_PER_DAY }),
      ),
    );
  return [
    { name: `${name}, days`, evaluations: alone },
    { name: `${name}, days after their past`, evaluations: afterPast },
  ].filter(({ evaluations }) => evaluations.length > 0);
}

/** The days of a calendar month of one generated org of each family. */
export function generatedDays(seed: number): Days[] {
  return generatedFamilies(seed).flatMap(({ name, organisations }) => {
    const { series, period } = withoutHistory(organisations[0]!);
    const renamed = series.map((one): HourlySeries => ({ ...one, name: `generated ${one.name}` }));
    return daysOf({ name: `generated ${name}`, series: renamed, hours: period.endHour }, period.firstHour);
  });
}

function named(start: number, suffix: string, evaluations: readonly Evaluation[]): Evaluation[] {
  return evaluations.map((one) => ({ ...one, name: `${one.name} day ${start / HOURS_PER_DAY + 1}${suffix}` }));
}
