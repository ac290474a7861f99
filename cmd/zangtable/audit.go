package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/server"
)

// audit is the command that prints the audit log.
type audit struct {
	dataFlag
	Format  string    `default:"text" enum:"text,csv,ndjson" help:"text, csv or ndjson."`
	Project string    `placeholder:"SLUG" help:"Only entries of this project."`
	Action  string    `help:"Only this action, such as mint-token or sign-in."`
	Actor   string    `placeholder:"NAME" help:"Only what the token or user with this name did."`
	Outcome string    `placeholder:"ok|CODE" help:"Only entries with this outcome."`
	From    time.Time `placeholder:"TIME" help:"From this time on, as in 2026-06-02T10:00:00Z."`
	To      time.Time `placeholder:"TIME" help:"Before this time."`
	Limit   int       `default:"0" help:"At most so many entries; 0 for all."`
	Verify  bool      `help:"Recompute the chain of hashes instead, and print its head."`
}

// auditPage is how many entries are asked for at once.
const auditPage = 1000

// Run prints the entries, newest first.
func (cmd *audit) Run(p *program) error {
	return withAdmin(p, cmd.Data, func(admin *server.Admin) error {
		if cmd.Verify {
			return cmd.verify(p, admin)
		}
		show, finish := cmd.printer(p.stdout)
		filter := registry.AuditFilter{Project: cmd.Project, Action: cmd.Action, Actor: cmd.Actor, Outcome: cmd.Outcome, From: cmd.From, To: cmd.To}
		for left := cmd.Limit; ; {
			filter.Limit = auditPage
			if cmd.Limit > 0 {
				filter.Limit = min(left, auditPage)
			}
			page, err := server.ListAudit.Call(p.ctx, admin, filter)
			if err != nil {
				return err
			}
			for _, e := range page.Entries {
				if err := show(e); err != nil {
					return err
				}
			}
			left -= len(page.Entries)
			if page.Next == 0 || cmd.Limit > 0 && left == 0 {
				return finish()
			}
			filter.Before = page.Next
		}
	})
}

// printer returns a function that prints an entry, and one that ends the output.
func (cmd *audit) printer(w io.Writer) (show func(registry.AuditEntry) error, finish func() error) {
	finish = func() error { return nil }
	switch cmd.Format {
	case "ndjson":
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return func(e registry.AuditEntry) error { return encoder.Encode(e) }, finish
	case "csv":
		out := csv.NewWriter(w)
		// A writer of CSV keeps its first error for Flush.
		_ = out.Write([]string{"id", "at", "actor", "actor_id", "actor_name", "action", "project_slug", "object", "note", "outcome", "times", "address", "request_id", "hash"})
		return func(e registry.AuditEntry) error { return out.Write(auditCells(e)) }, func() error {
			out.Flush()
			return out.Error()
		}
	}
	return func(e registry.AuditEntry) error {
		_, err := fmt.Fprintln(w, auditLine(e))
		return err
	}, finish
}

func auditCells(e registry.AuditEntry) []string {
	return []string{
		strconv.FormatInt(e.ID, 10), e.At, e.Actor.Type, strconv.FormatInt(e.Actor.ID, 10), e.Actor.Name, e.Action, slugOf(e), e.Object, e.Note,
		e.Outcome, strconv.FormatInt(e.Times, 10), e.Address, e.RequestID, e.Hash,
	}
}

func slugOf(e registry.AuditEntry) string {
	if e.ProjectSlug == nil {
		return ""
	}
	return *e.ProjectSlug
}

// auditLine writes an entry for people. Names that others chose are quoted.
func auditLine(e registry.AuditEntry) string {
	line := e.At + " " + e.Actor.Type
	if e.Actor.Name != "" && e.Actor.Name != e.Actor.Type {
		line += fmt.Sprintf(" %q", e.Actor.Name)
	}
	line += " " + e.Action
	if slug := slugOf(e); slug != "" {
		line += " in " + slug
	}
	for _, text := range []string{e.Object, e.Note} {
		if text != "" {
			line += fmt.Sprintf(" %q", text)
		}
	}
	if line += ": " + e.Outcome; e.Times > 1 {
		line += fmt.Sprintf(", %d times", e.Times)
	}
	if e.Address != "" {
		line += " from " + e.Address
	}
	return line
}

func (cmd *audit) verify(p *program, admin *server.Admin) error {
	chain, err := server.VerifyAudit.Call(p.ctx, admin, server.None{})
	if err == nil && !chain.Whole {
		err = errors.New(chain.Fault)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%d entries are as they were written, up to %d with the hash %s\n", chain.Entries, chain.Last, chain.Head)
	return err
}
