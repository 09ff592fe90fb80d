import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { WORKSPACE, stopChild } from './stack.js';

export interface Simulator {
  url: string;
  child: ChildProcess;
  stop(): Promise<void>;
}

/** Starts the provider simulator as the separate program that it is. */
export async function startSimulator(configFile: string, port: number): Promise<Simulator> {
  const child = spawn(
    process.execPath,
    [
      join(WORKSPACE, 'tools/provider-simulator/dist/main.js'),
      '--config',
      configFile,
      '--port',
      String(port),
      // However we end, also by kill -9.
      '--stop-with-stdin',
    ],
    {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  let text = '';
  const url = await new Promise<string>((resolve, reject) => {
    const hear = (data: Buffer): void => {
      text += data.toString();
      const found = /http:\/\/[\d.:]+/.exec(text);
      if (found) resolve(found[0]);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', (data: Buffer) => (text += data.toString()));
    child.once('exit', () =>
      reject(new Error(`the provider simulator ended at its start: ${text.trim().split('\n')[0]}`)),
    );
  });
  return { url, child, stop: () => stopChild(child) };
}
