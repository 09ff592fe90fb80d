import {
  ChatRequest,
  EmbeddingsRequest,
  CountedTokens,
  EstimateReply,
  EstimateRequest,
  EVENTS,
  MeritorderConfig,
  MessagesRequest,
  OutcomeReply,
  OutcomeReport,
  Receipt,
  ReconcileReport,
  ReconcileRequest,
  ResponsesRequest,
} from '@meritorder/contracts';
import { z } from 'zod';

type Json = Record<string, unknown>;

/** JSON Schema (draft 7) of what a person or program writes. */
export function schemaOf(schema: z.ZodType): Json {
  const { $schema: _draft, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
  }) as Json;
  return rest;
}

export const schemas: Record<string, Json> = {
  ...Object.fromEntries(Object.entries(EVENTS).map(([type, schema]) => [type, schemaOf(schema)])),
  'inference-request.v1': schemaOf(ChatRequest),
  'embeddings-request.v1': schemaOf(EmbeddingsRequest),
  'messages-request.v1': schemaOf(MessagesRequest),
  'responses-request.v1': schemaOf(ResponsesRequest),
  'receipt.v1': schemaOf(Receipt),
  'estimate-request.v1': schemaOf(EstimateRequest),
  'estimate-reply.v1': schemaOf(EstimateReply),
  'counted-tokens.v1': schemaOf(CountedTokens),
  'outcome-report.v1': schemaOf(OutcomeReport),
  'outcome-reply.v1': schemaOf(OutcomeReply),
  'reconcile-request.v1': schemaOf(ReconcileRequest),
  'reconcile-report.v1': schemaOf(ReconcileReport),
  'meritorder.yaml': schemaOf(MeritorderConfig),
};
