import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '@meritorder/kernel';
import { Stack, startSimulator, stopChild, writeConfig } from '@meritorder/launcher';
import { percentile } from '../replay/percentile.js';
import { load, type LoadSettings, type LoadTarget, type Measured } from './load.js';
import { cpuMsOf } from './process-cpu.js';

export interface GatewayBenchSettings extends Omit<LoadSettings, 'spreadMs'> {
  /** Turns of every target, one after the other, so that what else the machine does meets all of them. */
  rounds: number;
  /** Of a stream: tokens, and chunks, a second. */
  tokensPerSecond: number;
  dataDir: string;
  cacheDir: string;
  providerPort: number;
  warmUpSeconds: number;
  peer: LoadTarget | undefined;
  log(line: string): void;
}

export interface TargetFigures {
  requestsPerSecond: number;
  /** More than the provider takes when it is asked itself, milliseconds: to the first chunk of a stream, or to the whole answer. */
  addedP50Ms: number;
  addedP99Ms: number;
  failed: number;
  /** Undefined: of a peer, whose processes are not ours. */
  cpuMsPerRequest?: number;
  cpuMicrosPerChunk?: number;
  chunksPerSecond?: number;
}

export interface GatewayFigures extends TargetFigures {
  /** Of the parts: milliseconds by process and request. */
  cpuMsPerRequestOf: Record<string, number>;
  cpuPerChunkOverFloor?: number;
  peer: TargetFigures | null;
  floor: TargetFigures;
}

const KEY = 'sk-bench';
const MODEL = 'bench';
/** Short answers to many at once, so that code is compiled before the first sample, as it is in a service that has run for a minute. */
const WARM_UP = { concurrency: 16, words: 5, spreadMs: 0 };
/** Those that a chunk passes. */
const ON_THE_PATH_OF_A_CHUNK = ['gateway', 'provider-worker', 'nats'];

interface Run {
  target: LoadTarget;
  /** Processes whose CPU time is counted, by name. */
  pids: Record<string, number>;
  total: Measured;
  cpuMs: Record<string, number>;
}

/** Measures the gateway, the floor and a peer in turns, in front of one simulated provider. */
export async function benchGateway(settings: GatewayBenchSettings): Promise<GatewayFigures> {
  const { dataDir, cacheDir, log, peer } = settings;
  mkdirSync(dataDir, { recursive: true });
  const stops: (() => Promise<void>)[] = [];
  try {
    const provider = await startSimulator(simulatorFile(settings), settings.providerPort);
    stops.push(() => provider.stop());
    const floor = await startFloor(provider.url);
    stops.push(() => stopChild(floor.child));
    log('starting the product');
    const stack = new Stack({
      configFile: configFile(settings, provider.url),
      dataDir,
      cacheDir,
      log: () => {},
      unsafe: true,
    });
    await stack.start();
    stops.push(() => stack.stop());
    const target = (name: string, url: string): LoadTarget => ({ name, url: `${url}/v1`, apiKey: KEY, model: MODEL });
    const runs = {
      direct: runOf(target('direct', provider.url)),
      floor: runOf(target('floor', floor.url), { floor: floor.child.pid! }),
      own: runOf(target('gateway', stack.gatewayUrl), {
        gateway: stack.of('gateway')[0]!.child.pid!,
        router: stack.of('router')[0]!.child.pid!,
        'provider-worker': stack.of('provider-worker')[0]!.child.pid!,
        metering: stack.of('metering')[0]!.child.pid!,
        nats: stack.nats.server!.pid!,
        redis: stack.redis.server!.pid!,
      }),
      ...(peer ? { peer: runOf(peer) } : {}),
    };
    for (const run of Object.values(runs))
      await load(run.target, { ...settings, ...WARM_UP, seconds: settings.warmUpSeconds });
    const spreadMs = settings.stream ? (settings.words / settings.tokensPerSecond) * 1_000 : 0;
    for (let round = 0; round < settings.rounds; round++)
      for (const run of Object.values(runs)) {
        log(`round ${round + 1}: ${run.target.name}`);
        await measure(run, { ...settings, spreadMs, seconds: settings.seconds / settings.rounds });
      }
    return figures(runs, settings.stream);
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
}

async function measure(run: Run, settings: LoadSettings): Promise<void> {
  const before = Object.entries(run.pids).map(([name, pid]) => [name, cpuMsOf(pid)] as const);
  const measured = await load(run.target, settings);
  for (const [name, ms] of before) run.cpuMs[name] = (run.cpuMs[name] ?? 0) + cpuMsOf(run.pids[name]!) - ms;
  const { total } = run;
  total.requests += measured.requests;
  total.chunks += measured.chunks;
  total.seconds += measured.seconds;
  total.failed += measured.failed;
  total.latenciesMs.push(...measured.latenciesMs);
}

function figures(runs: { direct: Run; floor: Run; own: Run; peer?: Run }, stream: boolean): GatewayFigures {
  const of = (run: Run): TargetFigures => figuresOf(run, runs.direct, stream);
  const [own, floor] = [of(runs.own), of(runs.floor)];
  const perRequest = Object.entries(runs.own.cpuMs).map(([name, ms]) => [name, round(ms / runs.own.total.requests)]);
  return {
    ...own,
    cpuMsPerRequestOf: Object.fromEntries(perRequest) as Record<string, number>,
    ...(stream ? { cpuPerChunkOverFloor: round(own.cpuMicrosPerChunk! / floor.cpuMicrosPerChunk!) } : {}),
    peer: runs.peer ? of(runs.peer) : null,
    floor,
  };
}

function figuresOf({ total, cpuMs, pids }: Run, direct: Run, stream: boolean): TargetFigures {
  const added = (p: number): number =>
    round(percentile(total.latenciesMs, p) - percentile(direct.total.latenciesMs, p));
  const sum = (names: string[]): number => names.reduce((ms, name) => ms + (cpuMs[name] ?? 0), 0);
  const names = Object.keys(pids);
  const onPath = names.includes('floor') ? names : ON_THE_PATH_OF_A_CHUNK;
  return {
    requestsPerSecond: round(total.requests / total.seconds),
    addedP50Ms: added(50),
    addedP99Ms: added(99),
    failed: total.failed,
    ...(names.length === 0
      ? {}
      : {
          cpuMsPerRequest: round(sum(names) / total.requests),
          ...(stream ? { cpuMicrosPerChunk: round((sum(onPath) * 1_000) / total.chunks) } : {}),
        }),
    ...(stream ? { chunksPerSecond: round(total.chunks / total.seconds) } : {}),
  };
}

function runOf(target: LoadTarget, pids: Record<string, number> = {}): Run {
  return { target, pids, total: { requests: 0, chunks: 0, seconds: 0, latenciesMs: [], failed: 0 }, cpuMs: {} };
}

function simulatorFile({ dataDir, stream, tokensPerSecond }: GatewayBenchSettings): string {
  const file = join(dataDir, 'provider.json');
  const speed = stream ? { outputTokensPerSecond: tokensPerSecond, wordsPerChunk: 1 } : {};
  const model = { prices: { input: '1', output: '2' }, ...speed };
  writeFileSync(file, JSON.stringify({ name: 'bench', models: { [MODEL]: model } }));
  return file;
}

function configFile({ dataDir }: GatewayBenchSettings, url: string): string {
  return writeConfig(dataDir, {
    version: 1,
    orgs: [{ id: 'acme', keys: [{ id: 'bench', sha256: sha256Hex(KEY) }] }],
    backends: [
      {
        id: MODEL,
        kind: 'cloud',
        provider: 'bench',
        model: MODEL,
        baseUrl: `${url}/v1`,
        contextTokens: 100_000,
        maxOutputTokens: 10_000,
        capabilities: ['streaming'],
        maxConcurrency: 10_000,
        catalogue: false,
        prices: [
          {
            effectiveFrom: '2025-01-01T00:00:00Z',
            cash: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' },
          },
        ],
      },
    ],
    budgets: [{ id: 'all', selector: { org: 'acme' }, window: 'month', limitUsd: '1000000' }],
    limits: { requestsInFlightPerGateway: 20_000, requestsInFlightPerKey: 20_000, requestsInFlightPerRouter: 20_000 },
  });
}

async function startFloor(upstream: string) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'floor-proxy.js'), upstream], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (data: Buffer) => resolve(data.toString().trim()));
    child.once('exit', (code) => reject(new Error(`the floor proxy ended with ${code}`)));
  });
  return { child, url };
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
