package format

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	metadata "github.com/parquet-go/parquet-go/format"
)

// Limits of one row of a file with lists or records: how many values it has in all
// columns, how long the JSON of a column is, and how deep records are.
const (
	maxRowValues   = 2 << 20
	maxNestedText  = 32 << 20
	maxNestedDepth = 100
)

// nestedNode is a column of a Parquet file, or a part of one that is nested.
type nestedNode struct {
	name               string
	key                []byte // the name as JSON
	optional, repeated bool
	def, rep           int // definition and repetition level of its values
	shape              parquetShape
	leaf               parquetType   // for a leaf
	children           []*nestedNode // for others
	first, end         int           // the columns of values below it: [first, end)
}

// parquetShape says how a node is written.
type parquetShape byte

const (
	leafShape parquetShape = iota
	structShape
	listShape    // a group with a repeated group of one field, the element
	oldListShape // a group with a repeated node that is the element
	mapShape     // a group with a repeated group of a key and perhaps a value
)

// parquetSchema builds the nodes of a file.
type parquetSchema struct {
	elements []metadata.SchemaElement
	at       int // the next of elements, which are listed depth first
	leaves   []*nestedNode
}

func (s *parquetSchema) node(c *parquet.Column, depth int) (*nestedNode, error) {
	if depth > maxNestedDepth || s.at >= len(s.elements) {
		return nil, errExcess
	}
	element := &s.elements[s.at]
	s.at++
	n := &nestedNode{
		name: c.Name(), key: AppendString(nil, c.Name()), optional: c.Optional(), repeated: c.Repeated(),
		def: c.MaxDefinitionLevel(), rep: c.MaxRepetitionLevel(), first: len(s.leaves),
	}
	if c.Leaf() {
		n.leaf = newParquetType(element, c.Type())
		s.leaves = append(s.leaves, n)
		n.end = len(s.leaves)
		return n, nil
	}
	for _, child := range c.Columns() {
		below, err := s.node(child, depth+1)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, below)
	}
	n.end = len(s.leaves)
	n.shape = n.groupShape(element)
	return n, nil
}

// groupShape returns the shape of a group, by the rules of the Parquet format for lists
// and maps of all ages.
func (n *nestedNode) groupShape(element *metadata.SchemaElement) parquetShape {
	if len(n.children) != 1 || !n.children[0].repeated {
		return structShape
	}
	inner := n.children[0]
	_, list := element.LogicalType.Value.(*metadata.ListType)
	_, asMap := element.LogicalType.Value.(*metadata.MapType)
	if c := element.ConvertedType; c.Valid {
		list = list || c.V == deprecated.List
		asMap = asMap || c.V == deprecated.Map || c.V == deprecated.MapKeyValue
	}
	switch {
	case asMap && inner.shape != leafShape && len(inner.children) <= 2 && len(inner.children) > 0 && inner.children[0].shape == leafShape && !inner.children[0].repeated:
		return mapShape
	case !list:
		return structShape
	case inner.shape == structShape && len(inner.children) == 1 && inner.name != "array" && inner.name != n.name+"_tuple":
		return listShape
	}
	return oldListShape
}

// isPlain reports whether the node is a column of single values.
func (n *nestedNode) isPlain() bool { return n.shape == leafShape && !n.repeated }

// The faults of a row.
var (
	errRowTooLong = errors.New("a row holds more in its lists and records than can be imported")
	errLevels     = errors.New("the columns do not have the same rows")
)

// nestedRow writes lists and records of a row as JSON.
type nestedRow struct {
	values [][]parquet.Value // of each column, those not yet written
	err    error
}

// peek returns the next value of the first column below a node.
func (r *nestedRow) peek(n *nestedNode) (v parquet.Value, ok bool) {
	if r.err != nil || n.first == n.end || len(r.values[n.first]) == 0 {
		return v, false
	}
	return r.values[n.first][0], true
}

// drop passes over one value of each column below a node.
func (r *nestedRow) drop(n *nestedNode) {
	for i := n.first; i < n.end; i++ {
		if len(r.values[i]) == 0 {
			r.err = errLevels
			return
		}
		r.values[i] = r.values[i][1:]
	}
}

// append writes a node, which may be missing or repeated.
func (r *nestedRow) append(dst []byte, n *nestedNode) []byte {
	if n.repeated {
		return append(r.elements(append(dst, '['), n, r.value), ']')
	}
	v, ok := r.peek(n)
	if !ok {
		if n.first < n.end && r.err == nil {
			r.err = errLevels
		}
		return append(dst, "null"...)
	}
	if n.optional && v.DefinitionLevel() < n.def {
		r.drop(n)
		return append(dst, "null"...)
	}
	return r.value(dst, n)
}

// elements writes the occurrences of a repeated node, with commas between them.
func (r *nestedRow) elements(dst []byte, n *nestedNode, element func(dst []byte, n *nestedNode) []byte) []byte {
	v, ok := r.peek(n)
	if !ok {
		r.err = errLevels
		return dst
	}
	if v.DefinitionLevel() < n.def {
		r.drop(n)
		return dst
	}
	for first := true; ; first = false {
		if !first {
			dst = append(dst, ',')
		}
		dst = element(dst, n)
		if len(dst) > maxNestedText && r.err == nil {
			r.err = errRowTooLong
		}
		if v, ok := r.peek(n); !ok || v.RepetitionLevel() != n.rep {
			return dst
		}
	}
}

// value writes one occurrence of a node.
func (r *nestedRow) value(dst []byte, n *nestedNode) []byte {
	switch n.shape {
	case leafShape:
		v, ok := r.peek(n)
		if !ok {
			r.err = errLevels
			return dst
		}
		r.values[n.first] = r.values[n.first][1:]
		return n.leaf.appendJSON(dst, v)
	case listShape:
		return append(r.elements(append(dst, '['), n.children[0], func(dst []byte, inner *nestedNode) []byte {
			return r.append(dst, inner.children[0])
		}), ']')
	case oldListShape:
		return append(r.elements(append(dst, '['), n.children[0], r.value), ']')
	case mapShape:
		return append(r.elements(append(dst, '{'), n.children[0], r.entry), '}')
	}
	dst = append(dst, '{')
	for i, child := range n.children {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = r.append(append(append(dst, child.key...), ':'), child)
		if len(dst) > maxNestedText && r.err == nil {
			r.err = errRowTooLong
		}
		if r.err != nil {
			return dst
		}
	}
	return append(dst, '}')
}

// entry writes the key and the value of a map. Keys of JSON are texts.
func (r *nestedRow) entry(dst []byte, n *nestedNode) []byte {
	start := len(dst)
	dst = r.append(dst, n.children[0])
	if len(dst) > start && dst[start] != '"' {
		dst = AppendString(dst[:start], string(dst[start:]))
	}
	dst = append(dst, ':')
	if len(n.children) == 1 {
		return append(dst, "null"...)
	}
	return r.append(dst, n.children[1])
}

// parquetLeaf reads the values of a column in a row group.
type parquetLeaf struct {
	pages  parquet.Pages
	values parquet.ValueReader // of the current page; nil between pages
	buffer []parquet.Value
	ready  []parquet.Value // of buffer, not yet returned
}

// peek returns the next value, or nil at the end.
func (l *parquetLeaf) peek() (*parquet.Value, error) {
	for len(l.ready) == 0 {
		if l.values == nil {
			page, err := l.pages.ReadPage()
			if err == io.EOF {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			l.values = page.Values() // the page is never released, since values share its memory
		}
		n, err := l.values.ReadValues(l.buffer)
		l.ready = l.buffer[:n]
		if err != nil && err != io.EOF {
			return nil, err
		}
		if err == io.EOF || n == 0 {
			l.values = nil
		}
	}
	return &l.ready[0], nil
}

// parquetRows reads the rows of a file with lists or records, column by column, since
// the library would read any number of values at once.
type parquetRows struct {
	columns []*nestedNode
	leaves  []parquetLeaf
	row     [][]parquet.Value // of each leaf
	nested  nestedRow
	text    []byte
}

const leafBuffer = 128 // values

// open begins a row group.
func (r *parquetRows) open(group parquet.RowGroup, leaves int) error {
	chunks := group.ColumnChunks()
	if len(chunks) != leaves {
		return errLevels
	}
	r.leaves = make([]parquetLeaf, leaves)
	r.row = make([][]parquet.Value, leaves)
	for i, chunk := range chunks {
		r.leaves[i] = parquetLeaf{pages: chunk.Pages(), buffer: make([]parquet.Value, leafBuffer)}
	}
	return nil
}

// next reads the values of the next row, if there is one.
func (r *parquetRows) next() (more bool, err error) {
	total := 0
	for i := range r.leaves {
		l := &r.leaves[i]
		v, err := l.peek()
		if err != nil {
			return false, err
		}
		if (v != nil) != more && i > 0 {
			return false, errLevels
		}
		if more = v != nil; !more {
			continue
		}
		r.row[i] = r.row[i][:0]
		for first := true; v != nil && (first || v.RepetitionLevel() > 0); first = false {
			if total++; total > maxRowValues {
				return false, errRowTooLong
			}
			r.row[i] = append(r.row[i], *v)
			l.ready = l.ready[1:]
			if v, err = l.peek(); err != nil {
				return false, err
			}
		}
	}
	return more, nil
}

func (r *parquetRows) close() (err error) {
	for i := range r.leaves {
		err = errors.Join(err, r.leaves[i].pages.Close())
	}
	r.leaves = nil
	return err
}

// rowFault returns the fault of a row that could not be read.
func rowFault(err error, row int64) error {
	if errors.Is(err, errRowTooLong) {
		return &FileError{Reason: fmt.Sprintf("Row %d holds more in its lists and records than can be imported: at most %d values, and %d MiB as JSON in a column.", row, maxRowValues, maxNestedText>>20)}
	}
	return &FileError{Reason: "The Parquet file is damaged: " + withoutPath(err)}
}
