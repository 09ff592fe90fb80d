import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { WORKSPACE } from '@meritorder/launcher';
import { benchGateway } from './gateway-bench.js';

const program = new Command('npm run bench:gateway --')
  .description('What the gateway adds to a call, beside a minimal proxy and a peer, in one run.')
  .option('--peer <url>', 'another OpenAI-compatible gateway, ending in /v1, in front of --provider-port')
  .option('--peer-model <name>', 'what it calls the model', 'bench')
  .option('--peer-key <key>', 'its API key', 'none')
  .option('--concurrency <n>', 'callers, each with one request at a time', '16')
  .option('--stream', 'streams, measured to their first chunk')
  .option('--words <n>', 'of an answer; default 20, of a stream 200')
  .option('--tokens-per-second <n>', 'of each stream', '100')
  .option('--seconds <n>', 'for each target', '15')
  .option('--rounds <n>', 'in so many turns', '3')
  .option('--warm-up-seconds <n>', 'before each target', '10')
  .option('--provider-port <n>', 'of the simulated provider', '8123')
  .showHelpAfterError();
program.parse();
const options = program.opts<Record<string, string> & { stream?: boolean }>();

const dataDir = mkdtempSync(join(tmpdir(), 'meritorder-gateway-'));
chmodSync(dataDir, 0o755);
try {
  const { cpuMsPerRequestOf, peer, floor, ...own } = await benchGateway({
    concurrency: positive('concurrency'),
    stream: options.stream ?? false,
    words: options['words'] === undefined ? (options.stream ? 200 : 20) : positive('words'),
    tokensPerSecond: positive('tokensPerSecond'),
    seconds: positive('seconds'),
    rounds: positive('rounds'),
    providerPort: positive('providerPort'),
    warmUpSeconds: positive('warmUpSeconds'),
    peer: options['peer']
      ? { name: 'peer', url: options['peer'], apiKey: options['peerKey']!, model: options['peerModel']! }
      : undefined,
    dataDir,
    cacheDir: join(WORKSPACE, '.data', 'servers'),
    log: (line) => console.error(line),
  });
  console.table({ meritorder: own, floor, ...(peer ? { peer } : {}) });
  console.log('CPU of a request by process, ms:');
  console.table(cpuMsPerRequestOf);
  console.log(JSON.stringify({ ...own, cpuMsPerRequestOf, peer, floor }));
} catch (error) {
  console.error(`bench:gateway: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  rmSync(dataDir, { recursive: true, force: true });
}

function positive(name: string): number {
  const value = Number(options[name]);
  if (!(value > 0)) throw new Error(`--${name} must be above 0, not ${options[name]}`);
  return value;
}
