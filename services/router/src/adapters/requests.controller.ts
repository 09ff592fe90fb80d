import { Controller, Inject, Logger } from '@nestjs/common';
import { MessagePattern, Payload, Ctx } from '@nestjs/microservices';
import type { Msg } from '@nats-io/transport-node';
import { HEADERS, isOrgReply, type Refusal } from '@meritorder/contracts';
import { extractTrace } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { meter, tracer } from '@meritorder/telemetry';
import { SpanKind, trace } from '@opentelemetry/api';
import { parseRequest, requestIdOf, type IncomingMessage } from '../application/parse-request.js';
import { ROUTER, type RouterRuntime } from '../router.runtime.js';

/** `inference.request` and `inference.cancel`. */
@Controller()
export class RequestsController {
  private readonly log = new Logger(RequestsController.name);
  private readonly outcomes = meter().createCounter('meritorder_requests', {
    description: 'Requests by how they ended',
  });

  constructor(@Inject(ROUTER) private readonly router: RouterRuntime) {}

  @MessagePattern('inference.request.v1.*')
  async request(@Payload() _data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    const org = message.subject.split('.')[3]!;
    // NATS lets a publisher name any reply subject: only the org's own inbox is ever answered.
    if (!isOrgReply(org, message.reply)) {
      this.outcomes.add(1, { org, code: 'reply_not_honoured' });
      return this.log.warn(`a request of ${org} names a reply subject outside _INBOX_${org}. and is not answered`);
    }
    const incoming = incomingOf(message);
    const requestId = requestIdOf(incoming);
    const parent = extractTrace(message.headers);
    const span = tracer().startSpan(
      'inference.request',
      { kind: SpanKind.SERVER, attributes: { 'meritorder.org': org, 'meritorder.request.id': requestId } },
      parent,
    );
    const context = trace.setSpan(parent, span);
    try {
      const refuse = (refusal: Refusal): void => {
        this.outcomes.add(1, { org, code: refusal.code });
        span.setAttribute('meritorder.refusal', refusal.code);
        this.router.ports.caller.refuse(message.reply!, requestId, refusal);
      };
      const parsed = parseRequest(incoming, requestId, this.router.bodyLimit(org));
      if ('code' in parsed) return refuse(parsed);
      const caller = this.router.resolve(org, incoming.header('key') || undefined, parsed.metadata);
      if ('code' in caller) return refuse(caller);
      const { metadata: _metadata, ...request } = parsed;
      const outcome = await this.router.dispatch({ ...request, ...caller, replyTo: message.reply, context });
      this.outcomes.add(1, { org, code: outcome.ended === 'refused' ? outcome.refusal.code : 'answered' });
    } catch (error) {
      this.log.error(`request ${requestId}: ${(error as Error).stack}`);
      this.router.ports.caller.refuse(message.reply, requestId, {
        code: 'internal',
        message: `Something broke; request ${requestId}.`,
      });
    } finally {
      span.end();
    }
  }

  @MessagePattern('inference.cancel.v1.*.*', { queue: false })
  cancel(@Payload() _data: Uint8Array, @Ctx() { message }: NatsContext): void {
    const [, , , org, request] = message.subject.split('.');
    this.router.cancel(org!, request!);
  }
}

export function incomingOf(message: Msg): IncomingMessage {
  const names = {
    kind: HEADERS.kind,
    key: HEADERS.key,
    request: HEADERS.request,
    idempotencyKey: HEADERS.idempotencyKey,
    maxAnswerBytes: HEADERS.maxAnswerBytes,
    anthropicBeta: HEADERS.anthropicBeta,
  };
  return { data: message.data, header: (name) => message.headers?.get(names[name]) ?? '' };
}
