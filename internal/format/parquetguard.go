package format

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	metadata "github.com/parquet-go/parquet-go/format"
)

// The library that reads Parquet files believes every number in them and takes
// as much memory as they ask for: a file of thirty bytes ends the process. What
// follows reads the numbers before it and refuses those that no writer needs.
const (
	mostFooter  = 64 << 20  // bytes
	mostItems   = 8 << 20   // of all lists in the footer
	mostColumns = 20_000    // with the groups that they are in
	mostValues  = 32 << 20  // of a page
	mostPage    = 256 << 20 // bytes of a page without compression, and of its values
	mostPages   = 1 << 30   // bytes of memory for one page of each column
)

// errExcess is the fault of a file that asks for more.
var errExcess = errors.New("it asks for more memory than a Parquet file needs")

// checkFooter looks at what a file says of itself. That it does is left to the
// library.
func checkFooter(r io.ReaderAt, size int64) error {
	var end [8]byte
	if size < 12 {
		return nil
	}
	if _, err := r.ReadAt(end[:], size-8); err != nil || string(end[4:]) != "PAR1" {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(end[:]))
	switch {
	case length > size-12:
		return io.ErrUnexpectedEOF
	case length > mostFooter:
		return errExcess
	}
	t := newThrift(io.NewSectionReader(r, size-8-length, length), length)
	t.fields(func(id int64, kind byte) {
		before := t.items
		if t.skip(kind, 0); id == 2 && t.items-before > mostColumns && t.err == nil {
			t.err = errExcess
		}
	})
	return t.err
}

// parquetGuard looks at the pages of a file before the library does.
type parquetGuard struct {
	file             io.ReaderAt
	columns          []guardedColumn
	zstd             *zstd.Decoder // nil when not needed yet
	packed, unpacked []byte
}

// guardedColumn is how the library reads a column, in all groups of rows.
type guardedColumn struct {
	optional bool
	codec    metadata.CompressionCodec
}

// guard returns what looks at the pages of a file that is open.
func guard(file io.ReaderAt, f *parquet.File) parquetGuard {
	g := parquetGuard{file: file}
	for i, column := range f.Root().Columns() {
		c := guardedColumn{optional: column.Optional()}
		// The library takes the codec of the first group for that of all.
		if groups := f.Metadata().RowGroups; len(groups) > 0 && i < len(groups[0].Columns) {
			c.codec = groups[0].Columns[i].MetaData.Codec
		}
		g.columns = append(g.columns, c)
	}
	return g
}

// check looks at all pages of a group of rows.
func (g *parquetGuard) check(group *metadata.RowGroup) error {
	if len(group.Columns) != len(g.columns) {
		return io.ErrUnexpectedEOF
	}
	total := int64(0)
	for i := range group.Columns {
		largest, err := g.checkChunk(&group.Columns[i].MetaData, g.columns[i])
		if err != nil {
			return err
		}
		if total += largest; total > mostPages {
			return errExcess
		}
	}
	return nil
}

// checkChunk looks at the pages of one column, and returns how many bytes of
// memory the largest takes.
func (g *parquetGuard) checkChunk(chunk *metadata.ColumnMetaData, column guardedColumn) (largest int64, err error) {
	begin := chunk.DataPageOffset
	if chunk.DictionaryPageOffset != 0 {
		begin = chunk.DictionaryPageOffset
	}
	t := newThrift(io.NewSectionReader(g.file, begin, chunk.TotalCompressedSize), chunk.TotalCompressedSize)
	for dictionary := int64(0); ; {
		if _, err := t.r.Peek(1); err != nil {
			return largest + dictionary, nil // the library says what is missing
		}
		p := t.pageHeader()
		if t.err != nil {
			return 0, t.err
		}
		if min(p.values, p.size, p.packed) < 0 || p.values > mostValues || max(p.size, p.packed) > mostPage {
			return 0, errExcess
		}
		g.packed = slices.Grow(g.packed[:0], int(p.packed))[:p.packed]
		if _, err := io.ReadFull(t.r, g.packed); err != nil {
			return largest, nil
		}
		t.left -= p.packed
		if err := g.checkPage(&p, column); err != nil {
			return 0, err
		}
		if memory := p.size + 8*p.values; p.kind == metadata.DictionaryPage {
			dictionary = max(dictionary, memory)
		} else {
			largest = max(largest, memory)
		}
	}
}

// pageHeader is what a page says of itself.
type pageHeader struct {
	kind           metadata.PageType
	size, packed   int64 // bytes without compression and with it
	values         int64
	encoding       metadata.Encoding
	levels, repeat int64 // bytes of levels before the values, in version 2
	plain          bool  // not compressed, in version 2
}

// pageHeader reads the header of a page, by the ids of its fields.
func (t *thrift) pageHeader() (p pageHeader) {
	t.fields(func(id int64, kind byte) {
		switch id {
		case 1:
			p.kind = metadata.PageType(t.integer(kind))
		case 2:
			p.size = t.integer(kind)
		case 3:
			p.packed = t.integer(kind)
		case 5, 7, 8: // data, dictionary, data of version 2
			version2 := id == 8
			t.fields(func(id int64, kind byte) {
				switch {
				case id == 1:
					p.values = t.integer(kind)
				case id == 2 && !version2, id == 4 && version2:
					p.encoding = metadata.Encoding(t.integer(kind))
				case id == 5 && version2:
					p.levels = t.integer(kind)
				case id == 6 && version2:
					p.repeat = t.integer(kind)
				case id == 7 && version2:
					p.plain = kind == thriftFalse
				default:
					t.skip(kind, 0)
				}
			})
		default:
			t.skip(kind, 0)
		}
	})
	return p
}

// checkPage unpacks the page that was read and counts what its values make.
func (g *parquetGuard) checkPage(p *pageHeader, column guardedColumn) (err error) {
	data := g.packed
	var levels []byte
	if p.kind == metadata.DataPageV2 {
		if p.levels < 0 || p.repeat < 0 || p.levels+p.repeat > int64(len(data)) {
			return io.ErrUnexpectedEOF
		}
		levels, data = data[p.repeat:p.repeat+p.levels], data[p.repeat+p.levels:]
	}
	if !p.plain {
		if data, err = g.unpack(data, column.codec, p.size); err != nil {
			return err
		}
	}
	switch {
	//lint:ignore SA1019 old files have it
	case p.kind == metadata.DictionaryPage && p.encoding == metadata.PlainDictionary:
		return nil // an old name for plain values, of which none takes less than its bytes
	case p.kind == metadata.DataPage && column.optional:
		if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) > int64(len(data)-4) {
			return io.ErrUnexpectedEOF
		}
		end := 4 + binary.LittleEndian.Uint32(data)
		levels, data = data[4:end], data[end:]
	}
	if column.optional && runs(levels, 1) > mostValues {
		return errExcess
	}
	return p.checkValues(data)
}

// checkValues counts the values of a page, as far as their encoding makes many
// of few bytes.
func (p *pageHeader) checkValues(data []byte) error {
	made := int64(0)
	switch p.encoding {
	//lint:ignore SA1019 old files have it
	case metadata.PlainDictionary, metadata.RLEDictionary:
		if len(data) > 0 {
			made = runs(data[1:], uint64(data[0]))
		}
	case metadata.RLE:
		if len(data) > 4 {
			made = runs(data[4:], 1)
		}
	case metadata.DeltaBinaryPacked, metadata.DeltaLengthByteArray:
		made = newDeltas(data).count
	case metadata.DeltaByteArray:
		// Each value begins with a part of the one before.
		prefixes := newDeltas(data)
		made = prefixes.sum()
		suffixes := newDeltas(prefixes.data)
		if made += suffixes.sum(); made > mostPage || prefixes.count > mostValues {
			return errExcess
		}
		return nil
	}
	if made > mostValues {
		return errExcess
	}
	return nil
}

// unpack undoes the compression of a page, which must not become more than size
// bytes.
func (g *parquetGuard) unpack(data []byte, codec metadata.CompressionCodec, size int64) (unpacked []byte, err error) {
	switch codec {
	case metadata.Snappy:
		n, err := snappy.DecodedLen(data)
		if err == nil && int64(n) > size {
			err = errExcess
		}
		if err != nil {
			return nil, err
		}
		unpacked, err = snappy.Decode(g.unpacked[:cap(g.unpacked)], data)
		g.unpacked = unpacked
		return unpacked, err
	case metadata.Zstd:
		if g.zstd == nil {
			if g.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true)); err != nil {
				return nil, err
			}
		}
		unpacked, err = g.zstd.DecodeAll(data, slices.Grow(g.unpacked[:0], int(size)))
	case metadata.Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			unpacked, err = g.readAll(z, size)
		}
	case metadata.Brotli:
		unpacked, err = g.readAll(brotli.NewReader(bytes.NewReader(data)), size)
	default:
		return data, nil // not compressed, or not read by the library
	}
	if g.unpacked = unpacked; err == nil && int64(len(unpacked)) > size {
		err = errExcess
	}
	return unpacked, err
}

// readAll reads a little more than size bytes at most.
func (g *parquetGuard) readAll(r io.Reader, size int64) ([]byte, error) {
	buffer := bytes.NewBuffer(g.unpacked[:0])
	_, err := buffer.ReadFrom(io.LimitReader(r, size+1))
	return buffer.Bytes(), err
}

func (g *parquetGuard) close() {
	if g.zstd != nil {
		g.zstd.Close()
	}
}

// runs counts the values of a hybrid of repeated and of packed values, each of
// so many bits; it stops counting where there are too many.
func runs(data []byte, bits uint64) (values int64) {
	for len(data) > 0 && values <= mostValues {
		head, n := binary.Uvarint(data)
		if n <= 0 || head>>1 > mostValues {
			return mostValues + 1
		}
		data = data[n:]
		take := (bits + 7) / 8
		if head&1 == 1 {
			values += int64(head>>1) * 8
			take = head >> 1 * bits
		} else {
			values += int64(head >> 1)
		}
		data = data[min(take, uint64(len(data))):]
	}
	return values
}

// deltas are integers that are told by their differences, in blocks of several
// parts.
type deltas struct {
	data         []byte // what is left of it
	block, parts uint64
	count, first int64
}

// newDeltas reads how many there are. There are too many where that cannot be
// read.
func newDeltas(data []byte) (d deltas) {
	var head [3]uint64
	for i := range head {
		v, n := binary.Uvarint(data)
		if n <= 0 || v > mostValues {
			return deltas{count: mostValues + 1}
		}
		head[i], data = v, data[n:]
	}
	d.block, d.parts, d.count = head[0], head[1], int64(head[2])
	first, n := binary.Varint(data)
	if n <= 0 || d.parts == 0 || d.block%(8*d.parts) != 0 {
		return deltas{count: mostValues + 1}
	}
	d.data, d.first = data[n:], first
	return d
}

// sum reads lengths and adds them up; it is too large where that cannot be done.
func (d *deltas) sum() (sum int64) {
	value := d.first
	add := func(delta int64) {
		if value += delta; value < 0 || value > mostPage {
			sum = mostPage + 1
		}
		sum = min(sum+value, mostPage+1)
	}
	if d.count > 0 {
		add(0)
	}
	for left := d.count - 1; left > 0 && sum <= mostPage; {
		least, n := binary.Varint(d.data)
		if n <= 0 || uint64(len(d.data)-n) < d.parts {
			return mostPage + 1
		}
		widths := d.data[n : n+int(d.parts)]
		d.data = d.data[n+int(d.parts):]
		for _, width := range widths {
			if left <= 0 {
				break
			}
			values := int64(d.block / d.parts)
			size := values * int64(width) / 8
			if width > 64 || size > int64(len(d.data)) {
				return mostPage + 1
			}
			for i := range min(values, left) {
				add(least + int64(bitsAt(d.data, i*int64(width), width)))
			}
			left, d.data = left-values, d.data[size:]
		}
	}
	return sum
}

// bitsAt returns the integer of so many bits that begins at a bit.
func bitsAt(data []byte, at int64, width byte) (v uint64) {
	for i := range int64(width) {
		bit := at + i
		v |= uint64(data[bit/8]>>(bit%8)&1) << i
	}
	return v
}

// thrift reads the compact protocol of Thrift, in which Parquet files describe
// themselves.
type thrift struct {
	r     *bufio.Reader
	left  int64 // bytes
	items int64 // of lists so far
	err   error
}

// The types of values that matter here.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

func newThrift(r io.Reader, length int64) *thrift {
	return &thrift{r: bufio.NewReaderSize(r, 64<<10), left: length}
}

// ReadByte makes a thrift an io.ByteReader.
func (t *thrift) ReadByte() (byte, error) {
	if t.err != nil {
		return 0, t.err
	}
	b, err := t.r.ReadByte()
	t.left--
	if t.err = err; err == io.EOF {
		t.err = io.ErrUnexpectedEOF
	}
	return b, t.err
}

func (t *thrift) uvarint() uint64 {
	v, err := binary.ReadUvarint(t)
	if t.err == nil {
		t.err = err
	}
	return v
}

// integer reads a number of a type that has one; -1 is for others.
func (t *thrift) integer(kind byte) int64 {
	if kind <= thriftByte || kind >= thriftDouble {
		t.skip(kind, 0)
		return -1
	}
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// fields reads a record: each is to read or skip the value of a field.
func (t *thrift) fields(each func(id int64, kind byte)) {
	for id := int64(0); t.err == nil; {
		head, err := t.ReadByte()
		if err != nil || head&15 == 0 {
			return
		}
		if id += int64(head >> 4); head>>4 == 0 {
			v := t.uvarint()
			id = int64(v>>1) ^ -int64(v&1)
		}
		each(id, head&15)
	}
}

// skip passes over a value, and finds what would take the library's memory: more
// items than there can be, and more levels than anybody needs.
func (t *thrift) skip(kind byte, depth int) {
	const deepest = 64
	if t.err != nil {
		return
	}
	if depth > deepest {
		t.err = errExcess
		return
	}
	switch kind {
	case thriftTrue, thriftFalse: // the type of a field is its value
	case thriftByte:
		_, _ = t.ReadByte()
	case thriftDouble:
		t.discard(8)
	case thriftBinary:
		t.discard(t.uvarint())
	case thriftList, thriftSet:
		head, _ := t.ReadByte()
		n := uint64(head >> 4)
		if n == 15 {
			n = t.uvarint()
		}
		t.skipItems(n, depth, head&15)
	case thriftMap:
		if n := t.uvarint(); n > 0 {
			kinds, _ := t.ReadByte()
			t.skipItems(n, depth, kinds>>4, kinds&15)
		}
	case thriftStruct:
		t.fields(func(_ int64, kind byte) { t.skip(kind, depth+1) })
	default:
		t.uvarint()
	}
}

func (t *thrift) skipItems(n uint64, depth int, kinds ...byte) {
	if t.items += int64(min(n, mostItems+1)); t.items > mostItems || n > uint64(max(t.left, 0)) {
		t.err = errExcess
	}
	for ; n > 0 && t.err == nil; n-- {
		for _, kind := range kinds {
			if kind <= thriftFalse {
				kind = thriftByte
			}
			t.skip(kind, depth+1)
		}
	}
}

func (t *thrift) discard(n uint64) {
	if n > uint64(max(t.left, 0)) {
		t.err = io.ErrUnexpectedEOF
		return
	}
	_, err := t.r.Discard(int(n))
	t.left -= int64(n)
	if t.err == nil {
		t.err = err
	}
}
