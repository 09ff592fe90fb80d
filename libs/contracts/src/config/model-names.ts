interface Served {
  provider: string;
  model: string;
  modelAliases: readonly string[];
}

/** `gpt-4.1` and `openai/gpt-4.1`, and what else its provider calls it: applications that move over name the model as they did. */
function namesOf({ provider, model, modelAliases }: Served): Set<string> {
  return new Set([model, ...modelAliases].flatMap((name) => [name, `${provider}/${name}`]));
}

/**
 * Backends by what their providers call their models. One name may be of several: they stand for one another where one provider
 * has them all (another host, a batch); a name of several providers' is none, for who asks for it may mean one of them.
 */
export function backendsByModel<B extends Served>(backends: readonly B[]): Map<string, B[] | 'ambiguous'> {
  const byName = new Map<string, B[] | 'ambiguous'>();
  for (const backend of backends)
    for (const name of namesOf(backend)) {
      const known = byName.get(name) ?? [];
      if (known === 'ambiguous' || known.some(({ provider }) => provider !== backend.provider))
        byName.set(name, 'ambiguous');
      else byName.set(name, [...known, backend]);
    }
  return byName;
}
