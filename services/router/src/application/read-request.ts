import {
  ChatRequest,
  EmbeddingsRequest,
  MessagesRequest,
  ResponsesRequest,
  type Kind,
  type Metadata,
  type Refusal,
} from '@meritorder/contracts';
import { chatOfMessages, chatOfResponses, type Uncarried } from '@meritorder/dialect-core';
import type { AskedKind } from '@meritorder/routing-core';
import type { z } from 'zod';

/** A request of another kind than chat, as it came. */
export interface SourceRequest extends AskedKind {
  sent: Record<string, unknown>;
  /** Of embeddings: their input is the whole cost. */
  embeddings?: EmbeddingsRequest;
  /** Where a part of how it reads is in what was sent; undefined: it is not known. */
  placeOf?: (part: object) => string | undefined;
}

export interface RequestReading {
  kind: Kind;
  /** The request, or how one of another kind reads as a chat completion: all that is decided is decided by it. */
  body: ChatRequest;
  /** Absent: `body` is the request. */
  source?: SourceRequest;
  /** Attribution that the caller names. */
  metadata: z.infer<typeof Metadata> | null | undefined;
}

/** Validates a body by the schema of its kind, and reads it. */
export function readRequest(kind: Kind, value: unknown): RequestReading | Refusal {
  switch (kind) {
    case 'chat': {
      const parsed = ChatRequest.safeParse(value);
      return parsed.success ? { kind, body: parsed.data, metadata: parsed.data.metadata } : invalid(parsed.error);
    }
    case 'embeddings': {
      const parsed = EmbeddingsRequest.safeParse(value);
      return parsed.success ? ofEmbeddings(parsed.data) : invalid(parsed.error);
    }
    case 'messages': {
      const parsed = MessagesRequest.safeParse(value);
      return parsed.success ? ofMessages(parsed.data) : invalid(parsed.error);
    }
    case 'responses': {
      const parsed = ResponsesRequest.safeParse(value);
      return parsed.success ? ofResponses(parsed.data) : invalid(parsed.error);
    }
  }
}

/** There is no output, so no tokens of it may be had. What is embedded is read by its first text: for what quality is known. */
function ofEmbeddings(request: EmbeddingsRequest): RequestReading {
  const { model, input, metadata, meritorder } = request;
  const first: unknown = Array.isArray(input) ? input[0] : input;
  const content = typeof first === 'string' ? first : '';
  return {
    kind: 'embeddings',
    body: { model, messages: [{ role: 'user', content }], max_tokens: 0, metadata, meritorder },
    source: { kind: 'embeddings', sent: request, embeddings: request },
    metadata,
  };
}

function ofMessages(request: MessagesRequest): RequestReading {
  const { chat, uncarried, unbounded, placeOf } = chatOfMessages(request, 'reading');
  return {
    kind: 'messages',
    body: chat,
    source: {
      kind: 'messages',
      sent: request,
      unbounded,
      placeOf,
      // What is thought lies inside the output, and a backend refuses a budget of it that leaves nothing to say.
      leastTokens: leastTokensOf(request),
      uncarried: inWords(uncarried),
    },
    metadata: chat.metadata,
  };
}

function leastTokensOf({ thinking }: MessagesRequest): number | undefined {
  if (thinking?.budget_tokens === undefined || thinking.type === 'disabled') return undefined;
  return thinking.budget_tokens + 1;
}

function ofResponses(request: ResponsesRequest): RequestReading {
  const { chat, uncarried, placeOf } = chatOfResponses(request);
  const source = { kind: 'responses' as const, sent: request, placeOf, uncarried: inWords(uncarried) };
  return { kind: 'responses', body: chat, source, metadata: chat.metadata };
}

const inWords = (uncarried: readonly Uncarried[]): string | undefined =>
  uncarried.map(({ path, what }) => `${what} (${path})`).join(', ') || undefined;

const MOST_ISSUES = 3;

function invalid(error: z.ZodError): Refusal {
  const issues = error.issues.slice(0, MOST_ISSUES).map((issue) => leafOf(issue, []));
  const messages = issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`);
  return { code: 'body_invalid', message: messages.join('; '), param: issues[0]!.path.join('.') };
}

/** Of alternatives that all fail, the one that was got farthest into: it is what was meant. */
function leafOf(issue: z.core.$ZodIssue, before: PropertyKey[]): { path: string[]; message: string } {
  const path = [...before, ...issue.path];
  const branches = issue.code === 'invalid_union' ? issue.errors.filter((branch) => branch.length > 0) : [];
  const meant = branches.map((branch) => leafOf(branch[0]!, path)).toSorted((a, b) => b.path.length - a.path.length)[0];
  return meant && meant.path.length > path.length
    ? meant
    : { path: path.map((part) => String(part)), message: issue.message };
}
