/** An estimate in dollars for people: cents where there are dollars, three digits where there are none, to a nano-dollar. */
export function money(usd: number): string {
  if (Math.abs(usd) >= 0.995) return `$${usd.toFixed(2).replace(/\.00$/, '')}`;
  return `$${Number(Number(usd.toPrecision(3)).toFixed(9))}`;
}
