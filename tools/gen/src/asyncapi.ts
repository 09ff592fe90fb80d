import { EVENTS, EXAMPLES, MAX_ANSWER_BYTES, STREAMS, type EventType } from '@meritorder/contracts';
import { MAX_PAYLOAD_BYTES } from '@meritorder/messaging';
import { schemaOf, schemas } from './schemas.js';

type Json = Record<string, unknown>;

const ORG = { org: { description: 'Id of the org; NATS lets its user publish and subscribe under its own only.' } };

const CLOUD_EVENT_HEADERS: Json = {
  type: 'object',
  properties: {
    'ce-specversion': { type: 'string', const: '1.0' },
    'ce-id': {
      type: 'string',
      description: 'The identity of the fact: the same on every delivery. Deduplicate by it.',
    },
    'ce-type': { type: 'string' },
    'ce-source': { type: 'string' },
    'ce-time': { type: 'string', format: 'date-time' },
    traceparent: { type: 'string', description: 'W3C trace context.' },
  },
  required: ['ce-specversion', 'ce-id', 'ce-type', 'ce-source'],
};

const BUDGET: Json = { description: 'Id of the budget, or of the instance of a template.' };

const EVENT_CHANNELS: Record<
  Exclude<
    EventType,
    | 'usage.attempt-opened.v1'
    | 'usage.attempt-extended.v1'
    | 'usage.attempt-closed.v1'
    | 'job.accepted.v1'
    | 'batch.collected.v1'
    | 'hardware.measured.v1'
  >,
  { address: string; parameters?: Json; what: string }
> = {
  'budget.threshold-crossed.v1': {
    address: 'budget.threshold-crossed.v1.{org}.{budget}',
    parameters: { ...ORG, budget: BUDGET },
    what: 'A budget window reached a share of its limit: exactly one event per budget, window, threshold and limit version.',
  },
  'budget.exhausted.v1': {
    address: 'budget.exhausted.v1.{org}.{budget}',
    parameters: { ...ORG, budget: BUDGET },
    what: 'Committed spend has reached the limit of a budget window.',
  },
  'budget.recovered.v1': {
    address: 'budget.recovered.v1.{org}.{budget}',
    parameters: { ...ORG, budget: BUDGET },
    what: 'A budget that was exhausted admits again, and why.',
  },
  'budget.forecast-changed.v1': {
    address: 'budget.forecast-changed.v1.{org}.{budget}',
    parameters: { ...ORG, budget: BUDGET },
    what: 'The projection of the end of a budget window has another stage, crossed the limit or moved by more than a twentieth of it: why.',
  },
  'policy.shadow-price-changed.v1': {
    address: 'policy.shadow-price-changed.v1.{org}.{budget}',
    parameters: { ...ORG, budget: BUDGET },
    what: 'What a dollar of a budget counts beyond itself has changed for routers: from, to, why.',
  },
  'policy.stage-changed.v1': {
    address: 'policy.stage-changed.v1.{org}.{budget}',
    parameters: { ...ORG, budget: BUDGET },
    what: 'The strictest stage in force of a budget has changed: from, to, why.',
  },
  'metering.usage-rated.v1': {
    address: 'metering.usage-rated.v1.{org}',
    parameters: ORG,
    what: 'An attempt as booked; corrections have higher revisions.',
  },
  'routing.decision-made.v1': {
    address: 'routing.decision-made.v1.{org}',
    parameters: ORG,
    what: 'A decision with all its candidates.',
  },
  'outcome.recorded.v1': {
    address: 'outcome.recorded.v1.{org}',
    parameters: ORG,
    what: 'What a request turned out to be worth, as recorded: once per outcome.',
  },
  'quality.model-shifted.v1': {
    address: 'quality.model-shifted.v1.{org}',
    parameters: ORG,
    what: 'Answers of a model have another quality for an org than they had: before, after, the evidence, since when. Once per shift.',
  },
  'inference.result.v1': {
    address: 'inference.result.v1.{org}.{request}',
    parameters: { ...ORG, request: { description: 'Id of the job.' } },
    what: 'The end of a durable job.',
  },
  'price.version-published.v1': { address: 'price.version-published.v1', what: 'A backend has new prices.' },
  'price.version-held.v1': {
    address: 'price.version-held.v1',
    what: 'A price waits for a person, with the reasons; the version in force stays.',
  },
};

/** @param required the kind has to be said */
const requestHeaders = (kind: Json, required = false): Json => ({
  type: 'object',
  properties: {
    'Meritorder-Kind': kind,
    'Meritorder-Key': { type: 'string', description: 'API key; binds department, customer, tier.' },
    'Meritorder-Request': {
      type: 'string',
      pattern: '^[a-z0-9-]{1,64}$',
      description: 'An id of your own, needed to cancel; made up when absent.',
    },
    'Meritorder-Idempotency-Key': {
      type: 'string',
      maxLength: 255,
      description: 'The same as `meritorder.idempotency_key` of the body.',
    },
    'Meritorder-Max-Answer-Bytes': {
      type: 'string',
      pattern: '^[1-9]\\d{0,11}$',
      description: `Says that an answer which is larger than a message may come in parts, of at most so many bytes in all (${MAX_ANSWER_BYTES} at most). Without it such an answer, which is paid for, is refused with answer_unusable.`,
    },
    'Anthropic-Beta': {
      type: 'string',
      description: 'Of messages: the features that a client of Anthropic asks for by name, with commas between them.',
    },
    traceparent: { type: 'string' },
  },
  ...(required ? { required: ['Meritorder-Kind'] } : {}),
});

const STREAM_HEADERS: Json = {
  type: 'object',
  properties: {
    'Meritorder-Seq': {
      type: 'string',
      pattern: '^\\d+$',
      description: 'Counts from 0 over all messages of one answer, the last included; a gap is a lost message.',
    },
    'Meritorder-Status': {
      type: 'string',
      enum: ['ok', 'error', 'cancelled'],
      description: 'Of the last message alone: nothing comes after it.',
    },
  },
};

const WHOLE_HEADERS: Json = {
  type: 'object',
  properties: {
    'Meritorder-Status': {
      type: 'string',
      enum: ['ok', 'error', 'cancelled'],
      description: 'Of the last message alone: nothing comes after it.',
    },
    'Meritorder-Part': {
      type: 'string',
      pattern: '^\\d+$',
      description:
        'Only of an answer in parts, which the request had asked for: counts its messages from 0. Their bodies, one after the other, are the answer. Each but the last, which has Meritorder-Status, has a reply subject that asks for an acknowledgement, as chunks have.',
    },
  },
};

const DELIVERED: EventType[] = [
  'budget.threshold-crossed.v1',
  'budget.exhausted.v1',
  'budget.recovered.v1',
  'budget.forecast-changed.v1',
  'policy.shadow-price-changed.v1',
  'policy.stage-changed.v1',
  'outcome.recorded.v1',
  'quality.model-shifted.v1',
  'inference.result.v1',
  'metering.usage-rated.v1',
  'routing.decision-made.v1',
];

/** The AsyncAPI 3 document of the public surface on NATS. */
export function asyncApi(version: string): Json {
  const messages: Json = {};
  const channels: Json = {};
  const operations: Json = {};
  for (const type of Object.keys(EVENT_CHANNELS) as (keyof typeof EVENT_CHANNELS)[]) {
    const { address, parameters, what } = EVENT_CHANNELS[type];
    const name = camel(type);
    messages[name] = {
      name: type,
      contentType: 'application/json',
      summary: what,
      headers: {
        ...CLOUD_EVENT_HEADERS,
        properties: { ...(CLOUD_EVENT_HEADERS['properties'] as Json), 'ce-type': { type: 'string', const: type } },
      },
      payload: schemaOf(EVENTS[type]),
      examples: [{ payload: EXAMPLES.events[type] }],
    };
    channels[name] = {
      address,
      description: `${what} Live only; \`deliver\` brings it also to who was away. Stream ${STREAMS.events.name}.`,
      ...(parameters ? { parameters } : {}),
      messages: { [name]: { $ref: `#/components/messages/${name}` } },
    };
    operations[`publish${upper(name)}`] = { action: 'send', channel: { $ref: `#/channels/${name}` } };
  }
  messages['inferenceRequest'] = message(
    'inference.request.v1',
    "OpenAI's chat-completion request with two additions: `metadata` carries attribution, `meritorder` carries wishes.",
    schemas['inference-request.v1']!,
    EXAMPLES.request,
    requestHeaders({ type: 'string', const: 'chat', description: 'May be absent.' }),
  );
  messages['embeddingsRequest'] = message(
    'inference.embeddings-request.v1',
    "OpenAI's embeddings request with the same two additions.",
    schemas['embeddings-request.v1']!,
    EXAMPLES.embeddings.request,
    requestHeaders({ type: 'string', const: 'embeddings' }, true),
  );
  messages['messagesRequest'] = message(
    'inference.messages-request.v1',
    "Anthropic's messages request. Its `metadata` is Anthropic's own, so `meritorder.metadata` carries attribution.",
    schemas['messages-request.v1']!,
    EXAMPLES.messages.request,
    requestHeaders({ type: 'string', const: 'messages' }, true),
  );
  messages['responsesRequest'] = message(
    'inference.responses-request.v1',
    "OpenAI's request for a response, with the same two additions. It reaches every backend as a chat completion: what that cannot say is refused. The HTTP gateway keeps responses; over NATS nothing is kept, so an earlier one by its id is refused too.",
    schemas['responses-request.v1']!,
    EXAMPLES.responses.request,
    requestHeaders({ type: 'string', const: 'responses' }, true),
  );
  for (const [kind, of, example] of [
    ['embeddings', "OpenAI's list of embeddings", EXAMPLES.embeddings.answer],
    ['messages', "Not streaming: Anthropic's message", EXAMPLES.messages.answer],
    ['responses', "Not streaming: OpenAI's response", EXAMPLES.responses.answer],
  ] as const)
    messages[`${kind}Answer`] = message(
      `inference.${kind}-answer.v1`,
      `${of} with its receipt in \`meritorder\`.`,
      { type: 'object', properties: { meritorder: schemas['receipt.v1'] }, required: ['meritorder'] },
      example,
    );
  messages['messagesEvent'] = message(
    'inference.messages-event.v1',
    "Streaming of messages: the data of Anthropic's events, numbered and acknowledged as chunks are. The last message is `message_stop`, with Meritorder-Status and the receipt.",
    { type: 'object', properties: { type: { type: 'string' }, meritorder: schemas['receipt.v1'] }, required: ['type'] },
    EXAMPLES.messages.event,
    STREAM_HEADERS,
  );
  messages['responsesEvent'] = message(
    'inference.responses-event.v1',
    "Streaming of a response: the data of OpenAI's events, numbered and acknowledged as chunks are. The last message is `response.completed` or `response.incomplete` with the whole response, with Meritorder-Status and the receipt.",
    { type: 'object', properties: { type: { type: 'string' }, meritorder: schemas['receipt.v1'] }, required: ['type'] },
    EXAMPLES.responses.event,
    STREAM_HEADERS,
  );
  messages['inferenceAnswer'] = message(
    'inference.answer.v1',
    'Not streaming: one chat completion with its receipt in `meritorder`.',
    { type: 'object', properties: { meritorder: schemas['receipt.v1'] }, required: ['meritorder'] },
    EXAMPLES.completion,
    WHOLE_HEADERS,
  );
  messages['inferenceChunk'] = message(
    'inference.chunk.v1',
    'Streaming: OpenAI chunks, numbered from 0. A chunk with a reply subject asks for an acknowledgement: publish anything to it (inferenceAck). Without acknowledgements the stream pauses after `limits.streamWindowChunks` chunks and ends with reader_away after `limits.streamAckTimeoutMs` (docs/reference/config.md). The last message has Meritorder-Status and the receipt.',
    { type: 'object', properties: { object: { const: 'chat.completion.chunk' }, meritorder: schemas['receipt.v1'] } },
    {
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1795512600,
      model: 'gpt-4.1-mini',
      choices: [{ index: 0, delta: { content: 'The' }, finish_reason: null }],
    },
    STREAM_HEADERS,
  );
  messages['inferenceError'] = message(
    'inference.error.v1',
    "An error: NATS service-error headers and OpenAI's error body with a stable code (docs/reference/errors.md). In place of an answer, or the last message of a stream. No router at all is NATS' own `503`, without a body.",
    {
      type: 'object',
      properties: {
        error: {
          type: 'object',
          properties: {
            message: { type: 'string' },
            type: { type: 'string' },
            param: { type: ['string', 'null'] },
            code: { type: 'string' },
          },
          required: ['message', 'code'],
        },
      },
      required: ['error'],
    },
    {
      error: {
        message: 'The budget Acme, all cloud spend (2026-11) has no room.',
        type: 'insufficient_quota',
        param: null,
        code: 'budget_exhausted',
      },
    },
    {
      type: 'object',
      properties: {
        ...(STREAM_HEADERS['properties'] as Json),
        'Nats-Service-Error': { type: 'string', description: 'The code, as in the body.' },
        'Nats-Service-Error-Code': { type: 'string', description: 'The status, HTTP-like.' },
        'Retry-After': { type: 'string', description: 'Seconds, where waiting helps.' },
      },
      required: ['Nats-Service-Error', 'Nats-Service-Error-Code'],
    },
  );
  messages['jobAccepted'] = message(
    'inference.job-accepted.v1',
    'The job is kept: the shape of a JetStream acknowledgement, with the id of the job.',
    {
      type: 'object',
      properties: {
        stream: { type: 'string' },
        seq: { type: 'integer' },
        duplicate: { type: 'boolean' },
        request_id: { type: 'string' },
      },
      required: ['stream', 'seq', 'request_id'],
    },
    { stream: 'JOBS', seq: 7, request_id: '01932f9c-7d5e-7000-8000-0000000000b1' },
  );
  messages['estimateRequest'] = message(
    'inference.estimate-request.v1',
    'A request as it would be sent: nothing is reserved and nothing goes to a backend.',
    schemas['estimate-request.v1']!,
    EXAMPLES.estimate.request,
  );
  messages['estimateReply'] = message(
    'inference.estimate-reply.v1',
    'What the request would cost at each backend, by the code that scores, reserves and settles; or `error`.',
    schemas['estimate-reply.v1']!,
    EXAMPLES.estimate.reply,
  );
  messages['countedTokens'] = message(
    'inference.counted-tokens.v1',
    'With Meritorder-Kind `messages`: how many tokens the request has, as expected at the cheapest backend that is able. `max_tokens` may be absent.',
    schemas['counted-tokens.v1']!,
    { input_tokens: 14 },
  );
  messages['outcomeReport'] = message(
    'outcome.report.v1',
    'What a request turned out to be worth. Without an inbox it is taken in all the same, and nobody is told.',
    schemas['outcome-report.v1']!,
    EXAMPLES.outcome.report,
  );
  messages['outcomeReply'] = message(
    'outcome.reply.v1',
    'Whether it is new, was known, or waits for its request; or `error`.',
    schemas['outcome-reply.v1']!,
    EXAMPLES.outcome.reply,
  );
  messages['acknowledgement'] = message(
    'acknowledgement',
    'Nothing: the chunk whose reply subject it is sent to. Or a number: all chunks up to this `Meritorder-Seq`.',
    { type: 'string' },
    '',
  );

  const reply = (...names: string[]): Json => ({
    address: {
      location: '$message.header#/reply',
      description:
        'The reply subject of the request; honoured only under _INBOX_<org>. : set the inbox prefix of your client to _INBOX_<org>.',
    },
    messages: names.map((n) => ({ $ref: `#/channels/replyInbox/messages/${n}` })),
    channel: { $ref: '#/channels/replyInbox' },
  });
  const refs = (...names: string[]): Json =>
    Object.fromEntries(names.map((n) => [n, { $ref: `#/components/messages/${n}` }]));
  Object.assign(channels, {
    inferenceRequest: {
      address: 'inference.request.v1.{org}',
      parameters: ORG,
      messages: refs('inferenceRequest', 'embeddingsRequest', 'messagesRequest', 'responsesRequest'),
    },
    inferenceEstimate: {
      address: 'inference.estimate.v1.{org}',
      parameters: ORG,
      messages: refs('estimateRequest', 'messagesRequest'),
    },
    outcomeReported: {
      address: 'outcome.reported.v1.{org}',
      parameters: ORG,
      description:
        'Once per request and `outcome_id`: repeating a report is harmless, correcting one needs an id of its own.',
      messages: refs('outcomeReport'),
    },
    inferenceJob: {
      address: 'inference.job.v1.{org}',
      parameters: ORG,
      description:
        'Durable: kept before it is acknowledged, run at least once. `Nats-Msg-Id` makes a repetition harmless for as long as the result is kept (seven days): it is answered as `duplicate`, and a result that is there is published again under its id. Another job of the same id is refused (`idempotency_key_reused`).',
      messages: refs('inferenceRequest', 'embeddingsRequest', 'messagesRequest', 'responsesRequest'),
    },
    inferenceAck: {
      address: 'inference.ack.v1.{org}.{request}',
      description:
        'The reply subject of a chunk that asks for an acknowledgement, as some of every stream do. One acknowledges everything sent so far.',
      parameters: { ...ORG, request: { description: 'Id of the request.' } },
      messages: refs('acknowledgement'),
    },
    inferenceCancel: {
      address: 'inference.cancel.v1.{org}.{request}',
      description:
        'Stops the request, also at the backend; what was generated is paid for. The answer ends with Meritorder-Status `cancelled`.',
      parameters: { ...ORG, request: { description: 'Meritorder-Request of the request.' } },
      messages: refs('acknowledgement'),
    },
    replyInbox: {
      address: null,
      description: 'The inbox of the caller.',
      messages: refs(
        'inferenceAnswer',
        'inferenceChunk',
        'embeddingsAnswer',
        'messagesAnswer',
        'messagesEvent',
        'responsesAnswer',
        'responsesEvent',
        'inferenceError',
        'jobAccepted',
        'estimateReply',
        'countedTokens',
        'outcomeReply',
      ),
    },
    deliver: {
      address: 'deliver.v1.{org}.{subscriber}',
      description:
        'Every event of an org for one of its configured subscribers (default: `alerts` for budget events, `results` for jobs), also those published while nobody was subscribed. The order is that of publication only while each is acknowledged at once: one that was not comes again after later ones. Plain NATS: subscribe, and publish anything but `-NAK` to the reply subject of the message to acknowledge it. With `-NAK` it comes again after a second, without either after 20 seconds. `Meritorder-Subject` has the original subject.',
      parameters: {
        ...ORG,
        subscriber: { description: 'Name of the subscriber in the configuration.', default: 'alerts' },
      },
      messages: refs(...DELIVERED.map(camel)),
    },
    deliverAck: {
      address: 'deliver-ack.v1.{org}.{subscriber}.{delivery}',
      description: 'The reply subject of a delivered event.',
      parameters: { ...ORG, subscriber: {}, delivery: {} },
      messages: refs('acknowledgement'),
    },
  });
  Object.assign(operations, {
    answerRequest: {
      action: 'receive',
      channel: { $ref: '#/channels/inferenceRequest' },
      reply: reply(
        'inferenceAnswer',
        'inferenceChunk',
        'embeddingsAnswer',
        'messagesAnswer',
        'messagesEvent',
        'responsesAnswer',
        'responsesEvent',
        'inferenceError',
      ),
    },
    answerEstimate: {
      action: 'receive',
      channel: { $ref: '#/channels/inferenceEstimate' },
      reply: reply('estimateReply', 'countedTokens', 'inferenceError'),
    },
    takeOutcome: {
      action: 'receive',
      channel: { $ref: '#/channels/outcomeReported' },
      reply: reply('outcomeReply'),
    },
    acceptJob: {
      action: 'receive',
      channel: { $ref: '#/channels/inferenceJob' },
      reply: reply('jobAccepted', 'inferenceError'),
    },
    acknowledgeChunk: { action: 'receive', channel: { $ref: '#/channels/inferenceAck' } },
    cancelRequest: { action: 'receive', channel: { $ref: '#/channels/inferenceCancel' } },
    deliverEvents: {
      action: 'send',
      channel: { $ref: '#/channels/deliver' },
      reply: { address: { location: '$message.header#/reply' }, channel: { $ref: '#/channels/deliverAck' } },
    },
  });
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Meritorder',
      version,
      description: `Economic dispatch for LLM inference, on NATS. Payloads are JSON of at most ${MAX_PAYLOAD_BYTES} bytes. An org connects as the user org-<org> with the inbox prefix _INBOX_<org>. Generated; do not edit.`,
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      default: {
        host: '127.0.0.1:14222',
        protocol: 'nats',
        security: [{ $ref: '#/components/securitySchemes/userPassword' }],
      },
    },
    channels,
    operations,
    components: {
      messages,
      securitySchemes: {
        userPassword: {
          type: 'userPassword',
          description:
            'One NATS user per org: `org-<org>`. `npm start` writes its password to `.data/nats/generated/passwords/org-<org>`.',
        },
      },
    },
  };
}

function message(name: string, summary: string, payload: unknown, example: unknown, headers?: Json): Json {
  return {
    name,
    summary,
    contentType: 'application/json',
    payload,
    ...(headers ? { headers } : {}),
    examples: [{ payload: example }],
  };
}

function camel(type: string): string {
  return type.replace(/\.v\d+$/, '').replace(/[.-](\w)/g, (_m, c: string) => c.toUpperCase());
}
function upper(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
