import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';

/** One prompt with what every model's answer was worth (0..1) and cost (USD). */
export interface JudgedPrompt {
  readonly prompt: string;
  /** What a caller would say of it, from the most general to the most specific. */
  readonly tags: readonly string[];
  readonly rewards: readonly number[];
  readonly costsUsd: readonly number[];
}

export interface JudgedSet {
  readonly models: readonly string[];
  readonly prompts: readonly JudgedPrompt[];
}

const linesOf = (path: string): unknown[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as unknown);

interface ParetoLine {
  prompt: string;
  arms: Record<string, { reward: number; cost: number }>;
  source?: string;
}

/** @throws Error when a prompt lacks a model that others have, or a number is none */
export function readParetoBandit(path: string): JudgedSet {
  const lines = linesOf(path) as ParetoLine[];
  const models = Object.keys(lines[0]?.arms ?? {});
  const prompts = lines.map(({ prompt, arms, source }, i) => {
    const own = models.map((model) => arms[model]);
    if (
      models.length < 2 ||
      own.some((arm) => arm === undefined || !(arm.reward >= 0 && arm.reward <= 1 && arm.cost > 0))
    )
      throw new Error(`${path}: line ${i + 1} has not a reward in 0..1 and a cost for each of ${models.join(', ')}`);
    return {
      prompt,
      tags: tagsOf(source),
      rewards: own.map((arm) => arm!.reward),
      costsUsd: own.map((arm) => arm!.cost),
    };
  });
  return { models, prompts };
}

/** "bbh/snarks": first the family, then the task. */
function tagsOf(source: string | undefined): string[] {
  if (source === undefined) return [];
  const slash = source.indexOf('/');
  return slash < 0 ? [source] : [source.slice(0, slash), source];
}

export interface Pair {
  readonly prompt: string;
  /** 1 right, 0 wrong. */
  readonly weak: number;
  readonly strong: number;
}

/** RouteLLM's CSV: prompt, then one column of True/False for each of two models. The one more often right is the strong one. */
export function readPairs(path: string, excludePath: string | undefined): { pairs: Pair[]; excluded: number } {
  const excluded = new Set(
    excludePath === undefined
      ? []
      : (linesOf(excludePath) as { eval_prompt: string }[]).map((line) => line.eval_prompt),
  );
  const rows = readCsv(readFileSync(path, 'utf8')).slice(1);
  const kept = rows.filter((row) => !excluded.has(row[0]!));
  const right = (column: number): number[] => kept.map((row) => flag(row[column], path));
  const [one, two] = [right(1), right(2)];
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
  const [weak, strong] = sum(one) <= sum(two) ? [one, two] : [two, one];
  return {
    pairs: kept.map((row, i) => ({ prompt: row[0]!, weak: weak[i]!, strong: strong[i]! })),
    excluded: rows.length - kept.length,
  };
}

function flag(text: string | undefined, path: string): number {
  if (text === 'True' || text === '1' || text === '1.0') return 1;
  if (text === 'False' || text === '0' || text === '0.0') return 0;
  throw new Error(`${path}: ${JSON.stringify(text)} is neither True nor False`);
}

/** RFC 4180. */
export function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') {
        field += '"';
        i++;
      } else quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === ',' || c === '\n') {
      row.push(field);
      field = '';
      if (c === '\n') {
        rows.push(row);
        row = [];
      }
    } else if (c !== '\r') field += c;
  }
  if (field !== '' || row.length > 0) rows.push([...row, field]);
  return rows;
}

interface ArenaLine {
  global_index: string;
  question: string;
  success?: boolean;
  evaluation_result?: { score: number; inference_cost: number } | null;
}

export interface ArenaSet extends JudgedSet {
  /** USD per token that the price list names; undefined: it does not list the model. */
  readonly prices: readonly ({ input: number; output: number } | undefined)[];
}

/** A folder of one JSONL file per model and `cost.json`: the questions that every model answered and was judged on. */
export function readArena(folder: string): ArenaSet {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .toSorted();
  const models = files.map((name) => basename(name, '.jsonl'));
  if (models.length < 2) throw new Error(`${folder} has not two models' .jsonl files`);
  const answers = files.map(
    (name) => new Map((linesOf(join(folder, name)) as ArenaLine[]).map((line) => [line.global_index, line])),
  );
  const prompts: JudgedPrompt[] = [];
  for (const [index, { question }] of answers[0]!) {
    const results = answers.map((of) => of.get(index)?.evaluation_result);
    if (results.some((result) => !result || !(result.inference_cost > 0))) continue;
    prompts.push({
      prompt: question,
      tags: [index.replace(/_[^_]*$/, '')],
      rewards: results.map((result) => Math.min(1, Math.max(0, result!.score))),
      costsUsd: results.map((result) => result!.inference_cost),
    });
  }
  const list = JSON.parse(readFileSync(join(folder, 'cost.json'), 'utf8')) as Record<string, Record<string, number>>;
  const prices = models.map((model) => {
    const own = list[model];
    const [input, output] = [own?.['input_token_price_per_million'], own?.['output_token_price_per_million']];
    return input === undefined || output === undefined ? undefined : { input: input / 1e6, output: output / 1e6 };
  });
  return { models, prompts, prices };
}
