import type { Command } from 'commander';
import {
  HardwareReply,
  subjects,
  type HardwareBackend,
  type HardwareBreakEven,
  type HardwareRequest,
  type HardwareRow,
} from '@meritorder/contracts';
import { formatDecimal } from '@meritorder/kernel';
import type { NatsConnection } from '@nats-io/transport-node';
import { table } from './table.js';

type Ask = <T>(run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

/** `meritorder hardware`: what own hardware cost in a month, what of it was charged, and whether it pays. */
export function hardwareCommand(program: Command, withOperator: Ask): void {
  program
    .command('hardware')
    .description(
      'what own hardware cost: incurred, allocated and idle, planned against actual, unit prices, break-even',
    )
    .option('--host <id>', 'only this host')
    .option('--month <YYYY-MM>', 'UTC; default: the current one')
    .option('--json', 'the reply as JSON')
    .action(async ({ json, ...request }: HardwareRequest & { json?: boolean }) => {
      const rows = await withOperator((nats) => askMetering(nats, request));
      console.log(json ? JSON.stringify(rows, null, 2) : hardwareText(rows));
    });
}

async function askMetering(nats: NatsConnection, request: HardwareRequest): Promise<HardwareRow[]> {
  let answer: unknown;
  try {
    answer = (await nats.request(subjects.meteringHardware(), JSON.stringify(request), { timeout: 30_000 })).json();
  } catch (error) {
    throw new Error(`metering does not answer: ${(error as Error).message}; is it running?`);
  }
  const reply = HardwareReply.parse(answer);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply.rows;
}

/** The report for people. */
export function hardwareText(rows: readonly HardwareRow[]): string {
  if (rows.length === 0) return 'the configuration has no hosts';
  return rows.map(hostText).join('\n\n');
}

const LABELS: Record<string, string> = {
  idlePower: 'idle power',
  unusedCapacity: 'unused capacity',
  rate: 'engine slower (-: faster) than prices assume',
  energy: 'energy and wear against the plan',
  spending: 'other cost against the plan',
  price: 'charged at other prices, and rounding',
};

function hostText(row: HardwareRow): string {
  const idle = BigInt(row.idleNanos);
  const money: string[][] = [
    ['incurred', usd(row.incurredNanos)],
    ...lines(row.incurred),
    [
      `allocated to ${row.attempts} attempts${row.lateAttempts > 0 ? `, ${row.lateAttempts} of them late` : ''}`,
      usd(row.allocatedNanos),
    ],
    [idle < 0n ? 'over-absorbed' : 'idle', usd((idle < 0n ? -idle : idle).toString())],
    ['  planned against actual: incurred less allocated', usd(row.idleNanos)],
    ...lines(row.variances),
  ];
  return [
    `${row.host}${row.name === row.host ? '' : ` (${row.name})`}, ${row.from.slice(0, 7)}: ${row.hoursClosed} hours closed`,
    table(['', 'USD'], money, { right: [1] }),
    useText(row),
    powerText(row),
    `a GPU-hour costs $${short(row.marginalUsdPerGpuHour)} more when it is busy (marginal), ` +
      (row.fullUsdPerGpuHour === null
        ? 'has no full price for want of capacity'
        : `$${short(row.fullUsdPerGpuHour)} with its share of everything (full)`) +
      (row.absorbedAtActualUseUsdPerGpuHour === null
        ? ''
        : `; spread over actual use it was $${short(row.absorbedAtActualUseUsdPerGpuHour)}`),
    ...(row.backends.length > 0 ? [backendsTable(row.backends)] : []),
    ...row.backends.flatMap((backend) => [
      ...speedText(backend),
      ...backend.breakEven.map((b) => breakEvenText(backend, b)),
    ]),
  ].join('\n');
}

/** Lines that have anything. */
function lines(amounts: Record<string, string>): string[][] {
  return Object.entries(amounts)
    .filter(([, nanos]) => nanos !== '0')
    .map(([name, nanos]) => [`    ${LABELS[name] ?? name}`, usd(nanos)]);
}

function useText({ gpuHours: { available, practical, standard, busy } }: HardwareRow): string {
  const share = available > 0 ? ` (${percent(busy / available)} of available time)` : '';
  return (
    `busy ${busy.toFixed(1)} GPU-hours${share}, ${standard.toFixed(1)} at the rates that prices rest on; ` +
    `practical capacity ${practical.toFixed(1)} of ${available.toFixed(1)}`
  );
}

function powerText({ energy }: HardwareRow): string {
  const { measuredHours, partlyMeasuredHours, configuredHours, measuredKilowattHours, gpuUtilization } = energy;
  const known = [
    measuredHours > 0 ? `measured in ${measuredHours} hours` : '',
    partlyMeasuredHours > 0 ? `partly measured in ${partlyMeasuredHours}` : '',
    configuredHours > 0 ? `as configured in ${configuredHours}` : '',
  ].filter(Boolean);
  if (known.length === 0) return 'power: nothing yet';
  const meters = measuredKilowattHours > 0 ? `; ${measuredKilowattHours.toFixed(2)} kWh by the meters` : '';
  const gpus = gpuUtilization === null ? '' : `, whose GPUs say they were busy ${percent(gpuUtilization)} of the time`;
  return `power: ${known.join(', ')}${meters}${gpus}`;
}

function backendsTable(backends: readonly HardwareBackend[]): string {
  const prices = (of: HardwareBackend['full']): string[] =>
    of
      ? [of.inputUsdPerMillionTokens, of.cacheReadUsdPerMillionTokens, of.outputUsdPerMillionTokens].map(short)
      : ['-', '-', '-'];
  return table(
    ['USD per 1M tokens', 'attempts', 'full: input', 'cached', 'output', 'marginal: input', 'cached', 'output'],
    backends.map((b) => [b.backend, String(b.attempts), ...prices(b.full), ...prices(b.marginal)]),
    { right: [1, 2, 3, 4, 5, 6, 7] },
  );
}

function speedText({ backend, throughput }: HardwareBackend): string[] {
  if (!throughput) return [`${backend}: no throughput is configured, so its busy time and break-even are unknown`];
  const { prefillTokensPerSecond, prefillBasis, decodeTokensPerSecond, decodeBasis, batch, attempts } = throughput;
  return [
    `${backend}: prefill ${whole(prefillTokensPerSecond)} tokens/s (${prefillBasis}), decode ${whole(decodeTokensPerSecond)} tokens/s at batch ${batch} (${decodeBasis})` +
      (attempts > 0 ? `, from ${attempts} attempts` : ''),
  ];
}

function breakEvenText(
  { backend, mix }: HardwareBackend,
  { cloud, verdict, use, cloudUsd, marginalUsd }: HardwareBreakEven,
): string {
  const share = percent(use ?? 0);
  const says = {
    from: `pays from ${share} of available time on`,
    'beyond-full-use': `does not pay even at full use (it would from ${share})`,
    never: 'never pays',
  }[verdict];
  return (
    `${backend} against ${cloud}: ${says}, at equal quality; 1M tokens (${percent(mix.inputTokens / 1e6)} input, ` +
    `${percent(mix.cacheReadTokens / 1e6)} cached, ${percent(mix.outputTokens / 1e6)} output) are $${short(cloudUsd)} there and add $${short(marginalUsd)} here`
  );
}

function usd(nanos: string): string {
  return formatDecimal(BigInt(nanos), 9).replace(/(\.\d{4}\d*?)0+$/, '$1');
}

/** At least two digits after the point, and no more than say something. */
function short(text: string): string {
  const [whole, fraction = ''] = text.split('.');
  return `${whole}.${fraction.replace(/0+$/, '').padEnd(2, '0')}`;
}

function whole(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
