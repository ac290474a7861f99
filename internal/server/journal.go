package server

import (
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// JournalSettings say what is recorded of calls; see journal.Options.
type JournalSettings struct {
	Off            bool
	KeepFor        time.Duration
	KeepBytes      int64
	IDs, Addresses string
}

// record passes a call on to the journal of its project. Calls without a valid
// credential belong to no project.
func (app *App) record(o rest.Observation) {
	ws, ok := o.Who.(*registry.Workspace)
	if !ok {
		return
	}
	e := journal.Entry{
		ProjectID: ws.Project.ID, TokenID: ws.Token.ID, Source: sourceOf(o.UserAgent),
		RequestID: o.RequestID, Began: o.Began, Method: o.Method, Route: o.Route, Stream: o.Stream,
		Table: o.Table, TableID: ids.Table(o.TableID), Kind: o.Kind, Object: o.Object, Created: o.Created,
		Status: o.Status, Code: string(o.Code), Fields: o.Fields,
		Took: o.Took, Waited: o.Waited, Worked: o.Worked, Sending: o.Sending,
		BytesIn: o.BytesIn, BytesOut: o.BytesOut, RowsRead: o.RowsRead, RowsChanged: o.RowsChanged,
		Address: o.Address, UserAgent: o.UserAgent, TraceParent: o.TraceParent, Statement: o.Statement, Parameters: o.Parameters,
	}
	e.TokenName = ws.Token.Name
	if ws.Visit != nil {
		e.Source, e.User = "panel", ws.Visit.Username
	}
	if op := o.Operation; op != nil {
		e.Operation = &journal.Operation{Key: op.Key, RunID: op.RunID, Status: journal.Status(op.Status)}
	}
	app.Journal.Record(e)
}

// sourceOf tells the calls of our own command line from others.
func sourceOf(userAgent string) string {
	if strings.HasPrefix(userAgent, rest.CLIAgent) {
		return "cli"
	}
	return "api"
}
