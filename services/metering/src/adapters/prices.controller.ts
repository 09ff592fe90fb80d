import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { PricesRequest } from '@meritorder/contracts';
import { decodeJson, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

/** `metering.prices`: an operator looks into the price book, or changes it. */
@Controller()
export class PricesController {
  private readonly log = new Logger(PricesController.name);

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  @MessagePattern('metering.prices.v1')
  async prices(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    try {
      const request = decodeJson(PricesRequest, data);
      const reply = await this.metering.prices.carryOut(request);
      if (request.verb !== 'list' && !(request.verb === 'propose' && request.dryRun)) {
        this.log.log(`prices ${request.verb} by ${request.by}`);
        this.metering.pricesChanged();
      }
      message.respond(JSON.stringify(reply));
    } catch (error) {
      message.respond(JSON.stringify({ error: { message: (error as Error).message } }));
    }
  }
}
