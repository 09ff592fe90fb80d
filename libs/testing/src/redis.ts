import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { findServer } from './find-server.js';
import { startServer, type RunningServer, type StartOptions } from './running-server.js';

export interface RedisOptions extends StartOptions {
  /** Keeps what it was told across a restart. Default false: then a restart is a wipe. */
  appendOnly?: boolean | undefined;
  /** More arguments, as `['--maxmemory', '64mb']`; they win over ours. */
  args?: string[] | undefined;
}

/**
 * It never evicts: counters that vanish are money that vanishes.
 * @throws Error with one line.
 */
export async function startRedis(options: RedisOptions): Promise<RunningServer> {
  const binary = await findServer('redis', options);
  const dataDir = resolve(options.dataDir);
  return startServer({
    name: 'Redis',
    portSetting: 'MERITORDER_REDIS_PORT',
    dataDir,
    logFile: join(dataDir, 'redis.log'),
    port: options.port,
    url: (port) => `redis://127.0.0.1:${port}`,
    async prepare(port) {
      const settings: Record<string, string> = {
        port: String(port),
        bind: '127.0.0.1',
        dir: dataDir,
        'maxmemory-policy': 'noeviction',
        save: '',
        appendonly: options.appendOnly ? 'yes' : 'no',
      };
      const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
      return {
        command: binary.path,
        args: [...args, ...(options.args ?? [])],
        env: binary.env,
        stopSignal: 'TERM',
        cwd: dataDir,
      };
    },
    isReady: answers,
  });
}

/** PING fails while it reads its file; the pid tells our server from another one on the port. */
function answers(port: number, pid: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    const end = (ready: boolean): void => {
      socket.destroy();
      done(ready);
    };
    socket.setTimeout(2_000, () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    socket.once('connect', () => socket.write('PING\r\nINFO server\r\n'));
    socket.on('data', (chunk) => {
      text += String(chunk);
      // With a password it answers NOAUTH, and will not tell more.
      if (text.startsWith('-')) end(text.startsWith('-NOAUTH'));
      const found = /process_id:(\d+)\r/.exec(text);
      if (found) end(text.startsWith('+PONG') && Number(found[1]) === pid);
    });
  });
}
