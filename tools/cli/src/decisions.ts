import { once } from 'node:events';
import type { Command } from 'commander';
import {
  DecisionExportReply,
  subjects,
  type DecisionExportRequest,
  type ExportedDecision,
} from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';
import { instant } from './instant.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

interface Options {
  org?: string;
  from: number;
  to?: number;
}

/** `meritorder decisions export`: a period of decisions as JSON lines, which `meritorder simulate --trace` takes as its requests. */
export function decisionsCommand(program: Command, withOperator: Ask): void {
  program
    .command('decisions')
    .description('what was decided')
    .command('export')
    .description(
      'requests of a period as JSON lines: the first decision of each with the usage that was booked; for simulate --trace FILE.jsonl',
    )
    .requiredOption('--from <instant>', 'a date, or an instant', instant)
    .option('--to <instant>', 'until before then; default: now', instant)
    .option('--org <id>', 'only of this org')
    .action(async ({ org, from, to = Date.now() }: Options) => {
      const span = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), ...(org ? { org } : {}) };
      let count = 0;
      await withOperator(async (nats) => {
        for await (const decision of exportedDecisions(nats, span)) {
          count++;
          if (!process.stdout.write(`${JSON.stringify(decision)}\n`)) await once(process.stdout, 'drain');
        }
      });
      console.error(`${count} requests${count === 0 ? ': decisions of then are not on record' : ''}`);
    });
}

/** All of a period, page by page. */
export async function* exportedDecisions(
  nats: NatsConnection,
  span: Omit<DecisionExportRequest, 'after'>,
): AsyncGenerator<ExportedDecision> {
  let request: DecisionExportRequest = span;
  for (;;) {
    let answer: unknown;
    try {
      answer = (
        await nats.request(subjects.meteringDecisionExport(), JSON.stringify(request), { timeout: 60_000 })
      ).json();
    } catch (error) {
      throw new Error(`metering does not answer: ${(error as Error).message}; is it running?`);
    }
    const reply = DecisionExportReply.parse(answer);
    if ('error' in reply) throw new Error(reply.error.message);
    yield* reply.decisions;
    if (reply.next === null) return;
    request = { ...span, after: reply.next };
  }
}
