package sqlite

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
	zs "zombiezen.com/go/sqlite"
)

// same reports whether two values are bit-for-bit identical.
func same(a, b Value) bool {
	return a.Kind == b.Kind && a.Int == b.Int && math.Float64bits(a.Float) == math.Float64bits(b.Float) && bytes.Equal(a.Bytes, b.Bytes)
}

var hardValues = []Value{
	{},
	IntValue(0), IntValue(-1), IntValue(math.MaxInt64), IntValue(math.MinInt64), IntValue(1<<53 + 1),
	FloatValue(0), FloatValue(math.Copysign(0, -1)), FloatValue(math.Inf(1)), FloatValue(math.Inf(-1)),
	FloatValue(math.MaxFloat64), FloatValue(math.SmallestNonzeroFloat64), FloatValue(0.1), FloatValue(1e300), FloatValue(3),
	TextValue(""), TextValue("a\x00b"), TextValue("\x00"), TextValue("\xff\xfe\x80"), TextValue("\xed\xa0\x80"), TextValue("žluťoučký 🐎"), TextValue("9007199254740993"),
	BlobValue(nil), BlobValue([]byte{0}), BlobValue([]byte("text\x00\xff")), BlobValue(bytes.Repeat([]byte{7}, 70_000)),
}

func anyValue() *rapid.Generator[Value] {
	return rapid.OneOf(
		rapid.SampledFrom(hardValues),
		rapid.Map(rapid.Int64(), IntValue),
		rapid.Map(rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) }), FloatValue),
		rapid.Map(rapid.String(), TextValue),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) Value { return TextValue(string(b)) }),
		rapid.Map(rapid.SliceOf(rapid.Byte()), BlobValue),
	)
}

// roundTrip binds the rows, reads them back by Fill and by Value, and compares.
func roundTrip(t rapid.TB, c *Conn, rows [][]Value, maxRows, maxBytes int) {
	if err := c.Script("BEGIN; DELETE FROM v"); err != nil {
		t.Fatal(err)
	}
	defer c.Exec("COMMIT")
	for _, row := range rows {
		if err := c.Exec("INSERT INTO v VALUES (?, ?, ?)", row[0], row[1], row[2]); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Prepare("SELECT a, b, c FROM v ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var batch Batch
	n := 0
	for more := true; more; {
		batch.Reset(s.Columns())
		if more, err = s.Fill(&batch, maxRows, maxBytes); err != nil {
			t.Fatal(err)
		}
		if batch.Rows > maxRows {
			t.Fatalf("%d rows in a batch of %d", batch.Rows, maxRows)
		}
		for i := range batch.Rows {
			for j, cell := range batch.Row(i) {
				if got := batch.Value(cell); !same(got, rows[n][j]) {
					t.Fatalf("row %d column %d: filled %#v, want %#v", n, j, got, rows[n][j])
				}
			}
			n++
		}
	}
	if n != len(rows) {
		t.Fatalf("%d rows, want %d", n, len(rows))
	}
	n = 0
	err = c.Query("SELECT a, b, c FROM v ORDER BY rowid", nil, func(s *Stmt) error {
		for j := range 3 {
			if got := s.Value(j); !same(got, rows[n][j]) {
				t.Fatalf("row %d column %d: value %#v, want %#v", n, j, got, rows[n][j])
			}
		}
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryValueSurvives(t *testing.T) {
	c := memoryConn(t)
	if err := c.Script("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; CREATE TABLE v (a ANY, b ANY, c ANY) STRICT"); err != nil {
		t.Fatal(err)
	}
	var rows [][]Value
	for i := range hardValues {
		rows = append(rows, []Value{hardValues[i], hardValues[(i+1)%len(hardValues)], hardValues[len(hardValues)-1-i]})
	}
	roundTrip(t, c, rows, 1000, 1<<30)
	roundTrip(t, c, rows, 1, 1)
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(anyValue(), 3, 3), 0, 12).Draw(t, "rows")
		roundTrip(t, c, rows, rapid.IntRange(1, 20).Draw(t, "max rows"), rapid.IntRange(1, 100).Draw(t, "max bytes"))
	})
}

// TestRunIsLikeBind inserts the same rows with Bind one by one, and with Run several
// at a time; both reuse their statements. A whole REAL is stored as an integer in the
// file; it must come back as a REAL, and only the sign of -0.0 is known to be lost.
func TestRunIsLikeBind(t *testing.T) {
	db := open(t, Options{})
	err := db.Exclusive(t.Context(), func(c *Conn) error {
		if err := c.Script("CREATE TABLE bound (a ANY, b ANY, c ANY) STRICT; CREATE TABLE placed (a ANY, b ANY, c ANY) STRICT; CREATE TABLE checked (a ANY CHECK (typeof(a) <> 'real'), b ANY, c ANY) STRICT"); err != nil {
			return err
		}
		one, err := c.Prepare("INSERT INTO placed VALUES (?, ?, ?)")
		if err != nil {
			return err
		}
		defer one.Close()
		three, err := c.Prepare("INSERT INTO placed VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?)")
		if err != nil {
			return err
		}
		defer three.Close()
		rapid.Check(t, func(rt *rapid.T) {
			value := rapid.OneOf(anyValue(), rapid.Just(FloatValue(math.NaN())))
			rows := rapid.SliceOfN(rapid.SliceOfN(value, 3, 3), 1, 10).Draw(rt, "rows")
			var b Batch
			b.Reset(3)
			for _, row := range rows {
				b.Append(row...)
			}
			if err := c.Script("DELETE FROM bound; DELETE FROM placed"); err != nil {
				rt.Fatal(err)
			}
			for i := 0; i < len(rows); {
				stmt, n := one, 1
				if len(rows)-i >= 3 && rapid.Bool().Draw(rt, "three") {
					stmt, n = three, 3
				}
				if rapid.Bool().Draw(rt, "bound before") {
					stmt.BindValue(1, TextValue("left behind"))
				}
				if err := stmt.Run(&b, i, n); err != nil {
					rt.Fatal(err)
				}
				i += n
			}
			for _, row := range rows {
				if err := c.Exec("INSERT INTO bound VALUES (?, ?, ?)", row[0], row[1], row[2]); err != nil {
					rt.Fatal(err)
				}
			}
			const judge = "SELECT group_concat(typeof(a) || quote(a) || hex(a) || typeof(b) || quote(b) || hex(b) || typeof(c) || quote(c) || hex(c)) FROM "
			want, err := c.Text(judge + "bound")
			if err != nil {
				rt.Fatal(err)
			}
			if got, err := c.Text(judge + "placed"); err != nil || got != want {
				rt.Fatalf("placed %s\nbound  %s\n%v", got, want, err)
			}
		})
		// A failure, and rows with the wrong number of values.
		refusing, err := c.Prepare("INSERT INTO checked VALUES (?, ?, ?)")
		if err != nil {
			return err
		}
		defer refusing.Close()
		var b Batch
		b.Reset(3)
		b.Append(FloatValue(1), TextValue("x"), Value{})
		b.Append(IntValue(1), TextValue("x"), Value{})
		if err := refusing.Run(&b, 0, 1); FaultOf(err) != Check {
			t.Errorf("got %v", err)
		}
		if err := refusing.Run(&b, 1, 1); err != nil {
			t.Errorf("after a failure: %v", err)
		}
		if err := refusing.Run(&b, 0, 2); err == nil {
			t.Error("six values were taken for three parameters")
		}
		// The library recompiles the statement.
		if err := c.Script("DROP TABLE checked; CREATE TABLE checked (a ANY, b ANY, c ANY, d ANY DEFAULT 'new') STRICT"); err != nil {
			return err
		}
		anew, err := c.Prepare("INSERT INTO checked (a, b, c) VALUES (?, ?, ?)")
		if err != nil {
			return err
		}
		defer anew.Close()
		if err := c.Script("DROP TABLE checked; CREATE TABLE checked (c ANY, b ANY, a ANY) STRICT"); err != nil {
			return err
		}
		for i := range 2 {
			if err := anew.Run(&b, i, 1); err != nil {
				t.Error(err)
			}
		}
		if got, err := c.Text("SELECT group_concat(quote(c) || quote(b) || quote(a)) FROM checked"); err != nil || got != "NULL'x'1.0,NULL'x'1" {
			t.Errorf("%s, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRealColumnKeepsItsKind(t *testing.T) {
	c := memoryConn(t)
	if err := c.Script("CREATE TABLE r (x REAL) STRICT; INSERT INTO r VALUES (3), (-0.0), (9e999)"); err != nil {
		t.Fatal(err)
	}
	var got []Value
	err := c.Query("SELECT x FROM r", nil, func(s *Stmt) error {
		got = append(got, s.Value(0))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Value{FloatValue(3), FloatValue(0), FloatValue(math.Inf(1))} {
		if !same(got[i], want) {
			t.Errorf("got %v, want %v", got[i], want)
		}
	}
}

func TestAppendIsLikeFill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(anyValue(), 2, 2), 0, 10).Draw(t, "rows")
		var b Batch
		b.Reset(2)
		for _, row := range rows {
			b.Append(row...)
		}
		if b.Rows != len(rows) {
			t.Fatalf("%d rows", b.Rows)
		}
		for i, row := range rows {
			for j, cell := range b.Row(i) {
				if !same(b.Value(cell), row[j]) {
					t.Fatalf("row %d column %d: %v, want %v", i, j, b.Value(cell), row[j])
				}
			}
		}
	})
}

func TestBindNamed(t *testing.T) {
	c := memoryConn(t)
	s, err := c.Prepare("SELECT :a, @b, $c, ?")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Parameters() != 4 || s.ParameterName(1) != ":a" || s.ParameterName(4) != "" {
		t.Errorf("%d parameters, the first %q, the last %q", s.Parameters(), s.ParameterName(1), s.ParameterName(4))
	}
	for i, name := range []string{":a", "@b", "$c"} {
		if !s.BindNamed(name, IntValue(int64(i))) {
			t.Errorf("%s was not found", name)
		}
	}
	if s.BindNamed(":missing", Value{}) || s.BindNamed("a", Value{}) {
		t.Error("a missing name was found")
	}
	if more, err := s.Step(); err != nil || !more {
		t.Fatal(more, err)
	}
	if s.Int(0) != 0 || s.Int(1) != 1 || s.Int(2) != 2 || !s.IsNull(3) || s.TextOrNil(3) != nil {
		t.Error("values went astray")
	}
}

// Files made elsewhere may hold UTF-16 text; it is read as UTF-8.
func TestUTF16FilesAreReadAsUTF8(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wide.db")
	c, err := openConn(path, zs.OpenReadWrite|zs.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	const word = "žluťoučký 🐎 x"
	if err := c.Script("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (v ANY) STRICT"); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("INSERT INTO t VALUES (?)", word); err != nil {
		t.Fatal(err)
	}
	c.Close()
	var wide []byte
	for _, unit := range utf16.Encode([]rune(word)) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	if content, err := os.ReadFile(path); err != nil || !bytes.Contains(content, wide) {
		t.Fatalf("the file does not hold UTF-16 (%v)", err)
	}
	if c, err = OpenFile(path); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Prepare("SELECT v FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b Batch
	b.Reset(1)
	if _, err := s.Fill(&b, 10, 1<<20); err != nil {
		t.Fatal(err)
	}
	if got := string(b.Bytes(b.Row(0)[0])); got != word {
		t.Errorf("filled %q", got)
	}
	if got, err := c.Text("SELECT v FROM t"); err != nil || got != word {
		t.Errorf("text %q, %v", got, err)
	}
}

func TestBatchKeepsReasonableMemory(t *testing.T) {
	var b Batch
	b.Reset(1)
	b.Append(BlobValue(make([]byte, 5<<20)))
	b.Reset(1)
	if cap(b.arena) != 0 || b.Rows != 0 || b.Size() != 0 {
		t.Errorf("%d bytes are kept after an outsized value", cap(b.arena))
	}
	b.Append(BlobValue(make([]byte, 1<<20)))
	b.Reset(1)
	if cap(b.arena) == 0 {
		t.Error("ordinary memory was not kept")
	}
}

// A value that cannot be copied from its register as it is, such as text in UTF-16, is
// converted by the library; the result must be the same.
func TestFillIsLikeValue(t *testing.T) {
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		c := memoryConn(t)
		err := c.Script("PRAGMA encoding = '" + encoding + `';
			CREATE TABLE v (i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, x);
			INSERT INTO v VALUES (1, 2, 3, x'04', '5', 6), ('7', '8', '', x'', 9.0, zeroblob(3)), (NULL, 1e400, 'ž🐎', zeroblob(70000), 'n', -0.0)`)
		if err != nil {
			t.Fatal(err)
		}
		const query = `SELECT *, zeroblob(3), CAST(i AS TEXT), CAST(t AS BLOB), CAST(b AS TEXT), typeof(r), t || x, i + r, hex(b),
			'constant', 1, 2.5, x'00', NULL, json_object('t', t), coalesce(i, r, t), max(i, r), substr(t, 1, 1), r / 0, abs(i),
			(SELECT t FROM v LIMIT 1), group_concat(t) OVER (), count(*) OVER (), sum(i) OVER (), sum(r) OVER () FROM v ORDER BY rowid`
		s, err := c.Prepare(query)
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		b.Reset(s.Columns())
		_, err = s.Fill(&b, 10, 1<<20)
		s.Close()
		if err != nil || b.Rows != 3 {
			t.Fatalf("%d rows, %v", b.Rows, err)
		}
		row := 0
		err = c.Query(query, nil, func(s *Stmt) error {
			for i, cell := range b.Row(row) {
				if got, want := b.Value(cell), s.Value(i); !same(got, want) {
					t.Errorf("%s, row %d, column %d: filled %#v, want %#v", encoding, row, i, got, want)
				}
			}
			row++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
