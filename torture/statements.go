//go:build linux

package main

import (
	"fmt"
	"strings"
)

// statement is a hostile SQL statement.
type statement struct{ name, sql string }

// repeated joins n copies of text, with # replaced by the number of the copy.
func repeated(n int, text string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = strings.ReplaceAll(text, "#", fmt.Sprint(i))
	}
	return strings.Join(parts, ",")
}

const (
	long     = "printf('%.9900000c','x')"
	medium   = "printf('%.900000c','x')"
	unending = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
)

// greedy are statements that use unlimited memory or disk.
var greedy = []statement{
	{"a hundred long columns", "SELECT " + repeated(100, long+"||#")},
	{"nineteen hundred copies of a long value", "WITH v(v) AS MATERIALIZED (SELECT " + long + ") SELECT " + repeated(1900, "v||#") + " FROM v"},
	{"five hundred blobs of zeros", "SELECT " + repeated(500, "zeroblob(9900000)")},
	{"four hundred random blobs", "SELECT " + repeated(400, "randomblob(9900000)")},
	{"lengths of long values", "WITH v(v) AS MATERIALIZED (SELECT " + long + ") SELECT " + repeated(300, "length(v||#)") + " FROM v"},
	{"a value of a gigabyte", "SELECT length(printf('%.1000000000c','x'))"},
	{"a width of two billion", "SELECT length(printf('%2000000000d',1))"},
	{"digits without end", "SELECT length(printf('%.900000000f',1.5))"},
	{"hex of a blob of zeros", "SELECT length(hex(hex(hex(zeroblob(5000000)))))"},
	{"quotes of quotes", "SELECT length(quote(quote(quote(quote(printf('%.900000c',char(39)))))))"},
	{"doubling by recursion", "WITH RECURSIVE d(v) AS (SELECT 'xxxxxxxx' UNION ALL SELECT v||v FROM d) SELECT max(length(v)) FROM d"},
	{"all doublings kept", "WITH RECURSIVE d(i,v) AS (SELECT 1," + medium + " UNION SELECT i+1, v||i FROM d) SELECT count(*) FROM d"},
	{"group_concat without end", unending + "SELECT length(group_concat(" + medium + "||i)) FROM n"},
	{"a JSON array without end", unending + "SELECT length(json_group_array(" + medium + ")) FROM n"},
	{"a JSON object without end", unending + "SELECT length(json_group_object(i, " + medium + ")) FROM n"},
	{"many aggregates", unending + "SELECT " + repeated(200, "group_concat(i||'#')") + " FROM n"},
	{"distinct aggregates", unending + "SELECT count(DISTINCT printf('%.50000c','x')||i) FROM n"},
	{"groups without end", unending + "SELECT count(*) FROM (SELECT 1 FROM n GROUP BY printf('%.50000c','x')||i)"},
	{"sorting long values", unending + "SELECT i FROM n ORDER BY printf('%.900000c','x')||i LIMIT 1 OFFSET 100000"},
	{"sorting noise", unending + "SELECT i FROM (SELECT i, randomblob(200000) AS r FROM n) ORDER BY r LIMIT 1 OFFSET 1000000"},
	{"a window of long values", unending + "SELECT max(length(v)) FROM (SELECT lag(printf('%.2000000c','x')||i, 50000) OVER (ORDER BY i) AS v FROM n)"},
	{"a materialized table without end", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n), m AS MATERIALIZED (SELECT i, " + medium + " AS v FROM n) SELECT count(*) FROM m"},
	{"except and intersect", unending + "SELECT count(*) FROM (SELECT randomblob(90000) FROM n EXCEPT SELECT randomblob(90000) FROM n)"},
	{"a long value in every row", unending + "SELECT " + long + "||i FROM n"},
	{"replace that grows", "SELECT length(replace(printf('%.90000c','a'),'a',printf('%.90000c','b')))"},
	{"nested JSON", "SELECT length(json(replace(printf('%.900000c','['),' ','')))"},
	{"JSON that grows", "WITH RECURSIVE j(i,v) AS (SELECT 1, json_array(1) UNION ALL SELECT i+1, json_array(v,v) FROM j) SELECT max(length(v)) FROM j"},
}

// slow are statements that take unlimited time, some of them within one operation.
var slow = []statement{
	{"counting without end", unending + "SELECT count(*) FROM n"},
	{"a join of five", "SELECT count(*) FROM ballast a, ballast b, ballast c, ballast d, ballast e"},
	{"a join on a function", "SELECT count(*) FROM ballast a, ballast b WHERE lower(a.words)||b.n = upper(b.words)||a.n"},
	{"instr", "SELECT instr(printf('%.9900000c','a'), printf('%.4900000c','a')||'b')"},
	{"instr within a megabyte", "SELECT instr(printf('%.990000c','a'), printf('%.490000c','a')||'b')"},
	{"replace", "SELECT length(replace(printf('%.9900000c','a'), printf('%.4900000c','a')||'b', 'c'))"},
	{"trim", "SELECT length(trim(printf('%.9900000c','b'), printf('%.90000c','a')||'b'))"},
	{"rtrim of different letters", "SELECT length(rtrim(printf('%.900000c','z'), printf('%.900000c','a')||'z'))"},
	{"like", "SELECT printf('%.9900000c','a') LIKE printf('%%%.40000c','a')||'b'"},
	{"like with many wildcards", "SELECT printf('%.100000c','a') LIKE '" + strings.Repeat("%a", 45) + "%b'"},
	{"glob", "SELECT printf('%.900000c','a') GLOB '*" + strings.Repeat("a*", 40) + "b'"},
	{"like of every row", unending + "SELECT count(*) FROM n WHERE printf('%.90000c','a') LIKE '%a%a%a%a%b'"},
	{"dates", unending + "SELECT count(strftime('%Y-%m-%d %H:%M:%f', i, 'auto', '+1 month', 'start of month')) FROM n"},
	{"JSON path of a long text", unending + "SELECT count(json_extract('[' || printf('%.90000c',' ') || '1]', '$[0]')) FROM n"},
	{"patches of JSON", "WITH RECURSIVE j(i,v) AS (SELECT 1, '{}' UNION ALL SELECT i+1, json_set(v, '$.k'||i, i) FROM j) SELECT max(length(v)) FROM j"},
	{"json_each of json_each", "SELECT count(*) FROM json_each('[" + strings.TrimSuffix(strings.Repeat("1,", 5000), ",") + "]') a, json_each(a.value||'') b, ballast c, ballast d, ballast e"},
	{"a recursion in a recursion", "WITH RECURSIVE a(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM a LIMIT 100000), b(i) AS (SELECT 1 UNION ALL SELECT b.i+1 FROM b, a) SELECT count(*) FROM b"},
	{"correlated counting", "SELECT count(*) FROM ballast a WHERE (SELECT count(*) FROM ballast b, ballast c WHERE b.n < a.n AND c.n < b.n) > 0"},
	{"a window over all", "SELECT sum(s) FROM (SELECT sum(a.n) OVER (ORDER BY a.n, b.n, c.n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS s FROM ballast a, ballast b, ballast c)"},
	{"unistr and printf", unending + "SELECT count(printf('%s%s%s', printf('%.90000c','x'), i, i)) FROM n"},
	{"substr far behind", unending + "SELECT count(substr(printf('%.900000c','ä'), 800000, 1)) FROM n"},
	{"compare long values", "WITH v(v) AS MATERIALIZED (SELECT printf('%.9000000c','x')) SELECT count(*) FROM ballast a, ballast b, v x, v y WHERE x.v || a.n = y.v || b.n"},
}

// forbidden are statements that must not be answered.
var forbidden = []statement{
	{"attach", "ATTACH 'stranger.db' AS s"},
	{"vacuum into", "VACUUM INTO 'stranger.db'"},
	{"vacuum", "VACUUM"},
	{"pragma", "PRAGMA writable_schema = 1"},
	{"pragma that reads", "PRAGMA table_info(ballast)"},
	{"pragma as a table", "SELECT * FROM pragma_database_list"},
	{"pragma as a table in a query", "SELECT (SELECT file FROM pragma_database_list LIMIT 1)"},
	{"the schema", "SELECT sql FROM sqlite_schema"},
	{"the schema by its old name", "SELECT sql FROM sqlite_master"},
	{"the schema, quoted", "SELECT * FROM \"SQLITE_MASTER\""},
	{"the schema of main", "SELECT count(*) FROM main.sqlite_schema"},
	{"the schema of temp", "SELECT * FROM sqlite_temp_schema"},
	{"sequences", "SELECT * FROM sqlite_sequence"},
	{"statistics", "SELECT * FROM sqlite_stat1"},
	{"pages", "SELECT * FROM dbstat"},
	{"raw pages", "SELECT * FROM sqlite_dbpage"},
	{"bytecode", "SELECT * FROM bytecode('SELECT 1')"},
	{"prepared statements", "SELECT * FROM sqlite_stmt"},
	{"the server's tables", "SELECT * FROM _tables"},
	{"the server's tables in a query", "SELECT (SELECT count(*) FROM _tables)"},
	{"the server's columns", "SELECT * FROM _columns"},
	{"extensions", "SELECT load_extension('x')"},
	{"files", "SELECT readfile('/etc/passwd')"},
	{"writing files", "SELECT writefile('stranger.db', 'x')"},
	{"tokenizers", "SELECT fts3_tokenizer('simple')"},
	{"the library's options", "SELECT sqlite_compileoption_get(1)"},
	{"logging", "SELECT sqlite_log(1, 'x')"},
	{"insert", "INSERT INTO ballast (n) VALUES (1)"},
	{"insert, returning", "INSERT INTO ballast (n) VALUES (1) RETURNING n"},
	{"update", "UPDATE ballast SET n = 1"},
	{"delete behind a with", "WITH x AS (SELECT 1) DELETE FROM ballast"},
	{"a temporary table", "CREATE TEMP TABLE stranger (a)"},
	{"a temporary view", "CREATE TEMP VIEW stranger AS SELECT 1"},
	{"a virtual table", "CREATE VIRTUAL TABLE temp.stranger USING fts5(a)"},
	{"drop", "DROP TABLE ballast"},
	{"two statements", "SELECT 1; SELECT 2"},
	{"a second behind a comment", "SELECT 1 /* ; */ ; DELETE FROM ballast"},
	{"begin", "BEGIN IMMEDIATE"},
	{"savepoint", "SAVEPOINT s"},
	{"explain of a write", "EXPLAIN QUERY PLAN DELETE FROM ballast"},
	{"explain", "EXPLAIN SELECT 1"},
	{"analyze", "ANALYZE"},
	{"reindex", "REINDEX"},
	{"nothing", "-- nothing"},
}

// sneaking are ways to reach a table that a token may not read; each would reveal the
// canary, or the existence of the canary.
var sneaking = []statement{
	{"plainly", "SELECT * FROM secrets"},
	{"by the schema's name", "SELECT word FROM main.secrets"},
	{"quoted", "SELECT \"word\" FROM \"SECRETS\""},
	{"as a subquery", "SELECT (SELECT word FROM secrets) AS w FROM ballast LIMIT 1"},
	{"in a condition", "SELECT n FROM ballast WHERE EXISTS (SELECT 1 FROM secrets WHERE word LIKE 'CANARY%') LIMIT 1"},
	{"by counting", "SELECT count(*) FROM secrets"},
	{"by a union", "SELECT words FROM ballast UNION SELECT word FROM secrets"},
	{"by a join", "SELECT s.word FROM ballast b JOIN secrets s ON 1 LIMIT 1"},
	{"by a common table", "WITH x AS (SELECT word FROM secrets) SELECT * FROM x"},
	{"by a recursive table", "WITH RECURSIVE x(w) AS (SELECT word FROM secrets UNION ALL SELECT w FROM x WHERE 0) SELECT w FROM x"},
	{"by rowid", "SELECT rowid FROM secrets"},
	{"in a window", "SELECT first_value((SELECT word FROM secrets)) OVER () FROM ballast LIMIT 1"},
	{"in the order", "SELECT n FROM ballast ORDER BY (SELECT word FROM secrets) LIMIT 1"},
	{"in the limit", "SELECT n FROM ballast LIMIT (SELECT length(word) FROM secrets)"},
	{"as a row", "SELECT (SELECT word, 1 FROM secrets) = (SELECT 'CANARY', 1)"},
	{"in in", "SELECT 'x' IN secrets"},
	{"by a natural join", "SELECT * FROM ballast NATURAL JOIN secrets"},
}
