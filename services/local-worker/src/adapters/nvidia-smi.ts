import { execFile } from 'node:child_process';
import { MeterUnreadable, NVIDIA_SMI_ARGUMENTS, parseNvidiaSmi, type Meter } from '../application/power-meters.js';

const TIMEOUT_MS = 4_000;

/** The GPUs' own power, through the tool that comes with their driver. @param program another one that speaks like it. */
export function nvidiaSmi(gpus: number, program = 'nvidia-smi', timeoutMs = TIMEOUT_MS): Meter {
  return {
    name: 'nvidia-smi',
    read: async () => parseNvidiaSmi(await run(program, timeoutMs), gpus),
  };
}

function run(program: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...NVIDIA_SMI_ARGUMENTS],
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1_000_000 },
      (error, stdout) => {
        if (!error) return resolve(stdout);
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'ENOENT') return reject(new MeterUnreadable(`${program} is not installed here`));
        if (error.killed) return reject(new MeterUnreadable(`${program} did not answer in ${timeoutMs} ms`));
        reject(new MeterUnreadable(`${program} failed: ${error.message.split('\n')[0]}`));
      },
    );
  });
}
