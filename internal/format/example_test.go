package format_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// A table can be written in any format that has a writer.
func ExampleFormat_Writer() {
	columns := []format.Column{{Name: "id", Type: "INTEGER"}, {Name: "name", Type: "TEXT"}}
	var rows sqlite.Batch
	rows.Reset(len(columns))
	rows.Append(sqlite.Value{Kind: sqlite.Integer, Int: 1}, sqlite.Value{Kind: sqlite.Text, Bytes: []byte("Ada, Countess")})
	rows.Append(sqlite.Value{Kind: sqlite.Integer, Int: 2}, sqlite.Value{})
	for _, name := range []string{"csv", "ndjson"} {
		w, err := format.All().Get(name).Writer(os.Stdout, columns, format.WriteOptions{Dialect: format.DefaultDialect()})
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := w.Rows(&rows); err != nil {
			fmt.Println(err)
		}
		if err := w.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// id,name
	// 1,"Ada, Countess"
	// 2,
	// {"id":1,"name":"Ada, Countess"}
	// {"id":2,"name":null}
}

// Files are recognized by their content.
func ExampleFormats_Recognize() {
	for _, head := range []string{"PAR1", `[{"a":1}]`, "{\"a\":1}\n", "CREATE TABLE t (a);", "a;b\n1;2\n", "\xd0\xcf\x11\xe0"} {
		f := format.All().Recognize([]byte(head))
		fmt.Printf("%s, read: %t\n", f.Title, f.IsRead())
	}
	// Output:
	// a Parquet file, read: true
	// a JSON file, read: true
	// an NDJSON file, read: true
	// an SQL dump, read: true
	// a CSV file, read: true
	// an old Excel workbook, read: false
}

// The dialect of a CSV file is detected.
func ExampleNewCSVReader() {
	r, err := format.NewCSVReader(strings.NewReader("name;score\nAda;1,5\n\"\";\n"), format.ReadDialect{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%c %q\n", r.Dialect().Delimiter, r.Header())
	for row, err := r.Read(); err == nil; row, err = r.Read() {
		for _, field := range row {
			fmt.Printf("[%s null:%t]", field.Bytes, field.Null)
		}
		fmt.Println()
	}
	// Output:
	// ; ["name" "score"]
	// [Ada null:false][1,5 null:false]
	// [ null:false][ null:true]
}
