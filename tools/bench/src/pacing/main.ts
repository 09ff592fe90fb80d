import { Command } from 'commander';
import { testData } from '../test-data.js';
import { interval95 } from './interval.js';
import { readRewards } from './rewards.js';
import { runScenario, SCENARIOS, usdPerRequest, type Run } from './scenarios.js';

const program = new Command('npm run bench:pacing --')
  .description('How close shadow prices come to the best fixed price in hindsight, over 30 simulated days.')
  .option(
    '--rewards <file>',
    'JSON lines: prompt, source, arms: {model: {reward, cost in USD}}',
    testData('routing', 'paretobandit-val.jsonl'),
  )
  .option('--seeds <n>', 'independent runs of each scenario', '10')
  .option('--first-seed <n>', 'the seed of the first run', '1')
  .option('--requests-per-day <n>', 'forecast demand', '2000')
  .option('--usd-per-request <usd>', 'what the budget affords per forecast request; default: from the file')
  .option('--usd-per-point <usd>', 'what one point of reward is worth', '1')
  .option('--scenario <name>', 'only those whose name contains this', '')
  .showHelpAfterError();
program.parse();
const options = program.opts<Record<string, string | undefined>>();

function number(name: string): number {
  const value = Number(options[name]);
  if (!(value > 0)) throw new Error(`--${name}: ${options[name]} is not a number above 0`);
  return value;
}

try {
  const { rewards } = options;
  if (rewards === undefined) throw new Error('name --rewards, or the folder of test data in MERITORDER_TEST_DATA');
  const judged = readRewards(rewards);
  const setting = {
    requestsPerDay: number('requestsPerDay'),
    usdPerPoint: number('usdPerPoint'),
    usdPerRequest: options['usdPerRequest'] === undefined ? usdPerRequest(judged) : number('usdPerRequest'),
  };
  const [seeds, first] = [number('seeds'), number('firstSeed')];
  console.log(
    `${judged.prompts.length} prompts, ${judged.models.length} models; $${setting.usdPerRequest.toPrecision(3)} per forecast request, ${setting.requestsPerDay} a day; ${seeds} seeds`,
  );
  const scenarios = SCENARIOS.filter((s) => s.name.includes(options['scenario']!)).map((scenario) => {
    const runs = Array.from({ length: seeds }, (_, index) => runScenario(scenario, judged, setting, first + index));
    return { name: scenario.name, ...summary(runs) };
  });
  show(scenarios);
  console.log(JSON.stringify({ usdPerRequest: setting.usdPerRequest, seeds, scenarios }));
} catch (error) {
  console.error(`bench:pacing: ${(error as Error).message}`);
  process.exitCode = 1;
}

/** Means over seeds; the worst seed where something must never be. */
function summary(runs: readonly Run[]) {
  const mean = (of: (run: Run) => number): number => interval95(runs.map(of)).mean;
  const baseline = (of: (run: Run) => Run['paced']) => ({
    reward: mean((r) => of(r).reward),
    rejectedShare: mean((r) => of(r).rejectedShare),
  });
  const gap = interval95(runs.map((r) => 1 - r.paced.reward / r.hindsight.reward));
  return {
    reward: mean((r) => r.paced.reward),
    hindsight: mean((r) => r.hindsight.reward),
    overspendNanos: Math.max(...runs.map((r) => r.paced.overspendNanos)),
    rejectedShare: mean((r) => r.paced.rejectedShare),
    policyChangesPerDay: mean((r) => r.changesPerDay),
    belowHindsight: gap,
    worstBelowHindsight: Math.max(...runs.map((r) => 1 - r.paced.reward / r.hindsight.reward)),
    worstRejectedShare: Math.max(...runs.map((r) => r.paced.rejectedShare)),
    spentUsd: mean((r) => r.paced.spentNanos / 1e9),
    hindsightSpentUsd: mean((r) => r.hindsight.spentNanos / 1e9),
    hindsightRejectedShare: mean((r) => r.hindsight.rejectedShare),
    bestModel: baseline((r) => r.bestModel),
    dualDescent: baseline((r) => r.dualDescent),
    keepsNoRoom: baseline((r) => r.keepsNoRoom),
    ignoresInFlight: baseline((r) => r.ignoresInFlight),
  };
}

function show(scenarios: readonly ({ name: string } & ReturnType<typeof summary>)[]): void {
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  console.table(
    Object.fromEntries(
      scenarios.map((s) => [
        s.name,
        {
          reward: s.reward.toFixed(4),
          hindsight: s.hindsight.toFixed(4),
          'below, 95 %': `${percent(s.belowHindsight.mean)} [${percent(s.belowHindsight.low)}, ${percent(s.belowHindsight.high)}]`,
          worst: percent(s.worstBelowHindsight),
          'over, nano$': s.overspendNanos,
          'rejected (worst)': `${percent(s.rejectedShare)} (${percent(s.worstRejectedShare)})`,
          'changes/day': s.policyChangesPerDay.toFixed(1),
          'best model': `${s.bestModel.reward.toFixed(3)}, ${percent(s.bestModel.rejectedShare)} rejected`,
          'dual descent': `${s.dualDescent.reward.toFixed(3)}, ${percent(s.dualDescent.rejectedShare)} rejected`,
          'no room kept': `${s.keepsNoRoom.reward.toFixed(4)}, ${percent(s.keepsNoRoom.rejectedShare)} rejected`,
          'in flight ignored': s.ignoresInFlight.reward.toFixed(4),
        },
      ]),
    ),
  );
}
