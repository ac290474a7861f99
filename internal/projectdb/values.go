package projectdb

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// valueFault says what is wrong with one value, as a sentence for the client.
type valueFault string

func (f valueFault) Error() string { return string(f) }

// storedAs returns what a JSON value becomes in a column of the given type, or a
// valueFault. SQLite converts values where nothing is lost; anything else is refused
// here, so that all faults of a row are reported at once.
func storedAs(columnType string, raw jsontext.Value) (sqlite.Value, error) {
	switch raw.Kind() {
	case 'n':
		return sqlite.Value{}, nil
	case 't':
		return numberAs(columnType, sqlite.IntValue(1))
	case 'f':
		return numberAs(columnType, sqlite.IntValue(0))
	case '0':
		return parseNumber(columnType, string(raw))
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return sqlite.Value{}, valueFault("The text is not valid.")
		}
		return textAs(columnType, text)
	}
	return sqlite.Value{}, valueFault("The value must be a string, a number, a boolean or null.")
}

// parseNumber returns what a decimal number becomes in a column of the given type.
// Integers keep all 64 bits, however they are written; a fraction becomes the nearest
// REAL.
func parseNumber(columnType, text string) (v sqlite.Value, err error) {
	d, _ := format.ParseDecimal(text)
	n, isInt := d.Int()
	switch plain := !strings.ContainsAny(text, ".eE"); {
	case text == "-0" && columnType == "REAL":
		// JSON allows -0; only a REAL can hold it.
		return sqlite.FloatValue(math.Copysign(0, -1)), nil
	case isInt && (plain || columnType == "INTEGER"):
		return numberAs(columnType, sqlite.IntValue(n))
	case columnType == "INTEGER" && !d.Whole():
		return v, notInteger
	case columnType == "INTEGER", plain && columnType != "REAL":
		return v, valueFault("The integer does not fit in 64 bits.")
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return v, valueFault("The number is too large.")
	case columnType == "TEXT" && !d.Writes(f):
		return sqlite.TextValue(text), nil // text can keep digits that a REAL cannot
	case columnType == "ANY" && isInt && !d.Writes(f):
		return sqlite.IntValue(n), nil
	}
	return numberAs(columnType, sqlite.FloatValue(f))
}

const notInteger = valueFault("The column holds integers, but the number is not one.")

func numberAs(columnType string, v sqlite.Value) (sqlite.Value, error) {
	switch {
	case columnType == "BLOB":
		return v, valueFault("A BLOB must be a base64 string.")
	case columnType == "TEXT":
		var b sqlite.Batch
		b.Reset(1)
		b.Append(v)
		return sqlite.Value{Kind: sqlite.Text, Bytes: format.AppendValue(nil, &b, b.Row(0)[0], format.JSONOptions{})}, nil
	case columnType == "INTEGER" && v.Kind == sqlite.Real:
		if v.Float != math.Trunc(v.Float) || math.Abs(v.Float) >= 1<<63 {
			return v, notInteger
		}
		if !keepsInteger(v.Float) {
			return v, valueFault("The number has more digits than a REAL keeps: as an integer it could be another one.")
		}
		return sqlite.IntValue(int64(v.Float)), nil
	case columnType == "REAL" && v.Kind == sqlite.Integer:
		if f := float64(v.Int); f < 1<<63 && int64(f) == v.Int {
			return sqlite.FloatValue(f), nil
		}
		return v, valueFault("A REAL column cannot hold this integer exactly.")
	}
	return v, nil
}

// keepsInteger reports whether a whole REAL is written as an integer. Above 2^53, a
// REAL stands for several integers.
func keepsInteger(f float64) bool {
	if math.Abs(f) <= 1<<53 {
		return true
	}
	d, _ := format.ParseDecimal(strconv.FormatInt(int64(f), 10))
	return d.Writes(f)
}

func textAs(columnType string, text []byte) (sqlite.Value, error) {
	v := sqlite.Value{Kind: sqlite.Text, Bytes: text}
	switch columnType {
	case "BLOB":
		b, err := base64.StdEncoding.AppendDecode(nil, text)
		if err != nil {
			return v, valueFault("A BLOB must be a base64 string, and this is not valid base64.")
		}
		return sqlite.BlobValue(b), nil
	case "INTEGER", "REAL":
		number, ok := numericText(string(text))
		if !ok {
			return v, valueFault("The column holds numbers, but the text is not one.")
		}
		return parseNumber(columnType, number)
	}
	return v, nil
}

// numericText returns the number that a text stands for: decimal digits with an
// optional sign, fraction and exponent, and surrounding blanks.
func numericText(text string) (number string, ok bool) {
	number = strings.Trim(text, " \t\n\v\f\r")
	_, ok = format.ParseDecimal(number)
	return number, ok
}

// row holds the values of one row by column, in the order they were sent.
type row struct {
	columns []*Column
	values  []sqlite.Value
	added   int // how many of the last values are added to what is stored
}

// nullKey says what NULL means for a part of the primary key.
type nullKey int

const (
	nullKeyIsNext   nullKey = iota // the next free number, if the key is the rowid
	nullKeyIsAbsent                // the same as if the column had not been sent
	nullKeyIsFault                 // an existing row cannot lose its key
)

// parseRow parses a JSON object as a row of the table and notes every fault under the
// prefix.
func (t *Table) parseRow(faults *problem.Faults, prefix string, object jsontext.Value, null nullKey) row {
	var r row
	err := eachMember(object, func(name string, value jsontext.Value) {
		column := t.Column(name)
		switch {
		case column == nil:
			t.unknownColumn(faults, prefix+name, name)
			return
		case column.Generated != "":
			faults.Add(prefix+name, "The column is generated and cannot be set.")
			return
		case r.has(column):
			faults.Add(prefix+name, "The column is listed twice.")
			return
		}
		v, err := storedAs(column.Type, value)
		isNull := err == nil && v.Kind == sqlite.Null
		switch isKey := t.IsPrimary(column.Name); {
		case err != nil:
			faults.Add(prefix+name, "%s", err)
		case column.TooLong(v):
			faults.Add(prefix+name, "%s", column.LengthFault())
		case isNull && isKey && null == nullKeyIsAbsent:
			return
		case isNull && (t.refusesNull(column) || isKey && null == nullKeyIsFault):
			faults.Add(prefix+name, "The column cannot be null.")
		}
		r.columns = append(r.columns, column)
		r.values = append(r.values, v)
	})
	if err != nil {
		faults.WrongType(cmp.Or(strings.TrimSuffix(prefix, "."), "data"), "an object of column names and values")
	}
	return r
}

func (r row) has(column *Column) bool { return slices.Contains(r.columns, column) }

// refusesNull reports whether a new row can never have NULL in the column. In the
// rowid column, NULL stands for the next free number.
func (t *Table) refusesNull(column *Column) bool {
	if t.IsPrimary(column.Name) {
		return !t.RowidKey
	}
	return column.NotNull
}

var errNotObject = errors.New("not an object")

// eachMember calls fn for the members of a JSON object in order.
func eachMember(object jsontext.Value, fn func(name string, value jsontext.Value)) error {
	if object.Kind() != '{' {
		return errNotObject
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(object))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		member := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		fn(member, value)
	}
	return nil
}

// eachElement calls fn for the elements of a JSON array in order, until one call
// fails.
func eachElement(array jsontext.Value, fn func(i int, element jsontext.Value) error) error {
	if array.Kind() != '[' {
		return errNotArray
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(array))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for i := 0; d.PeekKind() != ']'; i++ {
		element, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := fn(i, element); err != nil {
			return err
		}
	}
	return nil
}

// countElements counts the elements of a JSON array without decoding them.
func countElements(array jsontext.Value) (n int, err error) {
	if array.Kind() != '[' {
		return 0, errNotArray
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(array))
	if _, err := d.ReadToken(); err != nil {
		return 0, err
	}
	for ; d.PeekKind() != ']'; n++ {
		if err := d.SkipValue(); err != nil {
			return n, err
		}
	}
	return n, nil
}

var errNotArray = errors.New("not an array")
