// node duckdb.mjs FILE: runs the SQL in FILE and prints one line for each row of what it finds.
import { readFileSync } from "node:fs";
import { DuckDBInstance } from "@duckdb/node-api";

const connection = await (await DuckDBInstance.create(":memory:")).connect();
const found = await connection.runAndReadAll(readFileSync(process.argv[2], "utf8"));
for (const row of found.getRows()) {
  console.log(row.map((cell) => (cell?.items ?? [cell]).join(" ")).join(" "));
}
