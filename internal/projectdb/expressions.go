package projectdb

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// An expression in a schema is evaluated by the server whenever rows are listed,
// inserted, exported or rebuilt. Nothing interrupts a function that takes an hour, and
// no limit on a value stops a chain of columns from doubling it forty times. So
// expressions are checked before they are stored: they may only call the functions in
// one table, which take linear time, and the size of their results is bounded by the
// size of their inputs.

// Bounds on the expressions of a table.
const (
	maxExpression      = 8 << 10  // bytes of the text of an expression
	maxExpressionDepth = 50       // levels of parentheses, calls and CASEs
	maxMultiple        = 1000     // how often the values of a row may be multiplied
	maxConstants       = 1 << 20  // bytes that do not depend on the row
	maxMade            = 32 << 20 // bytes that all expressions together make of one row
)

// size is an upper bound on the bytes of a value: a constant, plus a multiple of the
// bytes in each of the row's columns, by their index in the table.
type size struct {
	columns map[int]int
	bytes   int
}

// numberBytes is the maximum length of a number, a time or the name of a type.
const numberBytes = 64

func constant(bytes int) size { return size{bytes: bytes} }

// plus bounds the concatenation of two values.
func (s size) plus(other size) size {
	sum := size{columns: maps.Clone(s.columns), bytes: s.bytes + other.bytes}
	for i, n := range other.columns {
		if sum.columns == nil {
			sum.columns = map[int]int{}
		}
		sum.columns[i] += n
	}
	return sum
}

// or bounds a value that is one of two values.
func (s size) or(other size) size {
	most := size{columns: maps.Clone(s.columns), bytes: max(s.bytes, other.bytes)}
	for i, n := range other.columns {
		if most.columns == nil {
			most.columns = map[int]int{}
		}
		most.columns[i] = max(most.columns[i], n)
	}
	return most
}

func (s size) times(n int) size {
	product := size{columns: map[int]int{}, bytes: s.bytes * n}
	for i, multiple := range s.columns {
		product.columns[i] = multiple * n
	}
	return product
}

func (s size) multiple() (sum int) {
	for _, n := range s.columns {
		sum += n
	}
	return sum
}

func (s size) tooLarge() bool { return s.multiple() > maxMultiple || s.bytes > maxConstants }

// Expressions checks the expressions of one table and adds up the size of their
// results.
type Expressions struct {
	table *Table
	total size // of everything made from a row
}

// NewExpressions starts checking the expressions of a table.
func NewExpressions(t *Table) *Expressions { return &Expressions{table: t} }

// Generated checks the expression of the generated column i. The error is a phrase
// that says why it is not allowed.
func (e *Expressions) Generated(i int) error { return e.Add(e.table.Columns[i].Generated) }

// Add checks the expression of a CHECK, of an index or of an index condition, and adds
// the size of its result unless that is too much.
func (e *Expressions) Add(expression string) error {
	r := e.reading(e.total)
	if _, err := r.whole(expression); err != nil {
		return err
	}
	e.total = r.total
	return nil
}

// Uses reports whether an expression uses column i.
func (e *Expressions) Uses(expression string, i int) bool {
	r := e.reading(size{})
	_, err := r.whole(expression)
	return err != nil || r.total.columns[i] > 0
}

// MaxBytes returns the maximum length of a value in column i that keeps the results of
// the checked expressions within bounds; 0 means any length.
func (e *Expressions) MaxBytes(i int) int {
	if e.total.columns[i] == 0 {
		return 0
	}
	return maxMade / e.total.multiple()
}

func (e *Expressions) reading(total size) *reading {
	return &reading{table: e.table, total: total.times(1), open: map[int]bool{}}
}

// CheckDefault returns an error that says why the expression of a default is not
// allowed.
func CheckDefault(expression string) error {
	if expression == uuidSQL { // its functions are allowed in it alone
		return nil
	}
	return NewExpressions(&Table{}).Add(expression)
}

// CheckExpressions returns why the first disallowed expression of the table is not
// allowed, or else sets the maximum lengths of values that follow from the
// expressions.
func (t *Table) CheckExpressions() error {
	e := NewExpressions(t)
	for i, column := range t.Columns {
		if column.Default != "" {
			if err := CheckDefault(column.Default); err != nil {
				return fmt.Errorf("the default of the column %s is not allowed: %w", column.Name, err)
			}
		}
		if column.Generated != "" {
			if err := e.Generated(i); err != nil {
				return fmt.Errorf("the expression of the generated column %s is not allowed: %w", column.Name, err)
			}
		}
	}
	for _, check := range t.Checks {
		if err := e.Add(check); err != nil {
			return fmt.Errorf("a CHECK is not allowed: %w", err)
		}
	}
	for _, x := range t.Indexes {
		if err := e.AddIndex(x); err != nil {
			return fmt.Errorf("the index %s is not allowed: %w", x.Name, err)
		}
	}
	for i := range t.Columns {
		t.Columns[i].MaxBytes = e.MaxBytes(i)
	}
	return nil
}

// AddIndex checks the expressions of an index.
func (e *Expressions) AddIndex(x Index) error {
	for _, expression := range x.Expressions() {
		if err := e.Add(expression); err != nil {
			return err
		}
	}
	return nil
}

// Expressions returns the expressions of the parts and of the condition.
func (x Index) Expressions() (list []string) {
	for _, part := range x.Parts {
		if part.Expression != "" {
			list = append(list, part.Expression)
		}
	}
	if x.Where != "" {
		list = append(list, x.Where)
	}
	return list
}

// reading is an expression being parsed. It refuses whatever it does not know.
type reading struct {
	table  *Table
	tokens []sqltext.Token
	at     int
	depth  int
	total  size         // of all values made
	open   map[int]bool // generated columns being read
}

// refusal is the reason why an expression is not allowed.
type refusal string

// Error returns the reason as a phrase.
func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// whole parses an entire expression.
func (r *reading) whole(expression string) (size, error) {
	if len(expression) > maxExpression {
		return size{}, refuse("it is longer than %d bytes", maxExpression)
	}
	tokens, at := r.tokens, r.at
	defer func() { r.tokens, r.at = tokens, at }()
	r.tokens, r.at = sqltext.Tokens(expression), 0
	value, err := r.operands()
	if err == nil && r.at < len(r.tokens) {
		err = r.unknown()
	}
	return value, err
}

func (r *reading) unknown() error {
	if r.at >= len(r.tokens) {
		return refuse("it ends too early")
	}
	const enough = 40
	text := r.tokens[r.at].Text
	return refuse("%q is not allowed in a stored expression", text[:min(len(text), enough)])
}

// is reports whether the next token is one of the given ones, and consumes it if so.
func (r *reading) is(texts ...string) bool {
	if r.at < len(r.tokens) && r.tokens[r.at].Is(texts...) {
		r.at++
		return true
	}
	return false
}

// made adds a value that SQLite makes to the total.
func (r *reading) made(value size) (size, error) {
	r.total.bytes += value.bytes
	for i, n := range value.columns {
		r.total.columns[i] += n
	}
	if value.tooLarge() || r.total.tooLarge() {
		return value, refuse("together with the table's other expressions, it expands the values of a row too much")
	}
	return value, nil
}

// operands parses values and the operators between them. Precedence does not matter:
// no result is longer than all values together.
func (r *reading) operands() (size, error) {
	if r.depth++; r.depth > maxExpressionDepth {
		return size{}, refuse("it is nested more than %d levels deep", maxExpressionDepth)
	}
	defer func() { r.depth-- }()
	value, err := r.operand()
	for err == nil {
		operator, some, opErr := r.operator()
		switch {
		case opErr != nil:
			return value, opErr
		case !some:
			return value, nil
		case operator == "":
			continue // no operand follows
		}
		var next size
		if next, err = r.operand(); err != nil {
			return value, err
		}
		value = value.plus(next).plus(constant(numberBytes))
		if operator == "->" {
			value = value.times(jsonGrowth)
		}
		value, err = r.made(value)
	}
	return value, err
}

// jsonGrowth is how many times longer JSON can become when SQLite writes it: false is
// one byte in JSONB, and \v becomes \u000b.
const jsonGrowth = 6

// operator parses what stands between two operands: "->" for either of JSON's
// operators, "" for one that no operand follows. some is false at the end.
func (r *reading) operator() (operator string, some bool, err error) {
	switch {
	case r.at >= len(r.tokens) || r.tokens[r.at].Is(")", ",", "AS", "WHEN", "THEN", "ELSE", "END"):
		return "", false, nil
	case r.is("ISNULL", "NOTNULL"):
		return "", true, nil
	case r.is("COLLATE"):
		if r.at++; r.at > len(r.tokens) {
			return "", false, r.unknown()
		}
		return "", true, nil
	case r.is("IS"):
		r.is("NOT")
		if r.is("DISTINCT") && !r.is("FROM") {
			return "", false, r.unknown()
		}
		return "IS", true, nil
	case r.is("AND", "OR", "BETWEEN", "IN"):
		return "AND", true, nil
	case r.is("NOT"):
		switch {
		case r.is("NULL"):
			return "", true, nil
		case r.is("BETWEEN", "IN"):
			return "AND", true, nil
		}
		return "", false, r.unknown()
	}
	if operator = r.sign(); operator == "" {
		return "", false, r.unknown()
	}
	return operator, true, nil
}

// sign parses a sign.
func (r *reading) sign() string {
	switch sign := r.tokens[r.at].Text; sign {
	case "->>", "->":
		r.at++
		return "->"
	case "||", "<<", ">>", "<=", "<>", ">=", "==", "!=", "<", ">", "=", "+", "-", "*", "/", "%", "&", "|":
		r.at++
		return sign
	}
	return ""
}

// operand parses one value.
func (r *reading) operand() (size, error) {
	for r.is("NOT", "-", "+", "~") {
		continue // they make no value of their own
	}
	switch {
	case r.at >= len(r.tokens):
		return size{}, r.unknown()
	case r.is("("):
		return r.list(nil)
	case r.is("CASE"):
		return r.cases()
	case r.is("CAST"):
		return r.cast()
	case r.is("NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"):
		return r.made(constant(numberBytes))
	}
	tok := r.tokens[r.at]
	next := ""
	if r.at+1 < len(r.tokens) {
		next = r.tokens[r.at+1].Text
	}
	switch {
	case isLiteral(tok):
		r.at++
		return r.made(constant(len(tok.Text) + numberBytes))
	case !tok.IsName(), isReserved(tok):
		return size{}, r.unknown()
	case next == "(":
		return r.call(tok.Name())
	}
	return r.column(tok)
}

// isLiteral reports whether the token is a text, a blob or a number.
func isLiteral(t sqltext.Token) bool {
	return t.Kind == sqltext.String || t.Kind == sqltext.Blob || t.Kind == sqltext.Number
}

// isReserved reports whether a bare word means something other than a column.
func isReserved(tok sqltext.Token) bool {
	return tok.Is("SELECT", "WITH", "VALUES", "EXISTS", "RAISE", "DISTINCT", "ALL", "LIKE", "GLOB", "REGEXP", "MATCH", "ESCAPE", "FILTER", "OVER")
}

// list parses a list of values after its opening parenthesis and returns their total
// size. If each is not nil, it is called with the size of every value.
func (r *reading) list(each func(size)) (all size, err error) {
	if r.is(")") {
		return all, nil
	}
	for {
		value, err := r.operands()
		if err != nil {
			return all, err
		}
		if each != nil {
			each(value)
		}
		all = all.plus(value)
		switch {
		case r.is(")"):
			return all, nil
		case !r.is(","):
			return all, r.unknown()
		}
	}
}

// cases parses a CASE up to its END.
func (r *reading) cases() (value size, err error) {
	if r.at < len(r.tokens) && !r.tokens[r.at].Is("WHEN") {
		if _, err := r.operands(); err != nil {
			return value, err
		}
	}
	for {
		switch {
		case r.is("WHEN"):
			if _, err := r.operands(); err != nil {
				return value, err
			}
			if !r.is("THEN") {
				return value, r.unknown()
			}
		case r.is("ELSE"):
		case r.is("END"):
			return r.made(value)
		default:
			return value, r.unknown()
		}
		branch, err := r.operands()
		if err != nil {
			return value, err
		}
		value = value.or(branch)
	}
}

// cast parses what follows CAST.
func (r *reading) cast() (value size, err error) {
	if !r.is("(") {
		return value, r.unknown()
	}
	if value, err = r.operands(); err != nil {
		return value, err
	}
	if !r.is("AS") {
		return value, r.unknown()
	}
	// A type is words, and numbers in parentheses.
	for ; !r.is(")"); r.at++ {
		if r.at >= len(r.tokens) || r.tokens[r.at].Kind != sqltext.Word && !r.tokens[r.at].Is("(", ",") {
			return value, r.unknown()
		}
		if r.tokens[r.at].Is("(") {
			for r.at++; r.at < len(r.tokens) && (isLiteral(r.tokens[r.at]) || r.tokens[r.at].Is(",", "+", "-")); {
				r.at++
			}
			if r.at >= len(r.tokens) || !r.tokens[r.at].Is(")") {
				return value, r.unknown()
			}
		}
	}
	return r.made(value.plus(constant(numberBytes)))
}

// function describes an allowed function: how many arguments it takes and how long its
// result can be.
type function struct {
	least, most int
	result      func(args []size) size
}

// functions are the only ones that an expression in a schema may call. Each takes time
// linear in its arguments.
var functions = map[string]function{
	"abs": {1, 1, short}, "round": {1, 2, short}, "length": {1, 1, short}, "typeof": {1, 1, short},
	"date": {0, 10, short}, "time": {0, 10, short}, "datetime": {0, 10, short}, "julianday": {0, 10, short}, "unixepoch": {0, 10, short},
	"json_valid": {1, 2, short}, "json_type": {1, 2, short},
	"lower": {1, 1, first}, "upper": {1, 1, first}, "trim": {1, 1, first}, "ltrim": {1, 1, first}, "rtrim": {1, 1, first},
	"substr": {2, 3, first}, "substring": {2, 3, first}, "nullif": {2, 2, first},
	"coalesce": {2, 100, longest}, "ifnull": {2, 2, longest}, "iif": {2, 100, longest}, "if": {2, 100, longest},
	"json_extract": {2, 100, extracted},
}

func short([]size) size      { return constant(numberBytes) }
func first(args []size) size { return args[0].plus(constant(numberBytes)) }
func extracted(args []size) size {
	return args[0].times(jsonGrowth * (len(args) - 1)).plus(constant(numberBytes))
}
func longest(args []size) (s size) {
	for _, arg := range args {
		s = s.or(arg)
	}
	return s
}

// call parses a function call; name is the function's name.
func (r *reading) call(name string) (size, error) {
	r.at += 2
	f, known := functions[strings.ToLower(name)]
	if !known {
		const enough = 40
		return size{}, refuse("it calls the function %s", name[:min(len(name), enough)])
	}
	var args []size
	if _, err := r.list(func(arg size) { args = append(args, arg) }); err != nil {
		return size{}, err
	}
	if len(args) < f.least || len(args) > f.most {
		return size{}, refuse("it calls the function %s with %d arguments", name, len(args))
	}
	return r.made(f.result(args))
}

// column parses a column name, possibly qualified by the name of the table.
func (r *reading) column(tok sqltext.Token) (size, error) {
	r.at++
	qualified := r.is(".")
	if qualified {
		if !sqlite.SameName(tok.Name(), r.table.Name) || r.at >= len(r.tokens) || !r.tokens[r.at].IsName() {
			return size{}, refuse("it names %s., which is not this table", tok.Name())
		}
		tok = r.tokens[r.at]
		r.at++
	}
	name := tok.Name()
	i := slices.IndexFunc(r.table.Columns, func(c Column) bool { return sqlite.SameName(c.Name, name) })
	switch {
	case i >= 0:
		return r.value(i)
	case slices.Contains([]string{"rowid", "oid", "_rowid_"}, sqlite.Fold(name)):
		return r.made(constant(numberBytes))
	case tok.Text[0] == '"' && !qualified: // SQLite takes it for a string
		return r.made(constant(len(tok.Text)))
	}
	return size{}, refuse("it names %s, which is not a column", name)
}

// value returns the size of the values of column i. SQLite recomputes a generated
// column wherever it is named, so its expression counts each time.
func (r *reading) value(i int) (size, error) {
	column := r.table.Columns[i]
	if column.Generated == "" {
		return r.made(size{columns: map[int]int{i: 1}, bytes: numberBytes})
	}
	if r.open[i] {
		return size{}, refuse("it refers to itself")
	}
	r.open[i] = true
	defer delete(r.open, i)
	value, err := r.whole(column.Generated)
	if err != nil {
		return value, err
	}
	return r.made(value)
}

// TooLong reports whether a value is too long for the expressions that use the column.
func (c *Column) TooLong(v sqlite.Value) bool { return c.MaxBytes > 0 && len(v.Bytes) > c.MaxBytes }

// LengthFault returns the message for a value that is too long.
func (c *Column) LengthFault() string {
	return fmt.Sprintf("The value has more than %d bytes, the limit for values that generated columns, checks or indexes use.", c.MaxBytes)
}
