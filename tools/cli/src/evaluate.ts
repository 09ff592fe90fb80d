import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { ExportedDecision, loadConfig } from '@meritorder/contracts';
import { BYTE_ORDER_MARK, PolicyEvaluation } from '@meritorder/simulation-core';
import type { NatsConnection } from '@nats-io/transport-node';
import { evaluationText, type Evaluation } from './evaluate-text.js';
import { exportedDecisions, spanOf } from './exported-decisions.js';
import { instant } from './instant.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

interface Options {
  policy: string;
  from?: number;
  to?: number;
  org?: string;
  trace?: string;
  json?: boolean;
}

const DAY_MS = 86_400_000;

const HELP = `
Each decision is taken again by the policy of the file, and what came of it counts by how much likelier the policy makes the choice
of then (inverse propensity, alone and self-normalised), and against what was expected before (doubly robust); 95 % intervals.
Choose a period after the one that the policy was made from: what it was fitted to flatters it. It is refused, with exit code 2,
where fewer than 200 decisions of the policy's own would say as much, or more than 5 % of its choices had no chance then, as those
of a backend that was no candidate.
The last line is all of it as one JSON object.`;

/** `meritorder decisions evaluate`: what another policy would have cost, and how good its answers would have been, from the log. */
export function evaluateCommand(decisions: Command, withOperator: Ask): void {
  decisions
    .command('evaluate')
    .description('what another policy would have made of logged decisions, from what came of them')
    .requiredOption('--policy <file>', 'a meritorder.yaml: its routes, tiers and exploration')
    .option('--from <instant>', 'a date, or an instant; default: 30 days before --to', instant)
    .option('--to <instant>', 'until before then; default: now', instant)
    .option('--org <id>', 'only of this org')
    .option('--trace <file>', 'JSON lines of `decisions export`, in place of asking')
    .option('--json', 'only the JSON object')
    .addHelpText('after', HELP)
    .action(async (options: Options) => {
      const { policy, trace, org, to = Date.now(), from = to - 30 * DAY_MS, json } = options;
      if (trace !== undefined && (org ?? options.from ?? options.to) !== undefined)
        throw new Error('--org, --from and --to choose what is asked for; all of a --trace counts');
      const evaluation = new PolicyEvaluation(loadConfig(policy));
      let nothing = `${trace} has no decisions; \`meritorder decisions export\` writes such a file`;
      let first: string | null = null;
      let last: string | null = null;
      const take = (decision: ExportedDecision): void => {
        first ??= decision.record.decidedAt;
        last = decision.record.decidedAt;
        evaluation.take(decision);
      };
      if (trace === undefined)
        await withOperator(async (nats) => {
          for await (const decision of exportedDecisions(nats, spanOf(org, from, to), (why) => (nothing = why)))
            take(decision);
        });
      else await linesOf(trace, take);
      const evaluated = evaluation.result();
      if (evaluated.requests === 0) for (const metric of evaluated.metrics) metric.refusal = nothing;
      const result: Evaluation = { policy, from: first, to: last, ...evaluated };
      if (!json) console.log(`${evaluationText(result)}\n`);
      console.log(JSON.stringify(result));
      if (result.metrics.some((m) => m.refusal !== null)) process.exitCode = 2;
    });
}

async function linesOf(file: string, take: (decision: ExportedDecision) => void): Promise<void> {
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number++;
    if (line.trim() === '') continue;
    let decision: ExportedDecision;
    try {
      decision = ExportedDecision.parse(JSON.parse(line.replace(BYTE_ORDER_MARK, '')));
    } catch (error) {
      throw new Error(`${file}: line ${number} is no exported decision: ${(error as Error).message.split('\n')[0]}`, {
        cause: error,
      });
    }
    take(decision);
  }
}
