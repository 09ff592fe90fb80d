import { Command } from 'commander';
import { benchArena } from './arena.js';
import { benchDecision } from './decision-speed.js';
import { accuracyOf, benchPairs } from './pairs.js';
import { halves, trainThenTest, type BudgetResult } from './paretobandit.js';
import { testData } from '../test-data.js';
import { readArena, readPairs, readParetoBandit } from './routing-data.js';

const program = new Command('npm run bench:routing --')
  .description('What routing by learned quality makes of a budget, and how long a decision takes.')
  .option(
    '--train <file>',
    'ParetoBandit JSONL to learn from; alone it is split into halves',
    testData('routing', 'paretobandit-val.jsonl'),
  )
  .option('--test <file>', 'ParetoBandit JSONL to serve after learning from --train')
  .option('--budgets <usd>', 'USD per request, separated by commas', '8.3e-5,2.3e-4,1.9e-3')
  .option('--splits <count>', 'seeded splits, or orders of --test', '50')
  .option(
    '--pairs <file>',
    'RouteLLM CSV: prompt and right/wrong of two models',
    testData('routing', 'routellm-gsm8k', 'gsm8k_responses.csv'),
  )
  .option(
    '--exclude <file>',
    'JSONL with the eval_prompt of pairs to leave out',
    testData('routing', 'routellm-gsm8k', 'contaminated_prompts.jsonl'),
  )
  .option('--arena <dir>', 'RouterArena: a JSONL file per model and cost.json', testData('routing', 'routerarena'))
  .showHelpAfterError();
program.parse();
interface Given {
  train?: string;
  test?: string;
  budgets: string;
  splits: string;
  pairs?: string;
  exclude?: string;
  arena?: string;
}

try {
  const given = program.opts<Given>();
  if (given.train === undefined && given.pairs === undefined && given.arena === undefined)
    throw new Error('name a file (see --help), or the folder of test data in MERITORDER_TEST_DATA');
  console.log(
    JSON.stringify({
      paretobandit: given.train === undefined ? [] : benchBudgets(given.train, given),
      ...(given.pairs === undefined ? {} : reportPairs(given.pairs, given.exclude)),
      ...(given.arena === undefined ? {} : reportArena(given.arena, Number(given.splits))),
      ...reportDecision(),
    }),
  );
} catch (error) {
  console.error(`bench:routing: ${(error as Error).message}`);
  process.exitCode = 1;
}

function benchBudgets(trainPath: string, given: Given): readonly BudgetResult[] {
  const budgets = given.budgets.split(',').map(Number);
  const runs = Number(given.splits);
  if (!budgets.every((budget) => budget > 0) || !(Number.isInteger(runs) && runs > 1))
    throw new Error('--budgets takes amounts above 0, --splits a count above 1');
  const train = readParetoBandit(trainPath);
  const test = given.test === undefined ? undefined : readParetoBandit(given.test);
  const measure = (uses: { tags: boolean; text: boolean }): BudgetResult[] =>
    test === undefined ? halves(train, budgets, runs, uses) : trainThenTest(train, test, budgets, runs, uses);
  console.log(
    `${train.prompts.length} prompts learned from${test ? `, ${test.prompts.length} served` : ', half and half'}`,
  );
  const both = measure({ tags: true, text: true });
  show('tags and text', both);
  show('tags alone', measure({ tags: true, text: false }));
  show('text alone', measure({ tags: false, text: true }));
  return both;
}

function show(name: string, results: readonly BudgetResult[]): void {
  console.log(name);
  console.table(
    results.map((r) => ({
      usdPerRequest: r.usdPerRequest,
      reward: r.reward.toFixed(4),
      randomMix: r.randomMix.toFixed(4),
      oracle: r.oracle.toFixed(4),
      'gain, 95 %': interval(r.gain, r.gainLow, r.gainHigh),
      'wider 95 %': interval(r.gain, r.gainLowCorrected, r.gainHighCorrected),
      gapShare: r.gapShare.toFixed(3),
      spent: r.spentShare.toFixed(3),
      overspendUsd: r.maxOverspendUsd,
      rejected: r.rejectedShare.toFixed(4),
      explored: r.exploredShare.toFixed(4),
    })),
  );
}

function interval(value: number, low: number, high: number): string {
  return `${value.toFixed(4)} [${low.toFixed(4)}, ${high.toFixed(4)}]`;
}

function reportPairs(path: string, exclude: string | undefined): object {
  const { pairs, excluded } = readPairs(path, exclude);
  const result = benchPairs(pairs);
  console.log(
    `${pairs.length} pairs (${excluded} left out): weak ${accuracyOf(pairs, 'weak').toFixed(3)}, strong ${accuracyOf(pairs, 'strong').toFixed(3)}; ` +
      '10 folds, 5 repeats, learned from both answers to the other nine tenths, by text alone',
  );
  console.log(
    `APGR ${interval(result.apgr, result.apgrLow, result.apgrHigh)}, longest prompt ${result.longestPromptApgr.toFixed(3)}`,
  );
  return result;
}

function reportArena(folder: string, orders: number): object {
  const set = readArena(folder);
  const result = benchArena(set, orders);
  console.log(
    `${set.prompts.length} questions, ${orders} orders: ${(100 * result.dominatedShare).toFixed(1)} % to ${result.dominated.join(', ') || 'no dominated model'} after ${result.warmUpRequests}`,
  );
  return result;
}

function reportDecision(): object {
  const { decision, parts, cpuMeanUs, estimate, grantToWork, record, backends } = benchDecision();
  const row = ({ p50Us, p99Us }: typeof decision): object => ({
    'p50 us': p50Us.toFixed(1),
    'p99 us': p99Us.toFixed(1),
  });
  console.table({
    'before it: estimate': row(estimate),
    decision: row(decision),
    ...Object.fromEntries(Object.entries(parts).map(([name, part]) => [`  of it: ${name}`, row(part)])),
    'after the grant: to the work message': row(grantToWork),
    "when that is sent: the decision's record": row(record),
  });
  console.log(
    `a decision among ${backends}: p50 ${decision.p50Us.toFixed(1)} us, p99 ${decision.p99Us.toFixed(1)} us; processor time with its refusal ${cpuMeanUs.toFixed(1)} us`,
  );
  const core = parts['decidedAndHeld']!;
  console.log(
    `of it the choice itself, from the numbers of all candidates to the holds: p50 ${core.p50Us.toFixed(1)} us, p99 ${core.p99Us.toFixed(1)} us`,
  );
  return {
    choiceP50Us: core.p50Us,
    choiceP99Us: core.p99Us,
    decisionP50Us: decision.p50Us,
    decisionP99Us: decision.p99Us,
    decisionCpuMeanUs: cpuMeanUs,
  };
}
