package format

import (
	"bytes"
	"encoding/json"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
	"pgregory.net/rapid"
)

func TestNDJSONIsReadByOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 5).Draw(t, "width")
		names := rapid.SliceOfNDistinct(rapid.String(), width, width, rapid.ID[string]).Draw(t, "names")
		rows := rowsOf(t, width)
		file := encode(NewNDJSON(columns(names...), JSONOptions{}), batch(width, rows...))
		lines := bytes.SplitAfter(file, []byte{'\n'})
		if last := lines[len(lines)-1]; len(last) > 0 {
			t.Fatalf("the last line has no end: %q", last)
		}
		if len(lines)-1 != len(rows) {
			t.Fatalf("%d lines, want %d", len(lines)-1, len(rows))
		}
		for i, row := range rows {
			if !jsontext.Value(lines[i]).IsValid() {
				t.Fatalf("not strict JSON: %s", lines[i])
			}
			decoder := json.NewDecoder(bytes.NewReader(lines[i]))
			decoder.UseNumber()
			var got map[string]any
			if err := decoder.Decode(&got); err != nil {
				t.Fatalf("%v in %s", err, lines[i])
			}
			for j, v := range row {
				if want := asJSON(v); !equalJSON(got[names[j]], want) {
					t.Fatalf("row %d, %q: %v, want %v", i, names[j], got[names[j]], want)
				}
			}
		}
	})
}

func TestJqReadsNDJSON(t *testing.T) {
	jq := testkit.Tool(t, "jq")
	e := NewNDJSON(columns("id", `odd "name"`), JSONOptions{})
	file := encode(e,
		batch(2, []sqlite.Value{sqlite.IntValue(1), {}}),
		batch(2, []sqlite.Value{sqlite.IntValue(2), sqlite.TextValue("two\nlines\xff")}, []sqlite.Value{sqlite.FloatValue(math.Inf(1)), sqlite.BlobValue([]byte{0, 255})}))
	cmd := exec.Command(jq, "-c", ".")
	cmd.Stdin = bytes.NewReader(file)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{`{"id":1,"odd \"name\"":null}`, `{"id":2,"odd \"name\"":"two\nlines` + "\ufffd" + `"}`, `{"id":null,"odd \"name\"":"AP8="}`, ""}, "\n")
	if string(out) != want {
		t.Errorf("jq read %s, want %s", out, want)
	}
	if e.Replaced() != 3 { // the text, the infinity and the blob in a column of any type
		t.Errorf("%d values replaced, want 3", e.Replaced())
	}
}
