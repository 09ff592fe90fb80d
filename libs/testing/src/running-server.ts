import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { assertFolderFree, claimFolder } from './data-folder.js';
import type { FindOptions } from './find-server.js';
import { assertPortFree, freePort, portInUse } from './ports.js';
import { launch, type LaunchOptions, type ServerProcess } from './server-process.js';

export interface StartOptions extends FindOptions {
  /** Everything the server keeps, its log and its generated configuration; made when missing. */
  dataDir: string;
  /** 0 or undefined: any free port. */
  port?: number | undefined;
}

export interface RunningServer {
  /** Where clients connect, on 127.0.0.1. */
  readonly url: string;
  readonly port: number;
  /** Of the server itself; another one after `restart`. */
  readonly pid: number;
  readonly dataDir: string;
  readonly logFile: string;
  readonly process: ServerProcess;
  /** Ends it in order. May be called again. */
  stop(): Promise<void>;
  /** kill -9; `restart` brings it back. */
  kill(): Promise<void>;
  /** Stops it where it runs, and starts it on the same port and data. */
  restart(): Promise<void>;
}

/** What is special about one kind of server. */
export interface Blueprint {
  name: string;
  /** What to set when the port is taken. */
  portSetting: string;
  dataDir: string;
  logFile: string;
  port: number | undefined;
  url(port: number): string;
  /** Writes what the server needs before a start, and says how to start it. */
  prepare(port: number): Promise<Omit<LaunchOptions, 'logFile'>>;
  /** Whether the server with this pid (not another one on the same port) takes requests. */
  isReady(port: number, pid: number): boolean | Promise<boolean>;
  /** Text in the log of a failed start after which another attempt makes sense. */
  transient?: RegExp;
}

/** A stream of a large journal, or of a database after a crash, takes a while to read again. */
const READY_LIMIT_MS = 120_000;
const TRANSIENT_LIMIT_MS = 15_000;
const PORT_ATTEMPTS = 5;
const PORT_TAKEN = /address already in use|could not bind|cannot assign requested/i;

/** @throws Error with one line: the port is taken, the folder is in use, or the end of the server's log. */
export async function startServer(blueprint: Blueprint): Promise<RunningServer> {
  mkdirSync(blueprint.dataDir, { recursive: true });
  await assertFolderFree(blueprint.dataDir);
  let port = blueprint.port ?? 0;
  let server: ServerProcess;
  if (port > 0) {
    await assertPortFree(port, blueprint.name, blueprint.portSetting);
    server = await startOn(blueprint, port);
  } else {
    [server, port] = await startOnFreePort(blueprint);
  }
  return {
    url: blueprint.url(port),
    port,
    dataDir: blueprint.dataDir,
    logFile: blueprint.logFile,
    get pid() {
      return server.pid;
    },
    get process() {
      return server;
    },
    stop: () => server.stop(),
    kill: () => server.kill(),
    async restart() {
      await server.stop();
      server = await startOn(blueprint, port);
    },
  };
}

/** Between the look and the start somebody else may take the port. */
async function startOnFreePort(blueprint: Blueprint): Promise<[ServerProcess, number]> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return [await startOn(blueprint, port), port];
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

class PortTaken extends Error {}

async function startOn(blueprint: Blueprint, port: number): Promise<ServerProcess> {
  const deadline = Date.now() + TRANSIENT_LIMIT_MS;
  for (;;) {
    const before = existsSync(blueprint.logFile) ? statSync(blueprint.logFile).size : 0;
    const launchOptions = { ...(await blueprint.prepare(port)), logFile: blueprint.logFile };
    const server = await launch(launchOptions);
    if (server.pid > 0) claimFolder(blueprint.dataDir, server.pid, launchOptions.command);
    if (await waitUntilReady(blueprint, port, server)) return server;
    const said = textFrom(blueprint.logFile, before);
    if (PORT_TAKEN.test(said)) throw new PortTaken(portInUse(port, blueprint.name, blueprint.portSetting).message);
    if (!blueprint.transient?.test(said) || Date.now() > deadline) {
      throw new Error(
        `${basename(launchOptions.command)} ended at its start: ${oneLine(said)}; see ${blueprint.logFile}`,
      );
    }
    await delay(200);
  }
}

/** False when it ended. */
async function waitUntilReady(blueprint: Blueprint, port: number, server: ServerProcess): Promise<boolean> {
  const deadline = Date.now() + READY_LIMIT_MS;
  for (;;) {
    if (server.hasExited()) return false;
    if (await blueprint.isReady(port, server.pid)) return !server.hasExited();
    if (Date.now() > deadline) {
      await server.stop();
      throw new Error(
        `${blueprint.name} was not ready on port ${port} within ${READY_LIMIT_MS / 1000} s; see ${blueprint.logFile}`,
      );
    }
    await Promise.race([delay(15), server.exited]);
  }
}

/** The end of a log in one line. */
export function lastLines(file: string, count = 3): string {
  return existsSync(file) ? oneLine(readFileSync(file, 'utf8'), count) : 'no log';
}

function oneLine(text: string, count = 3): string {
  const lines = text.trim().split('\n').slice(-count).join(' | ').slice(-600);
  return lines === '' ? 'it printed nothing' : lines;
}

/** What was written after a position; of much, the end. */
function textFrom(file: string, position: number): string {
  const handle = openSync(file, 'r');
  try {
    const { size } = fstatSync(handle);
    const start = Math.max(position, size - 64 * 1024);
    const text = Buffer.alloc(Math.max(0, size - start));
    readSync(handle, text, 0, text.length, start);
    return text.toString('utf8');
  } finally {
    closeSync(handle);
  }
}
