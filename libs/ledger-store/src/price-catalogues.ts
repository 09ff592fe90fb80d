import type { DataSource } from 'typeorm';

/** The catalogue that was handed over last, while the product comes with `bundled`. */
export async function importedCatalogue(
  source: DataSource,
  bundled: string,
): Promise<{ name: string; content: string } | undefined> {
  const rows: { name: string; content: string }[] = await source.query(
    `select name, content from price_catalogue where bundled = $1 order by id desc limit 1`,
    [bundled],
  );
  return rows[0];
}

export async function keepCatalogue(
  source: DataSource,
  catalogue: { name: string; bundled: string; content: string; by: string },
): Promise<void> {
  await source.query(`insert into price_catalogue (name, bundled, content, imported_by) values ($1, $2, $3, $4)`, [
    catalogue.name,
    catalogue.bundled,
    catalogue.content,
    catalogue.by,
  ]);
}
