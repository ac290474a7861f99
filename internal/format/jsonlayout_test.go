package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/encoding/unicode"
)

// memory is an Input in memory.
type memory struct{ *bytes.Reader }

func inMemory(text string) memory { return memory{bytes.NewReader([]byte(text))} }
func (memory) Err() error         { return nil }
func (m memory) again() memory    { _, _ = m.Seek(0, io.SeekStart); return m }

// readOnly reads the only table of a file, as its columns, its rows and its notes.
func readOnly(text string, list func(Input, Reading) ([]Table, error), o Reading) (string, error) {
	if o.Dialect == nil {
		o.Dialect = func(string) ReadDialect { return ReadDialect{} }
	}
	in := inMemory(text)
	tables, err := list(in, o)
	if err != nil {
		return "", err
	}
	if tables[0].Rowless {
		return "rowless", nil
	}
	rows, err := tables[0].Open(in.again())
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var out strings.Builder
	out.WriteString(columnNames(rows.Columns()))
	for {
		row, err := rows.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
		out.WriteByte('/')
		for i, v := range row {
			text, _ := asField(v)
			if i > 0 {
				out.WriteByte(',')
			}
			fmt.Fprintf(&out, "%c:%s", "nirtb"[v.Kind], text)
		}
	}
	for _, note := range tables[0].Notes {
		first, _, _ := strings.Cut(note, ";")
		fmt.Fprintf(&out, " | %s", strings.TrimSuffix(first, "."))
	}
	return out.String(), nil
}

func TestRowsAreFoundInJSON(t *testing.T) {
	const listAt = " | The rows are those of the list at "
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(`[{"a":"ü"}]`)
	if err != nil {
		t.Fatal(err)
	}
	headless := strings.TrimPrefix(utf16, "\xff\xfe")
	for _, c := range []struct{ ext, path, text, want string }{
		{"json", "", `{"count":2,"results":[{"a":1},{"b":"x"}]}`, `a,b/i:1,n:/n:,t:x` + listAt + `$.results`},
		{"json", "", `{"meta":{"page":1},"data":{"items":[{"a":1}]}}`, `a/i:1` + listAt + `$.data.items`},
		{"json", "", `{"my rows":[{"a":1}],"deep":{"er":[{"b":1}]}}`, `a/i:1` + listAt + `$["my rows"] | There are other lists further down`},
		{"json", "", `{"columns":["x"],"data":[["n","m"],[1,[2]]]}`, `n,m/i:1,t:[2]` + listAt + `$.data | The rows are arrays`},
		{"json", "", `{"x":[{"a":1}],"y":[{"b":1}]}`, `x,y/t:[{"a":1}],t:[{"b":1}] | The file is one object with several lists, so it became one row`},
		{"json", "$.y", `{"x":[{"a":1}],"y":[{"b":1}]}`, `b/i:1`},
		{"json", "$.y[*]", `{"x":[{"a":1}],"y":[{"b":1}]}`, `b/i:1`},
		{"json", "$", `{"x":[{"a":1}]}`, `x/t:[{"a":1}]`},
		{"json", `$["a b"].c`, `{"a b":{"c":{"d":1}}}`, `d/i:1`},
		{"json", "$.by[*]", `{"by":{"k":{"a":1}}}`, `key,a/t:k,i:1`},
		{"jsonl", "", `{"id":1,"tags":[{"a":1}]}`, `id,tags/i:1,t:[{"a":1}]`},
		{"ndjson", "", "{\"a\":NaN,\"b\":\"NaN\"}\n{\"a\":-Infinity,\"b\":[Infinity,\"\\\"NaN\"]}", `a,b/n:,t:NaN/n:,t:[null,"\"NaN"] | JSON has no NaN and no infinities: 3 of them became NULL, or null in objects and lists`},
		{"json", "", `[{"a":1,"a":2},{"a":3,"\u0061":4}]`, `a/i:2/i:4 | Objects have a key more than once, 1 times in all: the last value counts`},
		{"json", "", `{"u1":{"name":"A","age":1},"u2":{"name":"B"}}`, `key,name,age/t:u1,t:A,i:1/t:u2,t:B,n: | The file is an object of objects: each became a row. Set json_path to $ to make the file one row`},
		{"json", "", `{"users":{"u1":{"key":"A"},"u2":{"key":"B"}}}`, `_key,key/t:u1,t:A/t:u2,t:B | The rows are the members of the object at $.users`},
		{"json", "", `{"server":{"port":1},"log":{"level":"x","file":"y"},"db":{"url":"z"}}`, `server,log,db/t:{"port":1},t:{"level":"x","file":"y"},t:{"url":"z"}`},
		{"json", "", `[["id","name"],[1,"A"],[2,"B",null,3]]`, `id,name,,/i:1,t:A,n:,n:/i:2,t:B,n:,i:3 | The rows are arrays`},
		{"json", "", "[1,\"A\"]\n[2,\"B\"]\n", `,/i:1,t:A/i:2,t:B | The rows are arrays`},
		{"geojson", "", `{"type":"FeatureCollection","features":[{"type":"Feature","id":7,"properties":{"id":1,"n":"A"},"geometry":{"type":"Point","coordinates":[1,2]}},{"type":"Feature","properties":null,"geometry":null}]}`,
			`id,n,_id,geometry/i:1,t:A,i:7,t:{"type":"Point","coordinates":[1,2]}/n:,n:,n:,n: | The features of the GeoJSON file are its rows: their properties became columns, the geometry a text`},
		{"json", "", utf16, "a/t:ü | It was read as utf-16le"},
		{"json", "", headless, "a/t:ü | It was read as utf-16le"},
		{"jsonl", "", "\ufeff{\"a\":1}\n{\"a\":2}", "a/i:1/i:2"},
		{"json", "", `[]`, "rowless"},
	} {
		if got, err := readOnly(c.text, jsonTables, Reading{Ext: c.ext, Path: c.path}); err != nil || got != c.want {
			t.Errorf("%s %s: got %s, %v, want %s", c.text, c.path, got, err, c.want)
		}
	}
}

func TestJSONWithoutRowsIsRefused(t *testing.T) {
	for _, c := range []struct{ path, text, want string }{
		{"", `[{'a':1}]`, "line 1, column 3: invalid character '\\'' at start of value"},
		{"", "{\"a\":1, // no\n\"b\":2}", "line 1, column 9: invalid character '/' at start of value"},
		{"", `{"a":[{"b":1}]} x`, "line 1, column 17: invalid character 'x' at start of value"},
		{"", `[[1],{"a":1}]`, "line 1, column 6: an array of values is expected here, like the rows before"},
		{"", "[NaN]", "line 1, column 2: invalid character 'N' at start of value"},
		{"$.b", `{"a":[]}`, "There is nothing at $.b in the file; correct json_path."},
		{"$.a", `{"a":3}`, "The value at $.a in json_path is neither a list nor an object."},
		{"$.a", `{"a":[{"b":1}]}{"a":[{"b":2}]}`, "line 1, column 16: nothing may follow the end of the JSON value"},
		{"$[*]", `{"a":3}`, "line 1, column 6: an object is expected here"},
	} {
		_, err := readOnly(c.text, jsonTables, Reading{Ext: "json", Path: c.path})
		if fault := (*FileError)(nil); !errors.As(err, &fault) || err.Error() != c.want {
			t.Errorf("%s %s: %v, want %s", c.text, c.path, err, c.want)
		}
	}
}

func TestJSONPathsAreRead(t *testing.T) {
	for path, want := range map[string]string{"$": "[]", "$.a": `["a"]`, `$['x.y']["z\"]"].ü[*]`: `["x.y" "z\"]" "ü"]*`, "$.*": "[]*"} {
		keys, members, ok := ParseJSONPath(path)
		got := fmt.Sprintf("%q", keys)
		if members {
			got += "*"
		} else if again, _, _ := ParseJSONPath(JSONPath(keys)); !slices.Equal(again, keys) {
			t.Errorf("%s was written as %s", path, JSONPath(keys))
		}
		if got != want || !ok {
			t.Errorf("%s: got %s, %v", path, got, ok)
		}
	}
	for _, path := range []string{"a", "$a", "$.", "$..a", "$[0]", `$["a`, `$["a"`, "$['a]", "$[*].a"} {
		if keys, _, ok := ParseJSONPath(path); ok {
			t.Errorf("%s was read as %q", path, keys)
		}
	}
}

func TestNumbersThatJSONLacksAreReplacedAcrossReads(t *testing.T) {
	const text = `[NaN,-Infinity,"\\",-NaN,"NaN\"NaN",-5,Infinit]-`
	for name, r := range map[string]io.Reader{"one byte": iotest.OneByteReader(strings.NewReader(text)), "at once": iotest.DataErrReader(strings.NewReader(text))} {
		n := &nullNumbers{r: r}
		got, err := io.ReadAll(n)
		if want := `[null,null,"\\",null,"NaN\"NaN",-5,Infinit]-`; err != nil || string(got) != want || n.replaced != 3 {
			t.Errorf("%s: got %s, %v, %d replaced", name, got, err, n.replaced)
		}
	}
}
