import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { MeritorderConfig } from './meritorder-config.js';

/** A configuration that cannot be used; the message names file, line, field and what is wrong with it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Parses and checks a configuration. `${NAME}` and `${NAME:-default}` are taken from the environment.
 * @throws ConfigError with one line per problem (at most ten).
 */
export function parseConfig(
  text: string,
  file: string,
  env: Record<string, string | undefined> = process.env,
): MeritorderConfig {
  const lines = new LineCounter();
  const document = parseDocument(substitute(text, file, env), { lineCounter: lines, uniqueKeys: true });
  const broken = document.errors[0];
  if (broken) {
    throw new ConfigError(`${file}:${broken.linePos?.[0].line ?? 1}: not valid YAML: ${broken.message.split('\n')[0]}`);
  }
  const result = MeritorderConfig.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, 10).map((issue) => {
    const path = issue.path.map(String);
    let node: unknown;
    for (let depth = path.length; depth >= 0 && !node; depth--)
      node = document.getIn(issue.path.slice(0, depth) as string[], true);
    const offset = (node as { range?: [number, number, number] } | undefined)?.range?.[0] ?? 0;
    return `${file}:${lines.linePos(offset).line}: ${path.join('.') || 'the file'}: ${issue.message}`;
  });
  throw new ConfigError(problems.join('\n'));
}

/** Reads `meritorder.yaml`. @throws ConfigError when it cannot be read or used. */
export function loadConfig(file: string): MeritorderConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(
      `${file}: cannot be read (${(error as NodeJS.ErrnoException).code}); name another with MERITORDER_CONFIG or --config`,
    );
  }
  return parseConfig(text, file);
}

function substitute(text: string, file: string, env: Record<string, string | undefined>): string {
  return text.replace(
    /\$\{([A-Z][A-Z0-9_]*)(?::-([^}\n]*))?\}/g,
    (_whole, name: string, otherwise: string | undefined) => {
      const value = env[name] ?? otherwise;
      if (value === undefined)
        throw new ConfigError(`${file}: \${${name}} is not in the environment and has no default`);
      return value;
    },
  );
}
