package format

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	metadata "github.com/parquet-go/parquet-go/format"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// parquetType says how the values of a column become values of a table.
type parquetType struct {
	name    string // the SQLite type
	convert func(parquet.Value) sqlite.Value
	jsonRaw bool // in JSON, the text of a value is a value itself, such as a number
	isBool  bool
}

// appendJSON appends a value in the form that it has within lists and records.
func (t *parquetType) appendJSON(dst []byte, v parquet.Value) []byte {
	switch {
	case v.IsNull():
		return append(dst, "null"...)
	case t.isBool:
		return strconv.AppendBool(dst, v.Boolean())
	}
	switch x := t.convert(v); x.Kind {
	case sqlite.Integer:
		return strconv.AppendInt(dst, x.Int, 10)
	case sqlite.Real:
		if math.IsInf(x.Float, 0) {
			return append(dst, "null"...)
		}
		return strconv.AppendFloat(dst, x.Float, 'g', -1, 64)
	case sqlite.Text:
		if t.jsonRaw {
			return append(dst, x.Bytes...)
		}
		return AppendString(dst, x.Bytes)
	case sqlite.Blob:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), x.Bytes), '"')
	}
	return append(dst, "null"...)
}

// newParquetType returns the type of a column. The converted values may share the bytes
// of the originals.
func newParquetType(s *metadata.SchemaElement, t parquet.Type) parquetType {
	if own, ok := annotatedType(s, t.Kind()); ok {
		return own
	}
	if l := t.LogicalType(); l != nil {
		if own, ok := logicalType(l, t.Kind()); ok {
			return own
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return parquetType{name: "INTEGER", isBool: true, convert: func(v parquet.Value) sqlite.Value {
			if v.Boolean() {
				return sqlite.IntValue(1)
			}
			return sqlite.IntValue(0)
		}}
	case parquet.Int32:
		return parquetType{name: "INTEGER", convert: func(v parquet.Value) sqlite.Value { return sqlite.IntValue(int64(v.Int32())) }}
	case parquet.Int64:
		return parquetType{name: "INTEGER", convert: func(v parquet.Value) sqlite.Value { return sqlite.IntValue(v.Int64()) }}
	case parquet.Int96:
		return parquetType{name: "TEXT", convert: func(v parquet.Value) sqlite.Value { return sqlite.TextValue(int96Text(v.Int96())) }}
	case parquet.Float:
		return parquetType{name: "REAL", convert: func(v parquet.Value) sqlite.Value { return numberOrNull(float64(v.Float())) }}
	case parquet.Double:
		return parquetType{name: "REAL", convert: func(v parquet.Value) sqlite.Value { return numberOrNull(v.Double()) }}
	}
	return parquetType{name: "BLOB", convert: func(v parquet.Value) sqlite.Value { return sqlite.BlobValue(v.ByteArray()) }}
}

func numberOrNull(f float64) sqlite.Value {
	if math.IsNaN(f) {
		return sqlite.Value{}
	}
	return sqlite.FloatValue(f)
}

// annotatedType returns the type of a column of fixed length that its annotation in the
// schema decides, and that the library does not tell.
func annotatedType(s *metadata.SchemaElement, kind parquet.Kind) (_ parquetType, ok bool) {
	if kind != parquet.FixedLenByteArray {
		return parquetType{}, false
	}
	text := func(read func(b []byte) string) (parquetType, bool) {
		return parquetType{name: "TEXT", convert: func(v parquet.Value) sqlite.Value { return sqlite.TextValue(read(v.ByteArray())) }}, true
	}
	size := s.TypeLength.V
	switch s.LogicalType.Value.(type) {
	case *metadata.UUIDType:
		if size == 16 {
			return text(uuidText)
		}
	case *metadata.Float16Type:
		if size == 2 {
			return parquetType{name: "REAL", convert: func(v parquet.Value) sqlite.Value {
				return numberOrNull(float16(binary.LittleEndian.Uint16(v.ByteArray())))
			}}, true
		}
	}
	if s.ConvertedType.Valid && s.ConvertedType.V == deprecated.Interval && size == 12 {
		return text(intervalText)
	}
	return parquetType{}, false
}

// int96Text returns a timestamp of Spark, Hive or Impala: nanoseconds of a day, and the
// Julian number of the day.
func int96Text(v deprecated.Int96) string {
	const epoch, daySeconds = 2440588, 24 * 60 * 60 // the Julian day of 1970-01-01
	nanoseconds := int64(uint64(v[1])<<32 | uint64(v[0]))
	seconds := (int64(int32(v[2])) - epoch) * daySeconds
	t := time.Unix(seconds+nanoseconds/int64(time.Second), nanoseconds%int64(time.Second))
	return t.UTC().Format("2006-01-02T15:04:05.999999999")
}

func uuidText(b []byte) string {
	text := make([]byte, 0, 36)
	for i, end := range []int{4, 6, 8, 10, 16} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, b[:end][[]int{0, 4, 6, 8, 10}[i]:])
	}
	return string(text)
}

// intervalText returns months, days and milliseconds as a duration of ISO 8601, such as
// P1Y2M3DT4H5M6.5S.
func intervalText(b []byte) string {
	part := func(i int) int64 { return int64(binary.LittleEndian.Uint32(b[4*i:])) }
	text := "P"
	add := func(n int64, unit string) {
		if n != 0 {
			text += strconv.FormatInt(n, 10) + unit
		}
	}
	add(part(0)/12, "Y")
	add(part(0)%12, "M")
	add(part(1), "D")
	milliseconds := part(2)
	if milliseconds == 0 && text != "P" {
		return text
	}
	text += "T"
	add(milliseconds/3_600_000, "H")
	add(milliseconds/60_000%60, "M")
	if seconds := milliseconds % 60_000; seconds != 0 || milliseconds == 0 {
		text += strconv.FormatFloat(float64(seconds)/1000, 'f', -1, 64) + "S"
	}
	return text
}

// float16 returns the value of the bits of an IEEE 754 half-precision number.
func float16(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&31), float64(bits&1023)
	if bits>>15 == 1 {
		sign = -1
	}
	switch {
	case exponent == 0:
		return sign * math.Ldexp(fraction, -24)
	case exponent < 31:
		return sign * math.Ldexp(fraction+1024, exponent-25)
	case fraction == 0:
		return math.Inf(int(sign))
	}
	return math.NaN()
}

// logicalType is newParquetType for the logical types that the library tells; ok is
// false for those that do not decide the type.
func logicalType(l *metadata.LogicalType, kind parquet.Kind) (_ parquetType, ok bool) {
	text := func(read func(v parquet.Value) string) (parquetType, bool) {
		return parquetType{name: "TEXT", convert: func(v parquet.Value) sqlite.Value { return sqlite.TextValue(read(v)) }}, true
	}
	asTime := func(layout string, unit time.Duration) (parquetType, bool) {
		return text(func(v parquet.Value) string { return since1970(v, unit).Format(layout) })
	}
	// SQLite has no dates, unsigned integers or decimals: what a REAL or INTEGER cannot
	// hold exactly becomes a text that can be read back.
	switch t := l.Value.(type) {
	case *metadata.StringType, *metadata.EnumType, *metadata.JsonType:
		return parquetType{name: "TEXT", convert: func(v parquet.Value) sqlite.Value {
			return sqlite.Value{Kind: sqlite.Text, Bytes: v.ByteArray()}
		}}, true
	case *metadata.DateType:
		return asTime(time.DateOnly, 24*time.Hour)
	case *metadata.TimeType:
		return asTime("15:04:05.999999999", t.Unit.Value.Duration())
	case *metadata.TimestampType:
		layout := "2006-01-02T15:04:05.999999999"
		if t.IsAdjustedToUTC {
			layout += "Z"
		}
		return asTime(layout, t.Unit.Value.Duration())
	case *metadata.IntType:
		switch {
		case t.IsSigned: // use the physical type
		case kind == parquet.Int64: // half of its values do not fit an INTEGER
			own, ok := text(func(v parquet.Value) string { return strconv.FormatUint(v.Uint64(), 10) })
			own.jsonRaw = true
			return own, ok
		default:
			return parquetType{name: "INTEGER", convert: func(v parquet.Value) sqlite.Value { return sqlite.IntValue(int64(v.Uint32())) }}, true
		}
	case *metadata.DecimalType:
		return decimalType(int(t.Scale), int(t.Precision))
	}
	return parquetType{}, false
}

func decimalType(scale, precision int) (_ parquetType, ok bool) {
	const exact, longest = 15, 1000 // digits: that a REAL preserves, that anyone needs
	if scale < 0 || scale > precision || precision > longest {
		return parquetType{}, false
	}
	if precision > exact {
		return parquetType{name: "TEXT", jsonRaw: true, convert: func(v parquet.Value) sqlite.Value { return sqlite.TextValue(decimalText(v, scale)) }}, true
	}
	return parquetType{name: "REAL", convert: func(v parquet.Value) sqlite.Value {
		f, err := strconv.ParseFloat(decimalText(v, scale), 64)
		if err != nil {
			return sqlite.Value{}
		}
		return sqlite.FloatValue(f)
	}}, true
}

// since1970 avoids a time.Duration for the total, which would end in 2262.
func since1970(v parquet.Value, unit time.Duration) time.Time {
	n := v.Int64()
	if v.Kind() == parquet.Int32 {
		n = int64(v.Int32())
	}
	if unit >= time.Second {
		return time.Unix(n*int64(unit/time.Second), 0).UTC()
	}
	perSecond := int64(time.Second / unit)
	seconds, rest := n/perSecond, n%perSecond
	return time.Unix(seconds, rest*int64(unit)).UTC()
}

// decimalText returns a DECIMAL with all its decimal places. The value is an integer, in
// bytes a big-endian two's complement one, whose last scale digits are decimals.
func decimalText(v parquet.Value, scale int) string {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default:
		b := v.ByteArray()
		n.SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	digits := new(big.Int).Abs(n).String()
	for len(digits) <= scale {
		digits = "0" + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
