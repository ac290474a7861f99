package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator makes requests from the OpenAPI document: values that match each schema,
// values that violate it, and values that are meaningful for the tables.
type generator struct {
	*rand.Rand
	document map[string]any
	tables   []generatedTable
	table    generatedTable // that the current request is about
	wrong    bool           // whether the request may contain mistakes
	pools    map[string][]string
}

// generatedTable is a table that requests can be about.
type generatedTable struct {
	name    string
	columns []string
	ids     []string // as written in a path
}

// one returns one of the texts at random.
func (g *generator) one(texts ...string) string { return texts[g.IntN(len(texts))] }

// chance returns true in the given percentage of cases.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

// slip is chance for mistakes: it returns false if the request must be valid.
func (g *generator) slip(percent int) bool { return g.wrong && g.chance(percent) }

// remember adds a text to a pool from which later requests draw.
func (g *generator) remember(pool, text string) {
	list := g.pools[pool]
	if len(list) >= 20 {
		list = list[1:]
	}
	g.pools[pool] = append(list, text)
}

// known returns a text from a pool, or otherwise if the pool is empty.
func (g *generator) known(pool, otherwise string) string {
	if list := g.pools[pool]; len(list) > 0 {
		return list[g.IntN(len(list))]
	}
	return otherwise
}

// schema resolves references.
func (g *generator) schema(s any) map[string]any {
	m, _ := s.(map[string]any)
	for {
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		var at any = g.document
		for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(map[string]any)[step]
		}
		m, _ = at.(map[string]any)
	}
}

// value returns the JSON of a value, usually valid for the schema, for a field with the
// given name.
func (g *generator) value(name string, s any, depth int) string {
	m := g.schema(s)
	switch {
	case g.slip(8):
		return g.anything(depth)
	case g.chance(70):
		if text, ok := g.meaningful(name); ok {
			return text
		}
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if list, ok := m[key].([]any); ok && len(list) > 0 && m["properties"] == nil {
			return g.value(name, list[g.IntN(len(list))], depth)
		}
	}
	if list, ok := m["enum"].([]any); ok && !g.slip(10) {
		return asText(list[g.IntN(len(list))])
	}
	kind, _ := m["type"].(string)
	if list, ok := m["type"].([]any); ok {
		kind, _ = list[g.IntN(len(list))].(string)
	}
	switch kind {
	case "string":
		return g.quoted()
	case "integer", "number":
		return g.number(m)
	case "boolean":
		return g.one("true", "false", "1", "0", `"yes"`, `"ON"`)
	case "array":
		return g.array(name, m, depth)
	case "object":
		return g.object(m, depth)
	case "null":
		return "null"
	}
	return g.anything(depth)
}

func asText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// awkward are texts that are known to cause trouble.
var awkward = []string{
	"", " ", "a", "0", "-1", "null", "true", "id", "rowid", "_rowid_", "sqlite_master", "_tables", "select", "\u0000", "a\u0000b", "\n", "\t", "\u007f", "\u0085", "\ufeff", "\uffff", "é", "ß", "漢字", "😀", "\u202e",
	"%", "%25", "..", "../../etc/passwd", "a/b", "a,b", "a;b", `"`, `\`, "'", "''; DROP TABLE contacts; --", "<script>", "{}", "[]", "1e400", "NaN", "Infinity", "9223372036854775807", "9223372036854775808", "1.5", "1,5",
	"2026-02-30", "2026-11-30T12:00:00Z", "9999-12-31T23:59:59Z", "0000-00-00T00:00:00Z", "AA==", "A", "====", "pat_", "exp_20260601_182345_a1b2c3d4e5",
}

// text returns a text, sometimes a long one.
func (g *generator) text() string {
	switch n := g.IntN(100); {
	case n < 60:
		return awkward[g.IntN(len(awkward))]
	case n < 95:
		b := make([]byte, g.IntN(12))
		for i := range b {
			b[i] = "abcxyzABC019_-"[g.IntN(14)]
		}
		return string(b)
	case n < 99:
		return strings.Repeat(g.one("a", "é", "\u0001", "%"), 1+g.IntN(5_000))
	}
	return strings.Repeat("x", 100_000+g.IntN(400_000))
}

// quoted returns a JSON string, sometimes a broken one.
func (g *generator) quoted() string {
	if g.slip(3) {
		return g.one("\"\xff\"", `"\ud800"`, `"\u00"`, "\"a\x00b\"", "\"\xc3\x28\"", `"\x41"`, `'a'`, `"open`)
	}
	return asText(g.text())
}

// number returns an integer or real number at or around a boundary.
func (g *generator) number(m map[string]any) string {
	for _, bound := range []string{"minimum", "maximum", "default"} {
		if v, ok := m[bound]; ok && g.chance(40) {
			return asText(v)
		}
	}
	if !g.wrong {
		return fmt.Sprint(1 + g.IntN(100))
	}
	return g.one("0", "1", "2", "-1", "7", "100", "500", "501", "1000", "1001", "2147483648", "4294967296", "9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808",
		"9223372036854775808", "18446744073709551616", "0.5", "-0", "-0.0", "1e3", "1E-400", "1e400", "1.7976931348623157e308", "01", "1.", ".5", "+1", "0x1", strings.Repeat("9", 400), fmt.Sprint(g.Int64N(1000)))
}

func (g *generator) array(name string, m map[string]any, depth int) string {
	n := g.IntN(4)
	if g.chance(2) {
		n = 50 + g.IntN(300)
	}
	if depth > 6 {
		n = 0
	}
	items := make([]string, n)
	for i := range items {
		items[i] = g.value(strings.TrimSuffix(name, "s"), m["items"], depth+1)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// object returns an object with some of its properties, and occasionally with unknown
// or duplicate ones.
func (g *generator) object(m map[string]any, depth int) string {
	var members []string
	add := func(name, value string) { members = append(members, asText(name)+":"+value) }
	properties, _ := m["properties"].(map[string]any)
	required, _ := m["required"].([]any)
	share := g.one("", "few", "many")
	for _, name := range sortedKeys(properties) {
		wanted := g.chance(map[string]int{"": 15, "few": 30, "many": 70}[share])
		if slices.Contains(required, any(name)) {
			wanted = !g.slip(10)
		}
		if wanted && depth < 8 {
			add(name, g.value(name, properties[name], depth+1))
		}
	}
	if len(properties) == 0 && depth < 8 {
		for range g.IntN(4) {
			add(g.columnName(), g.value("", m["additionalProperties"], depth+1))
		}
	}
	if g.slip(6) {
		add(g.one("nowhere", "limt", "", "\x00", "__proto__", "ID"), g.anything(depth+1))
	}
	if g.slip(3) && len(members) > 0 {
		members = append(members, members[0])
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ",") + "}"
}

func sortedKeys(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// anything returns any JSON, and sometimes text that is not JSON.
func (g *generator) anything(depth int) string {
	if !g.wrong {
		return g.one("null", "true", "1", "1.5", `"a"`, asText(g.text()))
	}
	switch n := g.IntN(100); {
	case n < 15:
		return "null"
	case n < 30:
		return g.one("true", "false")
	case n < 50:
		return g.number(nil)
	case n < 75:
		return g.quoted()
	case n < 83:
		return "[" + g.anything(depth+1) + "]"
	case n < 91:
		return "{" + asText(g.columnName()) + ":" + g.anything(depth+1) + "}"
	case n < 94:
		deep := 1 + g.IntN(600)
		return strings.Repeat("[", deep) + strings.Repeat("]", deep)
	case n < 96:
		deep := 1 + g.IntN(300)
		return strings.Repeat(`{"or":[`, deep) + strings.Repeat("]}", deep)
	}
	return g.one("{}", "[]", "[[]]", "{", "}", "[1,]", `{"a":}`, "nul", "NaN", "1 2", "\xff", "\xef\xbb\xbf{}", "/*x*/1", "")
}

func (g *generator) columnName() string {
	if len(g.table.columns) > 0 && !g.slip(20) {
		return g.table.columns[g.IntN(len(g.table.columns))]
	}
	return g.one("id", "name", "rowid", "ID", "nowhere", "", "c1", "j")
}

// row returns a row of the current table.
func (g *generator) row() string {
	var members []string
	for range g.IntN(6) {
		name, value := g.columnName(), g.anything(9)
		switch {
		case !g.wrong:
			value = g.fitting(name)
		case g.chance(80):
			value = g.one("null", "1", "2", `"a"`, `"x"`, `"{\"a\":2}"`, `"{bad"`, `"{bad"`, `"AQI="`, "1.5", "-9223372036854775808", "9223372036854775807", g.quoted())
		}
		members = append(members, asText(name)+":"+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// fitting returns a value that usually fits the named column.
func (g *generator) fitting(name string) string {
	switch name {
	case "id", "age", "n", "p", "up", "a":
		return fmt.Sprint(g.IntN(6))
	case "score", "c":
		return g.one("1", "2", "0.5")
	case "photo":
		return g.one(`"AQI="`, `""`)
	case "j":
		return g.one(`"{\"a\":2}"`, `"{\"a\":\"x\"}"`, `"{bad"`, "null")
	case "k":
		return g.one(`"AQI="`, `"AAA="`, "1", `"1"`)
	}
	return g.one(`"a"`, `"b"`, asText(g.text()), "null")
}

func (g *generator) rows() string {
	rows := make([]string, g.IntN(5))
	if g.chance(3) {
		rows = make([]string, 1000)
	}
	for i := range rows {
		rows[i] = g.row()
	}
	return "[" + strings.Join(rows, ",") + "]"
}

// filters returns filters on the current table, in one of their forms.
func (g *generator) filters(depth int) string {
	if g.chance(35) {
		return g.row()
	}
	conditions := make([]string, g.IntN(4))
	for i := range conditions {
		if depth < 4 && g.chance(15) {
			conditions[i] = `{"or":` + g.filters(depth+1) + "}"
			continue
		}
		op := g.one("=", "!=", ">", ">=", "<", "<=", "like", "LIKE", "in", "is_null", "not_null", "between", "")
		value := g.anything(9)
		switch {
		case op == "in" && g.chance(80):
			value = "[" + g.one("", "1", `1,"a"`, "null", strings.Repeat("1,", 3000)+"1") + "]"
		case g.chance(60):
			value = g.one("1", `"a"`, `"%a%"`, "0", `"AQI="`)
		}
		conditions[i] = fmt.Sprintf(`{"column":%s,"op":%s,"value":%s}`, asText(g.columnName()), asText(op), value)
	}
	return "[" + strings.Join(conditions, ",") + "]"
}

// statements are SQL statements that are meaningful for the tables, or that must be
// refused.
var statements = []string{
	"SELECT 1 AS one", "SELECT * FROM contacts", "SELECT count(*) AS n FROM wide", "SELECT * FROM wide", "SELECT * FROM wide, keyed", "SELECT a FROM generated", "SELECT * FROM nowhere", "SELECT", "", ";", "--", "/*",
	"SELECT :a AS a", "SELECT ?1 AS a, ?2 AS b", "SELECT json_extract('{bad', '$') AS a", "SELECT abs(-9223372036854775808) AS a", "SELECT zeroblob(100000) AS z", "SELECT printf('%.100000c', 'x') AS p",
	"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000) SELECT x FROM n", "EXPLAIN QUERY PLAN SELECT * FROM contacts", "EXPLAIN SELECT 1", "DELETE FROM contacts", "PRAGMA table_info(contacts)",
	"SELECT * FROM sqlite_schema", "SELECT * FROM _tables", "ATTACH 'x' AS y", "SELECT load_extension('x')", "SELECT 1 AS a; SELECT 2 AS b", "SELECT 1 AS \"\u0000\"", "SELECT '\u0000' AS a", "SELECT x'ff' AS a, 9e999 AS b, CAST(x'ff' AS TEXT) AS c",
	"VALUES (1)", "SELECT (SELECT secret FROM hidden) AS s", "SELECT name, name FROM contacts", "SELECT * FROM child JOIN parent ON parent.id = child.p",
}

// meaningful returns a value that makes sense for the named field.
func (g *generator) meaningful(name string) (string, bool) {
	table := func() string { return asText(g.tables[g.IntN(len(g.tables))].name) }
	switch name {
	case "table_name", "table", "include_table", "exclude_table", "new_table_name":
		if g.chance(30) {
			return asText(fmt.Sprint("made", g.IntN(50))), true
		}
		return table(), true
	case "column_name", "name", "new_column_name", "column", "sort", "key", "skip":
		if g.chance(40) {
			return asText(fmt.Sprint("col", g.IntN(50))), true
		}
		return asText(g.columnName()), true
	case "data":
		if g.chance(50) {
			return g.row(), true
		}
		return g.rows(), true
	case "seed":
		return g.rows(), true
	case "where", "filters":
		return g.filters(0), true
	case "on_conflict":
		return fmt.Sprintf(`{"columns":[%s],"action":%s}`, asText(g.columnName()), g.one(`"update"`, `"ignore"`, `"x"`)), true
	case "sql", "query":
		return asText(statements[g.IntN(len(statements))]), true
	case "params":
		return g.one("[]", "[1]", `[1,"a"]`, "{}", `{"a":1}`, `{":a":null}`, "null"), true
	case "scopes", "scope":
		return g.one(`[]`, `["records:read"]`, `["records:write:contacts"]`, `["project:admin"]`, `["nothing"]`, `["records:read:nowhere","query:read"]`), true
	case "format":
		return asText(g.one("csv", "json", "ndjson", "xlsx", "parquet", "sqlite", "zip", "sql", "archive", "zip-csv", "orc")), true
	case "confirm_project_slug", "project_slug":
		return asText(g.one("shop", "other", fmt.Sprint("new", g.IntN(100)), "Bad Slug")), true
	case "column_type", "type":
		return asText(g.one("INTEGER", "REAL", "TEXT", "BLOB", "ANY", "text", "DATE")), true
	case "revoke_previous":
		return "false", true
	case "dry_run":
		return g.one("true", "false"), true
	case "wait":
		return "1", true
	case "expires_at":
		return asText(g.one("2999-01-01T00:00:00Z", "2000-01-01T00:00:00Z", "tomorrow")), true
	case "default_value", "default":
		return g.one("null", "1", `"a"`, `"AQI="`, "1.5"), true
	}
	return "", false
}

// blobID returns a BLOB id as written in a path.
func blobID(b ...byte) string { return base64.StdEncoding.EncodeToString(b) }
