import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream';

type Any = Record<string, any>;

/** As OpenAI's own SDK puts the chunks together; it refuses what is no answer of OpenAI's. */
export async function readByOpenAi(chunks: Any[]): Promise<Any> {
  const lines = new Blob(chunks.map((chunk) => `${JSON.stringify(chunk)}\n`)).stream();
  return (await ChatCompletionStream.fromReadableStream(lines as never).finalChatCompletion()) as Any;
}
