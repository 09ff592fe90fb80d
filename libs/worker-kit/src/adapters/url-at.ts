/** A path below a base URL, before its query: Azure's dated API has one (`.../deployments/NAME?api-version=...`). */
export function urlAt(baseUrl: string, path: string): string {
  const url = new URL(baseUrl);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
  return url.href;
}
