import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { BudgetsRequest } from '@meritorder/contracts';
import { decodeJson, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';

/** `budget-policy.budgets`: an operator looks at budgets, or changes them while everything runs. */
@Controller()
export class BudgetsController {
  private readonly log = new Logger(BudgetsController.name);

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  @MessagePattern('budget-policy.budgets.v1')
  async budgets(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    try {
      const request = decodeJson(BudgetsRequest, data);
      const reply = await this.policy.book.carryOut(request);
      if ('by' in request) {
        this.log.log(`budget ${request.id}: ${request.verb} by ${request.by}`);
        // What follows from a change is decided before the next one can be made. If that fails now, the sweep does it.
        await this.policy
          .budgetsChanged([request.id])
          .catch((error: Error) => this.log.warn(`budget ${request.id}: ${error.message}`));
      }
      message.respond(JSON.stringify(reply));
    } catch (error) {
      message.respond(JSON.stringify({ error: { message: (error as Error).message } }));
    }
  }
}
