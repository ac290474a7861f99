package format

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
)

// parquetFile writes rows of any struct as a Parquet file.
func parquetFile[T any](t *testing.T, rows ...T) []byte {
	t.Helper()
	var file bytes.Buffer
	w := parquet.NewGenericWriter[T](&file)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func readNestedParquet(file []byte) (columns, rows string, err error) {
	r, err := NewParquetReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return "", "", err
	}
	defer r.Close()
	rows, err = readTable(r, 100)
	return columnNames(r.Columns()), rows, err
}

func TestListsAndRecordsOfParquetBecomeJSON(t *testing.T) {
	type point struct {
		X float64 `parquet:"x"`
		Y *int32  `parquet:"y,optional"`
	}
	type record struct {
		ID     int64            `parquet:"id"`
		Tags   []string         `parquet:"tags,list"`
		Plain  []int32          `parquet:"plain"`
		Nested [][]bool         `parquet:"nested,list"`
		At     point            `parquet:"at"`
		Maybe  *point           `parquet:"maybe,optional"`
		Path   []point          `parquet:"path"`
		By     map[string]int64 `parquet:"by"`
		Num    map[int32][]byte `parquet:"num"`
		U      [16]byte         `parquet:"u,uuid"`
		Cents  []int64          `parquet:"cents,list" parquet-element:",decimal(2:18)"`
	}
	two := int32(2)
	file := parquetFile(t,
		record{1, []string{"a", `"`}, []int32{1, 2}, [][]bool{{true}, {}, {false, true}}, point{math.NaN(), nil}, &point{1e21, &two},
			[]point{{1, nil}, {2, &two}}, map[string]int64{"k": 5}, map[int32][]byte{7: {255}}, [16]byte{1, 15: 2}, []int64{-5, 100}},
		record{ID: 2})
	columns, rows, err := readNestedParquet(file)
	if want := "id INTEGER,tags TEXT,plain TEXT,nested TEXT,at TEXT,maybe TEXT,path TEXT,by TEXT,num TEXT,u TEXT,cents TEXT"; columns != want {
		t.Errorf("columns %s, want %s", columns, want)
	}
	want := `i:1|t:["a","\""]|t:[1,2]|t:[[true],[],[false,true]]|t:{"x":null,"y":null}|t:{"x":1e+21,"y":2}|t:[{"x":1,"y":null},{"x":2,"y":2}]|t:{"k":5}|t:{"7":"/w=="}|t:01000000-0000-0000-0000-000000000002|t:[-0.05,1.00]|` + "\n" +
		`i:2|t:[]|t:[]|t:[]|t:{"x":0,"y":null}|n:|t:[]|t:{}|t:{}|t:00000000-0000-0000-0000-000000000000|t:[]|` + "\n"
	if err != nil || rows != want {
		t.Errorf("read %s, %v, want %s", rows, err, want)
	}
}

// Lists may continue on the next page, and rows in the next row group.
func TestListsOfParquetSpanPages(t *testing.T) {
	type record struct {
		ID   int      `parquet:"id"`
		Tags []string `parquet:"tags,list"`
	}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[record](&file, parquet.PageBufferSize(64), parquet.MaxRowsPerRowGroup(7))
	var want strings.Builder
	for i := range 20 {
		tags := make([]string, i*20)
		for j := range tags {
			tags[j] = strings.Repeat("x", j%5)
		}
		if _, err := w.Write([]record{{i, tags}}); err != nil {
			t.Fatal(err)
		}
		want.WriteString(strings.ReplaceAll(`["`+strings.Join(tags, `","`)+`"]`, `[""]`, "[]"))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, rows, err := readNestedParquet(file.Bytes())
	var got strings.Builder
	for row := range strings.Lines(rows) {
		_, text, _ := strings.Cut(row, "|t:")
		got.WriteString(strings.TrimSuffix(text, "|\n"))
	}
	if err != nil || got.String() != want.String() {
		t.Errorf("read %v, %d bytes of lists, want %d", err, got.Len(), want.Len())
	}
}

func TestLongRowsOfParquetAreRefused(t *testing.T) {
	type record struct {
		N []int8 `parquet:"n"`
	}
	_, _, err := readNestedParquet(parquetFile(t, record{make([]int8, 3)}, record{make([]int8, maxRowValues+1)}))
	if want := "Row 2 holds more in its lists and records than can be imported: at most 2097152 values, and 32 MiB as JSON in a column."; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	type texts struct {
		T []string `parquet:"t,dict"`
	}
	long := strings.Repeat("x", 1<<20)
	many := make([]string, 40)
	for i := range many {
		many[i] = long // once in the dictionary
	}
	if _, _, err := readNestedParquet(parquetFile(t, texts{many})); err == nil || !strings.HasPrefix(err.Error(), "Row 1 holds more in its lists") {
		t.Errorf("got %v", err)
	}
}

func TestDamagedListsOfParquetAreFaults(t *testing.T) {
	type record struct {
		ID   int              `parquet:"id"`
		Tags []string         `parquet:"tags,list"`
		By   map[string][]int `parquet:"by"`
	}
	good := parquetFile(t, record{1, []string{"a", "b"}, map[string][]int{"k": {1, 2}}}, record{2, nil, nil})
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, _, err := readNestedParquet(bad); err != nil {
			if _, ok := err.(*FileError); !ok {
				t.Fatalf("byte %d: %T: %v", i, err, err)
			}
		}
	}
}

func TestParquetTypesThatOtherProgramsWrite(t *testing.T) {
	if got := int96Text(deprecated.Int96{0, 0, 2440588}); got != "1970-01-01T00:00:00" {
		t.Errorf("INT96 is %s", got)
	}
	if got := int96Text(deprecated.Int96{500_000_000, 0, 2440587}); got != "1969-12-31T00:00:00.5" {
		t.Errorf("INT96 is %s", got)
	}
	for interval, want := range map[[12]byte]string{{}: "PT0S", {14, 4: 3}: "P1Y2M3D", {8: 0xf4, 9: 1}: "PT0.5S", {1, 8: 0x80, 9: 0xee, 10: 0x36}: "P1MT1H"} {
		if got := intervalText(interval[:]); got != want {
			t.Errorf("%v is %s, want %s", interval, got, want)
		}
	}
	for bits, want := range map[uint16]float64{0: 0, 1: math.Ldexp(1, -24), 0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 0x7bff: 65504, 0xfc00: math.Inf(-1)} {
		if got := float16(bits); got != want {
			t.Errorf("%x is %v, want %v", bits, got, want)
		}
	}
	if got := float16(0x7e00); !math.IsNaN(got) {
		t.Errorf("NaN is %v", got)
	}
}
