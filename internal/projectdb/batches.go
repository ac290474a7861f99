package projectdb

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// MaxOperations is the maximum number of operations in a batch.
const MaxOperations = 10_000

// OperationKind is what one operation of a batch does.
type OperationKind string

// The kinds of operations.
const (
	InsertOperation OperationKind = "insert"
	UpdateOperation OperationKind = "update"
	UpsertOperation OperationKind = "upsert"
	DeleteOperation OperationKind = "delete"
)

// Operation is one change of records in a batch.
type Operation struct {
	Kind       OperationKind
	Table      string
	ID         *string        // of the record to update or delete
	Data       jsontext.Value // an object; nil if absent
	Where      jsontext.Value // selects the records to update or delete instead of ID; nil if absent
	All        bool           // allows an empty Where
	OnConflict *OnConflict    // of an upsert
	IfMatch    *ETags         // the state that the record must be in
	As         string         // the name by which later operations refer to the record
}

// Shown says which state of the records a batch returns.
type Shown string

// The states of a record that a batch can return.
const (
	ShowRow    Shown = ""       // as single calls do
	ShowNone   Shown = "none"   // none
	ShowAfter  Shown = "after"  // as the operation has left it
	ShowBefore Shown = "before" // as the operation has found it
)

// BatchOptions configure a batch.
type BatchOptions struct {
	Shown  Shown
	DryRun bool // undo everything at the end
}

// OperationDone is the result of one operation.
type OperationDone struct {
	Kind     OperationKind
	Table    string
	ID       *string // nil if the operation selected its records by conditions, or skipped its row
	Row      Rows    // as stored; empty if there is none
	Before   Rows    // for ShowBefore
	Affected int64
}

// batch is a batch while it is checked and made.
type batch struct {
	tx      *Tx
	options BatchOptions
	all     []operation
	named   map[string]int // operations by As
	bytes   int64          // of the records to return
}

// operation is an Operation on its way.
type operation struct {
	Operation
	table  *Table
	where  where // for those without an id
	own    problem.Faults
	plain  jsontext.Value // the data without what follows
	refs   []reference
	adds   []addition
	sent   []string // columns
	result OperationDone
}

// reference is a value to be taken from the record of an earlier operation.
type reference struct {
	member string
	from   int
	column *Column
}

// addition is a number to be added to a column.
type addition struct {
	column *Column
	value  sqlite.Value
}

var errTried = errors.New("undone after a dry run")

// Batch makes the operations in their order, all or nothing. Whatever can be known
// beforehand about any of them is checked before the first is made.
func (tx *Tx) Batch(faults *problem.Faults, operations []Operation, o BatchOptions) (done []OperationDone, err error) {
	b := &batch{tx: tx, options: o, named: map[string]int{}, all: make([]operation, len(operations))}
	for i := range operations {
		b.all[i].Operation = operations[i]
	}
	if err := b.admit(); err != nil {
		return nil, err
	}
	for i := range b.all {
		op := &b.all[i]
		if op.table != nil && op.Kind != "" {
			b.check(i)
		}
		faults.Merge(field(i), op.own.Err())
		if faults.Full() {
			break
		}
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	make := b.make
	if o.DryRun {
		make = func() error {
			before := tx.news
			defer func() { tx.news = before }()
			if err := tx.c.Savepoint(func() error { return cmp.Or(b.make(), errTried) }); err != errTried {
				return err
			}
			return nil
		}
	}
	if err := make(); err != nil {
		return nil, err
	}
	for i := range b.all {
		done = append(done, b.all[i].result)
	}
	return done, nil
}

func field(i int) string { return "operations[" + itoa(i) + "]" }

// admit finds the tables and refuses the batch if any operation is not permitted.
func (b *batch) admit() error {
	denied := problem.New(problem.CodePermissionDenied, "This token may not make all of these operations.")
	for i := range b.all {
		op := &b.all[i]
		t, err := b.tx.table(op.Table)
		switch {
		case problem.Is(err, problem.CodeNotFound):
			op.own.Add("table", "There is no table %q.", op.Table)
			continue
		case err != nil:
			return err
		}
		op.table = t
		op.result = OperationDone{Kind: op.Kind, Table: t.Name, Row: newRows(t, nil), Before: newRows(t, nil)}
		if scope := b.lacks(op); scope != "" && len(denied.Details) < problem.MaxDetails {
			denied.With(field(i), "This needs the scope %s for the table.", scope)
		} else if err := b.tx.cat.changeable(t); scope == "" && err != nil {
			return op.blame(i, err)
		}
	}
	if len(denied.Details) > 0 {
		return denied
	}
	return nil
}

// lacks returns the scope that an operation needs and the caller does not have.
func (b *batch) lacks(op *operation) string {
	reads := !isEmpty(op.Where) || op.IfMatch != nil || b.options.Shown == ShowAfter || b.options.Shown == ShowBefore
	switch {
	case !b.tx.mayWrite(op.table):
		return "records:write"
	case reads && !b.tx.mayRead(op.table):
		return "records:read"
	}
	return ""
}

// check notes what is wrong with an operation, as far as the records do not matter.
func (b *batch) check(i int) {
	op := &b.all[i]
	op.checkMembers()
	if op.Data != nil && op.Kind != DeleteOperation {
		b.checkData(i)
	}
	if op.ID == nil && (op.Kind == UpdateOperation || op.Kind == DeleteOperation) {
		op.where = Match{op.Where, op.All}.where(op.table, &op.own)
	}
	if op.As == "" {
		return
	}
	if _, taken := b.named[op.As]; taken {
		op.own.Add("as", "An earlier operation has this name.")
		return
	}
	b.named[op.As] = i
}

// checkMembers notes members that the kind of operation needs or does not take.
func (op *operation) checkMembers() {
	existing := op.Kind == UpdateOperation || op.Kind == DeleteOperation
	refuse := func(name string, sent bool) {
		if sent {
			op.own.Add(name, "Not taken by this operation.")
		}
	}
	one := existing && op.ID != nil
	refuse("id", op.ID != nil && !existing)
	refuse("where", (op.Where != nil || op.All) && (!existing || one))
	refuse("data", op.Data != nil && op.Kind == DeleteOperation)
	refuse("on_conflict", op.OnConflict != nil && op.Kind != UpsertOperation)
	refuse("if_match", op.IfMatch != nil && !one)
	refuse("as", op.As != "" && (op.Kind == DeleteOperation || existing && !one))
	if op.Data == nil && op.Kind != DeleteOperation {
		op.own.Required("data")
	}
	if op.OnConflict == nil && op.Kind == UpsertOperation {
		op.own.Required("on_conflict")
	}
}

// checkData notes what is wrong with the data of an operation.
func (b *batch) checkData(i int) {
	op := &b.all[i]
	b.split(i)
	null := nullKeyIsNext
	switch op.Kind {
	case UpsertOperation:
		null = nullKeyIsAbsent
		op.table.conflictKey(&op.own, op.OnConflict)
	case UpdateOperation:
		null = nullKeyIsFault
	}
	r := op.table.parseRow(&op.own, "data.", op.plain, null)
	for _, ref := range op.refs {
		if column := op.table.Column(ref.member); column != nil {
			r.columns = append(r.columns, column)
		}
	}
	op.sent = r.names()
	switch {
	case op.Kind == InsertOperation:
		for _, column := range op.table.required(r) {
			op.own.Required("data." + column.Name)
		}
	case op.Kind == UpdateOperation && len(r.columns)+len(op.adds) == 0 && !op.own.Any():
		op.own.Add("data", "There is nothing to change.")
	}
}

// split separates references and additions from the other data.
func (b *batch) split(i int) {
	op := &b.all[i]
	op.plain = jsontext.Value{'{'}
	err := eachMember(op.Data, func(name string, value jsontext.Value) {
		if word, inner := onlyMember(value); word == "$ref" {
			b.refer(i, name, inner)
			return
		} else if word == "$add" {
			op.add(name, inner)
			return
		}
		op.plain = appendMember(op.plain, name, value)
	})
	if op.plain = append(op.plain, '}'); err != nil {
		op.plain = op.Data // parseRow says what is wrong
	}
}

func appendMember(object jsontext.Value, name string, value jsontext.Value) jsontext.Value {
	if len(object) > 1 {
		object = append(object, ',')
	}
	object, _ = jsontext.AppendQuote(object, name) // decoded names are valid
	return append(append(object, ':'), value...)
}

// onlyMember returns the only member of an object, or "".
func onlyMember(value jsontext.Value) (name string, inner jsontext.Value) {
	n := 0
	_ = eachMember(value, func(member string, v jsontext.Value) { // no object has no members
		n, name, inner = n+1, member, v.Clone()
	})
	if n != 1 {
		return "", nil
	}
	return name, inner
}

// refer notes a reference in the data of operation i.
func (b *batch) refer(i int, member string, value jsontext.Value) {
	op, at := &b.all[i], "data."+member
	text, _ := jsontext.AppendUnquote(nil, value)
	as, name, ok := strings.Cut(string(text), ".")
	from, known := b.named[as]
	if column := op.table.Column(member); column == nil || column.Generated != "" {
		op.plain = appendMember(op.plain, member, jsontext.Value("null")) // parseRow says what is wrong
		return
	}
	if value.Kind() != '"' || !ok {
		op.own.WrongType(at, `the name of an earlier operation and a column, such as {"$ref":"c.id"}`)
		return
	}
	if !known {
		op.own.Add(at, "No earlier operation has the name %q in as.", as)
		return
	}
	target := &b.all[from]
	column := target.table.Column(name)
	if column == nil {
		target.table.unknownColumn(&op.own, at, name)
		return
	}
	if !target.table.IsPrimary(column.Name) && !b.tx.mayRead(target.table) && !sqlite.ContainsName(target.sent, column.Name) {
		op.own.Add(at, "This token may refer only to the key of this record and to the columns that the batch sends.")
		return
	}
	op.refs = append(op.refs, reference{member, from, column})
}

// add notes an addition.
func (op *operation) add(member string, value jsontext.Value) {
	at, column := "data."+member, op.table.Column(member)
	switch {
	case column == nil || column.Generated != "":
		op.plain = appendMember(op.plain, member, jsontext.Value("null")) // parseRow says what is wrong
		return
	case op.Kind != UpdateOperation:
		op.own.Add(at, "Only an update can add to a value.")
		return
	case column.Type != "INTEGER" && column.Type != "REAL" || op.table.IsPrimary(column.Name):
		op.own.Add(at, "Numbers can be added only to INTEGER and REAL columns outside the key.")
		return
	case value.Kind() != '0':
		op.own.WrongType(at, `a number to add, such as {"$add":1}`)
		return
	}
	v, err := storedAs(column.Type, value)
	if err != nil {
		op.own.Add(at, "%s", err)
		return
	}
	op.adds = append(op.adds, addition{column, v})
}

// make makes the operations. It may run again from the beginning.
func (b *batch) make() error {
	b.bytes = 0
	for i := range b.all {
		op := &b.all[i]
		if err := op.blame(i, explain(b.one(i))); err != nil {
			return err
		}
		b.drop(op)
		b.bytes += op.result.Row.Memory() + op.result.Before.Memory()
		if b.tx.ask != nil {
			if err := b.tx.ask(b.bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop forgets a stored record that is neither returned nor referred to, but for its
// ETag.
func (b *batch) drop(op *operation) {
	shown := b.options.Shown == ShowRow || b.options.Shown == ShowAfter
	if etag := op.result.Row.ETag; op.As == "" && !shown {
		op.result.Row = newRows(op.table, nil)
		op.result.Row.ETag = etag
	}
}

// blame makes an error name the operation.
func (op *operation) blame(i int, err error) error {
	e := problem.From(err)
	if err == nil || e.Code == problem.CodeInternal || e.Code == problem.CodeBusy {
		return err
	}
	prefix := field(i) + "."
	switch {
	case e.Code == problem.CodePreconditionFailed:
		e.Details[0].Field = prefix + "if_match"
		return err
	case e.Code == problem.CodeNotFound && op.ID != nil:
		e.With(prefix+"id", "%s", e.Message)
		return err
	case len(e.Details) == 0:
		e.With(field(i), "%s", e.Message)
		return err
	}
	for j, d := range e.Details {
		if !strings.HasPrefix(d.Field, "data.") && !strings.HasPrefix(d.Field, "on_conflict") && !strings.HasPrefix(d.Field, "where") && d.Field != "data" {
			e.Details[j].Field = "data." + d.Field
		}
		e.Details[j].Field = prefix + e.Details[j].Field
	}
	return err
}

// one makes operation i.
func (b *batch) one(i int) (err error) {
	op := &b.all[i]
	op.result.ID, op.result.Before = op.ID, newRows(op.table, nil)
	data, err := b.resolved(op)
	if err != nil {
		return err
	}
	if b.options.Shown == ShowBefore {
		if op.result.Before, err = b.before(op, data); err != nil {
			return err
		}
	}
	switch {
	case op.Kind == InsertOperation, op.Kind == UpsertOperation:
		return b.insert(op, data)
	case op.Kind == DeleteOperation:
		return b.delete(op)
	}
	return b.update(op, data)
}

// resolved returns the data with the values that it refers to.
func (b *batch) resolved(op *operation) (jsontext.Value, error) {
	if len(op.refs) == 0 {
		return op.plain, nil
	}
	data := op.plain[: len(op.plain)-1 : len(op.plain)-1]
	for _, ref := range op.refs {
		row := b.all[ref.from].result.Row
		at := -1
		for j, column := range row.Columns {
			if column.Name == ref.column.Name {
				at = j
			}
		}
		if row.Len() == 0 || at < 0 {
			return nil, problem.Invalid("data."+ref.member, "The operation %q has no record with this value: its row was skipped, or the value is not known.", b.all[ref.from].As)
		}
		data = appendMember(data, ref.member, format.AppendValue(nil, row.Batch, row.Batch.Row(0)[at], format.JSONOptions{}))
	}
	return append(data, '}'), nil
}

// before returns the record that an operation is about to change, if there is one.
func (b *batch) before(op *operation, data jsontext.Value) (Rows, error) {
	t := op.table
	rows := newRows(t, t.formatColumns())
	switch {
	case op.ID != nil:
		found, err := t.all().one(b.tx.c, *op.ID)
		return found, err
	case op.Kind != UpsertOperation:
		return rows, nil
	}
	ins := newInserter(b.tx.c, t, InsertOptions{})
	ins.key = t.conflictKey(new(problem.Faults), op.OnConflict)
	r := t.parseRow(new(problem.Faults), "", data, nullKeyIsAbsent)
	condition, last := ins.existing(r)
	err := fillAll(b.tx.c, rows.Batch, "SELECT "+t.all().list+" FROM "+quote(t.Name)+" WHERE "+condition, r.args()[:last])
	return rows, err
}

func (b *batch) insert(op *operation, data jsontext.Value) error {
	var faults problem.Faults
	done, err := b.tx.InsertRecord(&faults, op.ref(), data, InsertOptions{OnConflict: op.OnConflict})
	if err != nil {
		return err
	}
	op.keep(done.Rows)
	return nil
}

func (b *batch) update(op *operation, data jsontext.Value) error {
	var faults problem.Faults
	set := op.table.parseRow(&faults, "data.", data, nullKeyIsFault)
	for _, add := range op.adds {
		if set.has(add.column) {
			faults.Add("data."+add.column.Name, "The column is listed twice.")
		}
		set.columns, set.values = append(set.columns, add.column), append(set.values, add.value)
		set.added++
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if op.ID == nil {
		update, args := op.table.updateSQL(set, op.where)
		done, err := b.tx.affect(op.table, update, args)
		op.result.Affected = done.Rows
		return b.tx.brokenKey(op.table, set, &op.where, err)
	}
	rows, err := b.tx.updateRow(op.table, *op.ID, set, Condition{Match: op.IfMatch})
	if err != nil {
		return err
	}
	op.keep(rows)
	return nil
}

func (b *batch) delete(op *operation) (err error) {
	if op.ID != nil {
		op.result.Affected = 1
		_, err = b.tx.DeleteRecord(op.ref(), *op.ID, Condition{Match: op.IfMatch})
		return err
	}
	done, err := b.tx.deleteWhere(op.table, op.where)
	op.result.Affected = done.Rows
	return err
}

// ref names the table by its id.
func (op *operation) ref() string { return strconv.FormatInt(int64(op.table.ID), 10) }

// keep keeps the stored record as the result.
func (op *operation) keep(rows Rows) {
	op.result.Row, op.result.Affected = rows, int64(rows.Len())
	if id, ok := op.table.idOf(rows); ok {
		op.result.ID = &id
	}
}

// idOf returns the id of the only row, if its columns have the whole primary key.
func (t *Table) idOf(rows Rows) (id string, ok bool) {
	if rows.Len() != 1 || len(t.PrimaryKey) == 0 {
		return "", false
	}
	values := make([]sqlite.Value, len(t.PrimaryKey))
	for i, part := range t.PrimaryKey {
		at := -1
		for j, column := range rows.Columns {
			if sqlite.SameName(column.Name, part.Column) {
				at = j
			}
		}
		if at < 0 {
			return "", false
		}
		values[i] = rows.Batch.Value(rows.Batch.Row(0)[at])
	}
	return recordID(values), true
}
