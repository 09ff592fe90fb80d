import { Controller, Inject } from '@nestjs/common';
import { Ctx, MessagePattern } from '@nestjs/microservices';
import type { FleetReply } from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import { SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { ROUTER, type RouterRuntime } from '../router.runtime.js';

/** `router.fleet`: every router says what it knows of the backends; breakers are of each router alone. */
@Controller()
export class FleetController {
  private readonly name = newId();

  constructor(@Inject(ROUTER) private readonly router: RouterRuntime) {}

  @MessagePattern('router.fleet.v1', { queue: false })
  fleet(@Ctx() { message }: NatsContext): void {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    const { config, ports } = this.router;
    const nowMs = ports.clock.nowMs();
    const reply: FleetReply = {
      router: this.name,
      at: new Date(nowMs).toISOString(),
      backends: config.backends.map(({ id, kind, host, provider, model }) => ({
        id,
        kind,
        provider,
        model,
        ...(host === undefined ? {} : { host }),
        ...ports.fleet.view(id),
        hasPrice: ports.catalogue.price(id, nowMs) !== undefined,
      })),
    };
    message.respond(JSON.stringify(reply));
  }
}
