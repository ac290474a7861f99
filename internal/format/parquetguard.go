package format

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	metadata "github.com/parquet-go/parquet-go/format"
)

// The library that reads Parquet files trusts every number in them and allocates as much
// memory as they ask for: a file of thirty bytes can kill the process. The code below
// reads those numbers first and refuses values that no writer needs.
const (
	mostFooter  = 64 << 20  // bytes
	mostItems   = 8 << 20   // in all lists of the footer
	mostColumns = 20_000    // including the groups that contain them
	mostValues  = 32 << 20  // in a page
	mostPage    = 256 << 20 // bytes of a page uncompressed, and of its values
	mostPages   = 1 << 30   // bytes of memory for one page of every column
)

// errExcess is the fault of a file that exceeds these limits.
var errExcess = errors.New("it asks for more memory than a Parquet file needs")

// checkFooter checks the metadata in the footer. If it is missing or malformed, the
// library reports that.
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

// parquetGuard checks the pages of a file before the library reads them.
type parquetGuard struct {
	file             io.ReaderAt
	columns          []guardedColumn
	zstd             *zstd.Decoder // nil until needed
	packed, unpacked []byte
}

// guardedColumn is how the library reads a column, in all row groups.
type guardedColumn struct {
	def, rep uint64 // bits of a definition and of a repetition level
	codec    metadata.CompressionCodec
}

// guard returns a parquetGuard for an open file.
func guard(file io.ReaderAt, f *parquet.File, leaves []*nestedNode) parquetGuard {
	g := parquetGuard{file: file}
	for i, leaf := range leaves {
		c := guardedColumn{def: uint64(bits.Len(uint(leaf.def))), rep: uint64(bits.Len(uint(leaf.rep)))}
		// The library uses the codec of the first group for all groups.
		if groups := f.Metadata().RowGroups; len(groups) > 0 && i < len(groups[0].Columns) {
			c.codec = groups[0].Columns[i].MetaData.Codec
		}
		g.columns = append(g.columns, c)
	}
	return g
}

// check checks all pages of a row group.
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

// checkChunk checks the pages of one column and returns the memory, in bytes, that the
// largest takes.
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
		if memory := p.size + 10*p.values; p.kind == metadata.DictionaryPage {
			dictionary = max(dictionary, memory)
		} else {
			largest = max(largest, memory)
		}
	}
}

// pageHeader is what a page says about itself.
type pageHeader struct {
	kind           metadata.PageType
	size, packed   int64 // uncompressed and compressed bytes
	values         int64
	encoding       metadata.Encoding
	levels, repeat int64 // bytes of levels before the values, in version 2
	plain          bool  // uncompressed, in version 2
}

// pageHeader reads the header of a page by the ids of its fields.
func (t *thrift) pageHeader() (p pageHeader) {
	t.fields(func(id int64, kind byte) {
		switch id {
		case 1:
			p.kind = metadata.PageType(t.integer(kind))
		case 2:
			p.size = t.integer(kind)
		case 3:
			p.packed = t.integer(kind)
		case 5, 7, 8: // data, dictionary, version 2 data
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

// checkPage decompresses the page in g.packed and counts the values that it produces.
func (g *parquetGuard) checkPage(p *pageHeader, column guardedColumn) (err error) {
	data := g.packed
	var repetitions, levels []byte
	if p.kind == metadata.DataPageV2 {
		if p.levels < 0 || p.repeat < 0 || p.levels+p.repeat > int64(len(data)) {
			return io.ErrUnexpectedEOF
		}
		repetitions, levels, data = data[:p.repeat], data[p.repeat:p.repeat+p.levels], data[p.repeat+p.levels:]
	}
	if !p.plain {
		if data, err = g.unpack(data, column.codec, p.size); err != nil {
			return err
		}
	}
	switch {
	//lint:ignore SA1019 old files have it
	case p.kind == metadata.DictionaryPage && p.encoding == metadata.PlainDictionary:
		return nil // an old name for plain values, which always take up bytes of their own
	case p.kind == metadata.DataPage && column.rep > 0:
		if repetitions, data, err = cutLevels(data); err != nil {
			return err
		}
		fallthrough
	case p.kind == metadata.DataPage && column.def > 0:
		if levels, data, err = cutLevels(data); err != nil {
			return err
		}
	}
	if column.rep > 0 && runs(repetitions, column.rep) > mostValues || column.def > 0 && runs(levels, column.def) > mostValues {
		return errExcess
	}
	return p.checkValues(data)
}

// cutLevels cuts the levels, which have their length before them, off a page.
func cutLevels(data []byte) (levels, rest []byte, err error) {
	if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) > int64(len(data)-4) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	end := 4 + binary.LittleEndian.Uint32(data)
	return data[4:end], data[end:], nil
}

// checkValues counts the values of a page if their encoding can pack many into few
// bytes.
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
		// Each value starts with a prefix of the one before.
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

// unpack decompresses a page, which must not expand to more than size bytes.
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
		return data, nil // uncompressed, or not supported by the library
	}
	if g.unpacked = unpacked; err == nil && int64(len(unpacked)) > size {
		err = errExcess
	}
	return unpacked, err
}

// readAll reads at most size+1 bytes.
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

// runs counts the values in a hybrid of run-length and bit-packed runs, with bits per
// value; it stops once there are too many.
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

// deltas is a delta-encoded sequence of integers, in blocks of several parts.
type deltas struct {
	data         []byte // not yet read
	block, parts uint64
	count, first int64
}

// newDeltas reads the header. If that is malformed, count is too large.
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

// sum reads the integers as lengths and adds them up. The result is too large if they
// are malformed.
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

// bitsAt returns the integer of width bits that starts at bit at.
func bitsAt(data []byte, at int64, width byte) (v uint64) {
	for i := range int64(width) {
		bit := at + i
		v |= uint64(data[bit/8]>>(bit%8)&1) << i
	}
	return v
}

// thrift reads Thrift's compact protocol, which the metadata of Parquet files uses.
type thrift struct {
	r     *bufio.Reader
	left  int64 // bytes remaining
	items int64 // in lists so far
	err   error
}

// The value types that matter here.
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

// integer reads an integer; for a value of another type it returns -1.
func (t *thrift) integer(kind byte) int64 {
	if kind <= thriftByte || kind >= thriftDouble {
		t.skip(kind, 0)
		return -1
	}
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// fields reads a struct. each must read or skip the value of the field.
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

// skip skips a value and fails on anything that would use up the library's memory: more
// items than there can be, or deeper nesting than anyone needs.
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
	case thriftTrue, thriftFalse: // the field's type is its value
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
