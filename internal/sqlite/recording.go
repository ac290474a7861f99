package sqlite

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// Recording holds the rows that a connection has changed, in their order, with their
// values before and after. Beyond a few megabytes it is kept in a temporary file.
type Recording struct {
	thread *libc.TLS
	db     uintptr
	place  uintptr // where the library puts the address of a value

	names  []string // of the tables
	of     map[string]uint64
	text   []byte   // the entries that are not in the file
	file   *os.File // the entries before those; nil for none
	filed  int64    // bytes of the file
	count  int
	failed error
}

// RowChange is one change of one row.
type RowChange struct {
	Table  string
	Kind   ChangeKind
	Before int64 // rowid; 0 for an inserted row, and in tables without a rowid
	After  int64 // rowid; 0 for a deleted row, and in tables without a rowid
	// Old and New are the values by column, generated ones included; the old ones of an
	// inserted row and the new ones of a deleted row are nil.
	Old, New []RecordedValue
}

// ChangeKind is what happened to a row.
type ChangeKind uint8

// The kinds of changes.
const (
	Inserted ChangeKind = iota + 1
	Updated
	Deleted
)

// RecordedValue is a value of a recorded row.
type RecordedValue struct {
	Value
	// Same means that an update left the value as it was. A long one is omitted then.
	Same, Omitted bool
}

const (
	// lengthBytes is how many bytes the length before each entry has.
	lengthBytes = 8
	// keptInMemory is how many bytes of entries are kept in memory.
	keptInMemory = 4 << 20
	// maxUnchanged is how many bytes an unchanged value may have to be recorded.
	maxUnchanged = 256
)

// Record runs fn and returns the changes of rows that it made; they are valid until
// they are closed. Rows of tables whose names begin with an underscore or sqlite_ are
// left out, and so is what was rolled back. An error of the recording itself is
// returned as well: then fn must not be committed.
func (c *Conn) Record(fn func() error) (r *Recording, err error) {
	o, release, err := c.watch()
	if err != nil {
		return nil, err
	}
	defer release()
	thread, db, err := handles(c.c)
	if err != nil {
		return nil, err
	}
	r = &Recording{thread: thread, db: db, of: map[string]uint64{}, place: libc.Xmalloc(thread, 8)}
	if r.place == 0 {
		return nil, errors.New("out of memory")
	}
	defer libc.Xfree(thread, r.place)
	o.recording, c.recording = r, r
	defer func() { o.recording, c.recording = nil, nil }()
	if err = fn(); err == nil {
		err = r.failed
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close releases the recording.
func (r *Recording) Close() error {
	if r == nil || r.file == nil {
		return nil
	}
	name := r.file.Name()
	err := errors.Join(r.file.Close(), os.Remove(name))
	r.file = nil
	return err
}

// Len returns how many changes there are.
func (r *Recording) Len() int {
	if r == nil {
		return 0
	}
	return r.count
}

// mark is a place in a recording.
type mark struct {
	bytes int64
	count int
}

func (r *Recording) mark() mark {
	if r == nil {
		return mark{}
	}
	return mark{r.filed + int64(len(r.text)), r.count}
}

// cut forgets what was recorded since the mark, because it has been rolled back.
func (r *Recording) cut(to mark) {
	if r == nil {
		return
	}
	r.count = to.count
	if to.bytes >= r.filed {
		r.text = r.text[:to.bytes-r.filed]
		return
	}
	r.text, r.filed = r.text[:0], to.bytes
	if err := r.file.Truncate(to.bytes); err != nil {
		r.fail(err)
	}
}

func (r *Recording) fail(err error) {
	if r.failed == nil {
		r.failed = fmt.Errorf("record a change: %w", err)
	}
}

// note records the row that the library is about to change.
func (r *Recording) note(table string, op int32, before, after int64) {
	if r.failed != nil || strings.HasPrefix(table, "_") || strings.HasPrefix(table, "sqlite_") {
		return
	}
	id, ok := r.of[table]
	if !ok {
		id = uint64(len(r.names))
		r.names, r.of[table] = append(r.names, table), id
	}
	kind := Updated
	switch op {
	case lib.SQLITE_INSERT:
		kind, before = Inserted, 0
	case lib.SQLITE_DELETE:
		kind, after = Deleted, 0
	}
	columns := lib.Xsqlite3_preupdate_count(r.thread, r.db)
	at := len(r.text)
	entry := append(r.text, make([]byte, lengthBytes)...) // of its length, which is not known yet
	entry = append(binary.AppendUvarint(entry, id), byte(kind))
	entry = binary.AppendUvarint(binary.AppendVarint(binary.AppendVarint(entry, before), after), uint64(columns))
	for i := range columns {
		var err error
		if entry, err = r.appendColumn(entry, kind, i); err != nil {
			r.fail(err)
			return
		}
	}
	binary.LittleEndian.PutUint64(entry[at:], uint64(len(entry)-at-lengthBytes))
	r.text = entry
	r.count++
	if len(r.text) > keptInMemory {
		r.spill()
	}
}

// Marks in front of values, beside their kinds.
const (
	sameMark    = 0x10 // with the kind: the value is unchanged
	omittedMark = 0x20 // the value is unchanged and not recorded
)

func (r *Recording) appendColumn(entry []byte, kind ChangeKind, i int32) ([]byte, error) {
	var old, now Value
	var err error
	if kind != Inserted {
		if old, err = r.value(lib.Xsqlite3_preupdate_old, i); err != nil {
			return entry, err
		}
	}
	if kind != Deleted {
		if now, err = r.value(lib.Xsqlite3_preupdate_new, i); err != nil {
			return entry, err
		}
	}
	switch {
	case kind == Inserted:
		return AppendValue(entry, now), nil
	case kind == Deleted:
		return AppendValue(entry, old), nil
	case !old.Same(now):
		return AppendValue(AppendValue(entry, old), now), nil
	case len(old.Bytes) > maxUnchanged:
		return append(entry, omittedMark), nil
	}
	return appendMarked(entry, old, sameMark), nil
}

// value returns a value of the row. Its bytes belong to the library.
func (r *Recording) value(get func(*libc.TLS, uintptr, int32, uintptr) int32, i int32) (v Value, err error) {
	switch code := get(r.thread, r.db, i, r.place); code {
	case lib.SQLITE_OK:
	case lib.SQLITE_RANGE:
		return v, nil // a generated column whose values are not stored
	default:
		return v, zs.ResultCode(code).ToError()
	}
	at := *view[uintptr](r.place)
	switch lib.Xsqlite3_value_type(r.thread, at) {
	case lib.SQLITE_INTEGER:
		return IntValue(lib.Xsqlite3_value_int64(r.thread, at)), nil
	case lib.SQLITE_FLOAT:
		return FloatValue(lib.Xsqlite3_value_double(r.thread, at)), nil
	case lib.SQLITE_TEXT:
		return r.bytes(Text, lib.Xsqlite3_value_text(r.thread, at), at)
	case lib.SQLITE_BLOB:
		return r.bytes(Blob, lib.Xsqlite3_value_blob(r.thread, at), at)
	}
	return v, nil
}

func (r *Recording) bytes(kind Kind, address, value uintptr) (Value, error) {
	size := lib.Xsqlite3_value_bytes(r.thread, value)
	if address == 0 && size > 0 {
		return Value{}, zs.ResultNoMem.ToError()
	}
	v := Value{Kind: kind}
	if size > 0 {
		v.Bytes = unsafe.Slice(view[byte](address), size)
	}
	return v, nil
}

// appendMarked appends a value with a mark beside its kind.
func appendMarked(entry []byte, v Value, mark byte) []byte {
	at := len(entry)
	entry = AppendValue(entry, v)
	entry[at] |= mark
	return entry
}

// spill moves the entries to the file.
func (r *Recording) spill() {
	if r.file == nil {
		var err error
		if r.file, err = os.CreateTemp("", "zangtable-changes-"); err != nil {
			r.fail(err)
			return
		}
	}
	n, err := r.file.WriteAt(r.text, r.filed)
	if err != nil {
		r.fail(err)
	}
	r.filed += int64(n)
	r.text = r.text[:0]
	if cap(r.text) > 4*keptInMemory {
		r.text = nil // one value was very long
	}
}

// Each calls fn for every change, in order. The values are valid until fn returns.
func (r *Recording) Each(fn func(RowChange) error) error {
	if r == nil {
		return nil
	}
	source := io.Reader(bytes.NewReader(r.text))
	if r.file != nil {
		source = io.MultiReader(io.NewSectionReader(r.file, 0, r.filed), source)
	}
	from := bufio.NewReaderSize(source, 64<<10)
	var entry []byte
	for range r.count {
		var length [lengthBytes]byte
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return fmt.Errorf("read recorded changes: %w", err)
		}
		entry = slices.Grow(entry[:0], int(binary.LittleEndian.Uint64(length[:])))[:binary.LittleEndian.Uint64(length[:])]
		if _, err := io.ReadFull(from, entry); err != nil {
			return fmt.Errorf("read recorded changes: %w", err)
		}
		change, err := r.change(entry)
		if err == nil {
			err = fn(change)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// change reads an entry, which note has written.
func (r *Recording) change(entry []byte) (c RowChange, err error) {
	id, n := binary.Uvarint(entry)
	c.Table, c.Kind = r.names[id], ChangeKind(entry[n])
	entry = entry[n+1:]
	c.Before, n = binary.Varint(entry)
	entry = entry[n:]
	c.After, n = binary.Varint(entry)
	entry = entry[n:]
	columns, n := binary.Uvarint(entry)
	entry = entry[n:]
	if c.Kind != Inserted {
		c.Old = make([]RecordedValue, columns)
	}
	if c.Kind != Deleted {
		c.New = make([]RecordedValue, columns)
	}
	for i := range int(columns) {
		var v RecordedValue
		if v, entry, err = takeRecorded(entry); err != nil {
			return c, err
		}
		if c.Old != nil {
			c.Old[i] = v
		}
		if c.Kind == Updated && !v.Same {
			if v, entry, err = takeRecorded(entry); err != nil {
				return c, err
			}
		}
		if c.New != nil {
			c.New[i] = v
		}
	}
	return c, nil
}

// takeRecorded returns the value that the entry begins with, and the rest.
func takeRecorded(entry []byte) (v RecordedValue, rest []byte, err error) {
	if len(entry) > 0 && entry[0] == omittedMark {
		return RecordedValue{Same: true, Omitted: true}, entry[1:], nil
	}
	if len(entry) > 0 {
		v.Same = entry[0]&sameMark != 0
		entry[0] &^= sameMark
	}
	v.Value, rest, err = TakeValue(entry)
	return v, rest, err
}
