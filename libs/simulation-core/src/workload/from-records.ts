import { ExportedDecision, RoutingDecisionMadeV1, Usage } from '@meritorder/contracts';
import { conversionsOf } from '../run/conversions.js';
import { BYTE_ORDER_MARK, WorkloadError, type RecordedCandidate, type WorkloadRow } from './workload.js';

/**
 * Requests of a period of the ledger: JSON lines, each a decision record (`routing.decision-made`), alone, as `record`, or as `data`
 * of its event; beside it the `usage` that was booked, where it is known. Without it the lengths are those that were expected. Later
 * attempts at a request are left out: what fails is not simulated. The books' word beside some lines (`prices`, `opening`) is of all.
 * @throws WorkloadError naming the line
 */
export function rowsOfRecords(text: string): WorkloadRow[] {
  const rows: WorkloadRow[] = [];
  const shared = new Map<string, ReadonlySet<string>>();
  text
    .replace(BYTE_ORDER_MARK, '')
    .split(/\r?\n/)
    .forEach((line, i) => {
      if (line.trim() === '') return;
      try {
        const row = rowOf(JSON.parse(line), shared);
        if (row) rows.push(row);
      } catch (error) {
        throw new WorkloadError(`line ${i + 1}: ${(error as Error).message.split('\n')[0]}`);
      }
    });
  return rows;
}

function rowOf(value: unknown, shared: Map<string, ReadonlySet<string>>): WorkloadRow | undefined {
  const line = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const parsed = RoutingDecisionMadeV1.safeParse(line['record'] ?? line['data'] ?? line);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw new WorkloadError(`is not a decision record: ${path.join('.')}: ${message}`);
  }
  const record = parsed.data;
  if (record.attemptNumber > 1) return undefined;
  const usage = line['usage'] === undefined ? undefined : Usage.parse(line['usage']);
  const books = Books.parse(line);
  const { org, ...attributes } = record.attribution;
  const input = usage
    ? usage.inputTokens + usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens
    : Math.ceil(record.inputTokensExpected);
  return {
    atMs: Date.parse(record.decidedAt),
    inputTokens: input,
    outputTokens: usage ? usage.outputTokens : Math.ceil(record.outputTokensExpected * (record.choices ?? 1)),
    profile: {
      org,
      route: record.route,
      attributes,
      wishes: record.wishes,
      streams: record.streams,
      isJob: record.isJob,
    },
    recorded: {
      inputTokensBound: Math.max(input, Math.ceil(record.inputTokensBound)),
      // The record knows no request without output; embeddings are one.
      maxTokens: record.kind === 'embeddings' ? 0 : (record.maxTokens ?? undefined),
      choices: record.choices ?? 1,
      batchWithinMs:
        record.jobDeadlineAt === undefined
          ? undefined
          : Date.parse(record.jobDeadlineAt) - Date.parse(record.decidedAt),
      outputTokensExpected: record.outputTokensExpected,
      kind: record.kind,
      unable: unableOf(record, shared),
      candidates: new Map(record.candidates.flatMap(candidateOf)),
      draws: record.draws,
      booked: usage && { usage, backend: record.choice },
      ...conversionsOf(record),
    },
    ...(books.prices || books.opening ? { books } : {}),
  };
}

const Books = ExportedDecision.pick({ prices: true, opening: true });

/** One set for all requests that share it: there are few. */
function unableOf(
  { candidates }: RoutingDecisionMadeV1,
  shared: Map<string, ReadonlySet<string>>,
): ReadonlySet<string> {
  const ids = candidates.flatMap((c) => (c.exclusionCode === 'unable' ? [c.backend] : [])).sort();
  const key = ids.join();
  let known = shared.get(key);
  if (known === undefined) shared.set(key, (known = new Set(ids)));
  return known;
}

function candidateOf(of: RoutingDecisionMadeV1['candidates'][number]): [string, RecordedCandidate][] {
  if (of.numbers === undefined) return [];
  const { quality, qualityVariance, priorQuality, outcomes } = of.numbers;
  const { conversion, conversionVariance, priorConversion } = of.numbers;
  return [
    [
      of.backend,
      {
        quality,
        qualityVariance,
        priorQuality,
        outcomes,
        cacheReadTokens: of.cacheReadTokensExpected ?? 0,
        priceVersion: of.priceVersion ?? undefined,
        inputTokensExpected: of.inputTokensExpected,
        outputTokensExpected: of.outputTokensExpected,
        ...(conversion === undefined ? {} : { conversion }),
        ...(conversionVariance === undefined ? {} : { conversionVariance }),
        ...(priorConversion === undefined ? {} : { priorConversion }),
      },
    ],
  ];
}
