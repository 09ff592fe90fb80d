import { InvalidArgumentError, type Command } from 'commander';
import { MarginReply, subjects, type MarginRequest } from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';
import { marginText, type Margin } from './margin-text.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

/** `meritorder margin`: what requests brought and cost, who loses money, and whether dearer answers would pay. */
export function marginCommand(program: Command, withOperator: Ask): void {
  program
    .command('margin')
    .description(
      'what requests were charged, brought and cost, by segment and backend and by customer, losers first; whether other backends would pay',
    )
    .option('--org <id>', 'only this org')
    .option('--days <n>', 'until now', days, 30)
    .option('--json', 'the reply as JSON')
    .action(async ({ json, ...request }: MarginRequest & { json?: boolean }) => {
      const margin = await withOperator((nats) => askMargin(nats, request));
      console.log(json ? JSON.stringify(margin, null, 2) : marginText(margin));
    });
}

export async function askMargin(nats: NatsConnection, request: MarginRequest): Promise<Margin> {
  let answer: unknown;
  try {
    answer = (await nats.request(subjects.meteringMargin(), JSON.stringify(request), { timeout: 120_000 })).json();
  } catch (error) {
    throw new Error(`metering does not answer: ${(error as Error).message}; is it running?`);
  }
  const reply = MarginReply.parse(answer);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
}

function days(text: string): number {
  const value = Number(text);
  if (!/^\d{1,3}$/.test(text) || value < 1 || value > 366)
    throw new InvalidArgumentError('a whole number from 1 to 366');
  return value;
}
