/** An estimate in dollars for people: three digits, never more than a nano-dollar deep. */
export function money(usd: number): string {
  if (usd === 0) return '$0';
  const digits = Math.min(9, Math.max(2, 2 - Math.floor(Math.log10(Math.abs(usd)))));
  return `$${Number(usd.toFixed(digits))}`;
}
