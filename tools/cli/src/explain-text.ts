import type { DecisionPolicy, DecisionsReply, RoutingDecisionMadeV1, StoredOutcome } from '@meritorder/contracts';
import { nanosToUsd } from '@meritorder/kernel';
import { missesDeadline, passedOverText } from '@meritorder/routing-core';
import { table } from './table.js';

export type Decided = Exclude<DecisionsReply, { error: unknown }>;
type Attempt = Decided['attempts'][number];
type Candidate = RoutingDecisionMadeV1['candidates'][number];

/** Why a request went where it went, for people. */
export function explanationText({ org, requestId, attempts, outcomes }: Decided): string {
  const [first] = attempts;
  const head = `request ${requestId} of ${org}${first ? `, ${first.record.kind} on route ${first.record.route}${ownersText(first.record)}` : ''}`;
  return [head, ...attempts.map((attempt) => attemptText(attempt, attempts.length)), outcomesText(outcomes)].join(
    '\n\n',
  );
}

function ownersText({ attribution }: RoutingDecisionMadeV1): string {
  const parts = Object.entries({ ...attribution, org: undefined }).flatMap(([key, value]) =>
    value === undefined ? [] : `${key} ${value}`,
  );
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function attemptText(attempt: Attempt, count: number): string {
  const { record } = attempt;
  const at = record.decidedAt.replace('T', ' ').replace('Z', ' UTC');
  const end =
    record.choice === null
      ? `refused${record.refusal ? ` as ${record.refusal}` : ''}`
      : `chose ${record.choice}${record.choiceKind ? `, ${kindText(record, record.choiceKind)}` : ''}`;
  return [
    `attempt ${record.attemptNumber}${count > 1 ? ` of ${count}` : ''}, ${at}: ${end}`,
    `  ${record.reason || 'no reason was recorded'}`,
    ...(record.policy ? [`  ${policyText(record.policy)}`] : []),
    ...guardText(record),
    '',
    candidatesTable(record),
    '',
    ...scarceText(record),
    ...bookedText(attempt),
    ...(record.tags?.length ? [`quality was predicted by: ${record.tags.join('; ')}`] : []),
    ...(record.policy && record.order ? [] : ['of a version that kept fewer numbers: it cannot be replayed']),
  ].join('\n');
}

const KINDS = {
  best: 'the best score',
  explored: 'tried to learn how good it is',
  'hold-out': 'of the group that is served as if nothing had been learned',
} as const;

function kindText(record: RoutingDecisionMadeV1, kind: keyof typeof KINDS): string {
  const first = record.candidates.find((c) => c.backend === record.order?.[0]);
  if (kind === 'best' && record.candidates.some((c) => c.passedOver)) return 'the best score of those that fit';
  return first && isLate(first, record.policy)
    ? 'the soonest, as none is expected in time'
    : `${KINDS[kind]}${roomText(record)}`;
}

/** A higher score may stand behind for want of room, or of time. */
function roomText({ choice, choiceKind, candidates, policy }: RoutingDecisionMadeV1): string {
  const chosen = candidates.find((c) => c.backend === choice);
  if (choiceKind !== 'best' || chosen === undefined) return '';
  const better = candidates.filter((c) => (c.scoreUsd ?? -Infinity) > (chosen.scoreUsd ?? Infinity));
  const hasNoRoom = !chosen.numbers?.beyondRoom && better.some((c) => c.numbers?.beyondRoom);
  return [
    hasNoRoom ? ' of those that budgets have room for' : '',
    better.some((c) => isLate(c, policy)) ? `${hasNoRoom ? ' and' : ' of those'} that would be in time` : '',
  ].join('');
}

function policyText(policy: DecisionPolicy): string {
  const { exploration } = policy;
  return [
    `objective ${policy.objective}${policy.tier ? ` of tier ${policy.tier}` : ''}`,
    ...(policy.objective === 'margin' ? [`a conversion brings $${policy.revenueUsd}`] : []),
    ...(policy.objective === 'cheapest' || policy.objective === 'margin'
      ? []
      : [`a quality of 1 is worth $${policy.usdPerQuality}`]),
    ...(policy.objective === 'quality' ? ['cost counts only where a budget is scarce'] : []),
    ...(policy.leastQuality > 0 ? [`quality at least ${policy.leastQuality}`] : []),
    ...(policy.maxCostUsd === null ? [] : [`at most $${policy.maxCostUsd} in cash`]),
    ...(policy.leastMarginShare === null ? [] : [`margin at least ${percent(policy.leastMarginShare)}`]),
    ...(policy.deadlineSeconds === undefined
      ? []
      : [`broken off after ${Number(policy.deadlineSeconds.toPrecision(3))} s`]),
    ...(policy.maxLatencySeconds === undefined ? [] : [`an answer expected within ${policy.maxLatencySeconds} s`]),
    ...(policy.maxFirstTokenSeconds === undefined
      ? []
      : [`a first token expected within ${policy.maxFirstTokenSeconds} s`]),
    ...(policy.usdPerSecondLate > 0 ? [`a late second costs $${policy.usdPerSecondLate}`] : []),
    exploration === null
      ? 'no exploring'
      : `exploring at most ${percent(exploration.requestShare)} of requests and ${percent(exploration.spendShare)} of spend, ${percent(exploration.holdOutShare)} held out`,
  ].join('; ');
}

/** What the exploration guard said. */
function guardText({ explorationIncomeUsd, policy, candidates }: RoutingDecisionMadeV1): string[] {
  const share = policy?.exploration?.revenueShare;
  if (explorationIncomeUsd === undefined || share === undefined) return [];
  const most = candidates.flatMap(({ backend, mostExplored }) =>
    mostExplored === undefined ? [] : [`${backend} at most in ${percent(mostExplored)} of such requests`],
  );
  return [
    `  exploring may cost ${percent(share)} of the $${plain(explorationIncomeUsd)} that it brings: ${most.join(', ')}`,
  ];
}

const HEAD = [
  '#',
  'backend',
  'quality',
  'cash',
  'full',
  'value',
  '- marginal',
  '- budgets',
  '- congestion',
  '- lateness',
  '= score USD',
  'chance',
  '',
];

const FULL_COLUMN = HEAD.indexOf('full');

/** What the score is made of, in USD, so that each line can be added up. */
function candidatesTable(record: RoutingDecisionMadeV1): string {
  const place = (c: Candidate): number => {
    const index = record.order?.indexOf(c.backend) ?? -1;
    return index >= 0 ? index : c.backend === record.choice ? -0.5 : c.excluded === null ? 1e6 : 1e7;
  };
  const candidates = record.candidates.toSorted((a, b) => place(a) - place(b));
  const amounts = new Map(candidates.map((c) => [c, amountsOf(c, record.policy)]));
  const digits = digitsFor([...amounts.values()].flat());
  // A second column of the same numbers would only be wider.
  const fullAlike = candidates.every((c) => c.expectedFullUsd === c.expectedCashUsd);
  const shown = (row: readonly string[]): string[] => row.filter((_, i) => !(fullAlike && i === FULL_COLUMN));
  const rows = candidates.map((c) => {
    const index = record.order?.indexOf(c.backend) ?? -1;
    return [
      index < 0 ? '' : String(index + 1),
      c.backend,
      qualityText(c),
      ...amounts.get(c)!.map((usd) => (usd === null ? '' : usd === 0 ? '0' : usd.toFixed(digits))),
      c.probability === undefined ? '' : percent(c.probability),
      remark(c, record, index),
    ];
  });
  const columns = HEAD.length - (fullAlike ? 1 : 0);
  return table(shown(HEAD), rows.map(shown), {
    right: Array.from({ length: columns - 1 }, (_, i) => i).filter((i) => i !== 1 && i !== 2),
  });
}

/** Cash, full, value, marginal, budgets, congestion, lateness, score; USD, null: not on record. */
function amountsOf(c: Candidate, policy: DecisionPolicy | undefined): (number | null)[] {
  const n = c.numbers;
  const costs = [c.expectedCashUsd, c.expectedFullUsd];
  if (n === undefined) return [...costs, null, null, null, null, null, null];
  return [
    ...costs,
    c.valueUsd ?? null,
    policy?.objective === 'quality' ? 0 : n.marginalUsd,
    n.shadowCash * (c.expectedCashUsd ?? 0) + n.shadowFull * (c.expectedFullUsd ?? 0),
    n.usdPerGpuSecond * n.gpuSeconds,
    (policy?.usdPerSecondLate ?? 0) * n.lateSeconds,
    c.scoreUsd ?? null,
  ];
}

/** As many decimals for all, so that they compare: three digits of the smallest, at most nine decimals. */
function digitsFor(amounts: readonly (number | null)[]): number {
  const sizes = amounts.flatMap((usd) => (usd === null || usd === 0 ? [] : [Math.abs(usd)]));
  if (sizes.length === 0) return 2;
  return Math.max(2, Math.min(9, 2 - Math.floor(Math.log10(Math.min(...sizes)))));
}

function qualityText({ numbers }: Candidate): string {
  if (numbers === undefined) return '';
  const deviation = Math.sqrt(numbers.qualityVariance);
  const conversion = numbers.conversion === undefined ? '' : `, converts ${percent(numbers.conversion)}`;
  const outcomes = numbers.outcomes >= 0.5 ? ` (${Math.round(numbers.outcomes)})` : ' (prior)';
  return `${numbers.quality.toFixed(3)} ±${deviation.toFixed(3)}${outcomes}${conversion}`;
}

function remark(c: Candidate, { choice, policy }: RoutingDecisionMadeV1, index: number): string {
  if (c.backend === choice) return index > 0 ? 'chosen, as those before it did not fit' : 'chosen';
  if (c.excluded !== null)
    return `excluded${c.exclusionCode === undefined ? '' : ` (${c.exclusionCode})`}: ${c.excluded}`;
  if (c.passedOver) return `passed over: ${passedOverText([c.backend], () => c.passedOver)}`;
  const room = c.numbers?.beyondRoom ? ', its bound is more than a budget can spare' : '';
  const late = isLate(c, policy) ? ', it would miss the deadline' : '';
  return index >= 0 ? `stands by${room}${late}` : '';
}

function isLate({ numbers }: Candidate, policy: DecisionPolicy | undefined): boolean {
  return numbers !== undefined && policy !== undefined && missesDeadline(policy, numbers);
}

/** Shadow prices, each budget once with the backends that feel it. */
function scarceText({ candidates }: RoutingDecisionMadeV1): string[] {
  const scarce = new Map<string, string[]>();
  for (const { backend, budgets = [] } of candidates)
    for (const { budget, window, basis, shadowPrice } of budgets) {
      if (shadowPrice === 0) continue;
      const name = `${budget} (${window}, ${basis}): a dollar of it is worth $${Number(shadowPrice.toPrecision(4))} of value`;
      scarce.set(name, [...(scarce.get(name) ?? []), backend]);
    }
  if (scarce.size === 0) return candidates.some((c) => c.budgets) ? ['no budget on the path is scarce'] : [];
  return [...scarce].map(([name, backends]) => `scarce budget ${name}, felt by ${backends.join(', ')}`);
}

function bookedText({ record, booked }: Attempt): string[] {
  if (record.choice === null) return [];
  if (booked === null) return ['booked: nothing yet'];
  const { state, outcome, cashNanos, fullNanos, chargedNanos } = booked;
  const ended = [state, ...(outcome === null ? [] : [outcome])].join(', ');
  if (cashNanos === null || fullNanos === null) return [`booked: ${ended}; its cost is not known yet`];
  const full = fullNanos === cashNanos ? '' : `, $${nanosToUsd(BigInt(fullNanos))} in full`;
  const chosen = record.candidates.find((c) => c.backend === record.choice);
  const expected = chosen?.expectedCashUsd ?? null;
  const against = expected === null ? '' : `; expected was $${plain(expected)} in cash`;
  const charged = chargedNanos === undefined ? '' : `; the customer is charged $${nanosToUsd(BigInt(chargedNanos))}`;
  return [`booked: ${ended}, $${nanosToUsd(BigInt(cashNanos))} in cash${full}${against}${charged}`];
}

function outcomesText(outcomes: readonly StoredOutcome[]): string {
  if (outcomes.length === 0) return 'no outcome was reported';
  return table(
    ['outcome', 'says', 'of attempt', 'happened', 'reported'],
    outcomes.map((o) => [
      o.outcomeId === o.kind ? o.kind : `${o.kind} (${JSON.stringify(o.outcomeId)})`,
      saysText(o),
      o.attemptNumber === null ? 'waits' : String(o.attemptNumber),
      o.occurredAt.slice(0, 19).replace('T', ' '),
      o.reportedAt.slice(0, 19).replace('T', ' '),
    ]),
  );
}

function saysText({ kind, value, revenueNanos }: StoredOutcome): string {
  const brought = revenueNanos === null ? '' : `, $${nanosToUsd(BigInt(revenueNanos))}`;
  if (kind === 'thumbs') return value === 1 ? 'up' : 'down';
  if (kind === 'schema') return value === 1 ? 'valid' : 'invalid';
  if (kind === 'conversion') return `${value === 0 ? 'taken back' : 'converted'}${brought}`;
  if (kind === 'edit') return `${percent(value ?? 0)} kept`;
  return value === null ? 'asked again' : String(value);
}

/** A share; as many digits as tell it from none and from all. */
function percent(share: number): string {
  const text = (share * 100).toFixed(Math.abs(share) < 0.01 || (share > 0.99 && share < 1) ? 2 : 1);
  return `${text.replace(/\.0+$/, '')} %`;
}

/** Never in exponents. */
function plain(usd: number): string {
  return usd.toFixed(9).replace(/(\.\d\d\d*?)0+$/, '$1');
}
