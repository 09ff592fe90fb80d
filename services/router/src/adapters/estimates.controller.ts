import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { EstimateRequest, HEADERS, isOrgReply, type Refusal } from '@meritorder/contracts';
import { decodeJson } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import type { Msg } from '@nats-io/transport-node';
import { compareRequest, countTokens } from '../application/compare-request.js';
import { countRequestOf, parseRequest, requestIdOf } from '../application/parse-request.js';
import { ROUTER, type RouterRuntime } from '../router.runtime.js';
import { incomingOf } from './requests.controller.js';

/** `inference.estimate`: what a request would cost, at each backend; of Anthropic's messages, how many tokens they are. */
@Controller()
export class EstimatesController {
  private readonly log = new Logger(EstimatesController.name);

  constructor(@Inject(ROUTER) private readonly router: RouterRuntime) {}

  @MessagePattern('inference.estimate.v1.*')
  estimate(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): void {
    const org = message.subject.split('.')[3]!;
    // As for requests: only the org's own inbox is ever answered.
    if (!isOrgReply(org, message.reply)) return;
    if (message.headers?.get(HEADERS.kind) === 'messages') return this.count(org, message);
    const refuse = ({ code, message: text }: Refusal): void =>
      void message.respond(JSON.stringify({ error: { code, message: text } }));
    const bodyBytes = this.router.bodyLimit(org);
    if (data.length > bodyBytes) {
      return refuse({
        code: 'body_too_large',
        message: `The body has ${data.length} bytes; the limit is ${bodyBytes}.`,
      });
    }
    let request: EstimateRequest;
    try {
      request = decodeJson(EstimateRequest, data);
    } catch (error) {
      return refuse({ code: 'body_invalid', message: (error as Error).message.slice(0, 500) });
    }
    try {
      const caller = this.router.resolve(org, incomingOf(message).header('key') || undefined, request.body.metadata);
      if ('code' in caller) return refuse(caller);
      const reply = compareRequest(this.router.ports, { ...request, ...caller }, this.router.ports.clock.nowMs());
      if ('code' in reply) return refuse(reply);
      message.respond(JSON.stringify(reply));
    } catch (error) {
      this.log.error(`an estimate of ${org}: ${(error as Error).stack}`);
      refuse({ code: 'internal', message: 'Something broke while estimating.' });
    }
  }

  /** Answers and refuses as a request of messages is: whoever counts goes on to ask. */
  private count(org: string, message: Msg): void {
    const incoming = incomingOf(message);
    const requestId = requestIdOf(incoming);
    const { ports } = this.router;
    const refuse = (refusal: Refusal): void => ports.caller.refuse(message.reply!, requestId, refusal);
    try {
      const bodyBytes = this.router.bodyLimit(org);
      const data = incoming.data.length > bodyBytes ? incoming.data : countRequestOf(incoming.data);
      const parsed = parseRequest({ ...incoming, data }, requestId, bodyBytes);
      if ('code' in parsed) return refuse(parsed);
      const caller = this.router.resolve(org, incoming.header('key') || undefined, parsed.metadata);
      if ('code' in caller) return refuse(caller);
      const counted = countTokens(ports, { body: parsed.body, ...caller }, ports.clock.nowMs());
      if ('code' in counted) return refuse(counted);
      message.respond(JSON.stringify(counted));
    } catch (error) {
      this.log.error(`a count of ${org}: ${(error as Error).stack}`);
      refuse({ code: 'internal', message: 'Something broke while counting.' });
    }
  }
}
