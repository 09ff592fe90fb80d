import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { isOrgReply, OutcomeReport, type ErrorCode, type OutcomeReply } from '@meritorder/contracts';
import { isRefusedData, keepOutcome, OutcomesFull } from '@meritorder/ledger-store';
import { decodeJson, PoisonMessage } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { outcomeOf, recordedOutcome, wrongTime } from '../application/outcome-of.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';
import { WaitingOutcomes } from './outcomes-work.js';

const MAX_BODY_BYTES = 16_384;
/** More are refused, so that a burst does not keep the books from their own work. */
const MAX_IN_HAND = 500;

/** `outcome.reported`: what a request turned out to be worth. Without an inbox it is taken in all the same, and nobody is told. */
@Controller()
export class OutcomesController {
  private readonly log = new Logger(OutcomesController.name);
  private readonly orgs: ReadonlySet<string>;
  private inHand = 0;
  private readonly reported = meter().createCounter('meritorder_outcomes_reported', {
    description: 'Outcomes reported, by org and by what became of them: a state, or the code of a refusal',
  });

  constructor(
    @Inject(METERING) private readonly metering: MeteringRuntime,
    @Inject(WaitingOutcomes) private readonly waiting: WaitingOutcomes,
  ) {
    this.orgs = new Set(metering.config.orgs.map((org) => org.id));
  }

  @MessagePattern('outcome.reported.v1.*')
  async outcome(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    const org = message.subject.split('.')[3]!;
    if (message.reply && !isOrgReply(org, message.reply)) {
      this.reported.add(1, { org, result: 'reply_not_honoured' });
      return this.log.warn(`an outcome of ${org} names a reply subject outside _INBOX_${org}. and is not taken`);
    }
    this.inHand++;
    try {
      const reply = await this.take(org, data);
      this.reported.add(1, { org, result: 'error' in reply ? reply.error.code : reply.state });
      if (message.reply) message.respond(JSON.stringify(reply));
    } finally {
      this.inHand--;
    }
  }

  private async take(org: string, data: Uint8Array): Promise<OutcomeReply> {
    if (!this.orgs.has(org)) return refused('org_unknown', `There is no org ${org.slice(0, 64)}.`);
    if (this.inHand > MAX_IN_HAND) return refused('overloaded', 'Too many outcomes at once; retry.');
    if (data.length > MAX_BODY_BYTES)
      return refused('body_too_large', `The body has ${data.length} bytes; the limit is ${MAX_BODY_BYTES}.`);
    try {
      const report = decodeJson(OutcomeReport, data);
      const receivedAt = new Date().toISOString();
      const { database, config } = this.metering;
      const wrong = wrongTime(report, receivedAt, config.limits.decisionRetentionDays);
      if (wrong !== undefined) return refused('body_invalid', wrong);
      const outcome = outcomeOf(org, report, receivedAt);
      const state = await keepOutcome(database, outcome, recordedOutcome, this.waiting.hasRoom(org));
      return { outcome_id: outcome.outcomeId, state };
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof PoisonMessage)
        return refused(message.startsWith('not JSON') ? 'body_not_json' : 'body_invalid', message.slice(0, 500));
      if (error instanceof OutcomesFull) return refused('outcomes_full', message);
      if (isRefusedData(error)) return refused('body_invalid', 'A value of it cannot be kept.');
      this.log.error(`an outcome of ${org}: ${(error as Error).stack}`);
      return refused('internal', 'It could not be kept; report it again.');
    }
  }
}

function refused(code: ErrorCode, message: string): OutcomeReply {
  return { error: { code, message } };
}
