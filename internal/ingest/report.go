package ingest

import "github.com/zangtable/zangtable/internal/source"

// Report says what came in and how. Tables and columns bear the names they have
// now, and those they had in the file.
type Report struct {
	Source       string          `json:"source"` // the name of the file, without its folder
	SHA256       string          `json:"sha256"`
	Kind         string          `json:"kind"`
	Dialect      *source.Dialect `json:"dialect,omitzero"` // of a CSV file
	Tables       []TableReport   `json:"tables"`
	Notes        []source.Note   `json:"notes"`            // everything adjusted or not carried
	RejectedRows int64           `json:"rejected_rows"`    // passed over, with OnError Skip
	Rejects      []Reject        `json:"rejects,omitzero"` // why, of the first 1,000
}

// TableReport is about one table that was made or filled.
type TableReport struct {
	Source   string         `json:"source"` // the name in the file
	Name     string         `json:"name"`
	Mode     Mode           `json:"mode"`
	Rows     int64          `json:"rows"` // inserted and updated
	Inserted int64          `json:"inserted"`
	Updated  int64          `json:"updated"`
	Deleted  int64          `json:"deleted"`
	Rejected int64          `json:"rejected"`
	Columns  []ColumnReport `json:"columns"`
}

// ColumnReport is about one column of a table that was made or filled.
type ColumnReport struct {
	Source       string `json:"source"` // the name in the file
	Name         string `json:"name"`
	DeclaredType string `json:"declared_type"`
	Type         string `json:"type"`
	Reason       string `json:"reason,omitzero"`   // why this type, unless it is the declared one
	Decisive     string `json:"decisive,omitzero"` // the value that decided, shortened
	Line         int64  `json:"line,omitzero"`     // where it is: a line of text, elsewhere the number of a row
}

// Preview says what a Load would do, of a file and a project as they are now.
// Rows for tables that are there are tried, too, for a second at most.
type Preview struct {
	Source       string          `json:"source"`
	SHA256       string          `json:"sha256"`
	Kind         string          `json:"kind"`
	Dialect      *source.Dialect `json:"dialect,omitzero"`
	Tables       []TablePreview  `json:"tables"`
	Notes        []source.Note   `json:"notes"`
	RejectedRows int64           `json:"rejected_rows"`
	Rejects      []Reject        `json:"rejects,omitzero"`
}

// TablePreview is about one table that would be made or filled.
type TablePreview struct {
	Source  string         `json:"source"`
	Name    string         `json:"name"`
	Mode    Mode           `json:"mode"`
	Rows    int64          `json:"rows"` // in the file
	Columns []ColumnReport `json:"columns"`
	Sample  [][]any        `json:"sample"` // the first 10 rows, as JSON values in the order of the columns
}

// Reject says why a row of the file cannot come in.
type Reject struct {
	Table  string `json:"table"`  // in the file
	Line   int64  `json:"line"`   // of text, or the number of the row where lines mean nothing
	Column string `json:"column"` // in the file; "" when the row as a whole is meant
	Value  string `json:"value"`  // shortened
	Reason string `json:"reason"`
}
