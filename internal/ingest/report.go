package ingest

import "github.com/zangtable/zangtable/internal/source"

// Report says what was imported and how. It gives the current names of tables and
// columns and those in the file.
type Report struct {
	Source       string          `json:"source"` // name of the file, without its folder
	SHA256       string          `json:"sha256"`
	Kind         string          `json:"kind"`
	Dialect      *source.Dialect `json:"dialect,omitzero"` // of a CSV file
	Tables       []TableReport   `json:"tables"`
	Notes        []source.Note   `json:"notes"`            // everything adjusted or not carried over
	RejectedRows int64           `json:"rejected_rows"`    // skipped, with OnError Skip
	Rejects      []Reject        `json:"rejects,omitzero"` // the first 1,000, with reasons
}

// TableReport describes one table that was created or filled.
type TableReport struct {
	Source   string         `json:"source"` // name in the file
	Name     string         `json:"name"`
	Mode     Mode           `json:"mode"`
	Rows     int64          `json:"rows"` // inserted and updated
	Inserted int64          `json:"inserted"`
	Updated  int64          `json:"updated"`
	Deleted  int64          `json:"deleted"`
	Rejected int64          `json:"rejected"`
	Columns  []ColumnReport `json:"columns"`
}

// ColumnReport describes one column of a table that was created or filled.
type ColumnReport struct {
	Source       string `json:"source"` // name in the file
	Name         string `json:"name"`
	DeclaredType string `json:"declared_type"`
	Type         string `json:"type"`
	Reason       string `json:"reason,omitzero"`   // why it has this type, unless declared
	Decisive     string `json:"decisive,omitzero"` // the deciding value, shortened
	Line         int64  `json:"line,omitzero"`     // of the deciding value; a row number in formats without lines
}

// Preview says what a Load would do with a file and a project as they are now. Rows for
// existing tables are also tried, for at most a second.
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

// TablePreview describes one table that would be created or filled.
type TablePreview struct {
	Source  string         `json:"source"`
	Name    string         `json:"name"`
	Mode    Mode           `json:"mode"`
	Rows    int64          `json:"rows"` // in the file
	Columns []ColumnReport `json:"columns"`
	Sample  [][]any        `json:"sample"` // the first 10 rows, as JSON values in column order
}

// Reject says why a row of the file cannot be imported.
type Reject struct {
	Table  string `json:"table"`  // in the file
	Line   int64  `json:"line"`   // of text, or the row number in formats without lines
	Column string `json:"column"` // in the file; "" for the row as a whole
	Value  string `json:"value"`  // shortened
	Reason string `json:"reason"`
}
