package main

import (
	"fmt"
	"path/filepath"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/server"
)

// importFile is the command that takes a file in.
type importFile struct {
	dataFlag
	jsonFlag
	File      string `arg:"" type:"path" help:"A SQLite database or a CSV file."`
	Project   string `required:"" placeholder:"SLUG" help:"The project; it is made when there is none."`
	Table     string `help:"CSV: the name of the table, otherwise that of the file."`
	Delimiter string `placeholder:"CHAR" help:"CSV: the character between fields, tab for a tab; otherwise detected."`
	Quote     string `placeholder:"CHAR" help:"CSV: the quote character, none for none; otherwise detected."`
	Header    string `enum:"yes,no,detect" default:"detect" help:"CSV: whether the first row has the names (${enum})."`
	Encoding  string `enum:"utf-8,utf-16le,utf-16be,windows-1252,detect" default:"detect" help:"CSV: the encoding (${enum})."`
}

// Run imports the file and tells what came in, what was adjusted and what was
// left out.
func (cmd *importFile) Run(p *program) error {
	dialect, err := cmd.dialect()
	if err != nil {
		return err
	}
	path, err := filepath.Abs(cmd.File)
	if err != nil {
		return err
	}
	order := server.ImportOrder{Path: path, Project: cmd.Project, Options: ingest.Options{Target: ingest.Target{Table: cmd.Table}, CSV: dialect}}
	return call(p, cmd.Data, server.Import, order, func(done server.Imported) error {
		if cmd.JSON {
			return printJSON(p.stdout, done)
		}
		p.printImport(done)
		return nil
	})
}

func (p *program) printImport(done server.Imported) {
	verb := "More tables for"
	if done.Created {
		verb = "Made"
	}
	fmt.Fprintf(p.stdout, "%s the project %s.\n", verb, done.Project.Slug)
	for _, t := range done.Report.Tables {
		fmt.Fprintf(p.stdout, "  %-30s %s\n", t.Name, plural(t.Rows, "row"))
	}
	for _, note := range done.Report.Notes {
		fmt.Fprintf(p.stdout, "  Note: %s\n", note)
	}
}

// dialect returns what the flags say of a CSV file.
func (cmd *importFile) dialect() (format.ReadDialect, error) {
	var d format.ReadDialect
	switch {
	case cmd.Delimiter == "tab" || cmd.Delimiter == `\t`:
		d.Delimiter = '\t'
	case len(cmd.Delimiter) == 1:
		d.Delimiter = cmd.Delimiter[0]
	case cmd.Delimiter != "":
		return d, fmt.Errorf("--delimiter: %q is not one character", cmd.Delimiter)
	}
	switch {
	case cmd.Quote == "none":
		d.Quote = format.NoQuote
	case len(cmd.Quote) == 1:
		d.Quote = cmd.Quote[0]
	case cmd.Quote != "":
		return d, fmt.Errorf("--quote: %q is not one character", cmd.Quote)
	}
	d.Header = map[string]format.HeaderMode{"detect": format.DetectHeader, "yes": format.WithHeader, "no": format.WithoutHeader}[cmd.Header]
	d.Encoding = map[string]format.Encoding{"utf-8": format.UTF8, "utf-16le": format.UTF16LE, "utf-16be": format.UTF16BE, "windows-1252": format.Windows1252}[cmd.Encoding]
	return d, nil
}
