package ingest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
)

// TestDialectsOfTablesBeginWithThatOfAll checks which dialect each table is read in.
func TestDialectsOfTablesBeginWithThatOfAll(t *testing.T) {
	o := Options{
		Target: Target{ReadOptions: format.ReadOptions{Profile: "excel-eu", Header: new(false)}},
		Tables: map[string]Target{
			"same":    {},
			"changed": {ReadOptions: format.ReadOptions{NullText: new("NULL"), FormulaGuard: new(false)}},
			"own":     {ReadOptions: format.ReadOptions{Profile: "bigquery", Quote: "none"}},
		},
	}
	all := format.ReadDialect{Encoding: format.UTF8, Delimiter: ';', Quote: '"', Header: format.WithoutHeader, LineEnd: format.CRLF, FormulaGuard: true}
	changed, own := all, format.ReadDialect{Encoding: format.UTF8, Delimiter: ',', Quote: format.NoQuote, Header: format.WithHeader, LineEnd: format.LF, NullText: `\N`}
	changed.NullText, changed.FormulaGuard = "NULL", false
	for name, want := range map[string]format.ReadDialect{"same": all, "changed": changed, "own": own, "another": all} {
		if diff := cmp.Diff(want, o.dialect(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestWordsOfOptions compares the words that the API documents with those that Check
// accepts.
func TestWordsOfOptions(t *testing.T) {
	for field, set := range map[string]func(*Options, string){
		"mode":     func(o *Options, word string) { o.Mode = Mode(word) },
		"on_error": func(o *Options, word string) { o.OnError = OnError(word) },
		"encoding": func(o *Options, word string) { o.Encoding = format.Encoding(word) },
	} {
		f, ok := reflect.TypeFor[Options]().FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, strings.ReplaceAll(field, "_", "")) })
		if !ok {
			t.Fatalf("no field %s", field)
		}
		documented := f.Tag.Get("enum")
		for word := range strings.SplitSeq(documented, ",") {
			var o Options
			var faults problem.Faults
			set(&o, word)
			if o.Check(&faults); faults.Any() {
				t.Errorf("%s %s: %v", field, word, faults.Err())
			}
		}
		var o Options
		var faults problem.Faults
		set(&o, "none of these")
		o.Check(&faults)
		if err := faults.Err(); err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(documented, ",", ", ")) {
			t.Errorf("%s: %v does not offer %s", field, err, documented)
		}
	}
}

// TestADelimiterHasAName reads a tab-separated file with each of the ways to name the
// delimiter.
func TestADelimiterHasAName(t *testing.T) {
	for _, name := range []string{"tab", `\t`, "\t"} {
		p := newProject(t)
		path := write(t, "x.csv", "a,b\tc\n1,5\t2\n")
		report, err := p.take(path, Options{Target: Target{ReadOptions: format.ReadOptions{Delimiter: name, Header: new(true)}}})
		if err != nil || len(report.Tables[0].Columns) != 2 {
			t.Errorf("%q: %v, %v", name, report.Tables, err)
		}
	}
}
