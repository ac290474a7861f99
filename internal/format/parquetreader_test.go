package format

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

func TestParquetReaderReadsWhatWeWrite(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(typedRow(), 0, 20).Draw(rt, "rows")
		for _, row := range rows {
			for j, v := range row {
				if v.Kind == sqlite.Text {
					row[j] = sqlite.TextValue(string([]rune(string(v.Bytes))))
				}
				if text, null := asField(row[j]); j >= 4 && !null {
					row[j] = sqlite.TextValue(text)
				}
			}
		}
		file := writeParquet(t, typedColumns(), batch(6, rows...))
		r, err := NewParquetReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			rt.Fatal(err)
		}
		if got := columnNames(r.Columns()); got != "z id INTEGER,score REAL,name TEXT,photo BLOB,any.thing TEXT,é TEXT" {
			rt.Fatalf("columns %s", got)
		}
		got, err := readTable(r, rapid.IntRange(1, 8).Draw(rt, "at once"))
		if want := show(batch(6, rows...)); err != nil || got != want {
			rt.Fatalf("read %q, %v, want %q", got, err, want)
		}
	})
}

func TestParquetReaderReadsLogicalTypes(t *testing.T) {
	type record struct {
		Flag    bool      `parquet:"flag"`
		Small   int8      `parquet:"small"`
		Large   uint64    `parquet:"large"`
		Half    float32   `parquet:"half"`
		NaN     float64   `parquet:"nan"`
		Price   int64     `parquet:"price,decimal(2:10)"`
		Exact   int64     `parquet:"exact,decimal(4:18)"`
		Day     int32     `parquet:"day,date"`
		At      time.Time `parquet:"at,timestamp(microsecond)"`
		Kind    string    `parquet:"kind,enum"`
		Missing *string   `parquet:"missing,optional"`
		UUID    [16]byte  `parquet:"uuid"`
	}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[record](&file)
	at := time.Date(2999, 12, 31, 23, 59, 59, 123456000, time.UTC)
	if _, err := w.Write([]record{
		{true, -5, math.MaxUint64, 0.5, math.NaN(), -1205, -1, 20000, at, "a", nil, [16]byte{1, 255}},
		{false, 5, 1, -0.5, 1, 7, 123456789012345678, -1, time.Date(1969, 12, 31, 23, 59, 59, 500000000, time.UTC), "", nil, [16]byte{}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := NewParquetReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := columnNames(r.Columns()), "flag INTEGER,small INTEGER,large TEXT,half REAL,nan REAL,price REAL,exact TEXT,day TEXT,at TEXT,kind TEXT,missing TEXT,uuid BLOB"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	got, err := readTable(r, 100)
	want := "i:1|i:-5|t:18446744073709551615|r:0.5|n:|r:-12.05|t:-0.0001|t:2024-10-04|t:2999-12-31T23:59:59.123456Z|t:a|n:|b:Af8AAAAAAAAAAAAAAAAAAA==|\n" +
		"i:0|i:5|t:1|r:-0.5|r:1.0|r:0.07|t:12345678901234.5678|t:1969-12-31|t:1969-12-31T23:59:59.5Z|t:|n:|b:AAAAAAAAAAAAAAAAAAAAAA==|\n"
	if err != nil || got != want {
		t.Errorf("read %s, %v, want %s", got, err, want)
	}
}

func TestParquetReaderFaults(t *testing.T) {
	var lz4 bytes.Buffer
	compressed := parquet.NewGenericWriter[struct{ N int }](&lz4, parquet.Compression(&parquet.Lz4Raw))
	if _, err := compressed.Write([]struct{ N int }{{1}}); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	good := writeParquet(t, typedColumns(), batch(6, make([]sqlite.Value, 6)))
	for _, c := range []struct{ file, want string }{
		{"", "The file is not a Parquet file, or it is damaged: "},
		{"id,name\n1,Ada\n", "The file is not a Parquet file, or it is damaged: "},
		{string(good[:len(good)-20]), "The file is not a Parquet file, or it is damaged: "},
		{lz4.String(), "The Parquet file is compressed with LZ4;"},
	} {
		_, err := NewParquetReader(strings.NewReader(c.file), int64(len(c.file)))
		var fault *FileError
		if !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Damage may go unnoticed, but must at most cause an error.
func TestParquetReaderSurvivesDamage(t *testing.T) {
	good := writeParquet(t, typedColumns(), batch(6, rapid.SliceOfN(typedRow(), 8, 8).Example(1)...))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		r, err := NewParquetReader(bytes.NewReader(bad), int64(len(bad)))
		if err == nil {
			_, err = readTable(r, 10)
		}
		var fault *FileError
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("byte %d: %T: %v", i, err, err)
		}
	}
}

// A damaged file is read from a path of the server, which its sender must not learn.
func TestFaultsOfFilesDoNotTellTheirPath(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, content := range []string{"PAR1PAR1", "PAR1\x00\x00\x00\x00PAR1", "PAR1\xff\xff\x00\x00PAR1", "PAR1\x10\x00\x00\x00PAR1", "PAR1", "PK\x05\x06" + strings.Repeat("\xff", 18), "PK\x03\x04"} {
		path := filepath.Join(folder, "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewParquetReader(f, int64(len(content)))
		if err == nil || strings.Contains(err.Error(), folder) {
			t.Errorf("%q as Parquet: %v", content, err)
		}
		if err := (&Workbook{}).readParts(f, int64(len(content))); err == nil || strings.Contains(err.Error(), folder) {
			t.Errorf("%q as a workbook: %v", content, err)
		}
		f.Close()
	}
}
