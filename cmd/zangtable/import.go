package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/server"
	"github.com/zangtable/zangtable/internal/source"
)

// importFile is the command that imports a file.
type importFile struct {
	dataFlag
	jsonFlag
	File    string `arg:"" type:"path" help:"The file: ${import_titles}; also compressed with gzip or zstd."`
	Project string `required:"" placeholder:"SLUG" help:"The project; created if there is none."`
	Format  string `enum:"detect,${import_formats}" default:"detect" help:"The kind of file (${enum})."`

	Include  []string          `placeholder:"TABLE,…" help:"Only these tables of the file."`
	Exclude  []string          `placeholder:"TABLE,…" help:"All tables of the file but these."`
	Table    string            `help:"The table; named after the file if absent."`
	Mode     string            `enum:"create,append,replace,upsert,update" default:"create" help:"What to do with the rows (${enum}): create a new table, or fill an existing one."`
	Key      []string          `placeholder:"COLUMN,…" help:"Modes upsert and update: the columns that identify a row, the primary key if absent. Mode create: the primary key."`
	Columns  map[string]string `name:"map" mapsep:"," placeholder:"COLUMN=COLUMN,…" help:"Maps columns of the file to columns of the table."`
	Skip     []string          `placeholder:"COLUMN,…" help:"Columns of the file to leave out."`
	Types    map[string]string `mapsep:"," placeholder:"COLUMN=TYPE,…" help:"Types of columns of the new table: INTEGER, REAL, TEXT, BLOB or ANY; inferred if absent."`
	Dates    bool              `help:"Rewrite dates as 2006-01-31, in columns that contain nothing else."`
	Null     []string          `placeholder:"TEXT,…" help:"CSV, Excel: texts that stand for NULL."`
	Sheet    string            `help:"Excel: the sheet; if absent, each one becomes a table."`
	JSONPath string            `name:"json-path" placeholder:"PATH" help:"JSON: where the rows are, such as $$.data.items; detected if absent."`

	Profile   string `help:"CSV: the profile that it was exported with, such as excel."`
	Delimiter string `placeholder:"CHAR" help:"CSV: the character between fields, tab for a tab; detected if absent."`
	Quote     string `placeholder:"CHAR" help:"CSV: the quote character, none for none; detected if absent."`
	Header    string `enum:"yes,no,detect" default:"detect" help:"CSV, Excel: whether the first row names the columns (${enum})."`
	Encoding  string `enum:"utf-8,utf-16le,utf-16be,windows-1252,detect" default:"detect" help:"CSV: the encoding (${enum})."`
	HeaderRow *int   `placeholder:"N" help:"CSV, Excel: the line or row that names the columns; what stands above it is left out."`
	SkipRows  *int   `placeholder:"N" help:"CSV, Excel: how many lines or rows are left out: below --header-row if that is set, otherwise at the start."`
	Comment   string `placeholder:"CHARACTER" help:"CSV: the character with which lines start that are left out, or none."`
	Footer    *int   `placeholder:"N" help:"CSV: how many rows at the end are left out."`
	Ragged    string `enum:"fill,refuse,pad_names,detect" default:"detect" help:"CSV: rows with too few or too many fields (${enum}): make missing fields NULL, reject both, or add columns."`
	Range     string `placeholder:"CELLS" help:"Excel: the cells to read, such as B3:F20, B:F or B3."`

	OnError string `enum:"abort,skip" default:"abort" help:"When rows are rejected (${enum}): change nothing, or import the others."`
	Rejects string `type:"path" placeholder:"FILE" help:"Write the rejected rows, and why, to a CSV file: the first 1,000."`
	DryRun  bool   `help:"Only show what the import would do."`
}

// Run imports the file and prints what was imported, adjusted and left out.
func (cmd *importFile) Run(p *program) error {
	order, err := cmd.order()
	if err != nil {
		return err
	}
	return withAdmin(p, cmd.Data, func(admin *server.Admin) error {
		done, err := server.Import.Call(p.ctx, admin, order)
		if cmd.Rejects != "" {
			err = errors.Join(err, cmd.writeRejects(done))
		}
		switch {
		case err != nil:
			return err
		case cmd.JSON:
			return printJSON(p.stdout, done)
		case done.Preview != nil:
			return p.printPreview(done.Preview)
		}
		p.printImport(done)
		return nil
	})
}

func (cmd *importFile) order() (server.ImportOrder, error) {
	path, err := cmd.path()
	return server.ImportOrder{
		Path: path, Project: cmd.Project, DryRun: cmd.DryRun,
		Options: ingest.Options{
			Include: cmd.Include, Exclude: cmd.Exclude, Format: detected(cmd.Format),
			NullTexts: cmd.Null, Sheet: cmd.Sheet, JSONPath: cmd.JSONPath, OnError: ingest.OnError(cmd.OnError),
			Target: ingest.Target{
				Table: cmd.Table, Mode: ingest.Mode(cmd.Mode), Key: cmd.Key, Columns: cmd.Columns, Skip: cmd.Skip, Types: cmd.Types,
				Dates: cmd.Dates,
				ReadOptions: format.ReadOptions{
					Profile: cmd.Profile, Delimiter: cmd.Delimiter, Quote: cmd.Quote,
					Header:    map[string]*bool{"yes": new(true), "no": new(false)}[cmd.Header],
					Encoding:  format.Encoding(detected(cmd.Encoding)),
					HeaderRow: cmd.HeaderRow, SkipRows: cmd.SkipRows, Range: cmd.Range, Comment: cmd.Comment, Footer: cmd.Footer, Ragged: format.Ragged(detected(cmd.Ragged)),
				},
			},
		},
	}, err
}

// detected returns the value of a flag, or "" if it is detect.
func detected(flag string) string {
	if flag == "detect" {
		return ""
	}
	return flag
}

// path returns the path of the file in a form that is valid for the server too, which
// may be another process: a pipe of this process would be something else there.
func (cmd *importFile) path() (string, error) {
	info, err := os.Stat(cmd.File)
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", cmd.File)
	}
	return filepath.Abs(cmd.File)
}

// writeRejects writes the file of rejects, even if there are none.
func (cmd *importFile) writeRejects(done server.Imported) (err error) {
	f, err := os.Create(cmd.Rejects)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	list := done.Report.Rejects
	if done.Preview != nil {
		list = done.Preview.Rejects
	}
	return ingest.WriteRejects(f, list)
}

func (p *program) printImport(done server.Imported) {
	verb := "Filled"
	for _, t := range done.Report.Tables {
		if t.Mode == ingest.Create {
			verb = "More tables for"
		}
	}
	if done.Created {
		verb = "Made"
	}
	fmt.Fprintf(p.stdout, "%s the project %s.\n", verb, done.Project.Slug)
	for _, t := range done.Report.Tables {
		fmt.Fprintf(p.stdout, "  %-30s %s\n", t.Name, countsOf(t))
	}
	p.printNotes(done.Report.Notes, done.Report.Rejects, done.Report.RejectedRows)
}

// countsOf summarizes what became of the rows of a table.
func countsOf(t ingest.TableReport) string {
	text := plural(t.Rows, "row")
	for _, part := range []struct {
		rows int64
		verb string
	}{{t.Updated, "updated"}, {t.Deleted, "deleted before"}, {t.Rejected, "refused"}} {
		if part.rows > 0 {
			text += fmt.Sprintf(", %d %s", part.rows, part.verb)
		}
	}
	return text
}

// printNotes prints what was adjusted, and the first rejected rows.
func (p *program) printNotes(notes []source.Note, rejects []ingest.Reject, rows int64) {
	const shown = 20
	for _, note := range notes {
		fmt.Fprintf(p.stdout, "  Note: %s\n", note)
	}
	if rows > 0 {
		fmt.Fprintf(p.stdout, "%s rejected:\n", plural(rows, "row"))
	}
	for _, reject := range rejects[:min(len(rejects), shown)] {
		fmt.Fprintf(p.stdout, "  %s\n", reject)
	}
}

// printPreview prints what an import would do.
func (p *program) printPreview(preview *ingest.Preview) error {
	if d := preview.Dialect; d != nil {
		fmt.Fprintf(p.stdout, "CSV, %s, delimiter %q, quote %q, header %t\n", d.Encoding, d.Delimiter, d.Quote, d.Header)
	}
	for _, t := range preview.Tables {
		fmt.Fprintf(p.stdout, "%s the table %s with %s of %s.\n", modeVerbs[t.Mode], t.Name, plural(t.Rows, "row"), t.Source)
		for _, c := range t.Columns {
			fmt.Fprintf(p.stdout, "  %-30s %-8s %s\n", c.Name, c.Type, c.Reason)
		}
		for _, row := range t.Sample {
			line, err := json.Marshal(row)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "  %s\n", line)
		}
	}
	p.printNotes(preview.Notes, preview.Rejects, preview.RejectedRows)
	fmt.Fprintln(p.stdout, "Nothing was changed.")
	return nil
}

var modeVerbs = map[ingest.Mode]string{
	ingest.Create: "Would make", ingest.Append: "Would append to", ingest.Replace: "Would replace the rows of",
	ingest.Upsert: "Would update or insert into", ingest.Update: "Would update",
}
