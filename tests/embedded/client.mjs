// The vendor's client against coldpath-chdb: what it does against a server, it must be able to do here.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test, after } from "node:test";
import { createClient, ClickHouseError, ClickHouseLogLevel } from "@clickhouse/client";

const access = {
  url: process.env.CHDB_URL,
  username: process.env.CHDB_USER,
  password: process.env.CHDB_PASSWORD,
  log: { level: ClickHouseLogLevel.OFF },
};
const client = createClient(access);
const compressing = createClient({ ...access, compression: { request: true, response: true } });
after(() => Promise.all([client.close(), compressing.close()]));

async function table(name, columns = "id UInt32, name String") {
  await client.command({ query: `CREATE OR REPLACE TABLE ${name} (${columns}) ENGINE = MergeTree ORDER BY tuple()` });
  return name;
}

async function json(query, options = {}) {
  const result = await client.query({ query, format: "JSONEachRow", ...options });
  return result.json();
}

async function fails(promise, code, type) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof ClickHouseError, String(error));
    assert.equal(error.code, String(code));
    assert.equal(error.type, type);
    return true;
  });
}

test("ping", async () => {
  assert.deepEqual(await client.ping(), { success: true });
  assert.deepEqual(await client.ping({ select: true }), { success: true });
  const nobody = createClient({ ...access, url: "http://127.0.0.1:1" });
  assert.equal((await nobody.ping()).success, false);
  await nobody.close();
});

test("insert an array of objects", async () => {
  await table("objects");
  const rows = [{ id: 1, name: "a" }, { id: 2, name: "ä \\ ' \n" }];
  const { executed, query_id, summary } = await client.insert({ table: "objects", values: rows, format: "JSONEachRow" });
  assert.equal(executed, true);
  assert.match(query_id, /^[0-9a-f-]{36}$/);
  assert.equal(summary.written_rows, "2");
  assert.deepEqual(await json("SELECT * FROM objects ORDER BY id"), rows);
});

test("insert of nothing is not sent", async () => {
  await table("nothing");
  assert.equal((await client.insert({ table: "nothing", values: [], format: "JSONEachRow" })).executed, false);
});

test("insert a stream of objects", async () => {
  await table("streamed");
  function* rows() {
    for (let id = 0; id < 200_000; id++) yield { id, name: `n${id}` };
  }
  const values = Readable.from(rows(), { objectMode: true });
  await client.insert({ table: "streamed", values, format: "JSONEachRow" });
  assert.deepEqual(await json("SELECT count() AS c, sum(id) AS s FROM streamed"), [{ c: 200000, s: 19999900000 }]);
});

test("insert CSV and TSV streams, named columns, compact rows", async () => {
  await table("texts");
  await client.insert({ table: "texts", values: Readable.from(["1,a\n2,", '"b,c"\n'], { objectMode: false }), format: "CSV" });
  await client.insert({ table: "texts", values: Readable.from(["3\td\n"], { objectMode: false }), format: "TabSeparated" });
  await client.insert({ table: "texts", values: [{ name: "e" }], columns: ["name"], format: "JSONEachRow" });
  await client.insert({ table: "texts", values: [[5, "f"]], format: "JSONCompactEachRow" });
  assert.deepEqual((await json("SELECT groupConcat('|')(concat(id::String, name)) AS x FROM (SELECT * FROM texts ORDER BY id)"))[0].x,
    "0e|1a|2b,c|3d|5f");
});

test("insert and select with compression both ways", async () => {
  await table("compressed");
  const rows = Array.from({ length: 50_000 }, (_, id) => ({ id, name: "x".repeat(id % 50) }));
  await compressing.insert({ table: "compressed", values: rows, format: "JSONEachRow" });
  const result = await compressing.query({ query: "SELECT * FROM compressed ORDER BY id", format: "JSONEachRow" });
  assert.match(String(result.response_headers["content-encoding"]), /gzip|zstd/);
  assert.deepEqual(await result.json(), rows);
  await fails(compressing.query({ query: "SELECT nope" }), 47, "UNKNOWN_IDENTIFIER");
});

test("select as JSON with its statistics", async () => {
  const result = await client.query({ query: "SELECT number AS n FROM numbers(3)", format: "JSON" });
  const body = await result.json();
  assert.deepEqual(body.data.map((row) => Number(row.n)), [0, 1, 2]);
  assert.equal(body.rows, 3);
  assert.deepEqual(body.meta, [{ name: "n", type: "UInt64" }]);
  assert.equal(result.response_headers["x-clickhouse-format"], "JSON");
});

test("select in every text format the client knows", async () => {
  for (const format of ["CSV", "CSVWithNames", "TabSeparated", "TabSeparatedWithNamesAndTypes", "CustomSeparated"]) {
    const result = await client.query({ query: "SELECT 1 AS a, 'x' AS b", format });
    assert.match(await result.text(), /1[,\t]"?x"?\n$/);
  }
  for (const format of ["JSONObjectEachRow", "JSONCompact", "JSONStrings", "JSONColumnsWithMetadata"]) {
    const result = await client.query({ query: "SELECT 1 AS a, 'x' AS b", format });
    assert.equal(typeof (await result.json()), "object");
  }
});

test("select as a stream", async () => {
  const result = await client.query({ query: "SELECT number FROM numbers(300000)", format: "JSONCompactEachRow" });
  let rows = 0;
  let sum = 0;
  for await (const piece of result.stream()) {
    for (const row of piece) {
      rows++;
      sum += Number(row.json()[0]);
    }
  }
  assert.equal(rows, 300000);
  assert.equal(sum, (299999 * 300000) / 2);
});

test("query parameters of many types", async () => {
  const query_params = { n: 42, s: "it's a \\ \t tab\n", a: [1, 2, 3], none: null, when: new Date(Date.UTC(2026, 0, 2, 3, 4, 5)), m: { k: 1 }, t: true };
  const rows = await json(
    `SELECT {n:UInt32} AS n, {s:String} AS s, {a:Array(UInt8)} AS a, {none:Nullable(String)} AS none,
            toString({when:DateTime('UTC')}) AS when, {m:Map(String, UInt8)} AS m, {t:Bool} AS t`,
    { query_params });
  assert.deepEqual(rows, [{ ...query_params, when: "2026-01-02 03:04:05" }]);
  await fails(client.query({ query: "SELECT {gone:UInt8}" }), 456, "UNKNOWN_QUERY_PARAMETER");
});

test("settings and query id", async () => {
  const result = await client.query({
    query: "SELECT getSetting('max_block_size') AS x", format: "JSONEachRow", query_id: "the-id",
    clickhouse_settings: { max_block_size: "1234", wait_end_of_query: 1 },
  });
  assert.equal(result.query_id, "the-id");
  assert.equal(Number((await result.json())[0].x), 1234);
  await fails(client.query({ query: "SELECT 1", clickhouse_settings: { no_such_setting: 1 } }), 115, "UNKNOWN_SETTING");
});

test("command, exec and database", async () => {
  assert.match((await client.command({ query: "CREATE DATABASE IF NOT EXISTS other" })).query_id, /.+/);
  const other = createClient({ ...access, database: "other" });
  await other.command({ query: "CREATE OR REPLACE TABLE here (id UInt8) ENGINE = Memory" });
  await other.insert({ table: "here", values: [{ id: 7 }], format: "JSONEachRow" });
  const { stream } = await other.exec({ query: "SELECT * FROM here FORMAT TabSeparated" });
  assert.equal((await stream.setEncoding("utf8").toArray()).join(""), "7\n");
  assert.equal((await json("SELECT count() AS c FROM other.here"))[0].c, 1);
  await other.close();
});

test("session with a temporary table", async () => {
  const session = createClient({ ...access, session_id: "client-session" });
  await session.command({ query: "CREATE TEMPORARY TABLE mine (a UInt8)" });
  await session.insert({ table: "mine", values: [{ a: 3 }], format: "JSONEachRow" });
  const result = await session.query({ query: "SELECT a FROM mine", format: "JSONEachRow" });
  assert.deepEqual(await result.json(), [{ a: 3 }]);
  await fails(client.query({ query: "SELECT a FROM mine" }), 60, "UNKNOWN_TABLE");
  await session.close();
});

test("errors carry the server's code and name", async () => {
  await fails(client.query({ query: "selec" }), 62, "SYNTAX_ERROR");
  await fails(client.query({ query: "SELECT * FROM gone" }), 60, "UNKNOWN_TABLE");
  await fails(client.command({ query: "SELECT throwIf(1)" }), 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO");
  await fails(client.insert({ table: "gone", values: [{ id: 1 }], format: "JSONEachRow" }), 60, "UNKNOWN_TABLE");
  await table("typed");
  await fails(client.insert({ table: "typed", values: [{ id: "x" }], format: "JSONEachRow" }), 27,
    "CANNOT_PARSE_INPUT_ASSERTION_FAILED");
  await fails(client.query({ query: "SELECT sleep(3)", clickhouse_settings: { max_execution_time: 1 } }), 159,
    "TIMEOUT_EXCEEDED");
});

test("an error in the middle of a stream reaches the reader", async () => {
  const result = await client.query({ query: "SELECT throwIf(number = 900000) AS n FROM numbers(1000000)", format: "JSONEachRow" });
  const read = async () => {
    let rows = 0;
    for await (const piece of result.stream()) rows += piece.length;
    return rows;
  };
  await fails(read(), 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO");
});

test("abort a select and an insert", async () => {
  const select = new AbortController();
  setTimeout(() => select.abort(), 100);
  await assert.rejects(client.query({ query: "SELECT sleep(3)", abort_signal: select.signal }), /abort/);
  await table("aborted");
  const insert = new AbortController();
  const endless = Readable.from((function* () { for (;;) yield { id: 1, name: "x" }; })(), { objectMode: true });
  setTimeout(() => insert.abort(), 20);
  await assert.rejects(client.insert({ table: "aborted", values: endless, format: "JSONEachRow", abort_signal: insert.signal }), /abort/);
  assert.deepEqual(await client.ping(), { success: true });
  assert.equal((await json("SELECT count() % 1048449 AS c FROM aborted"))[0].c, 0); // whole blocks, or nothing
});

test("wrong password", async () => {
  const stranger = createClient({ ...access, password: "wrong" });
  await fails(stranger.query({ query: "SELECT 1" }), 516, "AUTHENTICATION_FAILED");
  assert.equal((await stranger.ping()).success, true); // /ping needs none, as on a server
  await stranger.close();
});

test("twenty at once", async () => {
  const many = createClient({ ...access, max_open_connections: 20 });
  const answers = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const result = await many.query({ query: "SELECT {i:UInt32} AS i", query_params: { i }, format: "JSONEachRow" });
    return (await result.json())[0].i;
  }));
  assert.deepEqual(answers, Array.from({ length: 100 }, (_, i) => i));
  await many.close();
});
