package ingest

import (
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/worker"
)

// Kind names what kind of file a source is.
type Kind string

// The kinds of files that can be imported.
const (
	KindSQLite  Kind = "sqlite"
	KindSQL     Kind = "sql" // a dump
	KindCSV     Kind = "csv"
	KindJSON    Kind = "json" // an array of objects, or the JSON of a database
	KindNDJSON  Kind = "ndjson"
	KindXLSX    Kind = "xlsx"
	KindParquet Kind = "parquet"
	KindZIP     Kind = "zip"     // of files of these kinds
	KindArchive Kind = "archive" // of a whole project
)

// Kinds returns every kind.
func Kinds() []Kind {
	return []Kind{KindSQLite, KindSQL, KindCSV, KindJSON, KindNDJSON, KindXLSX, KindParquet, KindZIP, KindArchive}
}

// Opening says which file is opened, and how.
type Opening struct {
	Path        string
	Workers     *worker.Pool // of the processes that read databases
	Name        string       // as its sender calls it, for names of tables; "" is that of the path
	Scratch     string       // folder for what has to be unpacked or copied; "" is that of the system
	Kind        Kind         // "" is recognized by content
	MaxUnpacked int64        // bytes that compressed content may become in all; 0 means DefaultMaxUnpacked
	SHA256      string       // of the file in hexadecimal digits, when it is known
}

// Options say how a file is taken in.
type Options struct {
	Include, Exclude []string          // tables of the file, by their names there; none includes all
	Target                             // of the one table, when the file holds one
	Tables           map[string]Target // of single tables, by their names in the file

	NullTexts []string // further texts that stand for NULL, in CSV and in text cells of XLSX
	Sheet     string   // of a workbook; "" takes every sheet that has rows, each as a table
	OnError   OnError

	Receipt  *projectdb.Receipt // kept in the transaction of the rows, with the Report in JSON as its answer
	Progress func(Progress)     `json:"-"` // called now and then
}

// Target says where the rows of one table go, and how.
type Target struct {
	Table   string            // name, or id in digits, in the project; "" is made of the name in the file
	Mode    Mode              // "" is Create
	Key     []string          // columns of the table: Upsert, Update: by which rows are found, none for its primary key; Create: its primary key
	Columns map[string]string // from a column of the file to one of the table
	Skip    []string          // columns of the file that are left out
	Types   map[string]string // column of the file → INTEGER, REAL, TEXT, BLOB, ANY, instead of the inferred type
	Dates   bool              // texts such as 31.1.2026 become 2026-01-31 in columns of nothing else; date cells of XLSX always do

	// CSV is how a file of text is read, and whether a sheet has a header. What is
	// left zero is detected; nil for a single table is what is said for all.
	CSV *format.ReadDialect
}

// Mode says what is done with the rows.
type Mode string

// The modes. All but Create need a table that the project has; Append may also
// name the new one that another table of the file becomes, so that several
// sheets or members make one table.
const (
	Create  Mode = "create"  // make a new table
	Append  Mode = "append"  // insert every row
	Replace Mode = "replace" // delete what the table holds, and insert every row
	Upsert  Mode = "upsert"  // update the row that has the key, or insert
	Update  Mode = "update"  // update the row that has the key; one without is rejected
)

// OnError says what becomes of the file when some of its rows cannot come in.
type OnError uint8

// Abort changes nothing and tells the first 1,000 faults; Skip takes the other
// rows.
const (
	Abort OnError = iota
	Skip
)

// Progress is how far a Load or Preview has come.
type Progress struct {
	Table string // in the file
	Rows  int64  // of it so far
	Bytes int64  // read of the file, 0 where that is not known
	Size  int64  // of the file in bytes
}
