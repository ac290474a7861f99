package format

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// record writes a struct in Thrift's compact protocol, with its fields in order of their
// ids.
type record struct {
	text []byte
	last byte
}

func (r *record) field(id, kind byte, value ...byte) *record {
	r.text = append(append(r.text, (id-r.last)<<4|kind), value...)
	r.last = id
	return r
}

func (r *record) number(id byte, n int64) *record {
	return r.field(id, 6, binary.AppendVarint(nil, n)...)
}

func (r *record) i32(id byte, n int64) *record {
	return r.field(id, 5, binary.AppendVarint(nil, n)...)
}

func (r *record) in(id byte, inner *record) *record {
	return r.field(id, thriftStruct, inner.end()...)
}

func (r *record) bytes(id byte, text string) *record {
	return r.field(id, thriftBinary, append(binary.AppendUvarint(nil, uint64(len(text))), text...)...)
}

// list writes n items, or only claims to.
func (r *record) list(id, kind byte, n uint64, items ...[]byte) *record {
	head := append([]byte{15<<4 | kind}, binary.AppendUvarint(nil, n)...)
	return r.field(id, thriftList, append(head, bytes.Join(items, nil)...)...)
}

func (r *record) end() []byte { return append(r.text, 0) }

// forgedPage is a page whose header may be false.
type forgedPage struct {
	dictionary   bool
	encoding     int64
	values, size int64 // size: 0 for the size of the content
	content      []byte
}

// forge returns a file with one column, of integers or of texts.
func forge(kind, codec int64, optional bool, pages ...forgedPage) []byte {
	file := []byte("PAR1")
	for _, p := range pages {
		if p.size == 0 {
			p.size = int64(len(p.content))
		}
		head := new(record)
		if p.dictionary {
			head.i32(1, 2).i32(2, p.size).i32(3, int64(len(p.content))).in(7, new(record).i32(1, p.values).i32(2, p.encoding))
		} else {
			head.i32(1, 0).i32(2, p.size).i32(3, int64(len(p.content))).in(5, new(record).i32(1, p.values).i32(2, p.encoding).i32(3, 3).i32(4, 3))
		}
		file = append(append(file, head.end()...), p.content...)
	}
	size := int64(len(file)) - 4
	column := new(record).i32(1, kind).list(2, 5, 2, binary.AppendVarint(nil, 8), binary.AppendVarint(nil, 3)).
		list(3, thriftBinary, 1, []byte("\x01a")).i32(4, codec).number(5, 1000).number(6, size).number(7, size)
	if pages[0].dictionary {
		column.number(9, 4).number(11, 4)
	} else {
		column.number(9, 4)
	}
	chunk := new(record).number(2, 4).in(3, column)
	group := new(record).list(1, thriftStruct, 1, chunk.end()).number(2, size).number(3, 1000)
	root, leaf := new(record).bytes(4, "schema").i32(5, 1), new(record).i32(1, kind).i32(3, 0)
	if optional {
		leaf = new(record).i32(1, kind).i32(3, 1)
	}
	leaf.bytes(4, "a")
	footer := new(record).i32(1, 1).list(2, thriftStruct, 2, root.end(), leaf.end()).number(3, 1000).list(4, thriftStruct, 1, group.end())
	return withFooter(file, footer.end())
}

func withFooter(file, footer []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(append(file, footer...), uint32(len(footer))), "PAR1"...)
}

// run encodes a run of n zeros in a few bytes.
func run(n uint64) []byte { return append(binary.AppendUvarint(nil, n<<1), 0) }

func readParquet(file []byte) (rows int, err error) {
	p, err := NewParquetReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return 0, err
	}
	defer p.Close()
	var b sqlite.Batch
	for more := true; more && err == nil; rows += b.Rows {
		if more, err = p.Read(&b, 1000); b.Size() > 8*batchBytes {
			return rows, fmt.Errorf("a batch has %d bytes", b.Size())
		}
	}
	return rows, err
}

const (
	int64s, texts          = 2, 6
	plain, indexes         = 0, 8
	packedDeltas, prefixed = 5, 7
	uncompressed           = 0
)

// TestParquetThatAsksForMemory reads small files that would make the library allocate
// gigabytes, or end the process.
func TestParquetThatAsksForMemory(t *testing.T) {
	const huge = 1 << 30
	zeros := make([]byte, 64<<20)
	dictionary := forgedPage{dictionary: true, values: 1, content: make([]byte, 8)}
	level := func(n uint64) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(run(n)))), run(n)...)
	}
	delta := func(total uint64, rest ...byte) []byte {
		return append(binary.AppendUvarint([]byte{0x80, 1, 4}, total), rest...)
	}
	zipped := func(w io.WriteCloser, b *bytes.Buffer) []byte {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var gz, br, zs bytes.Buffer
	z, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	deep := bytes.Repeat([]byte{1<<4 | thriftList}, 1_000_000) // nested lists of one list each
	for name, file := range map[string][]byte{
		"a list in the footer":       withFooter([]byte("PAR1"), new(record).i32(1, 1).list(2, thriftStruct, 1<<31-1).end()),
		"columns in the footer":      withFooter([]byte("PAR1"), new(record).i32(1, 1).list(2, thriftStruct, 1<<20, bytes.Repeat([]byte{0x48, 0, 0}, 1<<20)).end()),
		"depth in the footer":        withFooter([]byte("PAR1"), append(new(record).i32(1, 1).field(15, thriftList).text, deep...)),
		"a text in the footer":       withFooter([]byte("PAR1"), new(record).i32(1, 1).field(6, thriftBinary, binary.AppendUvarint(nil, 1<<31-1)...).end()),
		"values of a page":           forge(int64s, uncompressed, false, dictionary, forgedPage{encoding: indexes, values: huge, content: append([]byte{1}, run(huge)...)}),
		"a run of indexes":           forge(int64s, uncompressed, false, dictionary, forgedPage{encoding: indexes, values: 1000, content: append([]byte{1}, run(huge)...)}),
		"runs of indexes":            forge(int64s, uncompressed, false, dictionary, forgedPage{encoding: indexes, values: 1000, content: append([]byte{1}, bytes.Repeat(run(1<<20), 1000)...)}),
		"a run of levels":            forge(int64s, uncompressed, true, forgedPage{values: 1000, content: level(huge)}),
		"the size of a page":         forge(int64s, 6, false, forgedPage{values: 1000, size: 1<<31 - 1, content: []byte{1}}),
		"a page of gzip":             forge(int64s, 2, false, forgedPage{values: 1000, size: 8000, content: zipped(gzip.NewWriter(&gz), &gz)}),
		"a page of Brotli":           forge(int64s, 4, false, forgedPage{values: 1000, size: 8000, content: zipped(brotli.NewWriter(&br), &br)}),
		"a page of zstd":             forge(int64s, 6, false, forgedPage{values: 1000, size: 8000, content: zipped(z, &zs)}),
		"a page of Snappy":           forge(int64s, 1, false, forgedPage{values: 1000, size: 8000, content: binary.AppendUvarint(nil, 1<<32-1)}),
		"differences":                forge(int64s, uncompressed, false, forgedPage{encoding: packedDeltas, values: 1000, content: delta(huge, 0)}),
		"prefixes":                   forge(texts, uncompressed, false, forgedPage{encoding: prefixed, values: 2000, content: prefixes(2000, 1<<20)}),
		"prefixes of the dictionary": forge(texts, uncompressed, false, forgedPage{dictionary: true, encoding: prefixed, values: 2000, content: prefixes(2000, 1<<20)}, forgedPage{encoding: indexes, values: 1000, content: append([]byte{1}, run(1000)...)}),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readParquet(file)
		runtime.ReadMemStats(&after)
		var fault *FileError
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v", name, err)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 32<<20 {
			t.Errorf("%s: a file of %d bytes took %d bytes of memory: %v", name, len(file), taken, err)
		}
	}
	for name, file := range map[string][]byte{
		"a run of indexes": forge(int64s, uncompressed, false, dictionary, forgedPage{encoding: indexes, values: 1000, content: append([]byte{1}, run(1000)...)}),
		"a run of levels":  forge(int64s, uncompressed, true, dictionary, forgedPage{encoding: indexes, values: 1000, content: append(append(level(1000), 1), run(1000)...)}),
		"prefixes":         forge(texts, uncompressed, false, forgedPage{encoding: prefixed, values: 1000, content: prefixes(1000, 10)}),
	} {
		if rows, err := readParquet(file); rows != 1000 || err != nil {
			t.Errorf("%s that are true: %d rows, %v", name, rows, err)
		}
	}
}

// prefixes encodes n texts: the first has size bytes, and each other one equals the one
// before.
func prefixes(n, size int) []byte {
	// A block gives the smallest of its differences, the number of bits that each has
	// beyond it, and the differences.
	lengths := func(first, then int64) []byte {
		least := min(0, then-first)
		text := binary.AppendVarint(binary.AppendUvarint([]byte{0x80, 1, 4}, uint64(n)), first)
		text = append(binary.AppendVarint(text, least), 32, 32, 32, 32)
		for i := range 128 {
			beyond := -least
			if i == 0 {
				beyond += then - first
			}
			text = binary.LittleEndian.AppendUint32(text, uint32(beyond))
		}
		for left := n - 1 - 128; left > 0; left -= 128 {
			text = append(binary.AppendVarint(text, 0), 0, 0, 0, 0)
		}
		return text
	}
	return append(append(lengths(0, int64(size)), lengths(int64(size), 0)...), strings.Repeat("x", size)...)
}

// TestManyRowsOfOneText reads a long text that many rows share.
func TestManyRowsOfOneText(t *testing.T) {
	text := strings.Repeat("x", 4<<20)
	file := forge(texts, uncompressed, false,
		forgedPage{dictionary: true, values: 1, content: append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)},
		forgedPage{encoding: indexes, values: 1000, content: append([]byte{1}, run(1000)...)})
	if rows, err := readParquet(file); rows != 1000 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestParquetOfEveryEncoding writes each encoding with each compression, and reads all
// of it back.
func TestParquetOfEveryEncoding(t *testing.T) {
	type row struct {
		Plain    int64   `parquet:"plain,plain"`
		Delta    int64   `parquet:"delta,delta"`
		Small    int32   `parquet:"small,delta"`
		Length   string  `parquet:"length,delta"`
		Prefix   []byte  `parquet:"prefix,delta"`
		Dict     string  `parquet:"dict,dict"`
		Split    float64 `parquet:"split,split"`
		Bool     bool    `parquet:"bool"`
		Optional *int64  `parquet:"optional,optional"`
		OptDict  *string `parquet:"optdict,optional,dict"`
	}
	rows := make([]row, 20_000)
	for i := range rows {
		rows[i] = row{int64(i), int64(i * i), int32(-i), fmt.Sprint("text ", i), []byte(fmt.Sprint("a long prefix ", i)), fmt.Sprint(i % 7), float64(i) / 3, i%3 == 0, nil, nil}
		if i%2 == 0 {
			n, text := int64(i), "even"
			rows[i].Optional, rows[i].OptDict = &n, &text
		}
	}
	for _, version := range []int{1, 2} {
		for _, option := range []parquet.WriterOption{parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Gzip), parquet.Compression(&parquet.Brotli), parquet.Compression(&parquet.Zstd)} {
			var b bytes.Buffer
			w := parquet.NewGenericWriter[row](&b, option, parquet.DataPageVersion(version), parquet.PageBufferSize(16<<10), parquet.MaxRowsPerRowGroup(9000))
			if _, err := w.Write(rows); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if n, err := readParquet(b.Bytes()); n != len(rows) || err != nil {
				t.Errorf("version %d, %v: %d rows, %v", version, option, n, err)
			}
		}
	}
}
