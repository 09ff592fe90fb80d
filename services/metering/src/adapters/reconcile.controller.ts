import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { ReconcileRequest } from '@meritorder/contracts';
import { reconcile } from '@meritorder/ledger-store';
import { decodeJson, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

/** `metering.reconcile`: an operator imports a provider's invoice. */
@Controller()
export class ReconcileController {
  private readonly log = new Logger(ReconcileController.name);

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  @MessagePattern('metering.reconcile.v1')
  async reconcile(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    try {
      const { report, settlements } = await reconcile(this.metering.database, decodeJson(ReconcileRequest, data));
      await this.metering.settle(settlements);
      // A hold is settled once; what was corrected after that reaches the counters by a rebuild from the books.
      if (settlements.some((s) => s.changed && s.before?.state === 'confirmed'))
        await this.metering.counters.closeEpoch();
      message.respond(JSON.stringify(report));
    } catch (error) {
      this.log.error(`reconcile: ${(error as Error).stack}`);
      message.respond(JSON.stringify({ error: { message: (error as Error).message } }));
    }
  }
}
