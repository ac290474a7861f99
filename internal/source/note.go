package source

import "fmt"

// Dialect says how a CSV file is read.
type Dialect struct {
	Encoding  string `json:"encoding"`
	BOM       bool   `json:"bom"`
	Delimiter string `json:"delimiter"`
	Quote     string `json:"quote"` // "" if quotes are ordinary text
	Header    bool   `json:"header"`
	LineEnd   string `json:"line_end"`
	SkipRows  int    `json:"skip_rows,omitzero"` // lines above the table
}

// Note is a sentence about something in the file.
type Note struct {
	Subject string `json:"subject"` // such as "table orders" or "column orders.total"
	Text    string `json:"text"`
}

// String returns the note as one line.
func (n Note) String() string { return n.Subject + ": " + n.Text }

// Notes collects the notes on a file.
type Notes []Note

// Add adds a note.
func (n *Notes) Add(subject, format string, args ...any) {
	*n = append(*n, Note{subject, fmt.Sprintf(format, args...)})
}
