import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { MarginRequest, type ErrorCode, type MarginReply } from '@meritorder/contracts';
import { candidateMeans, customerCosts, requestOutcomes, segmentCosts, SpanTooLarge } from '@meritorder/ledger-store';
import { decodeJson, PoisonMessage, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { marginReport } from '../application/margin-report.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

const DAY_MS = 86_400_000;

/** `metering.margin`: an operator asks what requests brought and cost. */
@Controller()
export class MarginController {
  private readonly log = new Logger(MarginController.name);

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  @MessagePattern('metering.margin.v1')
  async margin(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    message.respond(JSON.stringify(await this.report(data)));
  }

  private async report(data: Uint8Array): Promise<MarginReply> {
    const { config, database } = this.metering;
    try {
      const { org, days } = decodeJson(MarginRequest, data);
      if (org !== undefined && !config.orgs.some((o) => o.id === org))
        return refused(
          'org_unknown',
          `there is no org "${org}"; the configuration has: ${config.orgs.map((o) => o.id).join(', ')}`,
        );
      const to = new Date();
      const span = { org, from: new Date(to.getTime() - days * DAY_MS), to };
      // One after the other: a report must not take all connections from the booking of usage.
      const costs = await segmentCosts(database, span);
      const customers = await customerCosts(database, span);
      const outcomes = await requestOutcomes(database, span);
      const converting = new Set(outcomes.flatMap((o) => (o.isConversion ? o.org : [])));
      const candidates = await candidateMeans(database, [...converting], span);
      return marginReport({ costs, customers, outcomes, candidates }, span);
    } catch (error) {
      if (error instanceof PoisonMessage || error instanceof SpanTooLarge)
        return refused('body_invalid', error.message.slice(0, 500));
      this.log.error(`margin: ${(error as Error).stack}`);
      return refused('internal', (error as Error).message);
    }
  }
}

function refused(code: ErrorCode, message: string): MarginReply {
  return { error: { code, message } };
}
