import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { KeysRequest, type KeysReply } from '@meritorder/contracts';
import { KeyRefusal } from '@meritorder/ledger-store';
import { decodeJson, PoisonMessage, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { KeyDesk } from './key-desk.js';

/** `access.keys`: an operator makes, rotates, revokes and lists keys. */
@Controller()
export class KeysController {
  private readonly log = new Logger(KeysController.name);

  constructor(@Inject(KeyDesk) private readonly desk: KeyDesk) {}

  @MessagePattern('access.keys.v1')
  async keys(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    const reply = await this.replyTo(data);
    message.respond(JSON.stringify(reply));
  }

  private async replyTo(data: Uint8Array): Promise<KeysReply> {
    try {
      const request = decodeJson(KeysRequest, data);
      const answer = await this.desk.carryOut(request);
      if (request.verb !== 'list') this.log.log(`key ${request.org}/${request.id}: ${request.verb} by ${request.by}`);
      return answer;
    } catch (error) {
      if (error instanceof KeyRefusal || error instanceof PoisonMessage) return { error: { message: error.message } };
      this.log.error(`keys: ${(error as Error).stack}`);
      return { error: { message: `it could not be done: ${(error as Error).message}` } };
    }
  }
}
