// A conversation in the types generated from /openapi.json: node conversation.js URL TOKEN
import createClient from "openapi-fetch";
import type { components, paths } from "./zangtable.js";

const [url, token] = process.argv.slice(2);
const shop = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const project = "shop";

/** data returns the data of an answer that has to be ok. */
function data<T>(answer: { data?: { data?: T }; error?: unknown }): T {
  if (answer.data?.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data.data;
}

for (const body of [
  { table_name: "companies", columns: [{ column_name: "name" }, { column_name: "city" }] },
  {
    table_name: "people",
    columns: [
      { column_name: "name" },
      { column_name: "age", column_type: "INTEGER" },
      { column_name: "company", column_type: "INTEGER", references: { table: "companies", on_delete: "CASCADE" } },
    ],
  },
]) {
  data(await shop.POST("/projects/{project}/table", { params: { path: { project } }, body }));
}

const batch = data(
  await shop.POST("/projects/{project}/batch", {
    params: { path: { project } },
    body: {
      operations: [
        { op: "insert", table: "companies", as: "c", data: { name: "Analytical Engines", city: "London" } },
        { op: "insert", table: "people", data: { name: "Ada", age: 36, company: { $ref: "c.id" } } },
        { op: "insert", table: "people", data: { name: "Zoë", age: 36, company: { $ref: "c.id" } } },
        { op: "insert", table: "people", data: { name: "Bob", age: 17 } },
        { op: "update", table: "people", id: 3, data: { age: { $add: 1 } } },
      ],
    },
  }),
);
console.log("batch", batch.results.map((done) => done.affected_rows).join(" "));

const filters: components["schemas"]["Filters"] = [{ or: [{ and: [{ column: "age", op: ">", value: 30 }, { column: "company", op: "not_null" }] }, { column: "name", op: "starts_with", value: "B" }] }];
const list = data(
  await shop.GET("/projects/{project}/records/{table}", {
    params: { path: { project, table: "people" }, query: { filters: JSON.stringify(filters), sort: "-age,name", expand: ["company"], total: "exact" } },
  }),
);
console.log("list", list.total, list.rows.map((row) => row.name).join(" "), JSON.stringify(list.rows[0]._expand));

const one = { path: { project, table: "people", id: ["1"] } };
const shown = await shop.GET("/projects/{project}/records/{table}/{id}", { params: one });
const etag = shown.response.headers.get("ETag") ?? "";
for (const age of [37, 38]) {
  const edited = await shop.PATCH("/projects/{project}/records/{table}/{id}", { params: { ...one, header: { "If-Match": etag } }, body: { age } });
  console.log("edit", edited.response.status, edited.data?.data?.row?.age ?? edited.error?.error?.code);
}

const groups = data(
  await shop.POST("/projects/{project}/records/{table}/aggregate", {
    params: { path: { project, table: "people" } },
    body: { group_by: ["company"], aggregates: { n: { count: "*" }, oldest: { max: "age" } }, sort: "-n" },
  }),
);
console.log("aggregate", groups.groups.map((group) => `${group.company} ${group.n} ${group.oldest}`).join(", "));

data(await shop.POST("/projects/{project}/search-index/{table}", { params: { path: { project, table: "people" } }, body: { columns: ["name"] } }));
const found = data(await shop.GET("/projects/{project}/records/{table}", { params: { path: { project, table: "people" }, query: { search: "zoe" } } }));
console.log("search", found.rows.map((row) => row.name).join(" "));

data(await shop.POST("/projects/{project}/table", { params: { path: { project } }, body: { table_name: "pairs", columns: [{ column_name: "a", is_primary: true }, { column_name: "b", is_primary: true }, { column_name: "n", column_type: "INTEGER" }] } }));
data(await shop.POST("/projects/{project}/records/{table}", { params: { path: { project, table: "pairs" } }, body: { a: "x,y", b: "z w", n: 1 } }));
const pair = data(await shop.GET("/projects/{project}/records/{table}/{id}", { params: { path: { project, table: "pairs", id: ["x,y", "z w"] }, query: { columns: ["a", "n"] } } }));
console.log("pair", JSON.stringify(pair.row));

const made = data(
  await shop.POST("/projects/{project}/export/table/{table}", {
    params: { path: { project, table: "people" }, header: { Prefer: "wait=20" } },
    body: { format: "csv", filters },
  }),
);
const exported = { path: { project, export_id: made.export!.id } };
const verified = data(await shop.POST("/projects/{project}/exports/{export_id}/verify", { params: exported }));
const file = await shop.GET("/projects/{project}/export/download/{export_id}", { params: exported, parseAs: "text" });
console.log("export", verified.verification.ok, String(file.data).trim().split(/\r?\n/).length);
