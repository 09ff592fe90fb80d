import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { DecisionsRequest, type DecisionsReply, type ErrorCode } from '@meritorder/contracts';
import { decisionsOf, outcomesOf } from '@meritorder/ledger-store';
import { decodeJson, PoisonMessage, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

/** `metering.decisions`: an operator asks what was decided for a request, and what came of it. */
@Controller()
export class DecisionsController {
  private readonly log = new Logger(DecisionsController.name);

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  @MessagePattern('metering.decisions.v1')
  async decisions(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    message.respond(JSON.stringify(await this.read(data)));
  }

  private async read(data: Uint8Array): Promise<DecisionsReply> {
    try {
      const request = decodeJson(DecisionsRequest, data);
      const { requestId } = request;
      const found = await decisionsOf(this.metering.database, request);
      const [org, ...others] = new Set(found.map((d) => d.org));
      if (org === undefined)
        return refused(
          'request_unknown',
          `no decision is on record for ${requestId}${request.org ? ` of ${request.org}` : ''}; decisions are kept for ${this.metering.config.limits.decisionRetentionDays} days`,
        );
      if (others.length > 0)
        return refused('body_invalid', `${[org, ...others].join(' and ')} have a request ${requestId}; say which org`);
      return {
        org,
        requestId,
        attempts: found.map(({ record, booked }) => ({ record, booked })),
        outcomes: await outcomesOf(this.metering.database, org, requestId),
      };
    } catch (error) {
      if (error instanceof PoisonMessage) return refused('body_invalid', error.message.slice(0, 500));
      this.log.error(`decisions: ${(error as Error).stack}`);
      return refused('internal', (error as Error).message);
    }
  }
}

function refused(code: ErrorCode, message: string): DecisionsReply {
  return { error: { code, message } };
}
