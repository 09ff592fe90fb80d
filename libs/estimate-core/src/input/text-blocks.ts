/** A block of Anthropic's that is text to the model, as the text that bounds it. */
export interface TextBlock {
  readonly text: string;
  /** Pieces that the provider marks so that the answer can cite them, at most; 0: it is not to be cited. */
  readonly citedPieces: number;
  /** Names of tools whose definitions the provider puts in its place; absent: none. */
  readonly toolNames?: readonly string[];
}
/** What a part is that is not, in words, and what the caller can do. */
export interface NotText {
  readonly what: string;
  readonly remedy: string;
  /** A part of which a backend's configuration may say what one can cost. */
  readonly kind?: 'file' | 'audio';
}

type Json = Readonly<Record<string, unknown>>;

const SEND_TEXT = 'send what it says as text';
/** Blocks that are JSON to the model, whatever is in them: what a model asked a tool of the provider's for. */
const CALLS: ReadonlySet<string> = new Set(['server_tool_use', 'mcp_tool_use']);
/** What such tools gave. */
const RESULTS =
  /^(web_search|web_fetch|code_execution|bash_code_execution|text_editor_code_execution|mcp)_tool_(result|result_error)$/;
/** What is in them and is text. A file that a program wrote is named there, and stays with the provider. */
const IN_RESULTS =
  /^(text|web_(search|fetch)_result|((encrypted|bash)_)?code_execution_(result|output)|text_editor_code_execution_[a-z_]{1,32}_result|[a-z_]{1,48}_tool_result_error)$/;
/** Of results in results; Anthropic's are 2 deep. */
const MOST_DEPTH = 8;
const SENTENCE_ENDS = /[\p{Sentence_Terminal}\n]+/gu;

/**
 * Blocks of Anthropic's messages that are neither `text` nor an image. Those that are text come back as their own JSON, the type
 * with it. Its bytes bound the tokens of the block: a token stands for at least one byte, JSON is never shorter than the strings
 * in it, and its names and braces (over 50 bytes) are there for whatever the provider writes around a document or a result.
 * What is encrypted (`encrypted_content`) is longer in Base64 than the text that it holds.
 */
export function textBlock(part: Json & { type: string }): TextBlock | NotText {
  const toolNames = toolNamesIn(part);
  const notText = toolNames ? undefined : notTextIn(part);
  if (notText) return notText;
  const { cache_control: _mark, ...block } = part;
  const text = JSON.stringify(block);
  if (toolNames) return { text, citedPieces: 0, toolNames };
  // A piece is a sentence, or one of the texts that a document is given as.
  return { text, citedPieces: isCited(part) ? 1 + (text.match(SENTENCE_ENDS)?.length ?? 0) + countOfTexts(part) : 0 };
}

/** Of a search of tools, those that it found: its references stand for tools, that are longer than they are. */
function toolNamesIn(part: Json): readonly string[] | undefined {
  if (part['type'] === 'tool_reference') return namesOf([part]);
  const content = part['type'] === 'tool_search_tool_result' ? objectOf(part['content']) : undefined;
  if (content?.['type'] === 'tool_search_tool_result_error') return [];
  return content?.['type'] === 'tool_search_tool_search_result' ? namesOf(content['tool_references']) : undefined;
}

function namesOf(references: unknown): readonly string[] | undefined {
  const found = Array.isArray(references) ? references.map(objectOf) : [undefined];
  const names = found.map((one) => (one?.['type'] === 'tool_reference' ? one['tool_name'] : undefined));
  return names.every((name) => typeof name === 'string') ? names : undefined;
}

/** Whether the answer is to cite a part. */
export function isCited(part: Json): boolean {
  return objectOf(part['citations'])?.['enabled'] === true;
}

function notTextIn(part: Json & { type: string }): NotText | undefined {
  const { type } = part;
  if (type === 'document') return notTextInDocument(part);
  if (type === 'search_result') return notTextInList(part['content'], 'a search result');
  if (CALLS.has(type)) return undefined;
  if (RESULTS.test(type)) return notTextInResult(part['content'], type);
  return KNOWN.get(type) ?? { what: `a part of the type ${quoted(type)}`, remedy: SEND_TEXT };
}

const KNOWN = new Map<string, NotText>([
  ['file', { what: 'a file', remedy: SEND_TEXT, kind: 'file' }],
  ['input_file', { what: 'a file', remedy: SEND_TEXT, kind: 'file' }],
  ['input_audio', { what: 'audio', remedy: SEND_TEXT, kind: 'audio' }],
  ['video_url', { what: 'a video', remedy: SEND_TEXT }],
]);

function notTextInDocument(document: Json): NotText | undefined {
  const source = objectOf(document['source']);
  const type = source?.['type'];
  if (type === 'text' && typeof source?.['data'] === 'string') return undefined;
  if (type === 'content') return notTextInList(source?.['content'], 'a document');
  const isPdf = type === 'base64' && source?.['media_type'] === 'application/pdf';
  const remedy = 'send its text as a document with a source of the type text';
  const what = isPdf ? 'a PDF document' : DOCUMENTS_ELSEWHERE.get(type);
  return what === undefined ? { what: 'a document that is not text', remedy } : { what, remedy, kind: 'file' };
}

const DOCUMENTS_ELSEWHERE = new Map<unknown, string>([
  ['url', 'a document by its address'],
  ['file', 'a document by the id of its file'],
]);

function notTextInList(content: unknown, where: string): NotText | undefined {
  if (typeof content === 'string') return undefined;
  const blocks = Array.isArray(content) ? content.map(objectOf) : [undefined];
  const other = blocks.find((block) => block?.['type'] !== 'text' || typeof block['text'] !== 'string');
  if (other === undefined && !blocks.includes(undefined)) return undefined;
  return { what: `${where} with ${typeIn(other)} in it`, remedy: 'send what is not text as a part of its own' };
}

function notTextInResult(content: unknown, type: string): NotText | undefined {
  const other = otherInResult(content, MOST_DEPTH);
  return other === undefined
    ? undefined
    : { what: `a ${type} with ${other} in it`, remedy: 'leave it out, or send its text' };
}

/** The first thing in a result that is not text, in words. Results have results in them. */
function otherInResult(content: unknown, depth: number): string | undefined {
  for (const one of Array.isArray(content) ? content : [content]) {
    const inner = objectOf(one);
    if (!inner) continue;
    const { type } = inner;
    const isText = typeof type === 'string' && IN_RESULTS.test(type) && (inner['file_type'] ?? 'text') === 'text';
    let other: string | undefined;
    if (type === 'document') other = notTextInDocument(inner)?.what;
    else if (isText && depth > 0) other = otherInResult(inner['content'], depth - 1);
    else other = typeIn(inner);
    if (other !== undefined) return other;
  }
  return undefined;
}

function countOfTexts(part: Json): number {
  const content = part['content'] ?? objectOf(part['source'])?.['content'];
  return Array.isArray(content) ? content.length : 0;
}

function typeIn(block: Json | undefined): string {
  const type = block?.['file_type'] ?? block?.['type'];
  return typeof type === 'string' ? `a part of the type ${quoted(type)}` : 'a part without a type';
}

/** Types come from the caller. */
function quoted(type: string): string {
  return JSON.stringify(type.slice(0, 64));
}

function objectOf(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
