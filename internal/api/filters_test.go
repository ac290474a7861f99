package api

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/zangtable/zangtable/internal/projectdb"
)

// The reference has one line per operator, in the order of the table.
func TestOperatorsAreCheckedIn(t *testing.T) {
	const name, head = "api/records.md", "| `op` | `value` | a record matches when its value |\n|---|---|---|\n"
	page, err := os.ReadFile(docs + name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(page, []byte(head))
	end := bytes.Index(rest, []byte("\n\n"))
	if !ok || end < 0 {
		t.Fatalf("docs/%s has no table of operators", name)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(head)
	for _, op := range projectdb.Operators() {
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", op.Name, valueOf(op), op.Doc)
	}
	out.Write(rest[end+1:])
	compare(t, name, out.Bytes())
}
