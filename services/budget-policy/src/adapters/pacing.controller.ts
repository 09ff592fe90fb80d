import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { PacingRequest } from '@meritorder/contracts';
import { decodeJson, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';
import { PacingDesk } from './pacing-desk.js';

/** `budget-policy.pacing`: an operator looks at projections and shadow prices, or holds them fast. */
@Controller()
export class PacingController {
  private readonly log = new Logger(PacingController.name);
  private readonly desk: PacingDesk;

  constructor(@Inject(BUDGET_POLICY) policy: BudgetPolicyRuntime) {
    this.desk = new PacingDesk(policy);
  }

  @MessagePattern('budget-policy.pacing.v1')
  async pacing(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    try {
      const request = decodeJson(PacingRequest, data);
      const reply = await this.desk.carryOut(request);
      if (request.verb !== 'list') this.log.log(`pacing of ${request.budget}: ${request.verb} by ${request.by}`);
      message.respond(JSON.stringify(reply));
    } catch (error) {
      message.respond(JSON.stringify({ error: { message: (error as Error).message } }));
    }
  }
}
