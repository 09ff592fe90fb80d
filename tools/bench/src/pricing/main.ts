import { Command } from 'commander';
import { measureGuard, measureSlips, type GuardMeasure } from './guard-replay.js';
import { readPriceEvents } from './price-events.js';
import { benchRating } from './rating-bench.js';

const program = new Command('npm run bench:pricing --')
  .description(
    'How fast attempts are rated and requests estimated, on one core; and what the guard makes of a price table.',
  )
  .option('--prices <file>', 'a table of price changes to replay: date,model,field,old_or_blank,new,provider_or_out')
  .showHelpAfterError();
program.parse();
const { prices } = program.opts<{ prices?: string }>();

interface GuardReport {
  guardRecall: number;
  guardPrecision: number;
  guardAppliedAtOnce: number;
}

try {
  const rating = benchRating();
  console.table({
    'rate an attempt': { perSecond: rating.attemptsRatedPerSecond },
    'bare bigint multiply-add': { perSecond: rating.floorPerSecond },
  });
  const estimate = await benchEstimate();
  console.table(estimate);
  const guard = prices === undefined ? {} : replayGuard(prices);
  console.log(JSON.stringify({ ...rating, ...estimate, ...guard }));
} catch (error) {
  console.error(`bench:pricing: ${(error as Error).message}`);
  process.exitCode = 1;
}

/** The other half of the benchmark, which measures what comes before a request is sent. */
async function benchEstimate(): Promise<Record<string, number>> {
  const name = './estimate-bench.js';
  const half = (await import(name)) as { benchEstimate(): Promise<Record<string, number>> };
  return half.benchEstimate();
}

function replayGuard(file: string): GuardReport {
  const { events, notUnderstood } = readPriceEvents(file);
  const measure = measureGuard(events, true);
  show('by revision', measure);
  show('one rate at a time', measureGuard(events, false));
  console.log('share held when an ordinary price slips by a factor');
  console.table(measureSlips(measure.versions));
  for (const [field, count] of Object.entries(notUnderstood))
    console.log(`${count} lines left out: ${field} has no certain unit`);
  for (const { revision, label, reasons, applied } of measure.versions)
    if (label === 'ordinary' ? !applied : label === 'absurd' && applied)
      console.log(
        `${label}, ${applied ? 'applied' : 'held'}: ${revision.date} ${revision.model}: ${reasons.map((r) => r.message).join('; ')}`,
      );
  return {
    guardRecall: measure.recall,
    guardPrecision: measure.precision,
    guardAppliedAtOnce: measure.appliedAtOnce,
  };
}

function show(name: string, { tally, recall, precision, appliedAtOnce }: GuardMeasure): void {
  console.log(`guard, ${name}: recall ${recall}, precision ${precision}, ordinary applied at once ${appliedAtOnce}`);
  console.table(tally);
}
