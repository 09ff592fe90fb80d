import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/** What one provider was asked, and its answer to that: fields of choices as OpenAI defines them. */
export interface ScriptedProvider {
  url: string;
  /** The bodies received, oldest first. */
  asked: Record<string, any>[];
  stop(): Promise<void>;
}

type Refuses = (body: Record<string, any>) => { status: number; body: object } | undefined;

const USAGE = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };
const LOGPROBS = { content: [{ token: 'fine', logprob: -0.25, bytes: [102], top_logprobs: [] }], refusal: null };

/**
 * An OpenAI-compatible provider that does what the simulator does not: it calls every tool that it is given, in a stream each
 * with the index 0 as Ollama does, answers a JSON schema with `{"city":"Paris","degrees":21}`, and sends log probabilities.
 * @param refuses what it answers a body with instead; undefined: it takes it
 */
export async function startScriptedProvider(refuses: Refuses = () => undefined): Promise<ScriptedProvider> {
  const asked: Record<string, any>[] = [];
  const server: Server = createServer((request, response) => void answer(request, response, asked, refuses));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/v1`,
    asked,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  asked: Record<string, any>[],
  refuses: Refuses,
): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = JSON.parse(Buffer.concat(parts).toString());
  asked.push(body);
  const refusal = refuses(body);
  if (refusal) {
    response.writeHead(refusal.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(refusal.body));
    return;
  }
  const base = { id: 'scripted-1', created: 1_700_000_000, model: body.model, system_fingerprint: 'fp_1' };
  const choices = Array.from({ length: body.n ?? 1 }, (_, index) => choiceOf(body, index));
  if (!body.stream) {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...base, object: 'chat.completion', choices, usage: USAGE }));
    return;
  }
  response.setHeader('content-type', 'text/event-stream');
  const send = (event: object): void =>
    void response.write(`data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', ...event })}\n\n`);
  for (const { index, message, finish_reason, logprobs } of choices) {
    const { tool_calls, content, role } = message;
    send({ choices: [{ index, delta: { role, content: tool_calls ? null : '' }, finish_reason: null }] });
    for (const call of tool_calls ?? []) {
      const { arguments: text, name } = call.function;
      send({
        choices: [
          {
            index,
            delta: { tool_calls: [{ index: 0, id: call.id, type: 'function', function: { name, arguments: '' } }] },
            finish_reason: null,
          },
        ],
      });
      for (const part of halves(text))
        send({
          choices: [
            { index, delta: { tool_calls: [{ index: 0, function: { arguments: part } }] }, finish_reason: null },
          ],
        });
    }
    for (const part of content ? halves(content) : [])
      send({ choices: [{ index, delta: { content: part }, finish_reason: null, ...(logprobs ? { logprobs } : {}) }] });
    send({ choices: [{ index, delta: {}, finish_reason }] });
  }
  send({ choices: [], usage: USAGE });
  response.end('data: [DONE]\n\n');
}

interface Choice {
  index: number;
  message: {
    role: string;
    content: string | null;
    tool_calls?: { id: string; type: string; function: { name: string; arguments: string } }[];
  };
  finish_reason: string;
  logprobs?: object;
}

function choiceOf(body: Record<string, any>, index: number): Choice {
  const tools: { function: { name: string } }[] = body['tools'] ?? [];
  const answered = body['messages'].some((m: { role: string }) => m.role === 'tool');
  if (tools.length > 0 && !answered) {
    const tool_calls = tools.map((tool, i) => ({
      id: `call_${index}_${i}`,
      type: 'function',
      function: { name: tool.function.name, arguments: '{"city":"Paris"}' },
    }));
    return { index, message: { role: 'assistant', content: null, tool_calls }, finish_reason: 'tool_calls' };
  }
  const content = body['response_format']?.type === 'json_schema' ? '{"city":"Paris","degrees":21}' : 'all is fine';
  return {
    index,
    message: { role: 'assistant', content },
    finish_reason: 'stop',
    ...(body['logprobs'] ? { logprobs: LOGPROBS } : {}),
  };
}

function halves(text: string): string[] {
  const middle = Math.ceil(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)];
}
