import { Command } from 'commander';
import { daysOf, generatedDays } from './days.js';
import { evaluate, type Evaluation, type Period } from './evaluate.js';
import { generatedFamilies, trueErrors, withoutHistory } from './generated.js';
import { readOrganisations, type HourlySeries } from './hourly-file.js';
import { residualTable } from './residual-table.js';
import { testData } from '../test-data.js';
import { round, summarise, type Summary } from './summary.js';

const WEEK_HOURS = 168;
/** Less than two days of period after a week of history would be a forecast of hours. */
const LEAST_PERIOD_HOURS = 48;
const FOLDS = 4;
const SETS = ['m-small', 'm-small-clients'];
/** Of one day alone. */
const SETS_OF_A_DAY = ['deepseek-r1', 'deepseek-r1-clients'];
const filesOf = (sets: readonly string[]): string[] =>
  sets.flatMap((name) => testData('traces', `servegen-${name}-hourly.csv`) ?? []);

const program = new Command('npm run bench:forecast --')
  .description(
    'How wrong forecasts of a period’s total are, beside the run rate, seen at 30, 50 and 70 % of the period.',
  )
  .option('--hourly <files...>', 'hour,requests,... or client,hour,requests,...; the whole file is the period')
  .option('--seed <number>', 'of the generated series', '7')
  .option('--folds', 'shipped residuals from three quarters of the clients for the fourth: coverage that chose nothing')
  .option('--residuals', 'print the residuals of these files, as the core ships them')
  .showHelpAfterError();
program.parse();
const { hourly, seed, folds, residuals } = program.opts<{
  hourly?: string[];
  seed: string;
  folds?: boolean;
  residuals?: boolean;
}>();

try {
  const organisations = readOrganisations(hourly ?? filesOf(SETS));
  if (residuals) {
    console.log(JSON.stringify(residualTable(organisations.flatMap(({ series }) => series))));
  } else {
    const measured = organisations.flatMap(({ name, series, hours }) => [
      measure(name, series, { startHour: 0, endHour: hours }),
      ...(hours >= WEEK_HOURS + LEAST_PERIOD_HOURS
        ? [measure(`${name} after a week`, series, { startHour: WEEK_HOURS, endHour: hours })]
        : []),
    ]);
    const ofDays = hourly ? organisations : readOrganisations(filesOf([...SETS, ...SETS_OF_A_DAY]));
    report(
      [...measured, ...(folds ? [] : measureGenerated(Number(seed)))],
      (folds ? [] : [...ofDays.flatMap((one) => daysOf(one)), ...generatedDays(Number(seed))]).map(
        ({ name, evaluations }) => ({ summary: summarise(name, evaluations), evaluations }),
      ),
    );
  }
} catch (error) {
  console.error(`bench:forecast: ${(error as Error).message}`);
  process.exitCode = 1;
}

interface Measured {
  readonly summary: Summary;
  readonly evaluations: readonly Evaluation[];
  /** By SEEN: the median error of one who knows what is expected of every hour to come, but not its noise. */
  readonly knowingTheTruth?: readonly number[];
}

function measure(name: string, series: readonly HourlySeries[], period: Period): Measured {
  const suffix = period.startHour > 0 ? ' after a week' : '';
  const evaluations = evaluate(series, period, folds ? foldsOf(series) : undefined).map((one) => ({
    ...one,
    name: `${one.name}${suffix}`,
  }));
  return { summary: summarise(name, evaluations), evaluations };
}

/** For each series the residuals of those in the other folds. */
function foldsOf(series: readonly HourlySeries[]): (name: string) => ReturnType<typeof residualTable> {
  const tables = Array.from({ length: FOLDS }, (_, fold) => residualTable(series.filter((_, i) => i % FOLDS !== fold)));
  const byName = new Map(series.map(({ name }, i) => [name, tables[i % FOLDS]!]));
  return (name) => byName.get(name)!;
}

/** A calendar month each, after 61 days of history and without any. */
function measureGenerated(seedOfAll: number): Measured[] {
  return generatedFamilies(seedOfAll).flatMap(({ name, organisations }) =>
    [
      { family: `${name}, after 61 days`, of: organisations },
      { family: name, of: organisations.map(withoutHistory) },
    ].map(({ family, of }) => {
      const evaluations = of
        .flatMap(({ series, period }) => evaluate(series, period))
        .map((one) => ({ ...one, name: `generated ${one.name}${family.slice(name.length)}` }));
      return {
        summary: summarise(`generated ${family}`, evaluations),
        evaluations,
        knowingTheTruth: trueErrors(of),
      };
    }),
  );
}

function report(all: readonly Measured[], days: readonly Measured[]): void {
  tables('of the period', all);
  if (days.length > 0) tables('of the day', days);
  const withoutTotal = all.reduce((sum, { summary }) => sum + summary.withoutTotal, 0);
  if (withoutTotal > 0) console.log(`${withoutTotal} series have no total: null below, counted in misses and coverage`);
  const series = all.flatMap(({ evaluations }) => evaluations).map(line);
  const [groups, ofDays] = [all, days].map((some) => some.map(({ summary }) => summary));
  console.log(JSON.stringify({ series, groups, days: ofDays }));
}

function line({ name, errors, runRateErrors, covered }: Evaluation): Record<string, string | number | null> {
  const [at30, at50, at70] = errors.map((error) => error && round(error));
  const [runRateAt30, runRateAt50, runRateAt70] = runRateErrors.map((error) => error && round(error));
  const coverage80 = round(covered.filter(Boolean).length / covered.length);
  return {
    name,
    at30: at30!,
    at50: at50!,
    at70: at70!,
    runRateAt30: runRateAt30!,
    runRateAt50: runRateAt50!,
    runRateAt70: runRateAt70!,
    coverage80,
  };
}

function tables(what: string, all: readonly Measured[]): void {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  for (const [i, seen] of ['30 %', '50 %', '70 %'].entries()) {
    console.log(`seen ${seen} ${what}: median absolute error as a share of the total`);
    console.table(
      Object.fromEntries(
        all.map(({ summary: s, knowingTheTruth }) => [
          s.name,
          {
            series: s.series,
            forecast: percent(s.at[i]!),
            'run rate': percent(s.runRateAt[i]!),
            'difference, 95 %': s.differences[i]!.map(percent).join(' to '),
            'nearer than run rate': `${percent(s.nearer[i]![0])} [${s.nearer[i]!.slice(1).map(percent).join(', ')}]`,
            'all misses / totals': percent(s.missedShare[i]!),
            'run rate’s': percent(s.runRateMissedShare[i]!),
            'in the 80 % interval': percent(s.coverage[i]!),
            'knowing the truth': knowingTheTruth ? percent(knowingTheTruth[i]!) : '',
          },
        ]),
      ),
    );
  }
}
