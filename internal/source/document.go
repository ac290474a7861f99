package source

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// readDocument creates tables in a sandbox from the JSON of a database. The columns are
// the ones that the document describes; where it describes none, they hold values of any
// type.
func (b building) readDocument(ctx context.Context, f *os.File, sandbox *sqlite.Sandbox) (Notes, error) {
	tables, err := format.ScanJSON(UntilDone(ctx, f))
	if err != nil {
		return nil, fileFault(err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, Unreadable(err)
	}
	d := &document{sandbox: sandbox}
	err = format.ReadJSONDatabase(UntilDone(ctx, f), tables, func(t format.JSONTable, rows format.TableReader) error {
		return d.take(ctx, t, rows)
	})
	if err != nil {
		return nil, fileFault(err)
	}
	d.notes.Add("file", "A JSON file does not describe indexes, foreign keys, checks and generated columns: none were created.")
	return d.notes, nil
}

// document loads the JSON of a database into a sandbox.
type document struct {
	sandbox *sqlite.Sandbox
	notes   Notes
}

func (d *document) take(ctx context.Context, t format.JSONTable, rows format.TableReader) error {
	shape, err := describedTable(t)
	if err != nil {
		return err
	}
	if len(shape.Columns) == 0 {
		d.notes.Add("table "+t.Name, "It has no columns and was not imported.")
		return nil
	}
	if err := d.sandbox.Run(shape.CreateSQL()); err != nil {
		return d.explain(ctx, fmt.Sprintf("table %q", t.Name), err)
	}
	return d.fill(ctx, &shape, rows)
}

func (d *document) fill(ctx context.Context, shape *projectdb.Table, rows format.TableReader) error {
	marks := strings.Repeat(", ?", len(shape.Columns))[2:]
	insert, err := d.sandbox.Prepare("INSERT INTO " + format.QuoteIdent(shape.Name) + " VALUES (" + marks + ")")
	if err != nil {
		return d.explain(ctx, fmt.Sprintf("table %q", shape.Name), err)
	}
	defer insert.Close()
	var b sqlite.Batch
	for row := 0; ; {
		some, err := rows.Read(&b, BatchRows)
		if err != nil || !some {
			return err
		}
		for i := range b.Rows {
			row++
			if err := insertDescribed(insert, shape, &b, b.Row(i)); err != nil {
				return d.explain(ctx, fmt.Sprintf("table %q, row %d", shape.Name, row), err)
			}
		}
	}
}

func insertDescribed(insert *sqlite.Stmt, shape *projectdb.Table, b *sqlite.Batch, row []sqlite.Cell) error {
	for i, cell := range row {
		v := b.Value(cell)
		if shape.Columns[i].Type == "BLOB" && v.Kind == sqlite.Text {
			blob, err := base64.StdEncoding.AppendDecode(nil, v.Bytes)
			if err != nil {
				return Invalid("The value of the column %q is a BLOB, which must be base64, and it is not.", shape.Columns[i].Name)
			}
			v = sqlite.BlobValue(blob)
		}
		insert.BindValue(i+1, v)
	}
	if _, err := insert.Step(); err != nil {
		return err
	}
	return insert.Reset()
}

// explain turns an error at place, from SQLite or from our own checks, into a problem.
func (d *document) explain(ctx context.Context, place string, err error) error {
	switch fault := sqlite.FaultOf(err); {
	case ctx.Err() != nil:
		return ctx.Err()
	case fault == sqlite.Full, fault == sqlite.IO:
		return fmt.Errorf("read a document: %w", err)
	}
	if known := (*problem.Error)(nil); errors.As(err, &known) {
		return Invalid("In the %s: %s", place, known.Details[0].Message).Because(err)
	}
	return Invalid("In the %s: SQLite says: %s.", place, OneLine(sqlite.Message(err))).Because(err)
}

// describedColumn is a column as the API shows it.
type describedColumn struct {
	Name       string         `json:"column_name"`
	Type       string         `json:"column_type"`
	Nullable   *int           `json:"is_nullable"`
	Default    jsontext.Value `json:"default_value"`
	Expression *string        `json:"default_expression"`
	Primary    int            `json:"is_primary"`
	Unique     int            `json:"is_unique"`
}

// describedTable returns a table with the columns that the document describes.
func describedTable(t format.JSONTable) (projectdb.Table, error) {
	shape := projectdb.Table{Name: t.Name}
	var described []describedColumn
	if t.Described != nil {
		if err := json.Unmarshal(t.Described, &described); err != nil {
			return shape, Invalid("In the table %q: the columns do not have the form that this program writes.", t.Name).Because(err)
		}
	}
	for _, known := range t.Columns[len(described):] {
		described = append(described, describedColumn{Name: known.Name, Type: "ANY"})
	}
	for _, column := range described {
		if !slices.Contains([]string{"INTEGER", "REAL", "TEXT", "BLOB", "ANY"}, column.Type) {
			return shape, Invalid("In the table %q: the column %q has the unknown type %q.", t.Name, column.Name, column.Type)
		}
		shape.Columns = append(shape.Columns, projectdb.Column{
			Name: column.Name, Type: column.Type, Default: column.defaultSQL(),
			NotNull: column.Nullable != nil && *column.Nullable == 0 && column.Primary == 0,
		})
		part := []projectdb.KeyPart{{Column: column.Name}}
		switch {
		case column.Primary != 0:
			shape.PrimaryKey = append(shape.PrimaryKey, part...)
		case column.Unique != 0:
			shape.Uniques = append(shape.Uniques, projectdb.Unique{Columns: part})
		}
	}
	if len(shape.PrimaryKey) == 1 && shape.Column(shape.PrimaryKey[0].Column).Type == "INTEGER" {
		// All our tables with such a key use AUTOINCREMENT, unless they were imported.
		shape.RowidKey, shape.Autoincrement = true, true
	}
	return shape, nil
}

// defaultSQL returns the default as an SQL expression, "" if there is none.
func (c describedColumn) defaultSQL() string {
	if c.Expression != nil {
		return *c.Expression
	}
	var v sqlite.Value
	switch c.Default.Kind() {
	case 't', 'f':
		return strings.ToUpper(string(c.Default))
	case '"':
		text, err := jsontext.AppendUnquote(nil, c.Default)
		if err != nil {
			return ""
		}
		if v = sqlite.TextValue(string(text)); c.Type == "BLOB" {
			blob, err := base64.StdEncoding.DecodeString(string(text))
			if err != nil {
				return ""
			}
			v = sqlite.BlobValue(blob)
		}
	case '0':
		return string(c.Default)
	default:
		return ""
	}
	return SQLLiteral(v)
}

// SQLLiteral returns a value as an SQL literal.
func SQLLiteral(v sqlite.Value) string {
	var b sqlite.Batch
	b.Reset(1)
	b.Append(v)
	return string(format.AppendLiteral(nil, &b, b.Row(0)[0]))
}

// fileFault turns a reader's error into a problem of the file.
func fileFault(err error) error {
	var fault *format.FileError
	if !errors.As(err, &fault) {
		return err
	}
	reason := fault.Error()
	return Invalid("%s.", strings.ToUpper(reason[:1])+strings.TrimSuffix(reason[1:], ".")).Because(err)
}
