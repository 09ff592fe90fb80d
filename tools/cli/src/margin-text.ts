import type { MarginMoney, MarginReply, MarginRow, MarginSegment } from '@meritorder/contracts';
import { table } from './table.js';
import { digitsFor, usd } from './usd-text.js';

export type Margin = Exclude<MarginReply, { error: unknown }>;

/** Lines of losses, and of customers, that are shown; `--json` has the rest. */
const MOST_LOSSES = 20;
const MOST_CUSTOMERS = 20;
/** Of a segment, beside those that would pay. */
const MOST_SENTENCES = 3;

/** The report for people: losses, then everything, then what would pay. */
export function marginText(margin: Margin): string {
  const { from, to, rows, total } = margin;
  const span = `${minute(from)} to ${minute(to)} UTC`;
  if (rows.length === 0) return `${span}: nothing was booked`;
  return [
    `${span}: ${whole(total.requests)} requests, ${totalText(total)}`,
    lossesText(margin),
    segmentTable(margin),
    ...customerTable(margin),
    upgradesText(margin),
  ].join('\n\n');
}

function totalText(total: MarginMoney): string {
  const money = [total.fullNanos, total.chargedNanos, total.revenueNanos, total.marginNanos].map((n) => BigInt(n ?? 0));
  const digits = digitsFor(money);
  const show = (nanos: string | null): string => `$${usd(BigInt(nanos ?? 0), digits)}`;
  const brought = total.revenueNanos === null ? '' : `, brought ${show(total.revenueNanos)}`;
  const left = total.marginNanos === null ? '' : `: margin ${signed(BigInt(total.marginNanos), digits)}`;
  return `charged ${show(total.chargedNanos)}${brought}, cost ${show(total.fullNanos)} in full${left}`;
}

function lossesText({ rows, customers }: Margin): string {
  const losing = (m: MarginMoney): boolean => m.marginNanos !== null && BigInt(m.marginNanos) < 0n;
  const losses = [
    ...rows.filter(losing).map((r) => ({ who: `${segmentName(r)} at ${r.backend}`, money: r as MarginMoney })),
    ...customers.filter(losing).map((c) => ({ who: `customer ${c.customer} of ${c.org}`, money: c as MarginMoney })),
  ];
  if (losses.length === 0) return 'no segment and no customer loses money';
  const lines = losses.slice(0, MOST_LOSSES).map(({ who, money }) => `  ${who}: ${lossText(money)}`);
  const more = losses.length > MOST_LOSSES ? [`  and ${losses.length - MOST_LOSSES} more`] : [];
  return ['these lose money:', ...lines, ...more].join('\n');
}

function lossText({ requests, fullNanos, chargedNanos, revenueNanos, marginNanos }: MarginMoney): string {
  const amounts = [fullNanos, marginNanos!].map(BigInt);
  const digits = digitsFor(amounts);
  const show = (nanos: string): string => `$${usd(BigInt(nanos), digits)}`;
  const income = [
    ...(chargedNanos === null ? [] : [`${show(chargedNanos)} charged`]),
    ...(revenueNanos === null ? [] : [`${show(revenueNanos)} of revenue`]),
  ];
  return `${signed(BigInt(marginNanos!), digits)}: ${income.join(' and ')} for ${show(fullNanos)} of full cost in ${whole(requests)} requests`;
}

const MONEY_HEAD = ['requests', 'cash', 'full', 'charged', 'revenue', 'margin', 'of income'];

function moneyCells(m: MarginMoney, digits: number): string[] {
  const show = (nanos: string | null): string => (nanos === null ? '-' : usd(BigInt(nanos), digits));
  const open = m.unconfirmedNanos === '0' ? '' : '?';
  return [
    m.attempts > m.requests ? `${whole(m.requests)} (${whole(m.attempts)} attempts)` : whole(m.requests),
    show(m.cashNanos),
    `${show(m.fullNanos)}${open}`,
    show(m.chargedNanos),
    show(m.revenueNanos),
    show(m.marginNanos),
    shareOfIncome(m),
  ];
}

function shareOfIncome({ chargedNanos, revenueNanos, marginNanos }: MarginMoney): string {
  const income = BigInt(chargedNanos ?? 0) + BigInt(revenueNanos ?? 0);
  if (marginNanos === null || income <= 0n) return '-';
  return `${((100 * Number(marginNanos)) / Number(income)).toFixed(1)} %`;
}

function segmentTable({ rows, leftOff }: Margin): string {
  const digits = digitsOf(rows);
  const head = ['org', 'tier', 'feature', 'backend', ...MONEY_HEAD, 'converted', 'rate, 95 % interval'];
  const cells = rows.map((row) => [
    row.org,
    row.tier ?? '-',
    row.feature ?? '-',
    row.backend,
    ...moneyCells(row, digits),
    ...rateCells(row),
  ]);
  return [
    'by segment and backend, USD; ?: a part of it is at its bound, until the invoice:',
    table(head, cells, { right: [4, 5, 6, 7, 8, 9, 10, 11] }),
    ...(leftOff.rows > 0 ? [`${leftOff.rows} rows more are left off`] : []),
  ].join('\n');
}

function rateCells({ conversion }: MarginRow): string[] {
  if (!conversion) return ['-', '-'];
  const { converted, rate, low, high, enough } = conversion;
  // What rests on other requests, or on the few that are old enough, would be read as a fact of these.
  return [whole(converted), enough ? `${percent(rate)}, ${percent(low)} to ${percent(high)}` : 'not enough data'];
}

function customerTable({ customers, leftOff }: Margin): string[] {
  if (customers.length === 0) return [];
  const shown = customers.slice(0, MOST_CUSTOMERS);
  const more = customers.length - shown.length + leftOff.customers;
  const digits = digitsOf(shown);
  return [
    [
      'by customer, USD:',
      table(
        ['org', 'customer', ...MONEY_HEAD],
        shown.map((c) => [c.org, c.customer, ...moneyCells(c, digits)]),
        { right: [2, 3, 4, 5, 6, 7, 8] },
      ),
      ...(more > 0
        ? [`${more} customers more, who lose less or cost less; --json has ${customers.length} in all`]
        : []),
    ].join('\n'),
  ];
}

function upgradesText({ segments, leftOff }: Margin): string {
  if (segments.length === 0)
    return 'whether other backends would pay is not known: no conversion was reported (outcome.reported of the kind conversion)';
  return [
    'whether another backend would pay: revenue x difference in conversion against what it costs more, at shadow prices',
    ...segments.flatMap((segment) => upgradeLines(segment)),
    ...(leftOff.segments > 0 ? [`${leftOff.segments} segments more are left off`] : []),
  ].join('\n');
}

function upgradeLines(segment: MarginSegment): string[] {
  const { requests, revenueUsd, revenueFrom, upgrades } = segment;
  const usual = upgrades[0]?.from;
  const brings =
    revenueUsd > 0
      ? `a conversion brings $${revenueUsd.toFixed(2)}, ${revenueFrom}`
      : 'what a conversion brings is not known';
  const head = `${segmentName(segment)}: ${whole(requests)} requests${usual ? `, most at ${usual}` : ''}; ${brings}`;
  if (!usual) return [head, '  no other backend was able to serve it'];
  // At no revenue whatever is cheaper would seem to pay.
  if (revenueUsd === 0) return [head];
  const pays = upgrades.filter((u) => u.verdict === 'upgrade');
  const others = upgrades.filter((u) => u.verdict !== 'upgrade');
  const lines = [...pays, ...others.slice(0, MOST_SENTENCES)].map(
    (u) => `  ${VERDICTS[u.verdict]} ${u.to}: ${u.sentence}`,
  );
  const more = others.length - MOST_SENTENCES;
  return [
    head,
    ...lines,
    ...(more > 0 ? [`  and ${more} more that would not pay, or of which too little is known`] : []),
  ];
}

const VERDICTS = { upgrade: 'move to', stay: 'not to', 'not-enough-data': 'unknown of' } as const;

function segmentName({ org, tier, feature }: Pick<MarginRow, 'org' | 'tier' | 'feature'>): string {
  return [org, `tier ${tier ?? 'none'}`, ...(feature === null ? [] : [`feature ${feature}`])].join(', ');
}

function digitsOf(of: readonly MarginMoney[]): number {
  return digitsFor(of.flatMap((m) => [m.fullNanos, m.chargedNanos ?? '0', m.revenueNanos ?? '0']).map(BigInt));
}

function signed(nanos: bigint, digits: number): string {
  return `${nanos < 0n ? '-' : '+'}$${usd(nanos < 0n ? -nanos : nanos, digits)}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function whole(value: number): string {
  return value.toLocaleString('en-US');
}

function minute(instant: string): string {
  return instant.slice(0, 16).replace('T', ' ');
}
