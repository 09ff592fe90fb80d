import { describe, expect, it } from 'vitest';
import { Usage } from '@meritorder/contracts';
import { chat, gemini, message, responses } from './answers.for-tests.js';
import { dialectOf, readUsage, usageReader, type Dialect } from './index.js';

const vector = (parts: Partial<Usage>): Usage => ({
  inputTokens: 0,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 0,
  requests: 1,
  ...parts,
});

describe('each dialect by its inclusion rule', () => {
  it.each<[string, Dialect, unknown, Usage, string?]>([
    [
      'OpenAI: cached, written and audio tokens lie inside the prompt, reasoning inside the completion',
      'openai-chat',
      chat({
        prompt_tokens: 100,
        completion_tokens: 40,
        total_tokens: 140,
        prompt_tokens_details: { cached_tokens: 30, cache_write_tokens: 20, audio_tokens: 10 },
        completion_tokens_details: { reasoning_tokens: 15, audio_tokens: 5 },
      }),
      vector({
        inputTokens: 40,
        cacheReadTokens: 30,
        cacheWrite5mTokens: 20,
        outputTokens: 35,
        reasoningTokens: 15,
        units: { inputAudioTokens: 10, outputAudioTokens: 5 },
      }),
      'sums',
    ],
    [
      'OpenAI embeddings have no output',
      'openai-embeddings',
      { object: 'list', data: [], model: 'm', usage: { prompt_tokens: 12, total_tokens: 12 } },
      vector({ inputTokens: 12 }),
      'sums',
    ],
    [
      'xAI: reasoning lies outside the completion, as its total shows',
      'openai-chat',
      chat({
        prompt_tokens: 12,
        completion_tokens: 1,
        total_tokens: 241,
        prompt_tokens_details: { cached_tokens: 2 },
        completion_tokens_details: { reasoning_tokens: 228 },
      }),
      vector({ inputTokens: 10, cacheReadTokens: 2, outputTokens: 229, reasoningTokens: 228 }),
      'sums',
    ],
    [
      'tokens that only the total has are output (thoughts on the OpenAI wire of Gemini)',
      'openai-chat',
      chat({ prompt_tokens: 35, completion_tokens: 12, total_tokens: 109 }),
      vector({ inputTokens: 35, outputTokens: 74 }),
      'sums',
    ],
    [
      'DeepSeek: hits and misses make the prompt',
      'openai-chat',
      chat({
        prompt_tokens: 495,
        completion_tokens: 144,
        total_tokens: 639,
        prompt_cache_hit_tokens: 320,
        prompt_cache_miss_tokens: 175,
      }),
      vector({ inputTokens: 175, cacheReadTokens: 320, outputTokens: 144 }),
      'sums',
    ],
    [
      'Perplexity: reasoning and citations are billed beside the completion and left out of the total',
      'openai-chat',
      chat({
        prompt_tokens: 19,
        completion_tokens: 498,
        total_tokens: 517,
        citation_tokens: 10_175,
        num_search_queries: 48,
        reasoning_tokens: 95_305,
      }),
      vector({
        inputTokens: 19,
        outputTokens: 95_803,
        reasoningTokens: 95_305,
        units: { citationTokens: 10_175, webSearches: 48 },
      }),
      'leaves-out-reasoning',
    ],
    [
      'Mistral: seconds of audio are billed beside the tokens',
      'openai-chat',
      {
        model: 'm',
        text: '',
        usage: { prompt_audio_seconds: 36, prompt_tokens: 13, completion_tokens: 151, total_tokens: 164 },
      },
      vector({ inputTokens: 13, outputTokens: 151, units: { audioMilliseconds: 36_000 } }),
      'sums',
    ],
    [
      'an OpenAI wire that has its cache beside the prompt, as its total shows',
      'openai-chat',
      chat({
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 115,
        prompt_tokens_details: { cached_tokens: 100 },
      }),
      vector({ inputTokens: 10, cacheReadTokens: 100, outputTokens: 5 }),
      'sums',
    ],
    [
      'OpenAI responses: cached and written inside the input; searches counted, opened pages not',
      'openai-responses',
      responses(
        {
          input_tokens: 50,
          output_tokens: 20,
          total_tokens: 70,
          input_tokens_details: { cached_tokens: 10, cache_write_tokens: 5 },
          output_tokens_details: { reasoning_tokens: 8 },
        },
        {
          output: [
            { type: 'web_search_call', action: { type: 'search' } },
            { type: 'web_search_call', action: { type: 'open_page' } },
            { type: 'web_search_call' },
            { type: 'file_search_call' },
            { type: 'message', content: [] },
          ],
        },
      ),
      vector({
        inputTokens: 35,
        cacheReadTokens: 10,
        cacheWrite5mTokens: 5,
        outputTokens: 20,
        reasoningTokens: 8,
        units: { webSearches: 2, fileSearches: 1 },
      }),
      'sums',
    ],
    [
      'OpenAI transcriptions are billed by the second or by tokens',
      'openai-responses',
      { text: 'x', usage: { type: 'duration', seconds: 37 } },
      vector({ units: { audioMilliseconds: 37_000 } }),
      'none-sent',
    ],
    [
      'Anthropic: cache reads and writes lie outside the input, writes told apart by how long they live',
      'anthropic-messages',
      message({
        input_tokens: 7,
        output_tokens: 20,
        cache_read_input_tokens: 100,
        cache_creation_input_tokens: 60,
        cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 20 },
        output_tokens_details: { thinking_tokens: 9 },
        server_tool_use: { web_search_requests: 2 },
      }),
      vector({
        inputTokens: 7,
        cacheReadTokens: 100,
        cacheWrite5mTokens: 40,
        cacheWrite1hTokens: 20,
        outputTokens: 20,
        reasoningTokens: 9,
        units: { webSearches: 2 },
      }),
      'none-sent',
    ],
    [
      'Anthropic: a compaction is billed beside the message that follows it',
      'anthropic-messages',
      message({
        input_tokens: 220,
        output_tokens: 8,
        iterations: [
          { type: 'compaction', input_tokens: 100, output_tokens: 125, cache_read_input_tokens: 55_000 },
          { type: 'message', input_tokens: 220, output_tokens: 8 },
        ],
      }),
      vector({ inputTokens: 320, cacheReadTokens: 55_000, outputTokens: 133 }),
      'none-sent',
    ],
    [
      'Gemini: thoughts and tool prompts lie outside the counts, the cache inside the prompt, by modality',
      'google-gemini',
      gemini({
        promptTokenCount: 17_713,
        cachedContentTokenCount: 17_379,
        candidatesTokenCount: 68,
        thoughtsTokenCount: 821,
        toolUsePromptTokenCount: 30,
        totalTokenCount: 18_632,
        promptTokensDetails: [
          { modality: 'TEXT', tokenCount: 16 },
          { modality: 'VIDEO', tokenCount: 15_780 },
          { modality: 'AUDIO', tokenCount: 1_917 },
        ],
        cacheTokensDetails: [
          { modality: 'AUDIO', tokenCount: 1_881 },
          { modality: 'TEXT', tokenCount: 15 },
          { modality: 'VIDEO', tokenCount: 15_483 },
        ],
      }),
      vector({
        inputTokens: 31,
        cacheReadTokens: 15,
        outputTokens: 889,
        reasoningTokens: 821,
        units: {
          inputVideoTokens: 297,
          cacheReadVideoTokens: 15_483,
          inputAudioTokens: 36,
          cacheReadAudioTokens: 1_881,
        },
      }),
      'sums',
    ],
    [
      'Google interactions: thoughts and tool use outside, the cache inside',
      'google-interactions',
      {
        object: 'interaction',
        status: 'completed',
        usage: {
          total_tokens: 1_373,
          total_input_tokens: 22,
          total_cached_tokens: 2,
          total_output_tokens: 973,
          total_tool_use_tokens: 129,
          total_thought_tokens: 249,
        },
      },
      vector({ inputTokens: 149, cacheReadTokens: 2, outputTokens: 1_222, reasoningTokens: 249 }),
      'sums',
    ],
    [
      'Vertex embeddings: a count for each text',
      'google-embeddings',
      {
        predictions: [
          { embeddings: { statistics: { token_count: 5 } } },
          { embeddings: { statistics: { token_count: 6 } } },
        ],
      },
      vector({ inputTokens: 11 }),
      'none-sent',
    ],
    [
      'Bedrock converse: the cache lies outside the input, whether the total has it',
      'bedrock-converse',
      {
        output: { message: {} },
        usage: {
          inputTokens: 4,
          outputTokens: 6,
          cacheReadInputTokens: 100,
          cacheWriteInputTokens: 50,
          totalTokens: 160,
          cacheDetails: [
            { ttl: '1h', inputTokens: 20 },
            { ttl: '5m', inputTokens: 30 },
          ],
        },
      },
      vector({ inputTokens: 4, cacheReadTokens: 100, cacheWrite5mTokens: 30, cacheWrite1hTokens: 20, outputTokens: 6 }),
      'sums',
    ],
    [
      'Bedrock converse: or not',
      'bedrock-converse',
      {
        output: { message: {} },
        usage: { inputTokens: 4, outputTokens: 6, cacheReadInputTokens: 100, totalTokens: 10 },
      },
      vector({ inputTokens: 4, cacheReadTokens: 100, outputTokens: 6 }),
      'leaves-out-cache',
    ],
    [
      "Anthropic's messages invoked on Bedrock say the same as at Anthropic",
      'anthropic-messages',
      message({ input_tokens: 7, output_tokens: 20, cache_read_input_tokens: 5 }),
      vector({ inputTokens: 7, cacheReadTokens: 5, outputTokens: 20 }),
      'none-sent',
    ],
    [
      'Cohere bills its billed units, not the tokens of its template',
      'cohere',
      {
        id: 'c',
        usage: {
          billed_units: { input_tokens: 12, output_tokens: 7 },
          tokens: { input_tokens: 507, output_tokens: 10 },
          cached_tokens: 448,
        },
      },
      vector({ inputTokens: 12, outputTokens: 7 }),
      'none-sent',
    ],
    [
      'Ollama leaves out counts of zero: the whole prompt was in the cache',
      'ollama',
      { model: 'm', done: true, eval_count: 282, eval_duration: 4_535_599_000 },
      vector({ outputTokens: 282 }),
      'none-sent',
    ],
    [
      'llama-server: the cache lies outside the prompt it evaluated',
      'openai-chat',
      chat(undefined, { timings: { prompt_n: 3, cache_n: 460, predicted_n: 20, prompt_ms: 2, predicted_ms: 102 } }),
      vector({ inputTokens: 3, cacheReadTokens: 460, outputTokens: 20 }),
      'none-sent',
    ],
    [
      'llama-server with a usage block: the cache comes from the timings',
      'openai-chat',
      chat(
        { prompt_tokens: 463, completion_tokens: 20, total_tokens: 483 },
        { timings: { prompt_n: 3, cache_n: 460, predicted_n: 20, prompt_ms: 2, predicted_ms: 102 } },
      ),
      vector({ inputTokens: 3, cacheReadTokens: 460, outputTokens: 20 }),
      'sums',
    ],
  ])('%s', (_name, dialect, body, expected, totalRule) => {
    const reading = readUsage(dialect, body);
    expect(reading.usage).toEqual(expected);
    expect(Usage.parse(reading.usage)).toEqual(expected);
    expect(reading.totalRule).toBe(totalRule);
    expect(reading.complete).toBe(true);
    expect(dialectOf({ sample: body })).toBe(dialect);
  });

  it("an advisor's tokens are another model's, and a model that declined unheard is not billed", () => {
    const advised = readUsage(
      'anthropic-messages',
      message({
        input_tokens: 2_390,
        output_tokens: 121,
        iterations: [
          { type: 'message', input_tokens: 1_128, output_tokens: 110 },
          { type: 'advisor_message', model: 'claude-opus-4-8', input_tokens: 2_518, output_tokens: 22 },
          { type: 'message', input_tokens: 1_262, output_tokens: 11 },
        ],
      }),
    );
    expect(advised.usage).toMatchObject({ inputTokens: 2_390, outputTokens: 121 });
    expect(advised.otherModels).toEqual([
      { model: 'claude-opus-4-8', usage: vector({ inputTokens: 2_518, outputTokens: 22 }) },
    ]);
    const reader = usageReader('anthropic-messages');
    reader.feed([
      {
        type: 'message_start',
        message: { id: 'msg_1', model: 'claude-fable-5', usage: { input_tokens: 408, output_tokens: 1 } },
      },
      { type: 'content_block_start', content_block: { type: 'fallback', to: { model: 'claude-opus-4-8' } } },
      {
        type: 'message_delta',
        usage: {
          input_tokens: 412,
          output_tokens: 264,
          iterations: [
            { type: 'message', model: 'claude-fable-5', input_tokens: 408, output_tokens: 0 },
            { type: 'fallback_message', model: 'claude-opus-4-8', input_tokens: 412, output_tokens: 264 },
          ],
        },
      },
    ]);
    expect(reader.read()).toMatchObject({
      servedModel: 'claude-opus-4-8',
      usage: vector({ inputTokens: 412, outputTokens: 264 }),
      otherModels: [],
    });
  });

  it('cache writes that grow while an answer is made keep the life of those before them', () => {
    const grown = (split: object) => {
      const reader = usageReader('anthropic-messages');
      reader.feed({
        type: 'message_start',
        message: {
          usage: { input_tokens: 2, output_tokens: 1, cache_creation_input_tokens: 3_000, cache_creation: split },
        },
      });
      reader.feed({ type: 'message_delta', usage: { output_tokens: 9, cache_creation_input_tokens: 3_300 } });
      return reader.read().usage;
    };
    expect(grown({ ephemeral_5m_input_tokens: 3_000, ephemeral_1h_input_tokens: 0 })).toMatchObject({
      cacheWrite5mTokens: 3_300,
      cacheWrite1hTokens: 0,
    });
    expect(grown({ ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 3_000 })).toMatchObject({
      cacheWrite5mTokens: 0,
      cacheWrite1hTokens: 3_300,
    });
    expect(grown({ ephemeral_5m_input_tokens: 1_000, ephemeral_1h_input_tokens: 2_000 })).toMatchObject({
      cacheWrite5mTokens: 1_300,
      cacheWrite1hTokens: 2_000,
    });
  });

  it('a Gemini block that has a total replaces all before it, since a later one may be smaller', () => {
    const reader = usageReader('google-gemini');
    reader.feed([
      {
        candidates: [{}],
        usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 21, thoughtsTokenCount: 35, totalTokenCount: 65 },
      },
      gemini({ promptTokenCount: 87, thoughtsTokenCount: 78, totalTokenCount: 165 }),
    ]);
    expect(reader.read()).toMatchObject({
      usage: vector({ inputTokens: 87, outputTokens: 78, reasoningTokens: 78 }),
      totalRule: 'sums',
      complete: true,
    });
  });

  it('grounding with search is billed by the prompt up to Gemini 2.5 and by the query from Gemini 3', () => {
    const grounded = (modelVersion: string) =>
      readUsage('google-gemini', {
        modelVersion,
        candidates: [{ finishReason: 'STOP', groundingMetadata: { webSearchQueries: ['a', 'b', 'a'] } }],
        usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 },
      }).usage?.units;
    expect(grounded('gemini-2.5-pro')).toEqual({ webSearches: 1 });
    expect(grounded('gemini-3-flash-preview')).toEqual({ webSearches: 2 });
  });
});

describe('how fast an engine was', () => {
  it.each<[string, Dialect, unknown, object]>([
    [
      'llama-server',
      'openai-chat',
      chat(undefined, {
        timings: { prompt_n: 463, cache_n: 9, predicted_n: 20, prompt_ms: 62.703, predicted_ms: 102.018 },
      }),
      { prefillTokens: 463, prefillMs: 62.703, decodeTokens: 20, decodeMs: 102.018 },
    ],
    [
      'Ollama, in nanoseconds',
      'ollama',
      {
        done: true,
        prompt_eval_count: 26,
        prompt_eval_duration: 342_546_000,
        eval_count: 282,
        eval_duration: 4_535_599_000,
      },
      { prefillTokens: 26, prefillMs: 342.546, decodeTokens: 282, decodeMs: 4_535.599 },
    ],
    [
      'Groq, in seconds',
      'openai-chat',
      chat({ prompt_tokens: 218, completion_tokens: 15, total_tokens: 233, prompt_time: 0.5, completion_time: 0.25 }),
      { prefillTokens: 218, prefillMs: 500, decodeTokens: 15, decodeMs: 250 },
    ],
  ])('%s', (_name, dialect, body, timings) => {
    expect(readUsage(dialect, body).timings).toEqual(timings);
  });
});
