import type { Command } from 'commander';
import { DecisionsReply, subjects, type DecisionsRequest } from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';
import { explanationText, type Decided } from './explain-text.js';
import { replayDecisions } from './replay-decision.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

interface Options {
  org?: string;
  replay?: boolean;
  json?: boolean;
}

/** `meritorder explain` and `meritorder replay-decision`: why a past request went where it went, and whether it would again. */
export function explainCommand(program: Command, withOperator: Ask): void {
  const ask = (requestId: string, { org }: Options): Promise<Decided> =>
    withOperator((nats) => askMetering(nats, { requestId, ...(org === undefined ? {} : { org }) }));
  const replay = (decided: Decided): void => {
    const { lines, exitCode } = replayDecisions(decided);
    for (const line of lines) console.log(line);
    if (exitCode > 0) process.exitCode = exitCode;
  };

  program
    .command('explain')
    .description('why a request went where it went: all candidates with their numbers, what came of it, what it cost')
    .argument('<request>', 'request id, of the receipt')
    .option('--org <id>', 'whose request it is, where two orgs have one of that id')
    .option('--replay', 'also decide again from the record, as replay-decision does')
    .option('--json', 'what is on record, as JSON')
    .action(async (request: string, options: Options) => {
      const decided = await ask(request, options);
      if (options.json) return console.log(JSON.stringify(decided, null, 2));
      console.log(explanationText(decided));
      if (options.replay) replay(decided);
    });
  program
    .command('replay-decision')
    .description(
      'decide a past request again from its record; exit code 1: another order, choice or probability, 2: not replayable',
    )
    .argument('<request>', 'request id, of the receipt')
    .option('--org <id>', 'whose request it is, where two orgs have one of that id')
    .action(async (request: string, options: Options) => replay(await ask(request, options)));
}

async function askMetering(nats: NatsConnection, request: DecisionsRequest): Promise<Decided> {
  let answer: unknown;
  try {
    answer = (await nats.request(subjects.meteringDecisions(), JSON.stringify(request), { timeout: 30_000 })).json();
  } catch (error) {
    throw new Error(`metering does not answer: ${(error as Error).message}; is it running?`);
  }
  const reply = DecisionsReply.parse(answer);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
}
