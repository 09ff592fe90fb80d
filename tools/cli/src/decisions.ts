import { once } from 'node:events';
import type { Command } from 'commander';
import type { NatsConnection } from '@nats-io/transport-node';
import { evaluateCommand } from './evaluate.js';
import { exportedDecisions, spanOf } from './exported-decisions.js';
import { instant } from './instant.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

interface Options {
  org?: string;
  from: number;
  to?: number;
}

/**
 * `meritorder decisions export`: a period of decisions as JSON lines, which `meritorder simulate --trace` takes as its requests.
 * `meritorder decisions evaluate`: what another policy would have made of them, from what came of those that were made.
 */
export function decisionsCommand(program: Command, withOperator: Ask): void {
  const decisions = program.command('decisions').description('what was decided');
  decisions
    .command('export')
    .description(
      'requests of a period as JSON lines: the first decision of each with the usage that was booked; for simulate --trace FILE.jsonl',
    )
    .requiredOption('--from <instant>', 'a date, or an instant', instant)
    .option('--to <instant>', 'until before then; default: now', instant)
    .option('--org <id>', 'only of this org')
    .action(async ({ org, from, to = Date.now() }: Options) => {
      let count = 0;
      let nothing = '';
      await withOperator(async (nats) => {
        for await (const decision of exportedDecisions(nats, spanOf(org, from, to), (why) => (nothing = why))) {
          count++;
          if (!process.stdout.write(`${JSON.stringify(decision)}\n`)) await once(process.stdout, 'drain');
        }
      });
      console.error(`${count} requests${nothing && `: ${nothing}`}`);
    });
  evaluateCommand(decisions, withOperator);
}
