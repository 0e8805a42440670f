// What Node's drivers and ORMs say of one connection, a line each: run it directly and through the gateway, and compare.
//
// Facts come from libpq's variables; PGSSLMODE is disable, require or verify-full. WHAT names what to run (all but "masks" if empty).
"use strict"
const fs = require("fs")
const { pipeline } = require("stream/promises")
const { Readable } = require("stream")

const env = process.env
const where = { host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, password: env.PGPASSWORD, database: env.PGDATABASE }
const ssl = { disable: false, require: { rejectUnauthorized: false }, "verify-full": env.PGSSLROOTCERT && { ca: fs.readFileSync(env.PGSSLROOTCERT, "utf8") } }[
  env.PGSSLMODE
]

const FIELDS = ["severity", "code", "message", "detail", "hint", "position", "where", "schema", "table", "column", "dataType", "constraint", "file", "routine"]
const NAMES = { severity_local: "severity", schema_name: "schema", table_name: "table", column_name: "column", type_name: "dataType", constraint_name: "constraint" }

function plain(value) {
  if (Buffer.isBuffer(value)) return "\\x" + value.toString("hex")
  if (typeof value === "bigint") return value.toString()
  return value
}

let part = ""
const say = (what, value) => console.log(`${part} ${what}: ${JSON.stringify(value, (_, one) => plain(one))}`.replace(/pg_temp_\d+/g, "pg_temp_N")) // which one is chance

// An error's fields that the server sent; whatever a driver adds of its own is left out.
function fields(error) {
  const from = error.original || error.driverError || error.cause || error
  const named = Object.fromEntries(Object.entries(from).map(([name, value]) => [NAMES[name] || name, value]))
  return Object.fromEntries(FIELDS.map((name) => [name, name === "message" ? from.message : named[name]]).filter(([, value]) => value !== undefined))
}

async function attempt(what, make) {
  try {
    say(what, await make())
  } catch (error) {
    say(what + " failed", fields(error))
  }
}

const SHAPES = [
  "select 1 as one, null as none, 'x'::text as word, 1.5::numeric as number, true as yes, '\\x00ff'::bytea as bytes",
  "select '{1,2,null}'::int[] as list, '{\"a\": [1]}'::jsonb as doc, date '2020-02-29' as day, timestamptz '2020-02-29 10:00+00' as at, interval '1 day 2 s' as span",
  "select point(1, 2) as p, '10.0.0.1/8'::inet as net, int8 '9223372036854775807' as big, 'NaN'::float8 as nan, array['a', 'b \"c'] as words",
  "select", "", "select 1 where false", "values (1, 'a'), (2, 'b')", "show server_version", "create temp table kept (n int)", "insert into kept select generate_series(1, 3)",
  "update kept set n = n + 1 where n > 1 returning n", "delete from kept", "drop table kept", "do $$ begin raise notice 'a notice' using hint = 'its hint'; end $$",
]
const FAULTS = [
  "selec 1", "select * from nowhere", "select 1/0", "select nothing from pg_class", "insert into nk values (null)", "insert into nk values (1), (1)", "insert into nk values (-1)",
  "do $$ begin raise exception 'by hand' using errcode = 'P0042', detail = 'a detail', hint = 'a hint'; end $$", "select 'x'::int", "select pg_sleep('no')",
]
const TABLE = "create temp table nk (n int primary key check (n > 0), word text)"

// -- node-postgres ---------------------------------------------------------------------------

const about = (result) =>
  (Array.isArray(result) ? result : [result]).map((one) => [one.command, one.rowCount, (one.fields || []).map((f) => [f.name, f.dataTypeID, f.format]), one.rows])

async function nodePostgres(pg) {
  const client = new pg.Client({ ...where, ssl })
  const notices = []
  client.on("notice", (notice) => notices.push(fields(notice)))
  await client.connect()
  for (const text of SHAPES) await attempt(text, async () => about(await client.query(text)))
  say("notices", notices)
  await client.query(TABLE)
  for (const text of FAULTS) await attempt(text, () => client.query(text))
  await attempt("several", async () => about(await client.query("select 1 as a; create temp table s (n int); insert into s values (1), (2); select * from s")))
  await attempt("several, one wrong", () => client.query("insert into s values (3); select 1/0; insert into s values (4)"))
  await attempt("parameters", async () => about(await client.query("select $1::int as n, $2::text as word, $3::jsonb as doc, $4::bytea as bytes", [7, "é", { a: 1 }, Buffer.from([0, 255])])))
  await attempt("a wrong parameter", () => client.query("select $1::int", ["x"]))
  await attempt("too few parameters", () => client.query("select $1::int, $2::int", [1]))
  for (const n of [1, 2, 3]) await attempt("named", async () => about(await client.query({ name: "by name", text: "select $1::int + 1 as n", values: [n], rowMode: "array" })))
  await attempt("named otherwise", () => client.query({ name: "by name", text: "select 2", values: [] }))
  await attempt("named and wrong", () => client.query({ name: "wrong", text: "select * from nowhere", values: [] }))
  await attempt("named and right", async () => about(await client.query({ name: "wrong", text: "select 3 as n", values: [] })))
  await attempt("many at once", async () => (await Promise.all(Array.from({ length: 200 }, (_, n) => client.query("select $1::int as n", [n])))).map((r) => r.rows[0].n))
  await client.query("begin")
  await attempt("in a transaction", () => client.query("select 1/0"))
  await attempt("in a failed one", () => client.query("select 1"))
  await attempt("commit of a failed one", async () => about(await client.query("commit")))
  await attempt("savepoints", async () => {
    for (const text of ["begin", "insert into nk values (10)", "savepoint a"]) await client.query(text)
    await client.query("insert into nk values (10)").catch(() => 0)
    for (const text of ["rollback to a", "insert into nk values (11)", "commit"]) await client.query(text)
    return about(await client.query("select n from nk order by n"))
  })
  await attempt("a statement's time", async () => {
    await client.query("set statement_timeout = 100")
    return client.query("select pg_sleep(30)").finally(() => client.query("reset statement_timeout"))
  })
  await attempt("a big result", async () => {
    const { rows } = await client.query("select n, repeat('x', n % 100) as w from generate_series(1, 20000) n")
    return [rows.length, rows.reduce((sum, row) => sum + row.n + row.w.length, 0)]
  })
  await attempt("a big value", async () => (await client.query("select length($1::text) as n, md5($1) as sum", ["ü".repeat(2000000)])).rows)
  await attempt("many parameters", async () => {
    const words = Array.from({ length: 6000 }, (_, n) => `($${n * 2 + 1}, $${n * 2 + 2})`)
    await client.query("create temp table wide (n int, w text)")
    const done = await client.query(`insert into wide values ${words.join(", ")}`, Array.from({ length: 12000 }, (_, n) => n))
    return [done.command, done.rowCount, (await client.query("select count(*), sum(n) from wide")).rows]
  })
  await client.end()
}

async function listening(pg) {
  const [ear, mouth] = [new pg.Client({ ...where, ssl }), new pg.Client({ ...where, ssl })]
  await Promise.all([ear.connect(), mouth.connect()])
  const heard = new Promise((resolve) => ear.on("notification", (one) => resolve([one.channel, one.payload])))
  await ear.query('listen "A Channel"')
  await mouth.query("select pg_notify('A Channel', 'what is said')")
  say("heard", await heard)
  await Promise.all([ear.end(), mouth.end()])
}

async function cancelling(pg) {
  const client = new pg.Client({ ...where, ssl })
  await client.connect()
  const pid = (await client.query("select pg_backend_pid() as pid")).rows[0].pid
  say("its pid", client.processID === undefined || client.processID === pid)
  const other = new pg.Client({ ...where, ssl })
  await other.connect()
  const query = attempt("cancelled by its pid", () => client.query("select pg_sleep(60)"))
  let done = false
  while (!done) done = (await other.query("select pg_cancel_backend(pid) as done from pg_stat_activity where pid = $1 and state = 'active'", [pid])).rows.length > 0
  await query
  await attempt("afterwards", async () => about(await client.query("select 1 as one")))
  await Promise.all([client.end(), other.end()])
}

async function streams(pg) {
  const Cursor = require("pg-cursor")
  const QueryStream = require("pg-query-stream")
  const copy = require("pg-copy-streams")
  const client = new pg.Client({ ...where, ssl })
  await client.connect()
  await attempt("cursor", async () => {
    const cursor = client.query(new Cursor("select n, n * 2 as twice from generate_series(1, $1::int) n", [250]))
    const sizes = []
    for (let rows; (rows = await cursor.read(100)).length; ) sizes.push([rows.length, rows[0]])
    return sizes
  })
  await attempt("cursor closed early", async () => {
    const cursor = client.query(new Cursor("select * from generate_series(1, 100000) n"))
    const rows = await cursor.read(10)
    await cursor.close()
    return [rows, about(await client.query("select 'after' as word"))]
  })
  await attempt("cursor that fails on its way", async () => {
    const cursor = client.query(new Cursor("select 1 / (50 - n) as q from generate_series(1, 100) n"))
    for (let rows; (rows = await cursor.read(20)).length; ) say("read", rows.length)
  })
  await attempt("stream", async () => {
    let [count, sum] = [0, 0]
    for await (const row of client.query(new QueryStream("select n from generate_series(1, 5000) n", [], { batchSize: 300 }))) [count, sum] = [count + 1, sum + row.n]
    return [count, sum]
  })
  await attempt("stream left", async () => {
    for await (const row of client.query(new QueryStream("select n from generate_series(1, 5000) n"))) return row
  })
  await client.query("create temp table c (n int, w text)")
  await attempt("copy in", async () => {
    const into = client.query(copy.from("copy c from stdin"))
    await pipeline(Readable.from(Array.from({ length: 3000 }, (_, n) => `${n}\tw${n}\n`)), into)
    return [into.rowCount, about(await client.query("select count(*), sum(n) from c"))]
  })
  await attempt("copy in, wrong", () => pipeline(Readable.from(["1\ta\nx\tb\n"]), client.query(copy.from("copy c from stdin"))))
  await attempt("copy out", async () => {
    const pieces = []
    for await (const piece of client.query(copy.to("copy (select * from c order by n) to stdout with csv header"))) pieces.push(piece)
    const text = Buffer.concat(pieces).toString()
    return [text.length, text.slice(0, 40)]
  })
  await attempt("afterwards", async () => about(await client.query("select 1 as one")))
  await client.end()
}

// -- postgres.js -------------------------------------------------------------------------------

const told = (rows) => [rows.command, rows.count, rows.columns && rows.columns.map((c) => [c.name, c.type]), [...rows]]

async function postgresJs() {
  const notices = []
  const sql = require("postgres")({ ...where, ssl, max: 1, onnotice: (notice) => notices.push(fields(notice)) })
  for (const text of SHAPES.filter((one) => one && one !== "select")) await attempt(text, async () => told(await sql.unsafe(text)))
  say("notices", notices)
  await sql.unsafe(TABLE)
  for (const text of FAULTS) await attempt(text, () => sql.unsafe(text))
  await attempt("parameters", async () => told(await sql`select ${7}::int as n, ${"é"}::text as w, ${sql.json({ a: 1 })} as doc, ${[1, 2]}::int[] as list, ${true}::bool as b, ${new Date(0)}::timestamptz as at`))
  await attempt("again", async () => [told(await sql`select ${1}::int as n`), told(await sql`select ${2}::int as n`)])
  await attempt("described", async () => {
    const found = await sql`select ${1}::int8 as n, 'x'::text as w from pg_class where oid = ${1}`.describe()
    return [found.types, found.columns.map((c) => [c.name, c.type])]
  })
  await attempt("pipelined", async () => (await Promise.all(Array.from({ length: 300 }, (_, n) => sql`select ${n}::int as n`))).map((rows) => rows[0].n))
  await attempt("pipelined, some wrong", async () => {
    const all = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => sql`select 10 / ${n % 5}::int as n`))
    return all.map((one) => (one.value ? one.value[0].n : one.reason.code))
  })
  await attempt("a transaction", () => sql.begin(async (tx) => told(await tx`insert into nk ${tx([{ n: 21, word: "a" }, { n: 22, word: "b" }])} returning *`)))
  await attempt("a transaction that fails", () => sql.begin(async (tx) => [await tx`insert into nk values (30)`, await tx`select 1/0`]))
  await attempt("savepoints", () =>
    sql.begin(async (tx) => {
      await tx`insert into nk values (40)`
      await tx.savepoint((deep) => deep`insert into nk values (40)`).catch((error) => say("inside", fields(error)))
      return told(await tx`select n from nk order by n`)
    })
  )
  await attempt("cursor", async () => {
    const sizes = []
    await sql`select * from generate_series(1, 25) n`.cursor(10, (rows) => void sizes.push(rows.length))
    return sizes
  })
  await attempt("cursor left", async () => {
    for await (const rows of sql`select * from generate_series(1, 1000) n`.cursor(10)) return rows.length
  })
  await attempt("for each", async () => {
    let sum = 0
    await sql`select * from generate_series(1, 1000) n`.forEach((row) => void (sum += row.n))
    return sum
  })
  await attempt("several", async () => (await sql`select 1 as a; select 2 as b`.simple()).map(told))
  await sql`create temp table c (n int, w text)`
  await attempt("copy in", async () => {
    await pipeline(Readable.from(["1\ta\n", "2\tb\n"]), await sql`copy c from stdin`.writable())
    return told(await sql`select * from c`)
  })
  await attempt("copy out", async () => {
    const pieces = []
    for await (const piece of await sql`copy (select * from generate_series(1, 2000)) to stdout`.readable()) pieces.push(piece)
    return Buffer.concat(pieces).toString().length
  })
  await attempt("raw", async () => [...(await sql`select 1 as n, 'x' as w`.raw())])
  await sql.end()
  const many = require("postgres")({ ...where, ssl, max: 4 })
  await attempt("heard", async () => {
    let hear
    const heard = new Promise((resolve) => (hear = resolve))
    await many.listen("A Channel", hear)
    await many.notify("A Channel", "what is said")
    return heard
  })
  await attempt("cancelled", async () => {
    const query = many`select pg_sleep(60), 'of node' as mark`
    query.execute()
    while (!(await many`select 1 from pg_stat_activity where query like '%of node%' and state = 'active' and pid <> pg_backend_pid()`).length);
    query.cancel()
    return query
  })
  await many.end()
}

// -- what is built on them ---------------------------------------------------------------------

async function knex() {
  const db = require("knex")({ client: "pg", connection: { ...where, ssl }, pool: { min: 0, max: 2 } })
  await attempt("schema", async () => {
    await db.schema.dropTableIfExists("knex_child").dropTableIfExists("knex_parent")
    await db.schema.createTable("knex_parent", (t) => {
      t.increments()
      t.string("name").notNullable().unique()
      t.jsonb("doc").index()
      t.timestamp("at").defaultTo(db.raw("'2020-01-01'"))
    })
    await db.schema.createTable("knex_child", (t) => {
      t.uuid("id").primary()
      t.integer("parent").references("knex_parent.id").onDelete("cascade")
      t.specificType("tags", "text[]")
    })
    await db.schema.alterTable("knex_parent", (t) => t.decimal("weight", 8, 2))
    return [await db.schema.hasTable("knex_parent"), await db.schema.hasColumn("knex_parent", "doc"), await db("knex_parent").columnInfo()]
  })
  await attempt("rows", async () => {
    const ids = await db("knex_parent").insert(Array.from({ length: 300 }, (_, n) => ({ name: `n${n}`, doc: { n }, weight: n / 2 }))).returning("id")
    await db("knex_child").insert({ id: "00000000-0000-0000-0000-000000000001", parent: 1, tags: ["a", "b"] })
    await db("knex_parent").insert({ name: "n1", weight: 5 }).onConflict("name").merge()
    return [ids.length, await db("knex_parent").where("id", "<", 4).orderBy("id"), await db("knex_child as c").join("knex_parent as p", "p.id", "c.parent").select("c.tags", "p.name")]
  })
  await attempt("batches", () => db.batchInsert("knex_parent", Array.from({ length: 100 }, (_, n) => ({ name: `b${n}` })), 30).returning("name"))
  await attempt("a transaction", () => db.transaction(async (tx) => [await tx("knex_parent").update({ weight: 9 }).where("id", 2), await tx("knex_parent").insert({ name: "n1" })]))
  await attempt("a stream", async () => {
    let count = 0
    for await (const row of db("knex_parent").select("*").stream()) count += row.id ? 1 : 0
    return count
  })
  await attempt("a time", () => db.raw("select pg_sleep(30)").timeout(300, { cancel: true }))
  await attempt("gone", () => db.schema.dropTable("knex_child").dropTable("knex_parent"))
  await db.destroy()
}

async function sequelize() {
  const { Sequelize, DataTypes } = require("sequelize")
  const db = new Sequelize(where.database, where.user, where.password, {
    host: where.host, port: where.port, dialect: "postgres", logging: false, dialectOptions: ssl ? { ssl } : {}, pool: { max: 2 },
  }) // prettier-ignore
  const Owner = db.define("SeqOwner", { name: { type: DataTypes.STRING, unique: true }, doc: DataTypes.JSONB, mood: DataTypes.ENUM("good", "bad"), tags: DataTypes.ARRAY(DataTypes.TEXT) }, { timestamps: false })
  const Pet = db.define("SeqPet", { name: DataTypes.STRING, weight: DataTypes.DECIMAL(6, 2), at: DataTypes.DATE }, { timestamps: false })
  Owner.hasMany(Pet)
  Pet.belongsTo(Owner)
  await attempt("sync", async () => void (await db.sync({ force: true })))
  await attempt("altered", async () => void (await db.sync({ alter: true })))
  await attempt("tables", async () => [await db.getQueryInterface().showAllTables(), await db.getQueryInterface().describeTable("SeqOwners"), (await db.getQueryInterface().showIndex("SeqOwners")).map((i) => [i.name, i.unique, i.definition])])
  await attempt("rows", async () => {
    const ada = await Owner.create({ name: "Ada", doc: { a: [1] }, mood: "good", tags: ["x"], SeqPets: [{ name: "Cat", weight: 4.5, at: new Date(0) }] }, { include: Pet })
    await Owner.bulkCreate(Array.from({ length: 50 }, (_, n) => ({ name: `o${n}`, mood: "bad" })), { returning: true })
    await ada.update({ mood: "bad" })
    const [one, made] = await Owner.findOrCreate({ where: { name: "Bob" }, defaults: { mood: "good" } })
    await Owner.upsert({ name: "Bob", mood: "bad" })
    return [made, one.name, await Owner.findAndCountAll({ include: Pet, limit: 2, order: ["id"] }), await Pet.sum("weight")]
  })
  await attempt("twice", () => Owner.create({ name: "Ada" }))
  await attempt("a transaction", () => db.transaction(async (transaction) => [await Owner.destroy({ where: { name: "o1" }, transaction }), await db.query("select 1/0", { transaction })]))
  await attempt("replacements", () => db.query("select :n::int as n, :w as w", { replacements: { n: 5, w: "it's" } }))
  await attempt("bound", () => db.query("select $n::int as n", { bind: { n: 5 } }))
  await attempt("gone", async () => void (await db.drop({})))
  await db.close()
}

async function typeorm() {
  const { DataSource, EntitySchema, Table } = require("typeorm")
  const Post = new EntitySchema({
    name: "TypePost", columns: {
      id: { type: Number, primary: true, generated: true }, title: { type: String, unique: true }, doc: { type: "jsonb", nullable: true },
      kind: { type: "enum", enum: ["a", "b"], default: "a" }, tags: { type: "text", array: true, default: "{}" }, at: { type: "timestamptz", nullable: true },
    }, relations: { author: { type: "many-to-one", target: "TypeAuthor", nullable: true } },
  }) // prettier-ignore
  const Author = new EntitySchema({
    name: "TypeAuthor", columns: { id: { type: "uuid", primary: true }, name: { type: String, length: 50 } },
    relations: { posts: { type: "one-to-many", target: "TypePost", inverseSide: "author" } },
  }) // prettier-ignore
  const db = new DataSource({ type: "postgres", host: where.host, port: where.port, username: where.user, password: where.password, database: where.database, ssl, entities: [Post, Author], uuidExtension: "pgcrypto", installExtensions: false })
  await db.initialize()
  await attempt("synchronized", async () => void (await db.synchronize()))
  await attempt("nothing more to do", async () => (await db.driver.createSchemaBuilder().log()).upQueries.map((q) => q.query))
  await attempt("rows", async () => {
    const author = await db.getRepository("TypeAuthor").save({ id: "00000000-0000-0000-0000-000000000001", name: "Ada" })
    await db.getRepository("TypePost").save(Array.from({ length: 30 }, (_, n) => ({ title: `t${n}`, doc: { n }, tags: ["x"], author })))
    await db.getRepository("TypePost").upsert({ title: "t1", kind: "b" }, ["title"])
    return [await db.getRepository("TypePost").findAndCount({ relations: { author: true }, take: 3, order: { id: "ASC" } }),
      await db.createQueryBuilder("TypePost", "p").where("p.kind = :kind", { kind: "b" }).getMany()] // prettier-ignore
  })
  await attempt("twice", () => db.getRepository("TypePost").insert({ title: "t1" }))
  await attempt("a transaction", () => db.transaction(async (tx) => [await tx.delete("TypePost", { title: "t2" }), await tx.query("select 1/0")]))
  await attempt("introspection", async () => {
    const runner = db.createQueryRunner()
    const table = await runner.getTable("type_post")
    await runner.createTable(new Table({ name: "type_extra", columns: [{ name: "n", type: "int", isPrimary: true }] }))
    await runner.dropTable("type_extra")
    await runner.release()
    return [table.columns.map((c) => [c.name, c.type, c.isNullable, c.default, c.enum]), table.foreignKeys.length, table.uniques.length]
  })
  await attempt("gone", async () => void (await db.query("drop table type_post, type_author; drop type type_post_kind_enum")))
  await db.destroy()
}

async function drizzle() {
  const t = require("drizzle-orm/pg-core")
  const { eq, sql } = require("drizzle-orm")
  const people = t.pgTable("drizzle_people", { id: t.serial("id").primaryKey(), name: t.text("name").notNull().unique(), doc: t.jsonb("doc"), day: t.date("day") })
  const [pool, client] = [new (require("pg").Pool)({ ...where, ssl, max: 2 }), require("postgres")({ ...where, ssl, max: 2, onnotice: () => 0 })]
  for (const [name, db] of [["on pg", require("drizzle-orm/node-postgres").drizzle(pool)], ["on postgres", require("drizzle-orm/postgres-js").drizzle(client)]]) {
    await db.execute(sql`drop table if exists drizzle_people`)
    await db.execute(sql`create table drizzle_people (id serial primary key, name text not null unique, doc jsonb, day date)`)
    await attempt(name + " rows", async () => [
      await db.insert(people).values([{ name: "Ada", doc: { a: 1 }, day: "2020-01-01" }, { name: "Bob" }]).returning(),
      await db.insert(people).values({ name: "Bob" }).onConflictDoUpdate({ target: people.name, set: { doc: { b: 2 } } }).returning(),
      await db.select().from(people).where(eq(people.name, "Ada")), await db.select().from(people).orderBy(people.id).prepare("by_name").execute(),
    ]) // prettier-ignore
    await attempt(name + " twice", () => db.insert(people).values({ name: "Ada" }))
    await attempt(name + " a transaction", () => db.transaction(async (tx) => [await tx.delete(people), await tx.execute(sql`select 1/0`)]))
    await db.execute(sql`drop table drizzle_people`)
  }
  await Promise.all([pool.end(), client.end()])
}

// -- for one who sees masks: every way that a value could come ---------------------------------

async function masks() {
  const pg = require("pg")
  const [Cursor, QueryStream, copy] = [require("pg-cursor"), require("pg-query-stream"), require("pg-copy-streams")]
  const SECRET = "select id, name, ssn, notes from patients order by id limit 20"
  const client = new pg.Client({ ...where, ssl })
  client.on("notice", (notice) => say("notice", fields(notice)))
  await client.connect()
  await attempt("simple", async () => about(await client.query(SECRET)))
  await attempt("binary", async () => about(await client.query({ text: SECRET, binary: true, values: [] })))
  await attempt("named", async () => about(await client.query({ name: "s", text: SECRET, values: [] })))
  await attempt("cursor", async () => {
    const cursor = client.query(new Cursor(SECRET))
    const rows = await cursor.read(5)
    await cursor.close()
    return rows
  })
  await attempt("after a cursor", async () => about(await client.query("select 1 as one")))
  await attempt("stream", async () => {
    const rows = []
    for await (const row of client.query(new QueryStream(SECRET, [], { batchSize: 7 }))) rows.push(row)
    return rows
  })
  await attempt("copy", async () => {
    const pieces = []
    for await (const piece of client.query(copy.to(`copy (${SECRET}) to stdout`))) pieces.push(piece)
    return Buffer.concat(pieces).toString()
  })
  for (const text of ["select ssn::int from patients", "select xmlelement(name a, ssn) from patients", "select p from patients p", "select to_jsonb(p) from patients p", "insert into patients (id, name, ssn) values (1, 'x', 'y')",
    "update patients set name = notes", "do $$ declare s text; begin select ssn into s from patients limit 1; raise exception 'it is %', s; end $$", "select * from patients where ssn = '900-01-4001'"]) // prettier-ignore
    await attempt(text, async () => about(await client.query(text)))
  await client.end()
  const js = require("postgres")({ ...where, ssl, max: 1 })
  await attempt("postgres", async () => told(await js.unsafe(SECRET)))
  await attempt("postgres, prepared", async () => told(await js`select id, name, ssn, notes from patients where id < ${5} order by id`))
  await attempt("postgres, described", async () => (await js`select ssn from patients where ssn = ${"900-01-4001"}`.describe()).columns.map((c) => c.name))
  await attempt("postgres, pipelined", async () => (await Promise.all(Array.from({ length: 30 }, (_, n) => js`select ssn, ${n}::int as n from patients where id = ${n + 1}`))).map((rows) => [...rows]))
  await attempt("postgres, cursor", async () => {
    const all = []
    await js.unsafe(SECRET).cursor(6, (rows) => void all.push(...rows))
    return all
  })
  await attempt("postgres, copy", async () => {
    const pieces = []
    for await (const piece of await js.unsafe("copy patients (id, ssn, notes) to stdout").readable()) pieces.push(piece)
    return Buffer.concat(pieces).toString()
  })
  await js.end()
  const db = require("knex")({ client: "pg", connection: { ...where, ssl } })
  await attempt("knex", () => db("patients").orderBy("id").limit(3))
  await attempt("knex, its columns", () => db("patients").columnInfo())
  await db.destroy()
  const { Sequelize } = require("sequelize")
  const seq = new Sequelize(where.database, where.user, where.password, { host: where.host, port: where.port, dialect: "postgres", logging: false, dialectOptions: ssl ? { ssl } : {} })
  await attempt("sequelize", () => seq.query("select * from patients order by id limit 3"))
  await attempt("sequelize, its columns", () => seq.getQueryInterface().describeTable("patients"))
  await seq.close()
}

const native = () => require("pg").native
const PARTS = {
  pg: () => nodePostgres(require("pg")), listening: () => listening(require("pg")), cancelling: () => cancelling(require("pg")), streams: () => streams(require("pg")),
  native: () => nodePostgres(native()), "native listening": () => listening(native()), "native cancelling": () => cancelling(native()),
  postgres: postgresJs, knex, sequelize, typeorm, drizzle, masks,
} // prettier-ignore

async function main() {
  const wanted = (env.WHAT || Object.keys(PARTS).filter((name) => name !== "masks").join(",")).split(",")
  for (part of wanted) await PARTS[part]()
  console.log("done")
}

main().catch((error) => {
  console.log(`${part} ended: ${error.stack}`)
  process.exit(1)
})
