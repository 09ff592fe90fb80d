import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const FETCH_LIMIT_MS = 180_000;
const LISTS_FRESH_MS = 60 * 60_000;

/**
 * apt-get as any user: first with the machine's package lists, then, where there are none or they are too old for the mirror,
 * with lists of our own.
 */
export class Apt {
  private own: string[] = [];

  constructor(
    private readonly stateDir: string,
    private readonly log: (line: string) => void,
  ) {}

  /** Downloads packages into a folder. @throws Error in one line. */
  async download(packages: string[], into: string): Promise<void> {
    await this.attempt(() => this.apt('apt-get', ['download', ...packages], into));
  }

  /** Downloads the first of several packages that exists. @throws Error in one line. */
  async downloadFirst(packages: string[], into: string): Promise<void> {
    await this.attempt(async () => {
      let last = new Error('no package to download');
      for (const name of packages) {
        try {
          return await this.apt('apt-get', ['download', name], into);
        } catch (error) {
          last = error as Error;
        }
      }
      throw last;
    });
  }

  /** The first package that another one depends on and whose name matches. */
  async dependency(of: string, matching: RegExp): Promise<string> {
    return this.attempt(async () => {
      const text = await this.apt('apt-cache', ['depends', of], this.stateDir);
      const found = [...text.matchAll(/Depends: (\S+)/g)].map((match) => match[1]!).find((name) => matching.test(name));
      if (!found) throw new Error(`the package ${of} is unknown`);
      return found;
    });
  }

  private async attempt<T>(action: () => Promise<T>): Promise<T> {
    mkdirSync(this.stateDir, { recursive: true });
    try {
      return await action();
    } catch (error) {
      if (this.own.length > 0) throw error;
    }
    const updating = await this.useOwnLists();
    try {
      return await action();
    } catch (error) {
      // An update that failed for one source may have brought what is needed from another.
      throw updating ?? error;
    }
  }

  private async useOwnLists(): Promise<Error | undefined> {
    const lists = join(this.stateDir, 'lists');
    const fresh = join(this.stateDir, 'updated');
    const cache = join(this.stateDir, 'cache');
    for (const folder of [join(lists, 'partial'), join(cache, 'archives', 'partial')])
      mkdirSync(folder, { recursive: true });
    const places = [`Dir::State=${this.stateDir}`, `Dir::State::Lists=${lists}`, `Dir::Cache=${cache}`];
    const frugal = ['Acquire::Languages=none', 'Acquire::GzipIndexes=true'];
    this.own = [...places, ...frugal].flatMap((setting) => ['-o', setting]);
    if (existsSync(fresh) && Date.now() - statSync(fresh).mtimeMs < LISTS_FRESH_MS) return undefined;
    try {
      this.log('reading the package lists (apt-get update, kept in our own folder)');
      await this.apt('apt-get', ['update'], this.stateDir);
      writeFileSync(fresh, '');
      utimesSync(fresh, new Date(), new Date());
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  private async apt(program: 'apt-get' | 'apt-cache', args: string[], cwd: string): Promise<string> {
    // The sandbox user of apt cannot write into our folder; as an ordinary user there is none.
    const settings = ['APT::Sandbox::User=root', 'Acquire::Retries=2', 'Acquire::http::Timeout=20'];
    // By default a mirror that cannot be reached is only a warning.
    const common = [...settings, 'APT::Update::Error-Mode=any'].flatMap((setting) => ['-o', setting]);
    try {
      const { stdout } = await run(program, [...common, ...this.own, ...args], {
        cwd,
        timeout: FETCH_LIMIT_MS,
        maxBuffer: 64 * 1024 * 1024,
        env: { ...process.env, LC_ALL: 'C' },
      });
      return stdout;
    } catch (error) {
      const { stderr = '', message, killed } = error as Error & { stderr?: string; killed?: boolean };
      const said = stderr
        .split('\n')
        .filter((line) => line.startsWith('E: '))
        .map((line) => line.slice(3));
      const why = killed
        ? `took longer than ${FETCH_LIMIT_MS / 1000} s`
        : (said[0] ?? stderr.trim().split('\n')[0] ?? '');
      throw new Error(`${program} ${args.join(' ')}: ${why || message.split('\n')[0]}`);
    }
  }
}
